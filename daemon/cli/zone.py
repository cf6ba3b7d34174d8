"""The time zone of a screen: that of `--tz`, else of WRAPD_TZ, else the machine's own.

`--json` is not concerned (it is in UTC), nor are messages: a channel has a zone of its own.
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
    """The name of a zone of the tz database."""

    name = "zone"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> ZoneInfo:
        try:
            return ZoneInfo(timezone(str(value)))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def zone_option(command: F) -> F:
    """`--tz` of the commands that print times. `local` finds what was given."""
    return click.option(
        "--tz",
        type=ZoneName(),
        metavar="ZONE",
        envvar="WRAPD_TZ",
        show_envvar=True,
        expose_value=False,
        is_eager=True,  # times among the other options are read in it
        callback=_keep,
        help="The zone of the times, such as Asia/Shanghai. [default: the machine's]",
    )(command)


def from_local(at: datetime) -> datetime:
    """A time without a zone that a person wrote: in the zone of this screen."""
    zone = _zone()
    if zone is not None:
        return at.replace(tzinfo=zone)
    try:
        return at.astimezone()
    except (OverflowError, ValueError, OSError):  # the machine knows no such year
        return at.replace(tzinfo=UTC)


def local(at: datetime) -> datetime:
    """`at` in the zone of this screen."""
    zone = _zone()
    if zone is not None:
        return in_zone(at, zone)
    try:
        return at.astimezone()
    except (OverflowError, ValueError, OSError):  # the machine knows no such year
        return at.astimezone(UTC)


def _zone() -> ZoneInfo | None:
    """What was given; None: the machine's own."""
    ctx = click.get_current_context(silent=True)
    zone = None if ctx is None else ctx.meta.get(_KEY)
    return zone if isinstance(zone, ZoneInfo) else None


def _keep(ctx: click.Context, param: click.Parameter, value: ZoneInfo | None) -> None:
    """Keep the zone for the command and its subcommands: what was typed goes over the environment."""
    if value is None:
        return
    if ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE:
        ctx.meta[_KEY] = value
    else:
        ctx.meta.setdefault(_KEY, value)
