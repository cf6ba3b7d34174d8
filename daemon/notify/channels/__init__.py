"""The channels: one Apprise object with exactly one service for each. The only place that imports Apprise and
requests.

Owns the check of channel URLs, the hand-over of a message to a plugin, and the report of what came of it. A
channel is used by one thread at a time. Must never log or raise what holds a channel's URL: it is a credential.
"""

import logging
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from importlib import import_module
from typing import Any, TextIO
from urllib.parse import parse_qsl, unquote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import apprise
from apprise.plugins.base import NotifyBase
from apprise.utils.parse import parse_urls

from daemon.clock import Clock, SystemClock
from daemon.domain.jobs import ChannelName
from daemon.errors import ConfigFault
from daemon.logs import MASKS
from daemon.notify.channels.bounded import Watch, watching
from daemon.notify.forms import Form, Markup, form_for
from daemon.notify.message import Message, Severity
from daemon.notify.render import Rendered, plainest, render
from daemon.notify.verdicts import Final, PlainOnce, Verdict, judge, settle

__all__ = ["Channel", "ChannelSettings", "SendReport", "open_channel", "test_message"]

# Apprise's lines hold URLs and names of hosts: nobody gets them, whatever the program around us sets up.
logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSettings:
    """A channel of the config. `url` is any Apprise URL, and a credential; `timezone` is an IANA name."""

    name: ChannelName
    url: str
    timezone: str = "UTC"

    def __repr__(self) -> str:
        return f"ChannelSettings(name={self.name!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class SendReport:
    """What one send came to. `reason` is for people and holds no secret; `seconds` is how long it took."""

    verdict: Final
    reason: str
    status: int | None
    requests: int
    seconds: float


class Channel:
    """One destination of alerts. Made by `open_channel`."""

    def __init__(
        self, *, name: ChannelName, scheme: str, zone: tzinfo, service: NotifyBase, secrets: frozenset[str]
    ) -> None:
        self.name = name
        self.scheme = scheme
        self.zone = zone
        self._service = service
        self._secrets = secrets
        self._form = form_for(scheme, limit=_body_limit(service))
        vars(service)["throttle"] = _paced(service.throttle)
        self._apprise = apprise.Apprise(asset=service.asset)
        self._apprise.add(service)
        self._own_extras: Mapping[str, object] = dict(getattr(service, "payload_extras", None) or {})

    def __repr__(self) -> str:
        return f"Channel(name={self.name!r}, scheme={self.scheme!r})"

    @property
    def form(self) -> Form:
        """How messages for this channel are written."""
        return self._form

    def send(self, message: Message, *, timeout: float = 20.0, clock: Clock | None = None) -> SendReport:
        """Send, blocking the caller: at most `timeout` seconds on the wire, and twice that where the service wants
        the message plainer. Never raises."""
        clock = clock or SystemClock()
        started = clock.monotonic()
        rendered = render(message, self._form)
        verdict, tried = self._attempt(rendered, message, timeout, clock)
        if isinstance(verdict, PlainOnce):
            verdict, more = self._attempt(plainest(message), message, timeout, clock)
            tried += more
        final = settle(verdict)
        final = replace(final, reason=self._scrub(final.reason))
        return SendReport(
            verdict=final,
            reason=final.reason,
            status=final.status,
            requests=tried,
            seconds=clock.monotonic() - started,
        )

    def _attempt(self, rendered: Rendered, message: Message, timeout: float, clock: Clock) -> tuple[Verdict, int]:
        error: str | None = None
        accepted = False
        with watching(timeout) as watch:
            try:
                accepted = self._hand_over(rendered, message)
            except Exception as fault:  # noqa: BLE001 - a plugin may raise anything; the exchanges say what happened
                error = f"the service's plugin failed: {type(fault).__name__}"
        return self._judge(watch, accepted=accepted, error=error, clock=clock), len(watch.exchanges)

    def _hand_over(self, rendered: Rendered, message: Message) -> bool:
        if self.scheme in _TAKES_FACTS:
            facts = {key: value for key, value in message.facts.items() if key not in _PAYLOAD_FIELDS}
            vars(self._service)["payload_extras"] = {**facts, **self._own_extras}
        result = self._apprise.notify(
            title=rendered.title,
            body=rendered.body,
            body_format=_FORMATS[rendered.markup],
            notify_type=_TYPES[message.severity],
        )
        return bool(result)

    def _judge(self, watch: Watch, *, accepted: bool, error: str | None, clock: Clock) -> Verdict:
        return judge(self.scheme, watch.exchanges, accepted=accepted, error=error, now=clock.now())

    def _scrub(self, reason: str) -> str:
        """`reason` on one line, without a URL and without any part of this channel's."""
        text = _ANY_URL.sub("(an address)", " ".join(reason.split()))
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return MASKS.apply(text)[:300]


def _paced(throttle: Callable[..., None]) -> Callable[..., None]:
    """A plugin's own pace, but no more: some sleep for as long as a service's header says."""

    def pace(last_io: Any = None, wait: float | None = None) -> None:
        throttle(last_io, None if wait is None else min(wait, _LONGEST_PACE))

    return pace


_LONGEST_PACE = 6.0
"""Seconds: a little more than the slowest pace that Apprise's plugins keep."""
_ANY_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_TAKES_FACTS = frozenset({"json", "jsons"})
_PAYLOAD_FIELDS = frozenset({"version", "title", "message", "attachments", "type"})
"""Apprise's own fields of a json:// body; a fact may not take their place."""
_FORMATS = {
    Markup.TEXT: apprise.NotifyFormat.TEXT,
    Markup.HTML: apprise.NotifyFormat.HTML,
    Markup.MARKDOWN: apprise.NotifyFormat.TEXT,  # ours is written for the service, not for Apprise's conversion
}
_TYPES = {
    Severity.GOOD: apprise.NotifyType.SUCCESS,
    Severity.BAD: apprise.NotifyType.FAILURE,
    Severity.WARNING: apprise.NotifyType.WARNING,
    Severity.INFO: apprise.NotifyType.INFO,
}


def _body_limit(service: NotifyBase) -> int:
    limit = service.body_maxlen
    return limit if isinstance(limit, int) and limit > 0 else 32768


def test_message(channel: ChannelName, *, now_text: str) -> Message:
    """A friendly message for `wrapd channels test`; `now_text` is the moment in the channel's time zone."""
    return Message(
        event="test",
        severity=Severity.INFO,
        emoji="👋",
        title="wrapd can reach you here",
        headline=f"This is a test of the channel {channel}. Alerts will arrive like this one.",
        subject=f"channel {channel}",
        facts={"event": "test", "channel": channel, "sent_at": now_text, "possible_repeat": False},
    )


test_message.__test__ = False  # type: ignore[attr-defined]  # pytest takes the name for a test


# ------------------------------------------------------------------------------------------ opening a channel


def open_channel(settings: ChannelSettings, *, console: TextIO | None = None) -> Channel:
    """The channel of `settings`; `console` is where a console:// channel writes (None: standard output).

    Raises ConfigFault, which names the channel and the fault and never holds the URL.
    """
    place = f"channels.{settings.name}.url"
    url = settings.url.strip()
    scheme = _scheme(url, place)
    if len(parse_urls(url)) > 1:  # type: ignore[no-untyped-call]  # Apprise's helper has no types
        raise ConfigFault(f"{place}: holds more than one service; give each its own channel")
    _refuse_options(url, scheme, place)
    service = _service(url, scheme, place)
    scheme = str(getattr(service, "schema", scheme) or scheme)
    if scheme in {"unknown", "http", "https"}:
        scheme = next(iter(_names(service.secure_protocol, service.protocol)), scheme)
    if len(service) > 1:
        raise ConfigFault(
            f"{place}: names {len(service)} destinations of {scheme}://; give each its own channel, so that one "
            "that fails does not repeat the message to the others"
        )
    if console is not None and scheme == "console":
        vars(service)["stream"] = console
    secrets = frozenset(_secrets(url, host_is_secret="host" not in service.template_tokens))
    MASKS.add({url, *secrets})
    return Channel(
        name=settings.name,
        scheme=scheme,
        zone=_zone(settings),
        service=service,
        secrets=secrets,
    )


def _zone(settings: ChannelSettings) -> tzinfo:
    if settings.timezone == "UTC":
        return UTC
    try:
        return ZoneInfo(settings.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        place = f"channels.{settings.name}.timezone"
        raise ConfigFault(
            f"{place}: there is no time zone {settings.timezone!r}; write it like Asia/Shanghai"
        ) from None


def _scheme(url: str, place: str) -> str:
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]{0,31}):/{2}", url)
    if found is None:
        raise ConfigFault(
            f"{place}: is not an Apprise URL; one begins with its service, like slack:// or mailtos://"
        )
    return found[1].lower()


def _refuse_options(url: str, scheme: str, place: str) -> None:
    """Options of Apprise that would get in the way of wrapd's own retries, or let foreign markup through."""
    given = {name.lower(): value.strip().lower() for name, value in _query(url)}
    for name in ("retry", "wait"):
        if name in given:
            raise ConfigFault(
                f"{place}: {scheme}:// with {name}=; leave it out: wrapd itself sends again, and once"
            )
    for name in ("optional", "redirect"):
        if given.get(name, "no") not in {"no", "false", "off", "0", ""}:
            raise ConfigFault(
                f"{place}: {scheme}:// with {name}=; leave it out: wrapd must see what the service says"
            )
    form = form_for(scheme, limit=1)
    own = {Markup.TEXT.value, form.markup.value} if form.markup is Markup.HTML else {Markup.TEXT.value}
    if given.get("format", "text") not in own or (form.markup is Markup.HTML and given.get("format") == "text"):
        raise ConfigFault(
            f"{place}: {scheme}:// with format=; leave it out: wrapd writes in the form that is safe there"
        )


def _query(url: str) -> list[tuple[str, str]]:
    return parse_qsl(url.partition("?")[2], keep_blank_values=True)


def _service(url: str, scheme: str, place: str) -> NotifyBase:
    """The one service of `url`. Only its own plugin is imported where it is a common one: all of Apprise's take
    0.2 s and 17 MiB."""
    asset = apprise.AppriseAsset(
        service_timeout=0,  # the send runs in the thread that calls; `bounded` ends it
        http_redirects=False,
        async_mode=False,
        storage_mode="memory",
        app_id="wrapd",
        app_desc="wrapd",
        app_url="",
        image_url_mask="",
        image_url_logo="",
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some plugins import what Python will drop one day
            service = _build(url, scheme, asset)
    except Exception:  # noqa: BLE001 - a plugin may raise anything, and its text may hold the URL
        service = None
    if service is None:
        known = scheme in _PLUGINS or scheme in apprise.plugins.N_MGR
        raise ConfigFault(
            f"{place}: Apprise cannot use this {scheme}:// URL; a part of it is missing or wrong "
            f"(https://github.com/caronc/apprise/wiki shows its form)"
            if known
            else f"{place}: there is no service {scheme}://"
        )
    if not service.enabled:
        raise ConfigFault(f"{place}: {scheme}:// needs a Python package that is not installed here")
    return service


def _build(url: str, scheme: str, asset: apprise.AppriseAsset) -> NotifyBase | None:
    if scheme not in _PLUGINS:
        found = apprise.Apprise.instantiate(url, asset=asset)
        return found if isinstance(found, NotifyBase) else None
    module, name = _PLUGINS[scheme]
    plugin: Any = getattr(import_module(module), name)
    parsed = plugin.parse_url(url.replace("/#", "/%23"))
    if not parsed:
        return None
    service = plugin(**{**parsed, "asset": asset})
    return service if isinstance(service, NotifyBase) else None


_PLUGINS: Mapping[str, tuple[str, str]] = {
    scheme: (module if "." in module else f"apprise.plugins.{module}", name)
    for schemes, module, name in (
        (("console",), "daemon.notify.channels.console", "NotifyConsole"),
        (("json", "jsons"), "custom_json", "NotifyJSON"),
        (("form", "forms"), "custom_form", "NotifyForm"),
        (("xml", "xmls"), "custom_xml", "NotifyXML"),
        (("feishu",), "feishu", "NotifyFeishu"),
        (("lark",), "lark", "NotifyLark"),
        (("dingtalk",), "dingtalk", "NotifyDingTalk"),
        (("wecombot",), "wecombot", "NotifyWeComBot"),
        (("slack",), "slack", "NotifySlack"),
        (("workflow", "workflows"), "workflows", "NotifyWorkflows"),
        (("discord",), "discord", "NotifyDiscord"),
        (("tgram",), "telegram", "NotifyTelegram"),
        (("mmost", "mmosts"), "mattermost", "NotifyMattermost"),
        (("rocket", "rockets"), "rocketchat", "NotifyRocketChat"),
        (("gchat",), "google_chat", "NotifyGoogleChat"),
        (("matrix", "matrixs"), "apprise.plugins.matrix.base", "NotifyMatrix"),
        (("mailto", "mailtos"), "apprise.plugins.email.base", "NotifyEmail"),
        (("ntfy", "ntfys"), "ntfy", "NotifyNtfy"),
        (("gotify", "gotifys"), "gotify", "NotifyGotify"),
        (("pover",), "pushover", "NotifyPushover"),
    )
    for scheme in schemes
}
"""Where the common services live in Apprise; all others are found by loading every plugin."""


def _names(*protocols: object) -> Iterable[str]:
    for protocol in protocols:
        if isinstance(protocol, str):
            yield protocol
        elif isinstance(protocol, list | tuple | set | frozenset):
            yield from sorted(str(name) for name in protocol)


def _secrets(url: str, *, host_is_secret: bool) -> Iterable[str]:
    """Parts of a channel's URL that no line may show: user, password, values, and what looks like a token. Many
    services have a token where a URL has its host."""
    _, _, rest = url.partition("://")
    address, _, _query_text = rest.partition("?")
    userinfo, at, after = address.rpartition("@")
    parts = re.split(r"[:/@]", userinfo) if at else []
    host, *path = after.split("/")
    parts += [value for _, value in _query(url)]
    parts += [part for segment in path for part in (segment, unquote(segment)) if _token_like(part)]
    if host_is_secret:
        parts += host.split(":")
    return {form for part in parts for form in (part, unquote(part)) if len(part) >= 6}


def _token_like(text: str) -> bool:
    return len(text) >= 20 or (len(text) >= 6 and any(char.isdigit() for char in text))
