"""The config sections for delivery: sending, channels, routes, quiet hours, callbacks, the web server, the
heartbeat, retention.

Never reads a file or a secret.
"""

from datetime import time
from typing import Literal
from zoneinfo import ZoneInfo

from daemon.config import values
from daemon.config.keys import (
    PATH,
    PATTERN,
    WORD,
    YEARS,
    Section,
    duration,
    flag,
    key,
    named,
    number,
    one_of,
    secret,
    section,
    some,
    text,
    whole,
)
from daemon.config.secrets import Secret
from daemon.domain.events import DEFAULT_EVENTS, Event
from daemon.domain.quiet import URGENT, QuietHours

_LONGEST_MARGIN = 12 * 3600.0
"""Seconds. The service's links are valid for a day; with a longer margin they would be renewed at every send."""
_NAMES = some(text(str), least=1)


class Notify(Section):
    """How alerts are sent, and how the links in them are renewed."""

    send_timeout: float = key(
        duration(1, 600), "The maximum time for one send in total.", toml='"20s"', default="20s"
    )
    give_up_after: float = key(
        duration(1, YEARS),
        "How long a failing send is retried before the delivery is dead. A dead delivery stays visible, and "
        "`wrapd deliveries retry` sends it.",
        toml='"7d"',
        default="7d",
    )
    link_margin: float = key(
        duration(0, _LONGEST_MARGIN),
        "A link that has expired or expires within this time is renewed before it is sent, with one API request.",
        toml='"1h"',
        default="1h",
    )
    link_reminder: float = key(
        duration(60, 7 * 86400, or_off=True),
        "How long before its last link expires `link_expiring` reminds of a finished video that has not been "
        'opened through wrapd\'s own link. It goes where a route names that event. "0s": never.',
        toml='"4h"',
        default="0s",
        usual='"0s", never',
    )
    link_life: float = key(
        duration(3600, YEARS),
        "How long wrapd's own links (those of `web.public_url`) work, counted from their creation.",
        toml='"30d"',
        default="30d",
    )


class Quiet(Section):
    """Quiet hours: alerts are kept during them and sent together at their end."""

    from_: time = key(text(values.clock_time), "When quiet hours begin each day.", toml='"22:00"', name="from")
    to: time = key(
        text(values.clock_time), "When quiet hours end, on the next day unless it is after `from`.", toml='"08:00"'
    )
    timezone: str | None = key(
        text(values.timezone),
        "The time zone of these times.",
        toml='"Asia/Shanghai"',
        default=None,
        usual="the channel's",
    )
    urgent: tuple[Event, ...] = key(
        some(text(values.any_event)),
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

    url: Secret = key(
        secret,
        "Any Apprise URL (https://github.com/caronc/apprise/wiki); docs/channels.md lists those of common "
        "services. It is a credential: prefer a variable or a file to writing it here.",
        toml='{ env = "WRAPD_EDITORS_URL" }',
    )
    timezone: str = key(
        text(values.timezone),
        "The time zone of this channel's messages, by its name in the tz database.",
        toml='"UTC"',
        default="UTC",
    )
    language: Literal["en", "zh"] = key(
        one_of(
            (
                "en",
                "zh",
            )
        ),
        'The language of this channel\'s messages: "en" or "zh".',
        toml='"en"',
        default="en",
    )
    max_per_minute: float | None = key(
        number(above=0, most=6000),
        "The maximum number of messages per minute.",
        toml="20",
        default=None,
        usual="the service's documented limit, if it has one (docs/channels.md)",
    )
    digest_above: int | None = key(
        whole(least=0, most=10_000),
        "If more alerts than this arrive within `digest_window`, they are sent as one message: counts, a table, "
        "failures first. 0: never.",
        toml="6",
        default=None,
        usual="6 for people, 0 for json://, form:// and xml://",
    )
    digest_window: float = key(
        duration(1, 3600),
        "The time in which alerts are counted for that, and the longest time that the first of them waits.",
        toml='"60s"',
        default="60s",
    )
    fallback: str | None = key(
        text(str),
        "The channel that also gets this channel's alerts while the chat service refuses this one.",
        toml='"mail"',
        default=None,
        usual="none",
    )
    fallback_after: float = key(
        duration(1, YEARS), "How long the channel must have been refused before that.", toml='"15m"', default="15m"
    )
    templates: dict[str, str] = key(
        named(values.template_name, PATH),
        'Your own messages: for an event, for `digest`, or with "*" for all others, a file with a Jinja2 '
        "template. Its first line becomes the title. docs/messages.md says what it can use; `wrapd templates "
        "preview` shows the result.",
        toml='{ succeeded = "templates/succeeded.j2" }',
        default={},
        usual="none, built-in messages",
    )
    quiet: ChannelQuiet | None = section(ChannelQuiet, default=None)


class Route(Section):
    """Which events go to which channels. The documented text is set below, from the list of events."""

    events: tuple[Event, ...] = key(
        some(text(values.job_event), least=1),
        "Names of job events; docs/events.md explains them.",
        toml="[" + ", ".join(f'"{event.value}"' for event in DEFAULT_EVENTS) + "]",
        default=tuple(event.value for event in DEFAULT_EVENTS),
    )
    channels: tuple[str, ...] = key(_NAMES, "Names of channels.", toml='["editors"]')
    projects: tuple[str, ...] | None = key(
        _NAMES, "Only jobs of these projects.", toml='["main"]', default=None, usual="any"
    )
    kinds: tuple[str, ...] | None = key(
        some(text(values.kind), least=1),
        "Only jobs of these kinds.",
        toml='["avatar", "photo"]',
        default=None,
        usual="any",
    )
    tags: tuple[str, ...] | None = key(
        some(WORD, least=1),
        "Only jobs with one of these tags; for the end of a batch, a tag that all its jobs have.",
        toml='["promo"]',
        default=None,
        usual="any",
    )
    batches: tuple[str, ...] | None = key(
        some(WORD, least=1),
        "Only jobs of these batches, and their ends.",
        toml='["nightly"]',
        default=None,
        usual="any",
    )
    labels: tuple[str, ...] | None = key(
        some(PATTERN, least=1),
        "Only jobs whose entire label matches one of these patterns, ignoring case: `*` stands for any "
        "characters, `?` for one, `[ab]` for a or b.",
        toml='["Episode *"]',
        default=None,
        usual="any label or none",
    )
    stop: bool = key(
        flag,
        "Whether later routes are skipped for an alert that this one takes.",
        toml="true",
        default=False,
        usual="false",
    )
    quiet: RouteQuiet | None = section(RouteQuiet, default=None)


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
        one_of(
            (
                "none",
                "mss_a",
            )
        ),
        '"mss_a": MetaStudio signs each callback with `key` (its auth_type MSS_A); "none": it does not, and the '
        "address contains a secret part derived from `key`.",
        toml='"mss_a"',
        default="mss_a",
    )
    signing_key: Secret = key(
        secret,
        "The signing key, the same as in the job's callback_config; at least 16 characters.",
        toml='{ env = "WRAPD_CALLBACK_KEY" }',
        name="key",
    )
    track_unknown: bool = key(
        flag,
        "Whether a callback for an unknown job starts tracking it.",
        toml="true",
        default=False,
        usual="false",
    )


class Web(Section):
    """The daemon's web server: pages for people (docs/pages.md); /healthz, /readyz and /metrics; the HTTP API
    (docs/api.md); callbacks (docs/callbacks.md); wrapd's own links."""

    enabled: bool = key(flag, "Whether the daemon listens at all.", toml="true", default=True)
    pages: bool = key(
        flag,
        "Whether it serves pages for people (docs/pages.md). They take a token, or a login by `wrapd web login`.",
        toml="true",
        default=True,
    )
    listen: values.Listen = key(
        text(values.listen),
        "Address and port. Port 0 picks a free port and logs it. An address that other machines can reach "
        "requires `token`.",
        toml='"127.0.0.1:8787"',
        default="127.0.0.1:8787",
    )
    token: Secret | None = key(
        secret,
        "The bearer token of the API; at least 16 characters. Without it the API is off.",
        toml='{ env = "WRAPD_WEB_TOKEN" }',
        default=None,
        usual="none",
    )
    public_url: str | None = key(
        text(values.public_url),
        "The address at which people and MetaStudio reach this daemon, through a TLS proxy. With it, messages "
        "contain wrapd's own links, which open a fresh preview at each click, and callbacks can arrive.",
        toml='"https://wrapd.example.com"',
        default=None,
        usual="none; messages contain the service's links, which are valid for a day",
    )
    hosts: tuple[str, ...] = key(
        some(text(values.host_name), most=100),
        "More names under which requests are answered, besides `listen`, `public_url` and this machine's own "
        "(localhost, 127.0.0.1): those that a proxy or a tool sends as Host.",
        toml='["wrapd.internal"]',
        default=(),
        usual="none; on an address that other machines can reach, any name",
    )


class Heartbeat(Section):
    """Pings to a dead man's switch, such as a check of Healthchecks or a push monitor of Uptime Kuma, which alerts
    someone when they stop. Off without this section. wrapd pings only while it makes progress: its loop turns, due
    jobs are polled, alerts are sent, and a commit to the database succeeds; see docs/monitoring.md."""

    url: Secret = key(
        secret,
        "The address that the service shows for the check; everyone who knows it can ping. If wrapd makes no "
        "progress, it says so at once to a check of Healthchecks (`/fail`) or a monitor of Uptime Kuma "
        "(`status=down`).",
        toml='{ env = "WRAPD_HEARTBEAT_URL" }',
    )
    interval: float = key(
        duration(10, 86400),
        "The time between two pings. Let the service wait for at least two of them before it alerts.",
        toml='"1m"',
        default="1m",
    )


class Retention(Section):
    """What is deleted after some time. Unsent, dead and unfinished records are never deleted."""

    keep: float = key(
        duration(86400, YEARS, or_off=True),
        'How long ended jobs, alerts that were sent or canceled, and records of actions are kept. "0s": forever.',
        toml='"365d"',
        default="365d",
    )
    covers: int = key(
        whole(least=0, most=1_000_000),
        "How many MiB the covers of finished videos may take; the oldest are removed first. 0: a cover is only "
        "fetched for messages that show it.",
        toml="512",
        default=512,
    )
