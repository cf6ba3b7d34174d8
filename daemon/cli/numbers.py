"""Numbers and moments on the command line that no later part chokes on."""

import math
from datetime import UTC, datetime
from typing import Any

import click

from daemon.config.values import seconds, spoken

_SHORTEST = 60.0
LARGEST = 2**63 - 1
"""The largest number that SQLite takes."""


class Count(click.IntRange):
    """A whole number from 1 on. One that is larger than any count or id can be becomes the largest."""

    def __init__(self) -> None:
        super().__init__(min=1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        return min(int(super().convert(value, param, ctx)), LARGEST)


class Factor(click.FloatRange):
    """A number over 0 that is one: neither nan nor without end."""

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is no number to reckon with; write one over 0, such as 20", param, ctx)
        return number


class Duration(click.ParamType[float]):
    """A length of time as the config writes it, a minute at least, in seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = seconds(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if number < _SHORTEST:
            self.fail(f"{spoken(number)} is too short; write at least {spoken(_SHORTEST)}", param, ctx)
        return number


class MomentType(click.ParamType[datetime]):
    """A date and time, ISO 8601; in UTC where it names no zone."""

    name = "moment"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            found = datetime.fromisoformat(str(value))
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f'{value!r} is no moment; write one like "2026-01-05T23:30" (UTC)', param, ctx)
