"""The sections of delivery: how alerts are sent, each channel, each route, quiet hours, the web.

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
"""Seconds: the service's links live for a day, and one that is renewed at each send is renewed in vain."""


class Notify(Section):
    """How alerts are sent, and what becomes of the links in them."""

    send_timeout: Annotated[Duration, AfterValidator(between(1, 600))] = key(
        "The most time that one send may take, all in all.", toml='"20s"', default="20s"
    )
    give_up_after: Annotated[Duration, AfterValidator(between(1, YEARS))] = key(
        "For how long a send that fails is tried again before the delivery is dead. A dead one stays to be "
        "seen, and `wrapd deliveries retry` sends it.",
        toml='"7d"',
        default="7d",
    )
    link_margin: Annotated[Duration, AfterValidator(between(0, _LONGEST_MARGIN))] = key(
        "A link that is dead, or dies within this, is renewed before it is sent: the API is asked once.",
        toml='"1h"',
        default="1h",
    )
    link_reminder: Annotated[Duration, AfterValidator(off_or(60, 7 * 86400))] = key(
        "How long before its last link dies `link_expiring` reminds of a finished video that nobody has opened by "
        'wrapd\'s own link. It goes where a route names that event. "0s": never.',
        toml='"4h"',
        default="0s",
        usual='"0s", never',
    )
    link_life: Annotated[Duration, AfterValidator(between(3600, YEARS))] = key(
        "For how long wrapd's own links open (those of `web.public_url`), counted from when each was made.",
        toml='"30d"',
        default="30d",
    )


class Quiet(Section):
    """Quiet hours: what happens meanwhile is kept and told together at their end."""

    from_: Annotated[time, BeforeValidator(text(values.clock_time))] = key(
        "When they begin each day.", toml='"22:00"', alias="from"
    )
    to: Annotated[time, BeforeValidator(text(values.clock_time))] = key(
        "When they end, on the next day where that is not after `from`.", toml='"08:00"'
    )
    timezone: Annotated[str, AfterValidator(values.timezone)] | None = key(
        "The time zone of these times.", toml='"Asia/Shanghai"', default=None, usual="that of the channel"
    )
    urgent: Annotated[tuple[AnyEvent, ...], AS_TUPLE] = key(
        "Events that are told at once all the same.",
        toml="[" + ", ".join(f'"{event}"' for event in sorted(URGENT, reverse=True)) + "]",
        default=tuple(sorted(map(str, URGENT), reverse=True)),
    )

    def hours(self, timezone: str) -> QuietHours:
        """As the domain has it; `timezone` holds where none is given."""
        return QuietHours(
            start=self.from_,
            end=self.to,
            zone=ZoneInfo(self.timezone or timezone),
            urgent=frozenset(self.urgent),
        )


class ChannelQuiet(Quiet):
    """Quiet hours of a channel: whatever goes there, but for urgent events, is kept meanwhile and told together at
    their end."""


class RouteQuiet(Quiet):
    """Quiet hours of a route: what it takes meanwhile, but for urgent events, is kept and told together at their
    end. Where two routes lead to a channel, the one that lets an alert go first counts."""


class Channel(Section):
    """One destination of alerts. The name after the dot is yours: routes and commands use it."""

    url: SecretKey = key(
        "Any Apprise URL (https://github.com/caronc/apprise/wiki); docs/channels.md has those of the common "
        "services. It is a credential: rather name a variable or a file than write it here.",
        toml='{ env = "WRAPD_EDITORS_URL" }',
    )
    timezone: Annotated[str, AfterValidator(values.timezone)] = key(
        "The time zone of the times in this channel's messages, by its name in the tz database.",
        toml='"UTC"',
        default="UTC",
    )
    language: Literal["en", "zh"] = key(
        'The language of this channel\'s messages: "en" or "zh".', toml='"en"', default="en"
    )
    max_per_minute: float | None = key(
        "The most messages a minute.",
        toml="20",
        default=None,
        usual="the service's documented limit, where it has one (docs/channels.md)",
        gt=0,
        le=6000,
    )
    digest_above: int | None = key(
        "When more alerts than this come within `digest_window`, they arrive as one message: counts, a table, the "
        "failures on top. 0: never.",
        toml="6",
        default=None,
        usual="6 where people read, 0 for json://, form:// and xml://",
        ge=0,
        le=10_000,
    )
    digest_window: Annotated[Duration, AfterValidator(between(1, 3600))] = key(
        "The time in which alerts are counted for that, and the most that the first of them waits for the others.",
        toml='"60s"',
        default="60s",
    )
    fallback: str | None = key(
        "The channel that gets this one's alerts as well while the chat service refuses this one.",
        toml='"mail"',
        default=None,
        usual="none",
    )
    fallback_after: Annotated[Duration, AfterValidator(between(1, YEARS))] = key(
        "For how long it must have been refused before that.", toml='"15m"', default="15m"
    )
    templates: dict[TemplateName, Annotated[str, AfterValidator(read_path)]] = key(
        'Your own words: for each event, or `digest`, or "*" for all others, a file with a Jinja2 template. Its '
        "first line becomes the title. docs/messages.md says what it may use; `wrapd templates preview` shows the "
        "result.",
        toml='{ succeeded = "templates/succeeded.j2" }',
        default={},
        usual="none, wrapd's own messages",
    )
    quiet: ChannelQuiet | None = None


class Route(Section):
    """Which events go to which channels; its text is set below, from the list of events."""

    events: Annotated[Events, Field(min_length=1)] = key(
        "Names of job events; docs/events.md explains them.",
        toml="[" + ", ".join(f'"{event.value}"' for event in DEFAULT_EVENTS) + "]",
        default=tuple(event.value for event in DEFAULT_EVENTS),
    )
    channels: Annotated[Words, Field(min_length=1)] = key("Names of channels.", toml='["editors"]')
    projects: Annotated[Words, Field(min_length=1)] | None = key(
        "Only of these projects.", toml='["main"]', default=None, usual="any"
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
        "Only jobs with one of these tags; a batch with one that all its jobs have.",
        toml='["promo"]',
        default=None,
        usual="any",
    )
    batches: Annotated[tuple[Word, ...], AS_TUPLE, Field(min_length=1)] | None = key(
        "Only jobs of these batches, and their ends.", toml='["nightly"]', default=None, usual="any"
    )
    labels: Annotated[tuple[Pattern, ...], AS_TUPLE, Field(min_length=1)] | None = key(
        "Only jobs whose label fits one of these patterns wholly, whatever the case: `*` stands for any "
        "characters, `?` for one, `[ab]` for a or b.",
        toml='["Episode *"]',
        default=None,
        usual="any label, and none",
    )
    stop: bool = key(
        "Whether routes after this one are not looked at for an alert that this one takes.",
        toml="true",
        default=False,
        usual="false",
    )
    quiet: RouteQuiet | None = None


_DEFAULTS = ", ".join(event.value for event in DEFAULT_EVENTS)
Route.__doc__ = (
    "Which events go to which channels. All conditions of a route must hold; routes add up, and a channel that "
    "several of them name is told once. Without any route, every channel gets "
    f"{_DEFAULTS}. `wrapd routes explain` says where an alert goes, and why."
)


class Callback(Section):
    """MetaStudio's callbacks for this project: a job that ends is asked about at once. Off without this section;
    needs `web.public_url`. `wrapd callback-url main` prints the address to give to MetaStudio when a job is
    created; docs/callbacks.md has the whole way."""

    auth: Literal["none", "mss_a"] = key(
        '"mss_a": MetaStudio signs each callback with `key` (its auth_type MSS_A); "none": it does not, and the '
        "address holds a secret part that is made of `key`.",
        toml='"mss_a"',
        default="mss_a",
    )
    signing_key: SecretKey = key(
        "The key of signatures, the same as in the job's callback_config; at least 16 characters.",
        toml='{ env = "WRAPD_CALLBACK_KEY" }',
        alias="key",
    )
    track_unknown: bool = key(
        "Whether a job that wrapd does not know is tracked from its callback on.",
        toml="true",
        default=False,
        usual="false",
    )


class Web(Section):
    """What the daemon serves: /healthz, /readyz and /metrics; the API to hand over jobs (docs/api.md); callbacks
    (docs/callbacks.md); wrapd's own links."""

    enabled: bool = key("Whether the daemon listens at all.", toml="true", default=True)
    listen: Annotated[values.Listen, PlainValidator(text(values.listen))] = key(
        "Address and port. Port 0 takes a free one and logs it. An address that other machines can reach needs "
        "`token`.",
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
        "The address by which people and MetaStudio reach this daemon, through a proxy with TLS. With it, "
        "messages carry wrapd's own links, which open a fresh preview at each click, and callbacks can come.",
        toml='"https://wrapd.example.com"',
        default=None,
        usual="none; messages carry the service's links, which live for a day",
    )


class Retention(Section):
    """What is deleted after a while. Nothing unsent, dead or under way ever is."""

    keep: Annotated[Duration, AfterValidator(off_or(86400, YEARS))] = key(
        'For how long jobs that have ended, and alerts that were sent or canceled, are kept. "0s": for ever.',
        toml='"365d"',
        default="365d",
    )
