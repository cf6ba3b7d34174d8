"""The config sections for delivery: sending, channels, routes, quiet hours, callbacks, the web server, retention.

Never reads a file or a secret.
"""

from datetime import time
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator

from daemon.config import values
from daemon.config.keys import (
    AS_TUPLE,
    YEARS,
    AnyEvent,
    Duration,
    Events,
    HostName,
    Pattern,
    SecretKey,
    Section,
    TemplateName,
    Word,
    Words,
    between,
    key,
    off_or,
    read_path,
    text,
)
from daemon.domain.events import DEFAULT_EVENTS
from daemon.domain.quiet import URGENT, QuietHours

_LONGEST_MARGIN = 12 * 3600.0
"""Seconds. The service's links are valid for a day; with a longer margin they would be renewed at every send."""


class Notify(Section):
    """How alerts are sent, and how the links in them are renewed."""

    send_timeout: Annotated[Duration, AfterValidator(between(1, 600))] = key(
        "The maximum time for one send in total.", toml='"20s"', default="20s"
    )
    give_up_after: Annotated[Duration, AfterValidator(between(1, YEARS))] = key(
        "How long a failing send is retried before the delivery is dead. A dead delivery stays visible, and "
        "`wrapd deliveries retry` sends it.",
        toml='"7d"',
        default="7d",
    )
    link_margin: Annotated[Duration, AfterValidator(between(0, _LONGEST_MARGIN))] = key(
        "A link that has expired or expires within this time is renewed before it is sent, with one API request.",
        toml='"1h"',
        default="1h",
    )
    link_reminder: Annotated[Duration, AfterValidator(off_or(60, 7 * 86400))] = key(
        "How long before its last link expires `link_expiring` reminds of a finished video that has not been "
        'opened through wrapd\'s own link. It goes where a route names that event. "0s": never.',
        toml='"4h"',
        default="0s",
        usual='"0s", never',
    )
    link_life: Annotated[Duration, AfterValidator(between(3600, YEARS))] = key(
        "How long wrapd's own links (those of `web.public_url`) work, counted from their creation.",
        toml='"30d"',
        default="30d",
    )


class Quiet(Section):
    """Quiet hours: alerts are kept during them and sent together at their end."""

    from_: Annotated[time, BeforeValidator(text(values.clock_time))] = key(
        "When quiet hours begin each day.", toml='"22:00"', alias="from"
    )
    to: Annotated[time, BeforeValidator(text(values.clock_time))] = key(
        "When quiet hours end, on the next day unless it is after `from`.", toml='"08:00"'
    )
    timezone: Annotated[str, AfterValidator(values.timezone)] | None = key(
        "The time zone of these times.", toml='"Asia/Shanghai"', default=None, usual="the channel's"
    )
    urgent: Annotated[tuple[AnyEvent, ...], AS_TUPLE] = key(
        "Events that are sent at once even then.",
        toml="[" + ", ".join(f'"{event}"' for event in sorted(URGENT, reverse=True)) + "]",
        default=tuple(sorted(map(str, URGENT), reverse=True)),
    )

    def hours(self, timezone: str) -> QuietHours:
        """As the domain's value; `timezone` applies if the section has none."""
        return QuietHours(
            start=self.from_,
            end=self.to,
            zone=ZoneInfo(self.timezone or timezone),
            urgent=frozenset(self.urgent),
        )


class ChannelQuiet(Quiet):
    """Quiet hours of a channel: its alerts, except urgent events, are kept and sent together at their end."""


class RouteQuiet(Quiet):
    """Quiet hours of a route: alerts it takes, except urgent events, are kept and sent together at their end. If
    two routes send an alert to the same channel, the earlier time counts."""


class Channel(Section):
    """One destination of alerts. Choose any name after the dot; routes and commands use it."""

    url: SecretKey = key(
        "Any Apprise URL (https://github.com/caronc/apprise/wiki); docs/channels.md lists those of common "
        "services. It is a credential: prefer a variable or a file to writing it here.",
        toml='{ env = "WRAPD_EDITORS_URL" }',
    )
    timezone: Annotated[str, AfterValidator(values.timezone)] = key(
        "The time zone of this channel's messages, by its name in the tz database.",
        toml='"UTC"',
        default="UTC",
    )
    language: Literal["en", "zh"] = key(
        'The language of this channel\'s messages: "en" or "zh".', toml='"en"', default="en"
    )
    max_per_minute: float | None = key(
        "The maximum number of messages per minute.",
        toml="20",
        default=None,
        usual="the service's documented limit, if it has one (docs/channels.md)",
        gt=0,
        le=6000,
    )
    digest_above: int | None = key(
        "If more alerts than this arrive within `digest_window`, they are sent as one message: counts, a table, "
        "failures first. 0: never.",
        toml="6",
        default=None,
        usual="6 for people, 0 for json://, form:// and xml://",
        ge=0,
        le=10_000,
    )
    digest_window: Annotated[Duration, AfterValidator(between(1, 3600))] = key(
        "The time in which alerts are counted for that, and the longest time that the first of them waits.",
        toml='"60s"',
        default="60s",
    )
    fallback: str | None = key(
        "The channel that also gets this channel's alerts while the chat service refuses this one.",
        toml='"mail"',
        default=None,
        usual="none",
    )
    fallback_after: Annotated[Duration, AfterValidator(between(1, YEARS))] = key(
        "How long the channel must have been refused before that.", toml='"15m"', default="15m"
    )
    templates: dict[TemplateName, Annotated[str, AfterValidator(read_path)]] = key(
        'Your own messages: for an event, for `digest`, or with "*" for all others, a file with a Jinja2 '
        "template. Its first line becomes the title. docs/messages.md says what it can use; `wrapd templates "
        "preview` shows the result.",
        toml='{ succeeded = "templates/succeeded.j2" }',
        default={},
        usual="none, built-in messages",
    )
    quiet: ChannelQuiet | None = None


class Route(Section):
    """Which events go to which channels. The documented text is set below, from the list of events."""

    events: Annotated[Events, Field(min_length=1)] = key(
        "Names of job events; docs/events.md explains them.",
        toml="[" + ", ".join(f'"{event.value}"' for event in DEFAULT_EVENTS) + "]",
        default=tuple(event.value for event in DEFAULT_EVENTS),
    )
    channels: Annotated[Words, Field(min_length=1)] = key("Names of channels.", toml='["editors"]')
    projects: Annotated[Words, Field(min_length=1)] | None = key(
        "Only jobs of these projects.", toml='["main"]', default=None, usual="any"
    )
    kinds: (
        Annotated[
            tuple[Annotated[str, BeforeValidator(text(values.kind))], ...],
            AS_TUPLE,
            Field(min_length=1),
        ]
        | None
    ) = key("Only jobs of these kinds.", toml='["avatar", "photo"]', default=None, usual="any")
    tags: Annotated[tuple[Word, ...], AS_TUPLE, Field(min_length=1)] | None = key(
        "Only jobs with one of these tags; for the end of a batch, a tag that all its jobs have.",
        toml='["promo"]',
        default=None,
        usual="any",
    )
    batches: Annotated[tuple[Word, ...], AS_TUPLE, Field(min_length=1)] | None = key(
        "Only jobs of these batches, and their ends.", toml='["nightly"]', default=None, usual="any"
    )
    labels: Annotated[tuple[Pattern, ...], AS_TUPLE, Field(min_length=1)] | None = key(
        "Only jobs whose entire label matches one of these patterns, ignoring case: `*` stands for any "
        "characters, `?` for one, `[ab]` for a or b.",
        toml='["Episode *"]',
        default=None,
        usual="any label or none",
    )
    stop: bool = key(
        "Whether later routes are skipped for an alert that this one takes.",
        toml="true",
        default=False,
        usual="false",
    )
    quiet: RouteQuiet | None = None


_DEFAULTS = ", ".join(event.value for event in DEFAULT_EVENTS)
Route.__doc__ = (
    "Which events go to which channels. All conditions of a route must hold. Routes add up, and a channel named "
    f"by several routes gets an alert once. Without any route, every channel gets {_DEFAULTS}. `wrapd routes "
    "explain` says where an alert goes, and why."
)


class Callback(Section):
    """MetaStudio's callbacks for this project: a job that ends is polled at once. Off without this section; needs
    `web.public_url`. `wrapd callback-url main` prints the address to give to MetaStudio when creating a job; see
    docs/callbacks.md."""

    auth: Literal["none", "mss_a"] = key(
        '"mss_a": MetaStudio signs each callback with `key` (its auth_type MSS_A); "none": it does not, and the '
        "address contains a secret part derived from `key`.",
        toml='"mss_a"',
        default="mss_a",
    )
    signing_key: SecretKey = key(
        "The signing key, the same as in the job's callback_config; at least 16 characters.",
        toml='{ env = "WRAPD_CALLBACK_KEY" }',
        alias="key",
    )
    track_unknown: bool = key(
        "Whether a callback for an unknown job starts tracking it.",
        toml="true",
        default=False,
        usual="false",
    )


class Web(Section):
    """The daemon's web server: /healthz, /readyz and /metrics; the HTTP API (docs/api.md); callbacks
    (docs/callbacks.md); wrapd's own links."""

    enabled: bool = key("Whether the daemon listens at all.", toml="true", default=True)
    listen: Annotated[values.Listen, PlainValidator(text(values.listen))] = key(
        "Address and port. Port 0 picks a free port and logs it. An address that other machines can reach "
        "requires `token`.",
        toml='"127.0.0.1:8787"',
        default="127.0.0.1:8787",
    )
    token: SecretKey | None = key(
        "The bearer token of the API; at least 16 characters. Without it the API is off.",
        toml='{ env = "WRAPD_WEB_TOKEN" }',
        default=None,
        usual="none",
    )
    public_url: Annotated[str, AfterValidator(values.public_url)] | None = key(
        "The address at which people and MetaStudio reach this daemon, through a TLS proxy. With it, messages "
        "contain wrapd's own links, which open a fresh preview at each click, and callbacks can arrive.",
        toml='"https://wrapd.example.com"',
        default=None,
        usual="none; messages contain the service's links, which are valid for a day",
    )
    hosts: Annotated[tuple[HostName, ...], AS_TUPLE, Field(max_length=100)] = key(
        "More names under which requests are answered, besides `listen`, `public_url` and this machine's own "
        "(localhost, 127.0.0.1): those that a proxy or a tool sends as Host.",
        toml='["wrapd.internal"]',
        default=(),
        usual="none; on an address that other machines can reach, any name",
    )


class Retention(Section):
    """What is deleted after some time. Unsent, dead and unfinished records are never deleted."""

    keep: Annotated[Duration, AfterValidator(off_or(86400, YEARS))] = key(
        'How long ended jobs, and alerts that were sent or canceled, are kept. "0s": forever.',
        toml='"365d"',
        default="365d",
    )
