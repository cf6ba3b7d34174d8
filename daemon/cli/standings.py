"""How jobs, batches and alerts stand, as several commands say it. Those load this instead of each other."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from daemon import views
from daemon.cli import output
from daemon.cli.session import CLOCK
from daemon.cli.text import band, clean, moment, stamp
from daemon.cli.zone import local
from daemon.config import Config
from daemon.domain.jobs import Tracking
from daemon.views.outlooks import BatchOutlook, Outlook

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daemon.store import AttemptRow, BatchRow, DeliveryRow, JobRow, Transaction


def job_standing(row: "JobRow") -> str:
    """The state in a word or two; if tracking ended for another reason than the state, that reason first."""
    state = row.state or "new"
    if row.tracking in (Tracking.ACTIVE, Tracking.FINISHED):
        return state
    return f"{row.tracking} ({state})"


def view_of(row: "JobRow", expected: Outlook) -> views.Job:
    """The job's view for `--json`."""
    return views.job(row, now=expected.at, eta=expected.eta, eta_reason=expected.reason)


def batch_standing(row: "BatchRow", expected: BatchOutlook) -> str:
    """The progress of a batch, as in "48 of 50, 2 failed, all 50 by 16:40-17:15"."""
    others = [f"{number} {way}" for way in views.WAYS[1:] if (number := row.ends.get(way, 0))]
    return ", ".join([f"{row.ended} of {row.jobs}", *others, *_last(row, expected)])


def _last(row: "BatchRow", expected: BatchOutlook) -> Iterator[str]:
    """By when all its jobs have ended: 1 of 10 such batches ends before the first time, 9 of 10 by the second."""
    eta, now, every = expected.eta, local(expected.at), f"all {row.jobs}"
    if eta is not None:
        yield f"{every} by {band(local(expected.ends_at(eta.low)), local(expected.ends_at(eta.high)), now)}"
    elif expected.soonest is not None:
        soonest = local(expected.ends_at(expected.soonest))
        yield f"{every} after {band(soonest, soonest, now)}"
    elif expected.reason is not None:
        yield "no estimate for the last end"


def attempt_line(each: "AttemptRow", *, indent: int = 0) -> str:
    """One attempt as a line of text, indented by `indent` cells."""
    reason = clean(each.reason or "")
    status = f"HTTP {each.status_code}" if each.status_code else ""
    if reason == status or reason.startswith(f"{status}:"):
        status = ""
    shared = f"with {each.shared - 1} others in one message" if each.shared > 1 else ""
    said = ": ".join(filter(None, (each.outcome or "under way", shared, status, reason)))
    begin = " " * indent + f"  {each.n}. "
    return output.hanging(begin, f"{moment(each.started_at)}  {said}")


def situation(
    tx: "Transaction", config: Config, rows: "Sequence[DeliveryRow]", *, running: bool, as_json: bool
) -> views.Situation:
    """What these deliveries wait for, given the config; `running`: a daemon uses the database."""
    now = CLOCK.now()
    return views.Situation(
        standing=tx.queue.standing(rows, now=now),
        now=now,
        telling=views.Telling(moment=stamp if as_json else moment),
        channels=config.channels,
        running=running,
    )
