"""`wrapd stats`: how each project is polled, and how long production takes."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import click

from daemon import views
from daemon.cli import output, project_status
from daemon.cli.notices import paused
from daemon.cli.outlook import counted, spread
from daemon.cli.output import Column, Facts
from daemon.cli.session import CLOCK, config_of, daemon_runs, json_option, opened
from daemon.cli.text import about, ago, clean, count, stamp
from daemon.config.light import LightConfig
from daemon.domain.jobs import ProjectName, Tracking

if TYPE_CHECKING:
    from daemon.store import DiscoveryRow, PauseRow, Status, Transaction

_LAST_MARKS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Production:
    """Production times in seconds of the last 200 jobs of a kind that ended; None if none succeeded."""

    kind: str
    finished: int
    median: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """The figures of one project. `states` counts active jobs by state, `ended` the others by tracking."""

    project: ProjectName
    states: "Counter[str]"
    ended: "Counter[str]"
    status: "Status | None"
    pause: "PauseRow | None"
    discovery: "DiscoveryRow | None"
    production: tuple[Production, ...]


@click.command("stats")
@click.option("--project", metavar="NAME", help="Only this project.")
@json_option
@click.pass_context
def command(ctx: click.Context, project: str | None, as_json: bool) -> None:
    """Show for each project how many jobs are tracked, how they are polled (feed, lists, price, request budget),
    and how long production takes. Needs no running daemon.

    The daemon updates its figures every few seconds.
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


def _read(transaction: "Transaction", config: LightConfig, project: str | None) -> list[Stats]:
    from daemon.watch.learning import samples_of  # noqa: PLC0415 - SQLAlchemy

    names = [ProjectName(name) for name in config.projects if project in (None, name)]
    states, counts = transaction.jobs.states(), transaction.jobs.counts()
    statuses, pauses = transaction.statuses.all(), transaction.pauses.all()
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
            )
        )
    return found


def _produced(kind: str, seconds: list[float]) -> Production:
    low, median, high = spread(seconds) or (None, None, None)
    return Production(kind=kind, finished=len(seconds), median=median, low=low, high=high)


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
    last = stats.discovery
    if last is not None and last.ended_at is not None:
        added = count(last.added or 0, "job")
        yield _line("discovery", f"recorded {ago(last.ended_at, now)}: {added} added since the record before")


def _line(name: str, value: str) -> str:
    return output.fact(name, clean(value))


def _production(stats: Stats) -> None:
    if not stats.production:
        output.line("  production no job has ended yet")
        return
    columns = (
        Column(title="  PRODUCTION"),
        Column(title="SUCCEEDED"),
        Column(title="MEDIAN"),
        Column(title="RANGE"),
    )
    cells = [
        [
            f"  {each.kind}",
            str(each.finished),
            "-" if each.median is None else about(each.median),
            "-" if each.low is None or each.high is None else f"{about(each.low)}-{about(each.high)}",
        ]
        for each in stats.production
    ]
    output.table(columns, cells, empty="")


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
    }


def _json_of_production(each: Production) -> Facts:
    return {
        "kind": each.kind,
        "finished": each.finished,
        "median_seconds": each.median,
        "low_seconds": each.low,
        "high_seconds": each.high,
    }
