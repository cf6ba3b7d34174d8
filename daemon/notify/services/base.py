"""What a chat service is to wrapd: how a message is written for it, what its plugin posts, what its answers
mean, how its addresses read.

`Service` is the row of one; `Carded` is what the plugins of ours share. How a service is added, step by step:
docs/adding-a-service.md. Must never log; a plugin sends through requests (or smtplib), so that `transport` sees
what happens. Apprise and requests are imported when a channel is opened: cards need neither.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote, unquote, urlencode

from daemon.clock import Clock, SystemClock
from daemon.domain.hosts import is_loopback
from daemon.notify.message import Cover, Message
from daemon.notify.message.escape import as_is
from daemon.notify.services.answers import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An option of a query: `name` as given, `key` in small letters, `value` decoded once, `raw` as it stands."""

    name: str
    key: str
    value: str
    raw: str


Given = Mapping[str, Option]


def options(url: str) -> list[Option]:
    """The options of a URL, read as Apprise reads them: a plus is a plus."""
    return list(options_of(url.partition("?")[2]))


def options_of(query: str) -> Iterator[Option]:
    """The same of a query."""
    for piece in query.split("&"):
        if piece:
            key, _, raw = piece.partition("=")
            name = unquote(key)
            yield Option(name=name, key=name.lower().strip(), value=unquote(raw), raw=raw)


def written(address: str, given: Given, without: tuple[str, ...] = (), **added: str) -> str:
    """The plugin's URL with the options that were pasted with it."""
    kept = [f"{quote(each.key, safe='')}={each.raw}" for each in given.values() if each.key not in without]
    return f"{address}/" + (
        f"?{'&'.join([*kept, *([urlencode(added)] if added else [])])}" if kept or added else ""
    )


def base_of(host: str, options: Mapping[str, str]) -> str:
    """`https://HOST` of a service that lives at `host`, by the options of its URL. Raises ValueError with what is
    wrong with these."""
    elsewhere, insecure = options.get("host", "").strip(), options.get("insecure", "").strip().lower()
    if insecure not in _YES | _NO:
        raise ValueError("with insecure=, which takes yes or no")
    if not elsewhere:
        if insecure in _YES:
            raise ValueError("with insecure= but no host=: the service itself is always asked over TLS")
        return f"https://{host}"
    found = _HOST.fullmatch(elsewhere)
    if found is None or not 0 < int(found["port"] or 443) < 65536:
        raise ValueError("with host=, which takes a host's name and a port, like gateway.example.com:8443")
    if insecure not in _YES:
        return f"https://{elsewhere}"
    if not is_loopback(found["name"].strip("[]")):
        raise ValueError("with insecure=yes, which is for a host on this machine only, like 127.0.0.1:8080")
    return f"http://{elsewhere}"


_HOST = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5}))?"
)
_YES = frozenset({"yes", "true", "on", "1"})
_NO = frozenset({"no", "false", "off", "0", ""})


class Markup(StrEnum):
    """How a message is written."""

    TEXT = "text"
    HTML = "html"
    MARKDOWN = "markdown"


class Unit(StrEnum):
    """What a service counts."""

    CHARACTERS = "characters"
    UTF8_BYTES = "bytes"


class Picture(StrEnum):
    """How a service can show a picture."""

    NONE = "none"
    URL = "url"  # it fetches the picture from a link
    UPLOAD = "upload"  # the picture goes with the message


class Tested(StrEnum):
    """How a service's channel is tested; nothing here is tested against the service itself."""

    CONFORMANCE = "conformance"  # every answer of the table of verdicts and every hostile name, against a stand-in
    MAIL_SERVER = "mail server"  # the same, against SMTP servers on loopback, one of them Postfix
    WIRE = "wire"  # messages, hostile names and refusals, by what arrives at a stand-in
    OPENED = "opened"  # its URL opens a channel


SECOND, MINUTE, DAY = 1.0, 60.0, 86400.0


def sender(plugin: Any) -> str:
    """Whom a service counts, if it says no more: who holds the token. Holds it: never to be shown."""
    return str(plugin.url_identifier)


@dataclass(frozen=True, slots=True)
class Limit:
    """A service takes at most `most` messages within any `seconds`, of all those of which `of` says the same of
    their channel's plugin; None: there is no such limit for this one."""

    most: int
    seconds: float
    of: Callable[[Any], str | None] = sender

    def __str__(self) -> str:
        per = {SECOND: "second", MINUTE: "minute", DAY: "day"}[self.seconds]
        return f"{self.most} a {per}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """A limit as it holds for a channel: what is sent under one `key` is counted together."""

    key: str
    most: int
    seconds: float


Card: TypeAlias = Callable[[Message], Mapping[str, Any]]
"""Builds what the service's plugin posts: for most the JSON payload. Pure."""
Pasted: TypeAlias = Callable[[str, str, Given], str | None]
"""The plugin's URL for an address that the service shows to people, by its host (in small letters, without the
usual port), its path (without a slash at its end) and its query; None for any other address."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Service:
    """All that wrapd knows of one chat service. `limit` counts title and body of the plain form together; a card
    keeps its service's own limits."""

    examples: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """What it is called and a URL whose words in capitals stand for yours, by the scheme; the other `schemes` are
    said along with these."""
    schemes: tuple[str, ...]
    theirs: str = ""
    """Apprise's plugin, `module:class` below `apprise.plugins`; '' for one that is found by its scheme."""
    ours: "type[Carded] | None" = None
    """What of ours stands before it."""
    options: tuple[str, ...] = ()
    """Options of the URL that ours reads besides."""
    hosts: Mapping[str, str] = field(default_factory=dict)
    """By scheme: where the service lives, if `host=` may name another place."""
    pasted: Pasted | None = None
    ended: Mapping[re.Pattern[str], str] = field(default_factory=dict)
    """Addresses that the service showed once, and what to do about each."""
    repaired: Callable[[str], str] = as_is
    """A URL in the plugin's form with what the service's hosts of today need."""

    markup: Markup = Markup.TEXT
    escape: Callable[[str], str] = as_is
    limit: int
    unit: Unit = Unit.CHARACTERS
    shows_urls: bool = False
    """In HTML: write each link's URL as well, because the text part is made from the words alone."""
    gap: str = ""
    """In HTML: what stands between paragraphs, where the service's conversion would drop the empty line."""
    raw_title: bool = False
    """The title is a field of its own that is shown as it is, whatever the body's markup."""
    fixed_title: bool = False
    """The service would read markup in the title: it gets a constant one, and the real one opens the body."""
    card: Card | None = None
    """The rich form; None: the plain one is all there is."""
    picture: Picture = Picture.NONE
    shows: str = "text"
    """What people see of a message, in a few words."""
    machine: bool = False
    """Programs read it, not people: each alert by itself, never several in one."""

    limits: tuple[Limit, ...] = ()
    """How many messages it takes, as it documents."""
    rule: Rule | None = None
    """What its answers mean; None: what their status says."""
    tested: Tested = Tested.WIRE

    def measure(self, text: str) -> int:
        """The size of `text` as the service counts."""
        return len(text) if self.unit is Unit.CHARACTERS else len(text.encode("utf-8", "replace"))

    def counted(self, plugin: Any, own: float | None, *, name: str) -> tuple[Counted, ...]:
        """What holds for the channel `name` with this plugin, of which the operator says `own` messages a minute.
        Fewer than the service takes are the channel's own; more take the place of what the service documents for a
        minute."""
        found = []
        for limit in self.limits:
            key = limit.of(plugin)
            if key is not None:
                most = max(limit.most, math.floor(own or 0)) if limit.seconds == MINUTE else limit.most
                found.append(Counted(key=f"{self.schemes[0]} {key}", most=most, seconds=limit.seconds))
        if own is not None:  # of less than one a minute, one within as many seconds as that takes
            most = max(1, math.floor(own))
            found.append(Counted(key=f"channel {name}", most=most, seconds=MINUTE * most / own))
        return tuple(found)

    def plugin(self) -> Any:
        """The class of its plugin, Apprise's with ours before it."""
        return _plugin(self)


@cache
def _plugin(service: Service) -> Any:
    module, _, name = service.theirs.partition(":")
    theirs = getattr(import_module(f"apprise.plugins.{module}"), name)
    if service.ours is None:
        return theirs
    arguments = {**theirs.template_args, **{option: {"type": "string"} for option in service.options}}
    return type(service.ours.__name__, (service.ours, theirs), {"template_args": arguments})


class Carded:
    """Mixed into a plugin, before Apprise's own class."""

    card: Mapping[str, Any] | None = None
    """What `Form.card` built of this message; None: send title and body as text."""
    cover: Cover | None = None
    """The message's picture, for services that take it by upload; None with `card` None."""
    clock: Clock = SystemClock()
    """What a signature's time is taken from."""

    app_id: str
    schema: str
    verify_certificate: bool
    request_timeout: Any

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """All else is the plugin's own."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)  # Apprise's own has no types

    def throttle(self, last_io: Any = None, wait: float | None = None) -> None:
        """No sleep of a plugin's own: a channel keeps its pace before it claims anything."""

    def misread(self, given: Sequence[Option]) -> str:
        """Which option of its URL the plugin dropped or took for something else, and what to do; '' for none.
        Shows no value."""
        return ""

    def send_plain(self, *args: Any, **kwargs: Any) -> bool:
        """What Apprise's own plugin does with title and body. (Apprise itself would call a method `send_text` in
        place of `send`.)"""
        theirs: Any = super()
        return bool(theirs.send(*args, **kwargs))

    def post(
        self,
        url: str,
        payload: Mapping[str, Any] | None = None,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        data: Mapping[str, Any] | bytes | None = None,
        files: Mapping[str, Any] | None = None,
    ) -> bool:
        """One POST, of `payload` as JSON in UTF-8, or of `data` and `files` as requests has them. Whether the
        status says success; never raises for what happens on the wire."""
        sent = {"User-Agent": self.app_id, **(headers or {})}
        if payload is not None:
            data = encoded(payload)
            sent = {"Content-Type": "application/json; charset=utf-8", **sent}
        import requests  # noqa: PLC0415 - only who sends pays for it

        try:
            answer = requests.post(
                url,
                params=params,
                data=data,
                files=files,
                headers=sent,
                verify=self.verify_certificate,
                timeout=self.request_timeout,
                allow_redirects=False,
            )
        except requests.RequestException:
            return False
        return 200 <= answer.status_code < 300


class Own(Carded):
    """A plugin of ours from the ground up, over Apprise's bare one."""

    title_maxlen = 250
    request_rate_per_sec = 0

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    @staticmethod
    def part(text: str, pattern: str) -> str:
        """`text`, a token of the URL. Raises ValueError (without it) where it is none."""
        if re.fullmatch(pattern, text) is None:
            raise ValueError("a token of the URL is missing or has characters that none has")
        return text

    @classmethod
    def parse_url(cls, url: str, *_args: Any, **_kwargs: Any) -> dict[str, Any] | None:
        """The arguments of the constructor; None where it is no URL."""
        theirs: Any = super()
        found = theirs.parse_url(url, verify_host=False)
        return {**found, **cls.read(found)} if found else None

    @classmethod
    def read(cls, parsed: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments that are ours, of a URL as Apprise has taken it apart."""
        raise NotImplementedError

    @property
    def url_identifier(self) -> tuple[str, ...]:
        """Who sends, as the service sees it."""
        raise NotImplementedError

    def url(self, privacy: bool = False, *_args: Any, **_kwargs: Any) -> str:
        """The scheme alone: the rest is a credential, and nobody needs it back."""
        return f"{self.schema}://"


def encoded(payload: Mapping[str, Any]) -> bytes:
    """JSON as it goes over the wire. Not in ASCII: a Chinese character takes three bytes so, not six, and services
    count bytes."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
