"""`wrapd ask`: have jobs asked about now."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from daemon.app import control_client
from daemon.cli import output
from daemon.cli.choosing import Choice, choosing, chosen
from daemon.cli.notices import paused
from daemon.cli.outlook import counted
from daemon.cli.session import CLOCK, config_of, daemon_runs, opened, who
from daemon.cli.text import count
from daemon.config import Config
from daemon.domain.jobs import Tracking
from daemon.errors import Exit, WrapdError

if TYPE_CHECKING:
    from daemon.store import JobRow, PauseRow

AT_ONCE = 500
"""Jobs in one request to the daemon."""
PATIENCE = 45.0
"""Seconds to wait for the daemon, which itself waits 15 for the answers."""
_OFF = "no daemon runs: it is asked at its start"
_SILENT = "the daemon has no control socket; its log says why (control.unavailable)"
_WORDS = {
    "answered": "answered",
    "failed": "failed",
    "waiting": "waiting for the request budget",
    "paused": "paused",
    "not_watched": "not watched yet",
}


@click.command("ask")
@click.argument("ids", nargs=-1, metavar="[JOB_ID... | -]")
@choosing
@click.pass_context
def command(ctx: click.Context, *, choice: Choice) -> int:
    """Have the running daemon ask about jobs now, before all others but within the request budget, and say what
    came back. Without a daemon they are asked about when it starts, as all jobs are.

    `-` reads ids from standard input, one per line. --batch, --tag and --state select the jobs that match all of
    them and are still watched; wrapd asks before it has several asked about. The exit status is 1 if a query
    failed.
    """
    config = config_of(ctx)
    from daemon.commands import note_asked  # noqa: PLC0415 - SQLAlchemy

    with opened(config) as store:
        jobs = chosen(store, config, choice, doing="ask about", tracking=Tracking.ACTIVE)
        if jobs is None:
            output.line("nothing was asked")
            return Exit.OK
        rows = store.read(lambda tx: {row: found for row in jobs if (found := tx.jobs.get(row)) is not None})
        active = [row for row, each in rows.items() if each.tracking is Tracking.ACTIVE]
        pauses = store.read(lambda tx: tx.pauses.all())
        if active:
            at = CLOCK.now()
            store.write_now(lambda tx: note_asked(tx, active, who=who(), at=at))
        said = _asked(config, active)
    if not choice.ids:
        return _sum(said, active)
    for row, each in rows.items():
        output.line(f"{each.job_id}: {_line(each, said.get(row), pauses.get(each.project))}")
    return _status(said)


def _asked(config: Config, jobs: list[int]) -> dict[int, dict[str, Any]]:
    """The daemon's results by row id; empty if none runs. Raises WrapdError if it cannot be reached."""
    found: dict[int, dict[str, Any]] = {}
    for start in range(0, len(jobs), AT_ONCE):
        request = {"request": "ask", "jobs": jobs[start : start + AT_ONCE]}
        said = control_client.ask(config.database.path.resolve(), request, patience=PATIENCE)
        if said is None:
            if daemon_runs(config):
                raise WrapdError(_SILENT)
            return {}
        found |= {each["job"]: each for each in said.get("jobs", ())}
    return found


def _line(row: "JobRow", said: dict[str, Any] | None, pause: "PauseRow | None") -> str:
    if row.tracking is not Tracking.ACTIVE:
        return f"not asked about: it is {row.tracking} ({row.state or 'never answered'})"
    if pause is not None:
        return f"its project is paused {paused(pause)}: it is asked about after `wrapd resume {row.project}`"
    if said is None:
        return _OFF
    if said["result"] == "answered":
        same = said["state"] == row.state
        return f"still {row.state}" if same else f"{said['state']}, was {row.state or 'not answered before'}"
    return f"no answer: {said['error']}" if said["result"] == "failed" else _WORDS.get(said["result"], "asked")


def _sum(said: dict[int, dict[str, Any]], jobs: list[int]) -> int:
    """Print how many were asked about and what came back."""
    if not jobs:
        output.line("no watched job matches")
    elif not said:
        output.line(f"{count(len(jobs), 'job')}: {_OFF}")
    else:
        results = Counter(_WORDS.get(each["result"], str(each["result"])) for each in said.values())
        output.line(f"asked about {count(len(jobs), 'job')}: {counted(results)}")
        states = Counter(str(each["state"] or "new") for each in said.values() if each["result"] == "answered")
        if states:
            output.line(f"now {counted(states)}")
    return _status(said)


def _status(said: dict[int, dict[str, Any]]) -> int:
    return int(Exit.FAILED if any(each["result"] == "failed" for each in said.values()) else Exit.OK)
