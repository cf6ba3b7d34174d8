"""`wrapd stats`: how each project is polled, and how long production takes."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import click

from daemon import views
from daemon.cli import output, project_status
from daemon.cli.notices import paused
from daemon.cli.outlook import counted, spread
from daemon.cli.output import Column, Facts
from daemon.cli.session import CLOCK, config_of, daemon_runs, is_terminal, json_option, opened
from daemon.cli.text import about, ago, clean, count, stamp
from daemon.config import Config
from daemon.domain.jobs import ProjectName, Tracking
from daemon.domain.states import State

if TYPE_CHECKING:
    from daemon.store import DaySum, DiscoveryRow, PauseRow, Status, Transaction

_LAST_MARKS = 200
_DAYS = 28
"""Days shown, today included: four weeks, so that the days of the week can be compared."""
_SPAN = 24
"""Width of the plotted range of production times, in cells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Production:
    """Production times in seconds of the last 200 jobs of a kind that ended; None if none succeeded."""

    kind: str
    finished: int
    median: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """The jobs of a project that ended on a day (UTC), by state; production time in seconds of those `timed`,
    which succeeded and whose time is known, together."""

    day: date
    states: "Counter[str]"
    timed: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """The figures of one project. `states` counts active jobs by state, `ended` the others by tracking. `days` are
    the last ones, oldest first."""

    project: ProjectName
    states: "Counter[str]"
    ended: "Counter[str]"
    status: "Status | None"
    pause: "PauseRow | None"
    discovery: "DiscoveryRow | None"
    production: tuple[Production, ...]
    days: tuple[Day, ...]


@click.command("stats")
@click.option("--project", metavar="NAME", help="Only this project.")
@json_option
@click.pass_context
def command(ctx: click.Context, project: str | None, as_json: bool) -> None:
    """Show for each project how many jobs are tracked, how they are polled (feed, lists, price, request budget),
    how many ended on each of the last 28 days (UTC, by when wrapd observed it), and how long production takes.
    Needs no running daemon.

    The daemon updates its figures every few seconds. Ended jobs count by day even after retention deletes them.
    An end that is undone, as by `track --retrack`, is taken out; the job counts on the day of its next end.
    """
    config = config_of(ctx)
    if project is not None:
        config.project(project)
    with opened(config) as store:
        every = store.read(lambda transaction: _read(transaction, config, project))
    running = daemon_runs(config)
    if as_json:
        output.document([json_of_stats(each, running=running) for each in every])
        return
    now = CLOCK.now()
    if not every:
        output.line("The config has no projects; add a section [projects.NAME].")
    for number, each in enumerate(every):
        if number:
            output.line()
        for text in _lines(each, running=running, now=now):
            click.echo(text)
        _production(each)


def _read(transaction: "Transaction", config: Config, project: str | None) -> list[Stats]:
    from daemon.watch.learning import samples_of  # noqa: PLC0415 - SQLAlchemy

    names = [ProjectName(name) for name in config.projects if project in (None, name)]
    states, counts = transaction.jobs.states(), transaction.jobs.counts()
    statuses, pauses = transaction.statuses.all(), transaction.pauses.all()
    today = CLOCK.now().date()
    sums = transaction.day_sums.since(today - timedelta(days=_DAYS - 1))
    found = []
    for name in names:
        finished = transaction.jobs.finished(name)
        production = [
            _produced(kind, [sample.seconds for sample in samples_of(rows) if not sample.failed])
            for (_, kind), rows in finished.items()
        ]
        found.append(
            Stats(
                project=name,
                states=Counter({state or "new": number for state, number in states.get(name, {}).items()}),
                ended=Counter(
                    {
                        str(tracking): number
                        for (owner, tracking), number in counts.items()
                        if owner == name and tracking is not Tracking.ACTIVE
                    }
                ),
                status=statuses.get(name),
                pause=pauses.get(name),
                discovery=_last_discovery(transaction, name),
                production=tuple(production),
                days=tuple(_days([each for each in sums if each.project == name], today)),
            )
        )
    return found


def _produced(kind: str, seconds: list[float]) -> Production:
    low, median, high = spread(seconds) or (None, None, None)
    return Production(kind=kind, finished=len(seconds), median=median, low=low, high=high)


def _days(sums: "list[DaySum]", today: date) -> Iterator[Day]:
    for ago_days in reversed(range(_DAYS)):
        day = today - timedelta(days=ago_days)
        of_day = [each for each in sums if each.day == day]
        states: Counter[str] = Counter()
        for each in of_day:
            states[each.state] += each.jobs
        done = [each for each in of_day if each.state in (State.SUCCEED, State.PARTIAL_SUCCEED)]
        timed, seconds = sum(each.timed for each in done), sum(each.seconds for each in done)
        yield Day(day=day, states=states, timed=timed, seconds=seconds)


def _last_discovery(transaction: "Transaction", project: ProjectName) -> "DiscoveryRow | None":
    rows = transaction.discoveries.done(project, limit=_LAST_MARKS)
    return next((row for row in rows if "until" in row.filters), None)


def _lines(stats: Stats, *, running: bool, now: datetime) -> Iterator[str]:
    yield click.style(clean(stats.project), bold=True)
    active = stats.states.total()
    yield _line("jobs", f"{active} tracked" + (f": {counted(stats.states)}" if active else ""))
    if stats.ended:
        yield _line("", f"no longer: {counted(stats.ended)}")
    if stats.pause is not None:
        yield _line("paused", paused(stats.pause))
    for name, value in project_status.lines(stats.status, running=running, now=now):
        yield _line(name, value)
    yield from _by_day(stats)
    last = stats.discovery
    if last is not None and last.ended_at is not None:
        added = count(last.added or 0, "job")
        yield _line("discovery", f"recorded {ago(last.ended_at, now)}: {added} added since the record before")


def _by_day(stats: Stats) -> Iterator[str]:
    """How many jobs ended on each day, and how long the production of a day's jobs took on average."""
    ends: Counter[str] = Counter()
    for each in stats.days:
        ends += each.states
    if not ends:
        return
    blocks = output.carries(BLOCKS)
    numbers = [each.states.total() for each in stats.days]
    most = f"at most {max(numbers)} a day"
    yield _line("by day", f"{bars(numbers, blocks=blocks)} {most}; in {_DAYS} days {counted(ends)}")
    means = [each.seconds / each.timed if each.timed else 0.0 for each in stats.days]
    timed = sum(each.timed for each in stats.days)
    if timed:
        mean = sum(each.seconds for each in stats.days) / timed
        yield _line("took", f"{bars(means, blocks=blocks)} on average {about(mean)}, at most {about(max(means))}")


def _line(name: str, value: str) -> str:
    return output.fact(name, clean(value))


def _production(stats: Stats) -> None:
    if not stats.production:
        output.line("  production no job has ended yet")
        return
    plotted = is_terminal()  # elsewhere the numbers are enough
    most = max((each.high for each in stats.production if each.high is not None), default=0.0)
    columns = [Column(title=title) for title in ("  PRODUCTION", "SUCCEEDED", "MEDIAN", "RANGE")]
    columns += [Column(title=f"0 to {about(most)}", spare=1)] if plotted else []
    cells = [
        [
            f"  {each.kind}",
            str(each.finished),
            "-" if each.median is None else about(each.median),
            "-" if each.low is None or each.high is None else f"{about(each.low)}-{about(each.high)}",
            *([_plot(each, most)] if plotted else []),
        ]
        for each in stats.production
    ]
    output.table(columns, cells, empty="")


def _plot(each: Production, most: float) -> str:
    if each.low is None or each.median is None or each.high is None or most <= 0:
        return ""
    blocks = output.carries(BLOCKS)
    return span(each.low, each.median, each.high, most=most, width=_SPAN, blocks=blocks)


def json_of_stats(stats: Stats, *, running: bool) -> Facts:
    """The figures of a project, in `stats --json`."""
    last, status = stats.discovery, stats.status
    return {
        "project": stats.project,  # name of the project in the config
        "states": dict(stats.states),  # number of tracked jobs by state; `new` before the first answer
        "ended": dict(stats.ended),  # number of jobs no longer tracked, by `tracking`
        "daemon_running": running,  # whether a daemon uses the database
        # the daemon's last report: `feed` (off, trial, trusted, distrusted), `feed_reason`, `feed_again_at`,
        # `batch` (off, auto), `batch_size`, `batch_reason`, `price` (seconds), `pressure` (factor that raises the
        # price), `rate` (most requests per second), `usage` (share of it used recently), `jobs`, `late_seconds`,
        # `up`, `down_since`, `refused_since` (since when its credentials are), and others; null before it has run
        "watch": None if status is None else dict(status.facts),
        # the pause of the project (pause); null if it is not paused
        "paused": None if stats.pause is None else views.document(views.paused(stats.pause)),
        "watch_at": None if status is None else stamp(status.at),  # when it was reported
        # when discovery last recorded its progress;
        "discovered_at": None if last is None else stamp(last.ended_at),  # null if it did not within a week
        # for each kind, of the last 200 jobs that ended: `kind`, `finished` (how many of them succeeded), and
        # their seconds of production, `median_seconds`, `low_seconds` (1 of 10 took less), `high_seconds` (9 of
        "production": [_json_of_production(each) for each in stats.production],  # 10); null if none succeeded
        # for each of the last 28 days in UTC, oldest first: `day`, `states` (how many jobs were observed to end,
        # by state, deleted ones included), and of those that succeeded: `timed` (how many have a known production
        "days": [_json_of_day(day) for day in stats.days],  # time), `seconds` (theirs, together)
    }


def _json_of_day(each: Day) -> Facts:
    return {
        "day": each.day.isoformat(),
        "states": dict(each.states),
        "timed": each.timed,
        "seconds": round(each.seconds, 3),
    }


def _json_of_production(each: Production) -> Facts:
    return {
        "kind": each.kind,
        "finished": each.finished,
        "median_seconds": each.median,
        "low_seconds": each.low,
        "high_seconds": each.high,
    }


# Plots of text: with block and box characters, or in ASCII.

BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII = ".:-=+*%#"
_LINE = ("├", "─", "●", "┤")
_ASCII_LINE = ("|", "-", "o", "|")
_NONE = "·"
_ASCII_NONE = "_"


def bars(values: Sequence[float], *, blocks: bool) -> str:
    """One character for each value, from 0 to the largest; a dot (or `_`) for 0, which is nothing.

    >>> bars([0, 1, 4, 8], blocks=True)
    '·▁▄█'
    >>> bars([0, 1, 4, 8], blocks=False)
    '_.=#'
    """
    levels, none = (BLOCKS, _NONE) if blocks else (_ASCII, _ASCII_NONE)
    most = max(values, default=0.0)
    return "".join(levels[_level(value / most)] if value > 0 else none for value in values)


def span(low: float, middle: float, high: float, *, most: float, width: int, blocks: bool) -> str:
    """A line from `low` to `high` with a mark at `middle`, where `width` characters stand for 0 to `most`.

    >>> span(20, 50, 100, most=100, width=11, blocks=True)
    '  ├──●────┤'
    >>> span(20, 50, 100, most=100, width=11, blocks=False)
    '  |--o----|'
    >>> span(5, 5, 5, most=100, width=11, blocks=True)
    '●'
    """
    begin, line, mark, end = _LINE if blocks else _ASCII_LINE
    first, at, last = (round(min(1.0, each / most) * (width - 1)) for each in (low, middle, high))
    found = [" "] * first + [line] * (last - first + 1)
    found[first], found[last] = begin, end
    found[at] = mark
    return "".join(found)


def _level(share: float) -> int:
    return max(0, min(len(BLOCKS) - 1, -int(-share * len(BLOCKS) // 1) - 1))
