"""Formats times, durations and numbers for a terminal.

Everything a command prints passes `clean`, because it may contain text from outside.
"""

from datetime import datetime

from daemon.cli.zone import local
from daemon.config.values import spoken
from daemon.domain.text import MAX_LABEL, clean, label, offset, stamp

__all__ = [
    "MAX_LABEL",
    "about",
    "ago",
    "band",
    "brief",
    "clean",
    "count",
    "figure",
    "label",
    "moment",
    "percent",
    "stamp",
]


def moment(at: datetime | None) -> str:
    """A time to the second, in the screen's zone, with its UTC offset."""
    if at is None:
        return "-"
    shown = local(at)
    return f"{shown:%Y-%m-%d %H:%M:%S} {offset(shown)}"


def band(low: datetime, high: datetime, now: datetime) -> str:
    """A range of two times of one zone, to the minute. Each has its date if it differs from that of the time
    before it (`now` for the first). Equal times are written once.

    >>> from datetime import UTC
    >>> noon = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    >>> band(noon.replace(hour=16, minute=40), noon.replace(hour=17, minute=15), noon)
    '16:40-17:15 UTC'
    >>> band(noon.replace(hour=23), noon.replace(day=2, hour=1), noon)
    '23:00-2026-03-02 01:00 UTC'
    >>> band(noon.replace(day=2), noon.replace(day=2, second=9), noon)
    '2026-03-02 12:00 UTC'
    """
    begin, end = _minute(low, now), _minute(high, low)
    return f"{begin if begin.endswith(end) else f'{begin}-{end}'} {offset(high)}"


def _minute(at: datetime, before: datetime) -> str:
    return f"{at:%H:%M}" if at.date() == before.date() else f"{at:%Y-%m-%d %H:%M}"


def about(seconds: float) -> str:
    """A duration in its two largest units.

    >>> [about(each) for each in (0.2, 61, 3725, 200000)]
    ['0s', '1m1s', '1h2m', '2d7h']
    """
    whole = max(0, int(seconds))
    for unit, smaller in ((86400, 3600), (3600, 60)):
        if whole >= unit:
            return spoken(whole - whole % smaller)
    return spoken(whole)


def brief(seconds: float) -> str:
    """An estimated duration in one unit.

    >>> [brief(each) for each in (3, 89, 192, 4000, 9000, 200000)]
    ['3s', '89s', '3m', '67m', '2h', '2d']
    """
    for unit, name in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 1.5 * unit:
            return f"{round(seconds / unit)}{name}"
    return f"{max(1, round(seconds))}s"


def figure(number: float) -> str:
    """A number with three significant digits.

    >>> [figure(each) for each in (0, 0.0333333, 1, 12.345, 1234.5)]
    ['0', '0.0333', '1', '12.3', '1234']
    """
    return f"{number:.0f}" if abs(number) >= 1000 else f"{number:.3g}"


def percent(share: float) -> str:
    """
    >>> [percent(each) for each in (0, 0.0004, 0.0421, 0.5, 0.9996, 1)]
    ['0 %', 'less than 0.1 %', '4.2 %', '50 %', 'more than 99.9 %', '100 %']
    """
    if 0 < share < 0.001:
        return "less than 0.1 %"
    if 0.999 < share < 1:
        return "more than 99.9 %"
    return f"{round(share * 100, 1):g} %"


def count(number: int, noun: str) -> str:
    """
    >>> [count(each, "project") for each in (0, 1, 2)]
    ['0 projects', '1 project', '2 projects']
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def ago(at: datetime | None, now: datetime) -> str:
    """How long ago `at` was, or how far ahead it is."""
    if at is None:
        return "-"
    seconds = (now - at).total_seconds()
    return f"{about(seconds)} ago" if seconds >= 0 else f"in {about(-seconds)}"
