"""The view of a channel. docs/cli.md is generated from the comments. Pure."""

from typing import TYPE_CHECKING

from msgspec import Struct

from daemon.domain.events import JOB_EVENTS, Event
from daemon.domain.jobs import ChannelName
from daemon.domain.quiet import QuietHours
from daemon.domain.routing import Routing
from daemon.domain.text import stamp

if TYPE_CHECKING:  # SQLAlchemy is slow to import
    from collections.abc import Mapping
    from datetime import datetime

    from daemon.store import DeliveryStatus


class ChannelFacts(Struct, frozen=True, kw_only=True):
    """What the config says about a channel. Durations are seconds."""

    timezone: str
    language: str
    max_per_minute: float | None
    digest_above: int | None
    digest_window: float
    fallback: str | None
    fallback_after: float
    templates: tuple[str, ...]


class ListedQuiet(Struct, frozen=True, kw_only=True):
    """Quiet hours, under `quiet` of a channel or route."""

    from_: str  # HH:MM
    to: str  # HH:MM
    timezone: str  # time zone of both
    urgent: tuple[str, ...]  # events that are sent anyway


class ListedChannel(Struct, frozen=True, kw_only=True):
    """A channel of the config, in `channels --json` and the API."""

    channel: str  # name of the channel in the config
    timezone: str  # time zone of its messages
    language: str  # language of its messages: en or zh
    events: tuple[str, ...]  # events it gets; `operators` stands for all operator events
    max_per_minute: float | None  # from the config; null: the service's documented limit
    digest_above: int | None  # from the config; null: 6 for people, 0 for programs
    digest_window: float  # seconds
    fallback: str | None  # channel that also gets the alerts while this one is refused, or null
    fallback_after: float  # seconds
    # its own quiet hours: `from`, `to` (HH:MM), `timezone`, `urgent` (events sent anyway); null if it
    quiet: ListedQuiet | None  # has none
    templates: tuple[str, ...]  # events that have a custom template
    sent: int  # alerts accepted by the chat service
    waiting: int  # alerts still to be sent
    # all alerts that wait because the service refuses the channel: those `waiting` plus those it refused;
    held: int  # 0 if it does not refuse the channel
    held_since: str | None  # since when it has refused the channel, or null
    dead: int  # alerts that were given up


def channel(
    name: ChannelName,
    facts: ChannelFacts,
    routing: Routing,
    counts: "Mapping[tuple[ChannelName, DeliveryStatus], int]",
    held_since: "datetime | None",
) -> ListedChannel:
    """The view of a channel with the numbers of its alerts by channel and status, as the outbox counts them, and
    the time since when its service has refused it."""
    events = [event.value for event in JOB_EVENTS if routing.hears(name, event)]
    of = {str(status): number for (owner, status), number in counts.items() if owner == name}
    waiting = of.get("pending", 0) + of.get("sending", 0)
    quiet = routing.quiet.get(name)
    return ListedChannel(
        channel=name,
        timezone=facts.timezone,
        language=facts.language,
        events=(*events, *(["operators"] if name in routing.operators else [])),
        max_per_minute=facts.max_per_minute,
        digest_above=facts.digest_above,
        digest_window=facts.digest_window,
        fallback=facts.fallback,
        fallback_after=facts.fallback_after,
        quiet=None if quiet is None else quiet_hours(quiet),
        templates=tuple(sorted(facts.templates)),
        sent=of.get("sent", 0),
        waiting=waiting,
        held=0 if held_since is None else waiting + of.get("held", 0),
        held_since=stamp(held_since),
        dead=of.get("dead", 0),
    )


def quiet_hours(quiet: QuietHours) -> ListedQuiet:
    """The view of quiet hours."""
    return ListedQuiet(
        from_=f"{quiet.start:%H:%M}",
        to=f"{quiet.end:%H:%M}",
        timezone=str(quiet.zone),
        urgent=tuple(event.value for event in Event if event in quiet.urgent),
    )
