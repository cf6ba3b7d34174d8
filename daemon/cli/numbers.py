"""Option types for numbers, durations and times, within bounds that every later part can handle."""

import math
from datetime import UTC, datetime
from typing import Any

import click

from daemon.config.values import seconds, spoken

_SHORTEST = 60.0
LARGEST = 2**63 - 1
"""The largest integer that SQLite can store."""


class Count(click.IntRange):
    """A whole number from 1. Numbers beyond SQLite's range become the largest one."""

    def __init__(self) -> None:
        super().__init__(min=1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        return min(int(super().convert(value, param, ctx)), LARGEST)


class Factor(click.FloatRange):
    """A finite number greater than 0."""

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number; write one greater than 0, such as 20", param, ctx)
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
