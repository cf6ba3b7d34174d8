"""Option types for numbers, durations and times, within bounds that every later part can handle."""

import math
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import click

from daemon.config.values import seconds, spoken

_SHORTEST = 60.0
LARGEST = 2**63 - 1
"""The largest integer that SQLite can store."""


class Count(click.IntRange):
    """A whole number from 1 to `most`. Without that, numbers beyond SQLite's range become its largest one."""

    def __init__(self, *, most: int | None = None) -> None:
        super().__init__(min=1, max=most)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return min(int(super().convert(value, param, ctx)), LARGEST)
        except click.BadParameter:
            end = "" if self.max is None else f" to {self.max:g}"
            self.fail(f"{value!r} is not a whole number from 1{end}; write one such as 20", param, ctx)


class Factor(click.FloatRange):
    """A finite number greater than 0."""

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = math.nan
        with suppress(click.BadParameter):
            number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number greater than 0; write one such as 20", param, ctx)
        return number


class Duration(click.ParamType[float]):
    """A duration in the config's notation, at least `least`; in seconds."""

    name = "duration"

    def __init__(self, *, least: float = _SHORTEST) -> None:
        self._least = least

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = seconds(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if number < self._least:
            self.fail(f"{spoken(number)} is too short; write at least {spoken(self._least)}", param, ctx)
        return number


class MomentType(click.ParamType[datetime]):
    """An ISO 8601 date and time, in UTC unless it names a zone."""

    name = "moment"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            found = datetime.fromisoformat(str(value))
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f'{value!r} is not a date and time; write one such as "2026-01-05T23:30" (UTC)', param, ctx)
