"""Option types for list filters: words, and `--since`."""

from datetime import UTC, datetime, timedelta

import click

from daemon.cli.session import CLOCK
from daemon.cli.zone import from_local
from daemon.config.values import seconds, shown


class Word(click.ParamType[str]):
    """A text to compare with stored text. Bytes that the locale cannot decode are replaced and match nothing."""

    name = "text"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value).encode("utf-8", "replace").decode()


class Since(click.ParamType[datetime]):
    """A past time as an aware datetime in UTC: a duration before now ("30m", "2h", "3d"), or an ISO 8601 date with
    or without a time, in the screen's zone unless it names one."""

    name = "since"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        text, now = str(value).strip(), CLOCK.now()
        try:
            ago = seconds(text)
        except ValueError:
            ago = None
        try:
            found = datetime.fromisoformat(text) if ago is None else now - timedelta(seconds=ago)
            found = (found if found.tzinfo else from_local(found)).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(
                f'{shown(text)} is not a past time; write how long ago, such as "30m", "2h" or "3d", or '
                'a date and time, such as "2026-01-05" or "2026-01-05T23:30"',
                param,
                ctx,
            )
        if found > now:
            self.fail(f"{shown(text)} is in the future; write a past time", param, ctx)
        return found
