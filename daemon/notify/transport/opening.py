"""Opens a channel: checks its URL, and names a fault in it without showing it.

Owns which URLs are accepted and which parts of them are secret, and the warnings about proxies in the environment.
It sends nothing. URLs and proxy variables are credentials, so no exception or warning shows them.
"""

import importlib.util
import logging
import re
import warnings
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, TextIO
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import apprise
from apprise.plugins.base import NotifyBase
from apprise.utils.parse import parse_urls
from msgspec import Struct, field

from daemon.domain.jobs import ChannelName
from daemon.errors import ConfigFault
from daemon.logs import MASKS
from daemon.notify.message import Language
from daemon.notify.outbox import ChannelPlan
from daemon.notify.services import BY_SCHEME, made, repaired, service_for, translated
from daemon.notify.services.base import Markup, base_of, options
from daemon.notify.transport.addresses import doubts_of, for_its_plugin, is_token_like, normal, refuse_misread
from daemon.notify.transport.bounded import PROXY_NAMES
from daemon.notify.transport.channel import Channel
from daemon.notify.transport.verdicts import NO_CA, NO_PROXY, NO_SOCKS

if TYPE_CHECKING:
    from daemon.notify.templates import Templates

# Apprise logs URLs and host names, so its lines are dropped, however the program around us sets up logging.
logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)


class ChannelSettings(Struct, frozen=True, kw_only=True):
    """A channel of the config. `url` is any Apprise URL, and a credential; `timezone` is an IANA name; `templates`
    are the operator's own texts for some events."""

    name: ChannelName
    url: str
    timezone: str = "UTC"
    language: Language = Language.ENGLISH
    plan: ChannelPlan = field(default_factory=ChannelPlan)
    templates: "Templates | None" = None

    def __repr__(self) -> str:
        return f"ChannelSettings(name={self.name!r})"


def open_channel(settings: ChannelSettings, *, console: TextIO | None = None) -> Channel:
    """Open the channel of `settings`. A console:// channel writes to `console` (None: standard output).

    Raises ConfigFault, which names the channel and the fault but not the URL.
    """
    place = f"channels.{settings.name}.url"
    MASKS.add({settings.url.strip()})
    try:
        return _opened(settings, place, console)
    except ConfigFault:
        raise
    except Exception as error:  # noqa: BLE001 - a library may raise anything, and its text may hold the URL
        raise ConfigFault(f"{place}: cannot be used ({type(error).__name__}); check each part of it") from None


def _opened(settings: ChannelSettings, place: str, console: TextIO | None) -> Channel:
    try:
        url = repaired(normal(translated(settings.url.strip())))
    except ValueError as error:
        raise ConfigFault(f"{place}: {error}") from None
    scheme = _scheme(url, place)
    if len(parse_urls(url)) > 1:  # type: ignore[no-untyped-call]  # Apprise's helper has no types
        raise ConfigFault(f"{place}: holds more than one service; give each its own channel")
    _refuse_options(url, scheme, place)
    service = _service(url, scheme, place)
    again = for_its_plugin(url, service)
    if again != url:
        service = _service(again, scheme, place)
    refuse_misread(url, scheme, service, place)
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
        plugin=service,
        secrets=secrets,
        plan=settings.plan,
        language=settings.language,
        templates=settings.templates,
        address=url,
        doubts=tuple(f"{place}: {doubt}" for doubt in doubts_of(url, scheme, service)),
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
    """Refuse options of Apprise that would defeat wrapd's own retries or let foreign markup through, and a host
    that the service cannot have."""
    given = {option.key: option.value.strip().lower() for option in options(url)}
    for name in ("retry", "wait"):
        if name in given:
            raise ConfigFault(f"{place}: {scheme}:// with {name}=; leave it out: wrapd does the retries itself")
    for name in ("optional", "redirect"):
        if given.get(name, "no") not in {"no", "false", "off", "0", ""}:
            raise ConfigFault(
                f"{place}: {scheme}:// with {name}=; leave it out: wrapd needs to see the service's own answer"
            )
    service = service_for(scheme, limit=1)
    html = service.markup is Markup.HTML
    own = {Markup.TEXT.value, service.markup.value} if html else {Markup.TEXT.value}
    if given.get("format", "text") not in own or (html and given.get("format") == "text"):
        raise ConfigFault(
            f"{place}: {scheme}:// with format=; leave it out: wrapd uses the format that is safe there"
        )
    if (host := service.hosts.get(scheme)) is not None:
        try:
            base_of(host, given)
        except ValueError as error:
            raise ConfigFault(f"{place}: {scheme}:// {error}") from None


def _service(url: str, scheme: str, place: str) -> NotifyBase:
    asset = apprise.AppriseAsset(
        service_timeout=0,  # the send runs in the calling thread; `bounded` ends it
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
            warnings.simplefilter("ignore")  # some plugins import deprecated modules
            service = made(url, scheme, asset)
    except Exception:  # noqa: BLE001 - a plugin may raise anything, and its text may hold the URL
        service = None
    if service is None:
        known = scheme in BY_SCHEME or scheme in apprise.plugins.N_MGR
        raise ConfigFault(
            f"{place}: Apprise cannot use this {scheme}:// URL; a part of it is missing or wrong "
            f"(see https://github.com/caronc/apprise/wiki)"
            if known
            else f"{place}: there is no service {scheme}://"
        )
    if not service.enabled:
        raise ConfigFault(f"{place}: {scheme}:// needs a Python package that is not installed here")
    return service


def _names(*protocols: object) -> Iterable[str]:
    for protocol in protocols:
        if isinstance(protocol, str):
            yield protocol
        elif isinstance(protocol, list | tuple | set | frozenset):
            yield from sorted(str(name) for name in protocol)


def _secrets(url: str, *, host_is_secret: bool) -> Iterable[str]:
    """Parts of a channel's URL that are never shown: user, password, option values, and what looks like a token.
    Many services put a token where a URL has its host."""
    scheme, _, rest = url.partition("://")
    address, _, _query_text = rest.partition("?")
    userinfo, at, after = address.rpartition("@")
    parts = re.split(r"[:/@]", userinfo) if at else []
    if ":" in userinfo:  # as in the Authorization header: some services echo their request
        parts.append(b64encode(unquote(userinfo).encode()).decode())
    host, *path = after.split("/")
    public = {"host", "insecure"} if service_for(scheme.lower(), limit=1).hosts else set()
    parts += [part for each in options(url) if each.key not in public for part in (each.value, each.raw)]
    parts += [part for segment in path for part in (segment, unquote(segment)) if is_token_like(part)]
    if host_is_secret:
        parts += host.split(":")
    return {form for part in parts for form in (part, unquote(part)) if len(part) >= 6}


_CA_NAMES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_PLAIN = frozenset({"http", "https"})
_SOCKS = frozenset({"socks4", "socks4a", "socks5", "socks5h"})
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def proxy_doubts(environ: Mapping[str, str]) -> Iterator[str]:
    """Faults of the environment that keep messages from chat services; each names its variable."""
    for name in PROXY_NAMES:
        value = environ.get(name, "").strip()
        if value and not name.lower().startswith("no_"):
            fault = _fault_of(value)
            if fault:
                yield f"{name} (environment): {fault}; messages over it wait"
    for name in _CA_NAMES:
        path = environ.get(name, "")
        if path and not Path(path).exists():
            yield f"{name} (environment): {NO_CA}; messages over HTTPS wait"


def proxy_passwords(environ: Mapping[str, str]) -> set[str]:
    """The passwords in the proxy variables."""
    found: set[str] = set()
    for name in PROXY_NAMES:
        login = environ.get(name, "").partition("://")[2].rpartition("@")[0]
        found |= {login.partition(":")[2]} - {""}
    return found


def _fault_of(value: str) -> str:
    whole = value if _SCHEME.match(value) else f"http://{value}"
    try:
        parts = urlsplit(whole)
        port = parts.port
    except ValueError:
        return NO_PROXY
    scheme = parts.scheme.lower()
    if scheme in _SOCKS:
        return "" if importlib.util.find_spec("socks") is not None and parts.hostname else NO_SOCKS
    usable = scheme in _PLAIN and parts.hostname and re.fullmatch(r"[\w.:-]+", parts.hostname) and port != 0
    return "" if usable else NO_PROXY
