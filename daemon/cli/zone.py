"""The screen's time zone: `--tz`, else WRAPD_TZ, else the machine's.

It does not affect `--json`, which is in UTC, or messages, which use their channel's zone.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import click
from click.core import ParameterSource

from daemon.config.values import timezone
from daemon.domain.text import in_zone

F = TypeVar("F", bound=Callable[..., Any])

_KEY = "daemon.cli.zone"


class ZoneName(click.ParamType[ZoneInfo]):
    """The name of a time zone in the tz database."""

    name = "zone"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> ZoneInfo:
        try:
            return ZoneInfo(timezone(str(value)))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def zone_option(command: F) -> F:
    """Add `--tz` to a command that prints times; `local` uses it."""
    return click.option(
        "--tz",
        type=ZoneName(),
        metavar="ZONE",
        envvar="WRAPD_TZ",
        show_envvar=True,
        expose_value=False,
        is_eager=True,  # other options may contain times in this zone
        callback=_keep,
        help="Time zone for display, such as Asia/Shanghai. [default: the machine's]",
    )(command)


def from_local(at: datetime) -> datetime:
    """A naive time from the command line, interpreted in the screen's zone."""
    zone = _zone()
    if zone is not None:
        return at.replace(tzinfo=zone)
    try:
        return at.astimezone()
    except (OverflowError, ValueError, OSError):  # the platform does not support that year
        return at.replace(tzinfo=UTC)


def local(at: datetime) -> datetime:
    """`at` in the screen's zone."""
    zone = _zone()
    if zone is not None:
        return in_zone(at, zone)
    try:
        return at.astimezone()
    except (OverflowError, ValueError, OSError):  # the platform does not support that year
        return at.astimezone(UTC)


def _zone() -> ZoneInfo | None:
    """The given zone, or None for the machine's."""
    ctx = click.get_current_context(silent=True)
    zone = None if ctx is None else ctx.meta.get(_KEY)
    return zone if isinstance(zone, ZoneInfo) else None


def _keep(ctx: click.Context, param: click.Parameter, value: ZoneInfo | None) -> None:
    """Store the zone for the command and its subcommands; the option overrides the environment."""
    if value is None:
        return
    if ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE:
        ctx.meta[_KEY] = value
    else:
        ctx.meta.setdefault(_KEY, value)
