"""The views of a project and its figures. docs/cli.md is generated from the comments. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import Struct

from daemon.domain.events import Json
from daemon.domain.production import samples_of
from daemon.domain.states import State
from daemon.domain.text import stamp
from daemon.views.needs import REPORTED_WITHIN
from daemon.views.pauses import Paused, paused

if TYPE_CHECKING:  # SQLAlchemy is slow to import
    from daemon.store import DaySum, ProjectFigures

DAYS = 28
"""Days told unless asked for others, today included: four weeks, so that the days of the week can be compared."""

_SUCCESSES = (State.SUCCEED, State.PARTIAL_SUCCEED)


class Produced(Struct, frozen=True, kw_only=True):
    """The production times of a kind's last 200 jobs that ended, in `stats --json` under `production`."""

    kind: str  # the kind of job
    finished: int  # how many of them succeeded
    median_seconds: float | None  # half took less; null if none succeeded
    low_seconds: float | None  # 1 of 10 took less
    high_seconds: float | None  # 9 of 10 took less


class Day(Struct, frozen=True, kw_only=True):
    """The jobs that ended on a day, in `stats --json` under `days`."""

    day: str  # the day in UTC
    states: Mapping[str, int]  # number of jobs that wrapd saw end, by state
    timed: int  # number of those that succeeded and whose production time is known
    seconds: float  # the production time of these together

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.states.values())

    @property
    def succeeded(self) -> int:
        """Those that succeeded, wholly or partly."""
        return sum(self.states.get(state, 0) for state in _SUCCESSES)

    @property
    def rate(self) -> float | None:
        """The share of these in all that were not canceled; None if there are none."""
        judged = self.succeeded + self.states.get(State.FAILED, 0)
        return self.succeeded / judged if judged else None

    @property
    def mean(self) -> float | None:
        """Seconds of production on average; None if none is known."""
        return self.seconds / self.timed if self.timed else None


class Stats(Struct, frozen=True, kw_only=True):
    """A project and its figures, in `stats --json`."""

    project: str  # name of the project in the config
    # running; paused; refused (its credentials are); down (its service does not answer); unknown (no daemon has
    state: str  # reported on it lately)
    states: Mapping[str, int]  # number of tracked jobs by state; `new` before the first answer
    ended: Mapping[str, int]  # number of jobs no longer tracked, by `tracking`
    daemon_running: bool  # whether a daemon uses the database
    # the daemon's last report: `feed` (off, trial, trusted, distrusted), `feed_reason`, `feed_again_at`,
    # `batch` (off, auto), `batch_size`, `batch_reason`, `price` (seconds), `pressure` (factor that raises the
    # price), `rate` (most requests per second), `usage` (share of it used recently), `requests` (of the last 10
    # seconds by what they are for: feed, urgent, news, detail, discovery), `jobs`, `late_seconds`, `up`,
    # `down_since`, `refused_since` (since when its credentials are), and others; null before it has run
    watch: Mapping[str, Json] | None
    paused: Paused | None  # the pause of the project (pause); null if it is not paused
    watch_at: str | None  # when it was reported
    # when discovery last recorded its progress;
    discovered_at: str | None  # null if it did not within a week
    # for each kind, of the last 200 jobs that ended: `kind`, `finished` (how many of them succeeded), and
    # their seconds of production, `median_seconds`, `low_seconds` (1 of 10 took less), `high_seconds` (9 of
    production: tuple[Produced, ...]  # 10); null if none succeeded
    # for each of the last 28 days in UTC, oldest first: `day`, `states` (how many jobs were observed to end,
    # by state, deleted ones included), and of those that succeeded: `timed` (how many have a known production
    days: tuple[Day, ...]  # time), `seconds` (theirs, together)


def stats(found: "ProjectFigures", *, running: bool, now: datetime, days: int = DAYS) -> Stats:
    """The view of a project's figures with the last `days`, read since the first of them."""
    last, status = found.discovery, found.status
    return Stats(
        project=found.project,
        state=_state(found, running=running, now=now),
        states=dict(found.states),
        ended=dict(found.ended),
        daemon_running=running,
        watch=None if status is None else dict(status.facts),
        paused=None if found.pause is None else paused(found.pause),
        watch_at=None if status is None else stamp(status.at),
        discovered_at=None if last is None else stamp(last.ended_at),
        production=tuple(
            _produced(kind, [sample.seconds for sample in samples_of(rows) if not sample.failed])
            for kind, rows in found.finished.items()
        ),
        days=tuple(_days(found.sums, now.date(), days)),
    )


def together(days: Sequence[Day]) -> Day:
    """Some days, or one of several projects, as one under the date of the last."""
    states: Counter[str] = Counter()
    for each in days:
        states.update(each.states)
    timed, seconds = sum(each.timed for each in days), sum(each.seconds for each in days)
    return Day(day=days[-1].day, states=dict(states), timed=timed, seconds=seconds)


def first_day(now: datetime, days: int = DAYS) -> date:
    """The first of the last `days`, in UTC."""
    return now.date() - timedelta(days=days - 1)


def spread(seconds: Sequence[float]) -> tuple[float, float, float] | None:
    """The 10%, 50% and 90% quantiles, each the value of the nearest rank; None for an empty sequence."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    low, median, high = (ordered[round(share * (len(ordered) - 1))] for share in (0.1, 0.5, 0.9))
    return low, median, high


def _state(found: "ProjectFigures", *, running: bool, now: datetime) -> str:
    if found.pause is not None:
        return "paused"
    status = found.status
    if status is None or not running or now - status.at > REPORTED_WITHIN:
        return "unknown"
    if status.facts.get("refused_since") is not None:
        return "refused"
    return "down" if status.facts.get("up") is False else "running"


def _produced(kind: str, seconds: Sequence[float]) -> Produced:
    low, median, high = spread(seconds) or (None, None, None)
    return Produced(kind=kind, finished=len(seconds), median_seconds=median, low_seconds=low, high_seconds=high)


def _days(sums: "Sequence[DaySum]", today: date, number: int) -> Iterator[Day]:
    of: dict[date, list[DaySum]] = {}
    for each in sums:
        of.setdefault(each.day, []).append(each)
    for ago in reversed(range(number)):
        day = today - timedelta(days=ago)
        states: Counter[str] = Counter()
        timed, seconds = 0, 0.0
        for each in of.get(day, ()):
            states[each.state] += each.jobs
            if each.state in _SUCCESSES:
                timed, seconds = timed + each.timed, seconds + each.seconds
        yield Day(day=day.isoformat(), states=dict(states), timed=timed, seconds=round(seconds, 3))
