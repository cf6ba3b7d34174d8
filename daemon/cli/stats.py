"""`wrapd stats`: how each project is watched, and how long production takes."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import click

from daemon.cli import facts, output, standing
from daemon.cli.outlook import counted, spread
from daemon.cli.output import Column
from daemon.cli.session import CLOCK, config_of, daemon_runs, json_option, opened
from daemon.cli.text import about, ago, clean, count
from daemon.config import Config
from daemon.domain.jobs import ProjectName, Tracking

if TYPE_CHECKING:
    from daemon.store import DiscoveryRow, Status, Transaction

_LAST_MARKS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Production:
    """How long production takes, of the last 200 jobs of a kind that ended. Seconds; None where none succeeded."""

    kind: str
    finished: int
    median: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """How one project stands. `states` are those of the active jobs, `ended` counts the others by tracking."""

    project: ProjectName
    states: "Counter[str]"
    ended: "Counter[str]"
    status: "Status | None"
    discovery: "DiscoveryRow | None"
    production: tuple[Production, ...]


@click.command("stats")
@click.option("--project", metavar="NAME", help="Only this project.")
@json_option
@click.pass_context
def command(ctx: click.Context, project: str | None, as_json: bool) -> None:
    """Tell of each project how many jobs are tracked, how they are asked about (the feed, lists, the price, the
    request budget), and how long production takes. Needs no running daemon.

    The daemon says every few seconds how it stands.
    """
    config = config_of(ctx)
    if project is not None:
        config.project(project)
    with opened(config) as store:
        every = store.read(lambda transaction: _read(transaction, config, project))
    running = daemon_runs(config)
    if as_json:
        output.document([facts.of_stats(each, running=running) for each in every])
        return
    now = CLOCK.now()
    if not every:
        output.line("There is no project in the config; add a section [projects.NAME].")
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
    statuses = transaction.statuses.all()
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
                discovery=_last_look(transaction, name),
                production=tuple(production),
            )
        )
    return found


def _produced(kind: str, seconds: list[float]) -> Production:
    low, median, high = spread(seconds) or (None, None, None)
    return Production(kind=kind, finished=len(seconds), median=median, low=low, high=high)


def _last_look(transaction: "Transaction", project: ProjectName) -> "DiscoveryRow | None":
    rows = transaction.discoveries.done(project, limit=_LAST_MARKS)
    return next((row for row in rows if "until" in row.filters), None)


def _lines(stats: Stats, *, running: bool, now: datetime) -> Iterator[str]:
    yield click.style(clean(stats.project), bold=True)
    active = stats.states.total()
    yield _line("jobs", f"{active} tracked" + (f": {counted(stats.states)}" if active else ""))
    if stats.ended:
        yield _line("", f"not any more: {counted(stats.ended)}")
    for name, value in standing.told(stats.status, running=running, now=now):
        yield _line(name, value)
    look = stats.discovery
    if look is not None and look.ended_at is not None:
        yield _line(
            "discovery",
            f"noted {ago(look.ended_at, now)}: {count(look.added or 0, 'job')} added since the note before",
        )


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
