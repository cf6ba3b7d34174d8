"""One destination of alerts: renders a message for its service, hands it to the plugin, and reports the result.

Owns the order of fallbacks (template, card, plain text, plainest text); one send is one report. A channel is used
by one thread at a time. Its URL is a credential, so no log line or exception holds it.
"""

import copy
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import tzinfo
from typing import TYPE_CHECKING, Any

import apprise
from apprise.plugins.base import NotifyBase
from msgspec import Struct
from msgspec.structs import replace

from daemon.clock import Clock, SystemClock
from daemon.domain.jobs import ChannelName
from daemon.logs import MASKS, LogEvent, logger
from daemon.notify.message import Language, Message, Severity
from daemon.notify.message.escape import sound
from daemon.notify.message.language import catalogue
from daemon.notify.outbox import ChannelPlan
from daemon.notify.services import service_for
from daemon.notify.services.base import Carded, Counted, Markup
from daemon.notify.services.cards import Rendered, plainest, render
from daemon.notify.transport.bounded import Kept, watching
from daemon.notify.transport.verdicts import Final, PlainOnce, Verdict, judge, settle

if TYPE_CHECKING:
    from daemon.notify.templates import Templates

log = logger(__name__)

DIGEST_ABOVE = 6
"""More alerts than this within the window are one message for people, unless the config says otherwise."""


class SendReport(Struct, frozen=True, kw_only=True):
    """The result of one send. `reason` is for people and holds no secret; `seconds` is how long it took."""

    verdict: Final
    reason: str
    status: int | None
    requests: int
    seconds: float


class Written(Struct, frozen=True, kw_only=True):
    """A message as this channel's plugin gets it. Without a `card` the plain text is posted."""

    text: Rendered
    card: Mapping[str, Any] | None = None
    from_template: bool = False


class Channel:
    """One destination of alerts. Made by `open_channel`."""

    def __init__(
        self,
        *,
        name: ChannelName,
        scheme: str,
        zone: tzinfo,
        plugin: NotifyBase,
        secrets: frozenset[str],
        plan: ChannelPlan | None = None,
        language: Language = Language.ENGLISH,
        templates: "Templates | None" = None,
        doubts: tuple[str, ...] = (),
        address: str = "",
    ) -> None:
        self.name = name
        self._address = address
        self.doubts = doubts
        """Warnings about its URL, each with its place."""
        self.scheme = scheme
        self.zone = zone
        self.plan = plan or ChannelPlan()
        self.language = language
        self.templates = templates
        self._plugin = plugin
        self._secrets = secrets
        self.service = service_for(scheme, limit=_body_limit(plugin))
        """The facts about its service."""
        vars(plugin)["throttle"] = _paced(plugin.throttle)
        vars(plugin)["overflow_mode"] = apprise.OverflowMode.UPSTREAM  # one message is one message
        self._kept = Kept()
        self._apprise = apprise.Apprise(asset=plugin.asset)
        self._apprise.add(plugin)
        self._own_extras: Mapping[str, object] = dict(getattr(plugin, "payload_extras", None) or {})
        if scheme in _MAIL:
            from daemon.notify.transport.smtp import watch_mail  # noqa: PLC0415 - loads smtplib, for mail alone

            watch_mail()

    def __repr__(self) -> str:
        return f"Channel(name={self.name!r}, scheme={self.scheme!r})"

    def twin(self) -> "Channel":
        """The same channel for another thread, with a plugin and connections of its own."""
        other = copy.copy(self)
        other._plugin = copy.copy(self._plugin)
        other._apprise = apprise.Apprise(asset=self._plugin.asset)
        other._apprise.add(other._plugin)
        other._kept = Kept()
        return other

    @property
    def limits(self) -> tuple[Counted, ...]:
        """How many messages it may get in which time, by its service's documentation and the operator."""
        return self.service.counted(self._plugin, self.plan.max_per_minute, name=self.name)

    @property
    def digest_above(self) -> int:
        """More alerts than this within the window are sent as one message; 0: never."""
        if self.plan.digest_above is not None:
            return self.plan.digest_above
        return 0 if self.service.machine else DIGEST_ABOVE

    def leads_to(self, other: "Channel") -> bool:
        """Whether the other channel has the same URL."""
        return self._address == other._address

    def is_same(self, other: "Channel") -> bool:
        """Whether the other channel sends the same messages in the same way to the same URL."""
        return (
            self.leads_to(other)
            and (self.name, self.scheme, self.zone, self.plan, self.language)
            == (other.name, other.scheme, other.zone, other.plan, other.language)
            and (self.templates and self.templates.sources) == (other.templates and other.templates.sources)
        )

    def fingerprint(self, salt: str) -> str:
        """Shows whether the channel's URL has changed: four hexadecimal digits, salted. They miss one change in
        65,536, and are too few to guess a password from."""
        key = salt.encode()[: hashlib.blake2b.MAX_KEY_SIZE]
        return hashlib.blake2b(self._address.encode("utf-8", "surrogatepass"), key=key, digest_size=2).hexdigest()

    def write(self, message: Message) -> Written:
        """The message as `send` posts it: by the operator's template, else the service's card, else plain."""
        own = None if self.templates is None else self.templates.render(message, self.service)
        if own is not None:  # None too where the template fails
            return Written(text=own, from_template=True)
        return Written(text=render(message, self.service), card=self._card(message))

    def send(
        self, message: Message, *, timeout: float = 20.0, clock: Clock | None = None, more: bool = False
    ) -> SendReport:
        """Send, blocking the caller; never raises.

        A form that the service refuses for its content is followed by a plainer one: with picture, without it, the
        plainest text, and that without links if links may be the reason. Each form gets at most `timeout` seconds
        on the wire. With `more`, connections are kept for the next message until `close_kept`.
        """
        clock = clock or SystemClock()
        started = clock.monotonic()
        tried, verdict = 0, None
        for written, shown, last in self._forms(message):
            if last and not (isinstance(verdict, PlainOnce) and verdict.links):
                break
            verdict, requests = self._attempt(written, shown, timeout, clock)
            tried += requests
            if not isinstance(verdict, PlainOnce):
                break
        assert verdict is not None
        if not more:
            self.close_kept()
        final = settle(verdict)
        final = replace(final, reason=self._scrub(final.reason))
        return SendReport(
            verdict=final,
            reason=final.reason,
            status=final.status,
            requests=tried,
            seconds=clock.monotonic() - started,
        )

    def close_kept(self) -> None:
        """Close kept connections: no message follows soon."""
        self._kept.close_kept()

    def _forms(self, message: Message) -> Iterator[tuple[Written, Message, bool]]:
        """The forms of the message, richest first. True: only for a service that may have refused its links."""
        rich = self.write(message)
        yield rich, message, False
        bare = replace(message, cover=None)
        if rich.card is not None and message.cover is not None:
            without = self.write(bare)
            if without.card != rich.card:
                yield without, bare, False
        plain, linkless = plainest(message), plainest(replace(message, links=()))
        yield Written(text=plain), bare, False
        if linkless != plain:
            yield Written(text=linkless), bare, True

    def _card(self, message: Message) -> Mapping[str, Any] | None:
        """The service's rich form of the message; None if it has none."""
        if self.service.card is None:
            return None
        try:
            return self.service.card(message)
        except Exception as error:  # noqa: BLE001 - a bug in a card must not hold up a message
            log.error(LogEvent.CARD_FAILED, channel=self.name, told=message.event, error=error)
            return None

    def _attempt(self, written: Written, message: Message, timeout: float, clock: Clock) -> tuple[Verdict, int]:
        error: str | None = None
        accepted = False
        with watching(timeout, self._kept) as watch:
            try:
                accepted = self._hand_over(written, message, clock)
            except Exception as fault:  # noqa: BLE001 - a plugin may raise anything; the exchanges say what happened
                error = f"the service's plugin failed: {type(fault).__name__}"
        verdict = judge(self.service.rule, watch.exchanges, accepted=accepted, error=error, now=clock.now())
        return verdict, len(watch.exchanges)

    def _hand_over(self, written: Written, message: Message, clock: Clock) -> bool:
        plugin = self._plugin
        if isinstance(plugin, Carded):
            plugin.card, plugin.clock = written.card, clock
            plugin.cover = message.cover if written.card is not None else None
        if self.scheme in _TAKES_FACTS:
            facts = {key: sound(value) for key, value in message.facts.items() if key not in _PAYLOAD_FIELDS}
            vars(plugin)["payload_extras"] = {**facts, **self._own_extras}
            # Bypasses Apprise's dispatcher: it renders the service's URL, all facts included, for its own result.
            send: Callable[..., Any] = plugin.notify
        else:
            send = self._apprise.notify
        result = send(
            title=written.text.title,
            body=written.text.body,
            body_format=_FORMATS[written.text.markup],
            notify_type=_TYPES[message.severity],
        )
        return bool(result)

    def _scrub(self, reason: str) -> str:
        """`reason` on one line, without any URL or part of this channel's. It is cut last: a secret cut before
        masking would leave a piece of it."""
        text = reason
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        text = _ANY_URL.sub("(an address)", " ".join(MASKS.apply(text).split()))
        return text if len(text) <= _LONGEST_REASON else f"{text[: _LONGEST_REASON - 1]}…"


def _paced(throttle: Callable[..., None]) -> Callable[..., None]:
    """A plugin's own throttle, capped: some plugins sleep for as long as a service's header says."""

    def pace(last_io: Any = None, wait: float | None = None) -> None:
        throttle(last_io, None if wait is None else min(wait, _LONGEST_PACE))

    return pace


_LONGEST_REASON = 300
_LONGEST_PACE = 6.0
"""Seconds: a little more than the longest default throttle of Apprise's plugins."""
_ANY_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_TAKES_FACTS = frozenset({"json", "jsons"})
_MAIL = frozenset({"mailto", "mailtos"})
_PAYLOAD_FIELDS = frozenset({"version", "title", "message", "attachments", "type"})
"""Apprise's own fields of a json:// body, which facts may not overwrite."""
_FORMATS = {
    Markup.TEXT: apprise.NotifyFormat.TEXT,
    Markup.HTML: apprise.NotifyFormat.HTML,
    Markup.MARKDOWN: apprise.NotifyFormat.TEXT,  # ours is in the service's dialect; Apprise must not convert it
}
_TYPES = {
    Severity.GOOD: apprise.NotifyType.SUCCESS,
    Severity.BAD: apprise.NotifyType.FAILURE,
    Severity.WARNING: apprise.NotifyType.WARNING,
    Severity.INFO: apprise.NotifyType.INFO,
}


def _body_limit(plugin: NotifyBase) -> int:
    limit = plugin.body_maxlen
    return limit if isinstance(limit, int) and limit > 0 else 32768


def test_message(channel: ChannelName, *, now_text: str, language: Language | None = None) -> Message:  # noqa: PT028
    """A friendly message for `wrapd channels test`; `now_text` is the time in the channel's time zone."""
    language = language or Language.ENGLISH
    words = catalogue(language)
    return Message(
        event="test",
        severity=Severity.INFO,
        emoji="👋",
        title=words.test_title,
        headline=words.test_headline.format(channel=channel),
        language=language,
        subject=f"channel {channel}",
        facts={"event": "test", "channel": channel, "sent_at": now_text, "possible_repeat": False},
    )


test_message.__test__ = False  # type: ignore[attr-defined]  # pytest takes the name for a test
