"""What wrapd needs to know about a chat service: how messages are written for it, what its plugin posts, what
its answers mean, and how its addresses look.

`Service` describes one service; `Carded` is shared by our plugins. docs/adding-a-service.md explains how to add
one. Logs nothing. A plugin sends through requests (or smtplib), so that `transport` observes every exchange.
Apprise and requests are imported only when a channel is opened: cards need neither.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote, unquote, urlencode

from msgspec import Struct, field

from daemon.clock import Clock, SystemClock
from daemon.domain.hosts import is_loopback
from daemon.notify.message import Cover, Message
from daemon.notify.message.escape import as_is
from daemon.notify.services.answers import Rule


class Option(Struct, frozen=True, kw_only=True):
    """An option of a query: `name` as given, `key` in lower case, `value` decoded once, `raw` undecoded."""

    name: str
    key: str
    value: str
    raw: str


Given = Mapping[str, Option]


def options(url: str) -> list[Option]:
    """The options of a URL, read as Apprise reads them: a plus stays a plus."""
    return list(options_of(url.partition("?")[2]))


def options_of(query: str) -> Iterator[Option]:
    """The same for a query string."""
    for piece in query.split("&"):
        if piece:
            key, _, raw = piece.partition("=")
            name = unquote(key)
            yield Option(name=name, key=name.lower().strip(), value=unquote(raw), raw=raw)


def written(address: str, given: Given, without: tuple[str, ...] = (), **added: str) -> str:
    """The plugin's URL for `address`, keeping the options that were pasted with it."""
    kept = [f"{quote(each.key, safe='')}={each.raw}" for each in given.values() if each.key not in without]
    return f"{address}/" + (
        f"?{'&'.join([*kept, *([urlencode(added)] if added else [])])}" if kept or added else ""
    )


def base_of(host: str, options: Mapping[str, str]) -> str:
    """`https://HOST` for a service at `host`, unless the URL's options say otherwise. Raises ValueError that
    names the wrong option."""
    elsewhere, insecure = options.get("host", "").strip(), options.get("insecure", "").strip().lower()
    if insecure not in _YES | _NO:
        raise ValueError("with insecure=, which takes yes or no")
    if not elsewhere:
        if insecure in _YES:
            raise ValueError("with insecure= but no host=: the service itself is always reached over TLS")
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
    """The markup of a message's plain form."""

    TEXT = "text"
    HTML = "html"
    MARKDOWN = "markdown"


class Unit(StrEnum):
    """What a service's limit counts."""

    CHARACTERS = "characters"
    UTF8_BYTES = "bytes"


class Picture(StrEnum):
    """How a service can show a picture."""

    NONE = "none"
    URL = "url"  # the service fetches it from a link
    UPLOAD = "upload"  # sent with the message


class Tested(StrEnum):
    """How a service is tested. No test contacts the real service."""

    CONFORMANCE = "conformance"  # every kind of answer and every hostile name, against a stand-in server
    MAIL_SERVER = "mail server"  # the same, against SMTP servers on loopback, including Postfix
    WIRE = "wire"  # messages, hostile names and refusals, as received by a stand-in server
    OPENED = "opened"  # only that its URL opens a channel


SECOND, MINUTE, DAY = 1.0, 60.0, 86400.0


def sender(plugin: Any) -> str:
    """What a service counts by default: the holder of the token. Contains the token, so it is never shown."""
    return str(plugin.url_identifier)


class Limit(Struct, frozen=True):
    """A service takes at most `most` messages in any `seconds`, counted together for all channels whose plugins
    give the same `of`. None from `of`: the limit does not apply."""

    most: int
    seconds: float
    of: Callable[[Any], str | None] = sender

    def __str__(self) -> str:
        per = {SECOND: "second", MINUTE: "minute", DAY: "day"}[self.seconds]
        return f"{self.most} a {per}"


class Counted(Struct, frozen=True, kw_only=True):
    """A limit as it applies to a channel: everything sent under one `key` is counted together."""

    key: str
    most: int
    seconds: float


Card: TypeAlias = Callable[[Message], Mapping[str, Any]]
"""Builds what the service's plugin posts: for most, the JSON payload. Pure."""
Pasted: TypeAlias = Callable[[str, str, Given], str | None]
"""The plugin's URL for an address that the service shows to people, given its host (lower case, without the
default port), path (without a trailing slash) and query. None for any other address."""


class Service(Struct, frozen=True, kw_only=True, eq=False):
    """Everything wrapd knows about one chat service. `limit` covers title and body of the plain form together;
    cards keep to the service's own limits."""

    examples: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """By scheme: the name of the service and an example URL, whose words in capitals are placeholders. Other
    `schemes` are documented along with these."""
    schemes: tuple[str, ...]
    theirs: str = ""
    """Apprise's plugin, as `module:class` below `apprise.plugins`; '' if Apprise finds it by scheme."""
    ours: "type[Carded] | None" = None
    """Our class mixed in before Apprise's."""
    options: tuple[str, ...] = ()
    """Additional URL options that our class reads."""
    hosts: Mapping[str, str] = field(default_factory=dict)
    """By scheme: the default host, if `host=` may name another one."""
    pasted: Pasted | None = None
    ended: Mapping[re.Pattern[str], str] = field(default_factory=dict)
    """Retired addresses of the service, and what to do about each."""
    repaired: Callable[[str], str] = as_is
    """Adds to a URL in the plugin's form what the service's current hosts need."""

    markup: Markup = Markup.TEXT
    escape: Callable[[str], str] = as_is
    limit: int
    unit: Unit = Unit.CHARACTERS
    shows_urls: bool = False
    """For HTML: also write out each link's URL, because the text part is made from the words alone."""
    gap: str = ""
    """For HTML: what separates paragraphs if the service's conversion would drop the empty line."""
    raw_title: bool = False
    """The title is a separate field that is shown literally, whatever the body's markup."""
    fixed_title: bool = False
    """The service would read markup in the title: it gets a constant title, and the real one opens the body."""
    card: Card | None = None
    """The rich form; None if there is only the plain one."""
    picture: Picture = Picture.NONE
    shows: str = "text"
    """What people see of a message, in a few words."""
    machine: bool = False
    """Read by programs: each alert is sent separately, never in a digest."""

    limits: tuple[Limit, ...] = ()
    """The service's documented rate limits."""
    rule: Rule | None = None
    """Interprets its answers; None: by HTTP status only."""
    tested: Tested = Tested.WIRE

    def measure(self, text: str) -> int:
        """Size of `text` as the service counts it."""
        return len(text) if self.unit is Unit.CHARACTERS else len(text.encode("utf-8", "replace"))

    def counted(self, plugin: Any, own: float | None, *, name: str) -> tuple[Counted, ...]:
        """The limits for channel `name` with this plugin. `own` is the operator's number of messages a minute:
        below the service's limit it applies to the channel alone; above it, it replaces the documented limit
        for a minute."""
        found = []
        for limit in self.limits:
            key = limit.of(plugin)
            if key is not None:
                most = max(limit.most, math.floor(own or 0)) if limit.seconds == MINUTE else limit.most
                found.append(Counted(key=f"{self.schemes[0]} {key}", most=most, seconds=limit.seconds))
        if own is not None:  # less than one a minute becomes one in a longer window
            most = max(1, math.floor(own))
            found.append(Counted(key=f"channel {name}", most=most, seconds=MINUTE * most / own))
        return tuple(found)

    def plugin(self) -> Any:
        """The plugin class: Apprise's, with ours mixed in before it."""
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
    """Mixed into a plugin before Apprise's own class."""

    card: Mapping[str, Any] | None = None
    """The card of this message; None: send title and body as text."""
    cover: Cover | None = None
    """The message's picture, for services that take uploads; None if `card` is None."""
    clock: Clock = SystemClock()
    """Source of the time in signatures."""

    app_id: str
    schema: str
    verify_certificate: bool
    request_timeout: Any

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Everything else is the plugin's own."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)  # Apprise's own is untyped

    def throttle(self, last_io: Any = None, wait: float | None = None) -> None:
        """Disable the plugin's own sleep: the channel waits before it claims anything."""

    def misread(self, given: Sequence[Option]) -> str:
        """Which URL option the plugin dropped or misunderstood, and what to do; '' if none. Shows no values."""
        return ""

    def send_plain(self, *args: Any, **kwargs: Any) -> bool:
        """Send title and body as Apprise's own plugin does. Not named `send_text`, which Apprise would call
        instead of `send`."""
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
        """Make one POST of `payload` as JSON in UTF-8, or of `data` and `files` as requests takes them. Returns
        whether the status is a success. Never raises for network errors."""
        sent = {"User-Agent": self.app_id, **(headers or {})}
        if payload is not None:
            data = encoded(payload)
            sent = {"Content-Type": "application/json; charset=utf-8", **sent}
        import requests  # noqa: PLC0415 - needed only for sending

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
    """A plugin written by us, on top of Apprise's base class."""

    title_maxlen = 250
    request_rate_per_sec = 0

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    @staticmethod
    def part(text: str, pattern: str) -> str:
        """`text`, a token of the URL. Raises ValueError (which does not contain it) if it is malformed."""
        if re.fullmatch(pattern, text) is None:
            raise ValueError("a token of the URL is missing or has invalid characters")
        return text

    @classmethod
    def parse_url(cls, url: str, *_args: Any, **_kwargs: Any) -> dict[str, Any] | None:
        """The constructor's arguments; None if this is no URL."""
        theirs: Any = super()
        found = theirs.parse_url(url, verify_host=False)
        return {**found, **cls.read(found)} if found else None

    @classmethod
    def read(cls, parsed: Mapping[str, Any]) -> dict[str, Any]:
        """Our own constructor arguments, from a URL as parsed by Apprise."""
        raise NotImplementedError

    @property
    def url_identifier(self) -> tuple[str, ...]:
        """The sender as the service identifies it."""
        raise NotImplementedError

    def url(self, privacy: bool = False, *_args: Any, **_kwargs: Any) -> str:
        """Only the scheme: the rest is a credential."""
        return f"{self.schema}://"


def encoded(payload: Mapping[str, Any]) -> bytes:
    """JSON as sent. Not escaped to ASCII: a Chinese character then takes three bytes instead of six, and
    services count bytes."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
