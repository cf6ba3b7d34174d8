"""Option types for list filters: words, and `--since`; and the filters of alerts for commands that change them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict, TypeVar

import click

from daemon.cli.numbers import Count
from daemon.cli.session import CLOCK
from daemon.cli.zone import from_local
from daemon.config.values import seconds, shown, suggestion
from daemon.domain.events import Event
from daemon.errors import UnknownName

F = TypeVar("F", bound=Callable[..., Any])


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


def since_option(what: str, *, default: str = "") -> Callable[[F], F]:
    """The option `--since`, by what it selects; `default` says what applies without it."""
    often = '"30m", "2h", "3d" ago, or a date and time.'
    help_ = f"{what} since: {often}" + (f" [default: {default}]" if default else "")
    return click.option("--since", type=Since(), metavar="TIME", help=help_)


def require_event(name: str | None) -> None:
    """Raise UnknownName unless there is such an event: a mistyped name is an error."""
    events = [each.value for each in Event]
    if name is not None and name not in events:
        raise UnknownName(f"no event is called {shown(name)}; {suggestion(name, events)}")


class AlertFit(TypedDict):
    """The options that select alerts, as given."""

    event: str | None
    project: str | None
    job: str | None
    batch: str | None
    tag: str | None
    since: datetime | None


def alert_filters(command: F) -> F:
    """Add the filters of `wrapd deliveries` to a command that changes alerts, which gets them as keywords, and
    --yes and --expect."""
    options = (
        click.option("--event", type=Word(), metavar="EVENT", help="Those of this event, such as failed."),
        click.option("--project", type=Word(), metavar="NAME", help="Those of this project."),
        click.option("--job", metavar="JOB_ID", help="Those about this job."),
        click.option("--batch", type=Word(), metavar="WORD", help="Those about jobs of this batch or its end."),
        click.option("--tag", type=Word(), metavar="WORD", help="Those about jobs with this tag."),
        since_option("Those written"),
        click.option("--yes", is_flag=True, help="Do not ask; required for several without a terminal."),
        click.option("--expect", type=Count(), metavar="N", help="As --yes, but only if exactly N alerts match."),
    )
    for option in reversed(options):
        command = option(command)
    return command
