"""`wrapd stats`: how each project is polled, and how long production takes."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from daemon import views
from daemon.cli import output, project_status
from daemon.cli.notices import paused
from daemon.cli.outlook import counted
from daemon.cli.output import Column
from daemon.cli.session import CLOCK, config_of, daemon_runs, is_terminal, json_option, opened
from daemon.cli.text import about, ago, clean, count
from daemon.domain.jobs import ProjectName
from daemon.views.figures import DAYS, first_day

if TYPE_CHECKING:
    from daemon.store import ProjectFigures

_SPAN = 24
"""Width of the plotted range of production times, in cells."""


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
        now = CLOCK.now()
        names = [ProjectName(name) for name in config.projects if project in (None, name)]
        every = store.read(lambda tx: tx.figures.read(names, since=first_day(now)))
    running = daemon_runs(config)
    told = [views.stats(each, running=running, now=now) for each in every]
    if as_json:
        output.document(list(map(views.document, told)))
        return
    if not every:
        output.line("The config has no projects; add a section [projects.NAME].")
    for number, (each, shown) in enumerate(zip(every, told, strict=True)):
        if number:
            output.line()
        for text in _lines(each, shown, now=now):
            click.echo(text)
        _production(shown)


def _lines(stats: "ProjectFigures", shown: views.Stats, *, now: datetime) -> Iterator[str]:
    yield click.style(clean(stats.project), bold=True)
    active = stats.states.total()
    yield _line("jobs", f"{active} tracked" + (f": {counted(stats.states)}" if active else ""))
    if stats.ended:
        yield _line("", f"no longer: {counted(stats.ended)}")
    if stats.pause is not None:
        yield _line("paused", paused(stats.pause))
    for name, value in project_status.lines(stats.status, running=shown.daemon_running, now=now):
        yield _line(name, value)
    yield from _by_day(shown)
    last = stats.discovery
    if last is not None and last.ended_at is not None:
        added = count(last.added or 0, "job")
        yield _line("discovery", f"recorded {ago(last.ended_at, now)}: {added} added since the record before")


def _by_day(stats: views.Stats) -> Iterator[str]:
    """How many jobs ended on each day, and how long the production of a day's jobs took on average."""
    ends: Counter[str] = Counter()
    for each in stats.days:
        ends.update(each.states)
    if not ends:
        return
    blocks = output.carries(BLOCKS)
    numbers = [sum(each.states.values()) for each in stats.days]
    most = f"at most {max(numbers)} a day"
    yield _line("by day", f"{bars(numbers, blocks=blocks)} {most}; in {DAYS} days {counted(ends)}")
    means = [each.seconds / each.timed if each.timed else 0.0 for each in stats.days]
    timed = sum(each.timed for each in stats.days)
    if timed:
        mean = sum(each.seconds for each in stats.days) / timed
        yield _line("took", f"{bars(means, blocks=blocks)} on average {about(mean)}, at most {about(max(means))}")


def _line(name: str, value: str) -> str:
    return output.fact(name, clean(value))


def _production(stats: views.Stats) -> None:
    if not stats.production:
        output.line("  production no job has ended yet")
        return
    plotted = is_terminal()  # elsewhere the numbers are enough
    most = max((each.high_seconds for each in stats.production if each.high_seconds is not None), default=0.0)
    columns = [Column(title=title) for title in ("  PRODUCTION", "SUCCEEDED", "MEDIAN", "RANGE")]
    columns += [Column(title=f"0 to {about(most)}", spare=1)] if plotted else []
    cells = [
        [
            f"  {each.kind}",
            str(each.finished),
            "-" if each.median_seconds is None else about(each.median_seconds),
            _range(each),
            *([_plot(each, most)] if plotted else []),
        ]
        for each in stats.production
    ]
    output.table(columns, cells, empty="")


def _range(each: views.Produced) -> str:
    low, high = each.low_seconds, each.high_seconds
    return "-" if low is None or high is None else f"{about(low)}-{about(high)}"


def _plot(each: views.Produced, most: float) -> str:
    if each.low_seconds is None or each.median_seconds is None or each.high_seconds is None or most <= 0:
        return ""
    blocks = output.carries(BLOCKS)
    return span(each.low_seconds, each.median_seconds, each.high_seconds, most=most, width=_SPAN, blocks=blocks)


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
