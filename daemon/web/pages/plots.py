"""The plots of the statistics: where each bar, dot and line is. Pure; the templates draw.

Across, places are percent of the width, so that a plot fits any screen and its texts keep their size. Down, they
are pixels from the top.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise

from msgspec import Struct

from daemon import views
from daemon.domain.durations import Eta
from daemon.domain.states import State
from daemon.views.figures import spread

HEIGHT = 160
"""Pixels from the base line up to the largest value."""
TOP = 16
"""Pixels above it, for the text of its line."""
_DATES = 4
"""Dates written below the days."""
OUTCOMES: Mapping[str, str] = {
    State.SUCCEED.value: "done",
    State.PARTIAL_SUCCEED.value: "part",
    State.FAILED.value: "bad",
    State.CANCELED.value: "stop",
}
"""How jobs end, from the base line up, each with its mark."""
WITHIN = (1, 2, 5, 10, 30, 60, 300)
"""Seconds up to which delays are counted together; longer ones come last."""


class PlotBar(Struct, frozen=True, kw_only=True):
    """A piece of a bar, with its mark."""

    tone: str
    x: float
    width: float
    y: float
    height: float


class DateMark(Struct, frozen=True, kw_only=True):
    """A date below the days. `anchor` is which end of its text is at `x`."""

    x: float
    day: str
    anchor: str


class DayBars(Struct, frozen=True, kw_only=True):
    """Ends by day and outcome as stacked bars. `top` is the number at the upper line, half of it at the middle
    one."""

    bars: Sequence[PlotBar]
    top: int
    marks: Sequence[DateMark]


class Dot(Struct, frozen=True, kw_only=True):
    """A value of a day."""

    x: float
    y: float


class DayLine(Struct, frozen=True, kw_only=True):
    """A share by day: its dots, and the pairs of neighbours among them, between which a line is drawn."""

    dots: Sequence[Dot]
    lines: Sequence[tuple[Dot, Dot]]
    marks: Sequence[DateMark]


class Spread(Struct, frozen=True, kw_only=True):
    """Seconds that 1 of 10, half and 9 of 10 took less than, and where they are."""

    low: float
    median: float
    high: float
    x: tuple[float, float, float] = (0.0, 0.0, 0.0)


class KindTimes(Struct, frozen=True, kw_only=True):
    """The production times of a class of jobs: of its last `finished` ones, and what the law expects of the next
    one; None where too little is known."""

    project: str
    kind: str
    finished: int
    taken: Spread | None
    law: Spread | None


class Delay(Struct, frozen=True, kw_only=True):
    """How many ends wrapd saw within `most` seconds but not within those of the row before (None: later than all),
    and their bar in percent of the longest."""

    most: int | None
    count: int
    width: float


class Delays(Struct, frozen=True, kw_only=True):
    """How long it took until wrapd saw `count` ends, their median and what 9 of 10 stayed under, in seconds."""

    rows: Sequence[Delay]
    count: int
    median: float
    high: float


def by_day(projects: Collection[views.Stats]) -> list[views.Day]:
    """The days of all these projects together, oldest first."""
    return [views.together(days) for days in zip(*(each.days for each in projects), strict=True)]


def day_bars(days: Sequence[views.Day]) -> DayBars:
    """The ends of each day as a bar of its outcomes."""
    top = rounded_up(max(each.total for each in days))
    step, bars = 100 / len(days), []
    for number, each in enumerate(days):
        base = float(TOP + HEIGHT)
        for state, tone in OUTCOMES.items():
            if count := each.states.get(state, 0):
                height = max(1.0, HEIGHT * count / top)
                base -= height
                bars.append(
                    PlotBar(
                        tone=tone,
                        x=round(step * (number + 0.12), 2),
                        width=round(step * 0.76, 2),
                        y=round(base, 1),
                        height=round(height, 1),
                    )
                )
    return DayBars(bars=bars, top=top, marks=_marks(days))


def day_line(days: Sequence[views.Day]) -> DayLine:
    """The success rate of each day that has one."""
    step = 100 / len(days)
    placed = [
        None if rate is None else Dot(x=round(step * (n + 0.5), 2), y=round(TOP + HEIGHT * (1 - rate), 1))
        for n, rate in enumerate(each.rate for each in days)
    ]
    lines = [(one, next_) for one, next_ in pairwise(placed) if one is not None and next_ is not None]
    return DayLine(dots=[each for each in placed if each is not None], lines=lines, marks=_marks(days))


def placed(times: Sequence[KindTimes]) -> tuple[float, list[KindTimes]]:
    """The classes with the places of their times, on one axis from 0; and its end, in seconds."""
    every = [each for one in times for each in (one.taken, one.law) if each is not None]
    end = 1.04 * max((each.high for each in every), default=1.0)

    def at(spread: Spread | None) -> Spread | None:
        if spread is None:
            return None
        low, median, high = (round(100 * each / end, 2) for each in (spread.low, spread.median, spread.high))
        return Spread(low=spread.low, median=spread.median, high=spread.high, x=(low, median, high))

    return end, [
        KindTimes(
            project=each.project, kind=each.kind, finished=each.finished, taken=at(each.taken), law=at(each.law)
        )
        for each in times
    ]


def expected(eta: Eta | None) -> Spread | None:
    """What the law expects, None if it does not know."""
    return None if eta is None else Spread(low=eta.low, median=eta.median, high=eta.high)


def delays_of(seconds: Sequence[float]) -> Delays | None:
    """How long it took until wrapd saw each end; None without any."""
    quantiles = spread(seconds)
    if quantiles is None:
        return None
    limits = (*WITHIN, None)
    counts = Counter(next((most for most in WITHIN if each <= most), None) for each in seconds)
    longest = max(counts.values())
    rows = [Delay(most=most, count=counts[most], width=round(100 * counts[most] / longest, 2)) for most in limits]
    return Delays(rows=rows, count=len(seconds), median=quantiles[1], high=quantiles[2])


def rounded_up(number: int) -> int:
    """The smallest of 2, 4, 6, 8 and 10 times a power of ten that is not less: half of it is whole.

    >>> [rounded_up(number) for number in (0, 1, 5, 10, 11, 137, 2001)]
    [2, 2, 6, 10, 20, 200, 4000]
    """
    power = 1
    while number > 10 * power:
        power *= 10
    return next(each * power for each in (2, 4, 6, 8, 10) if each * power >= number)


def _marks(days: Sequence[views.Day]) -> list[DateMark]:
    """Dates below the first day, the last one, and some between them."""
    last = len(days) - 1
    numbers = sorted({round(n * last / (_DATES - 1)) for n in range(_DATES)})
    anchors = {0: ("start", 0.0), last: ("end", 100.0)}
    found = []
    for number in numbers:
        anchor, x = anchors.get(number, ("middle", round(100 * (number + 0.5) / len(days), 2)))
        found.append(DateMark(x=x, day=days[number].day, anchor=anchor))
    return found
