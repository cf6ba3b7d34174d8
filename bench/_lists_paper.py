"""The figures of bench/lists.py as a block of docs/polling.md, and their plot."""

from collections.abc import Mapping

from _paper import ROOT, replace_block, table
from _plot import Panel, Series, write

_COLUMNS = {
    "mean delay, s": "mean",
    "p95 delay, s": "p95",
    "p99 delay, s": "p99",
    "largest delay, s": "largest",
    "ends": "ends",
    "not found in time": "not found in time",
    "lists a second": "lists a second",
    "single queries a second": "singles a second",
    "completing requests an end": "requests for links an end",
    "most requests in a second": "most in any second",
    "share of a core, %": "CPU, % of a core",
}
_NAMES = {"feed": "the feed", "ids": "lists by ids", "singles": "single queries (at least)"}
_HIGHEST = 40.0
"""Seconds at which the plot ends."""
_ABOUT = """A delay lasts from the change at the service until a webhook has the message. An end that was not
reported within that time counts with its delay until then, so the delays of single queries are far too low."""

Figures = Mapping[str, Mapping[str, float]]


def write_page(figures: Figures, *, seconds: float) -> None:
    """Put the figures, measured over so many seconds, into the page, and draw the mean delays."""
    rows = []
    for run, found in figures.items():
        mode, _, jobs = run.partition("/")
        name = "the feed, no job ends" if mode == "idle" else _NAMES[mode]
        cells = [_cell(found.get(column)) for column in _COLUMNS]
        rows.append([name, f"{int(jobs):,}", *cells])
    text = table(["what carries the news", "tracked jobs", *_COLUMNS.values()], rows)
    plot = ROOT / "docs" / "polling-lists.svg"
    _draw(plot, figures)
    picture = "![Delay over the number of tracked jobs](polling-lists.svg)\n"
    about = f"Each figure is over {seconds:.0f} s. {_ABOUT}"
    replace_block(ROOT / "docs" / "polling.md", "sockets", f"{about}\n\n{text}\n{picture}")


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value == int(value) else f"{value:.2f}"


def _draw(path, figures: Figures) -> None:
    series = []
    for colour, (mode, name) in enumerate(_NAMES.items()):
        points = [
            (int(run.partition("/")[2]) / 1000, found["mean delay, s"])
            for run, found in figures.items()
            if run.startswith(f"{mode}/") and int(run.partition("/")[2]) <= 10_000
        ]
        series.append(Series(name=name, points=sorted(points), colour=colour))
    panel = Panel(
        title="5 ends a second, 10 requests a second",
        x="tracked jobs, thousands",
        y="mean delay, seconds",
        right=10.5,
        top=_HIGHEST,
        series=series,
    )
    write(
        path, [panel], description="Mean delay of an end over the number of tracked jobs, by what carries the news"
    )
