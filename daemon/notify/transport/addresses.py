"""The URL of a channel as text, and the check that its plugin read it as it was written.

Apprise ends a password at a second colon or at a `;`, a path at a `#`, splits at the first `@` instead of the
last, and trims values. `normal` rewrites a URL so that Apprise reads what a person wrote, or refuses it with the
reason. Owns which options are known: those that the plugin declares, and those that change what it reads. No
error text shows a part of a URL.
"""

import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote

from apprise.plugins.base import NotifyBase
from apprise.utils.parse import parse_bool

from daemon.domain.hosts import is_loopback
from daemon.domain.text import closest
from daemon.errors import ConfigFault
from daemon.notify.services import parsed
from daemon.notify.services.base import Carded, Option, options, options_of

_URL = re.compile(r"(?P<scheme>[^:/?#]+)://(?P<authority>[^/?]*)(?P<path>/[^?]*)?(?:\?(?P<query>.*))?", re.DOTALL)
_SIGNS = re.compile(r"[^A-Za-z0-9._~%!$&'()*+,=-]")
"""Characters of a user or a password that need escaping."""
_NO_LOGIN = re.compile(r"[^:@]*(?::\d*)?")
"""An authority without a user and a password: a host and an optional port."""
_LATE_AT = re.compile(r"/[^?]*[^/?@]@|\?[^=]*@")
_JOINED = re.compile(r";[A-Za-z][A-Za-z0-9_.-]*=")


def normal(url: str) -> str:
    """`url`, escaped so that Apprise reads what it says. Raises ValueError, which names what is ambiguous."""
    if any(unicodedata.category(char) in {"Cc", "Cs"} for char in url):
        raise ValueError("holds a character that no URL has, such as a line break")
    found = _URL.fullmatch(url)
    if found is None:
        return url
    authority, path, query = found["authority"], found["path"] or "", found["query"]
    login, at, host = authority.rpartition("@")
    if at:
        user, colon, password = login.partition(":")
        authority = f"{_escaped(user)}{colon}{_escaped(password)}@{host}"
    elif not _NO_LOGIN.fullmatch(authority) and _LATE_AT.search(url[found.end("authority") :]):
        raise ValueError("has a / or a ? in the user or the password; write / as %2F, ? as %3F, @ as %40")
    path = path.replace("#", "%23").replace(";", "%3B")
    return f"{found['scheme']}://{authority}{path}" + ("" if query is None else f"?{_joined(query)}")


def _escaped(part: str) -> str:
    return _SIGNS.sub(lambda sign: quote(sign[0], safe=""), part)


def _joined(query: str) -> str:
    if _JOINED.search(query):
        raise ValueError("has a ; between options; write & between them, and a ; that is part of a value as %3B")
    query = query.replace(";", "%3B")
    seen: set[str] = set()
    for option in options_of(query):
        shown = shown_key(option.key)
        if option.key in seen:
            raise ValueError(f"has {shown} twice, which is ambiguous")
        if option.value != option.value.strip():
            raise ValueError(f"has {shown} with a space at its end, which Apprise drops; leave it out")
        seen.add(option.key)
    return query


def with_query(url: str, change: Callable[[Option], str | None]) -> str:
    """`url` with each option as `change` returns it (`key=value`, encoded; None: dropped)."""
    written = [piece for each in options(url) if (piece := change(each)) is not None]
    return url.partition("?")[0] + (f"?{'&'.join(written)}" if written else "")


def login(url: str) -> tuple[str, str]:
    """The user and the password before the host, decoded; '' if missing."""
    found = _URL.fullmatch(url)
    user, _, password = ("" if found is None else found["authority"].rpartition("@")[0]).partition(":")
    return unquote(user), unquote(password)


def shown_key(key: str) -> str:
    """An option's name, if it can only be a name. A value that slipped into its place stays hidden."""
    is_name = re.fullmatch(r"[+:-]?[a-z][a-z0-9_.-]{0,23}", key) is not None and not is_token_like(key)
    return f"{key}=" if is_name else "an option"


def is_token_like(text: str) -> bool:
    """Whether a part of a URL may be a credential."""
    return len(text) >= 20 or (len(text) >= 6 and any(char.isdigit() for char in text))


_EVERYWHERE = frozenset({"user", "pass", "password", "port"})
"""Options that Apprise reads for all plugins without declaring them."""
_IGNORED = frozenset({"overflow"})
"""Options of Apprise that wrapd overrides."""
_TIMES = frozenset({"rto", "cto"})
_NO_SUCH = "zz-no-such-option"
_RAW = frozenset({"qsd", "qsd+", "qsd-", "qsd:", "url", "query"})
"""Fields of a parsed URL that hold its query verbatim."""
_LOCAL = frozenset({"syslog", "dbus", "gio", "gnome", "kde", "qt", "macosx", "windows", "growl", "blink1"})
"""Schemes that show or write something on this machine, without any receipt."""


def for_its_plugin(url: str, service: NotifyBase) -> str:
    """`url`, with values encoded once more where `service`, made from it, has decoded them twice."""

    def written(option: Option) -> str:
        value = option.raw
        if unquote(option.value) != option.value and not _holds(service, option.value, within=False):
            value = quote(quote(option.value, safe=""), safe="")
        return f"{quote(option.name, safe='+:')}={value}"

    return with_query(url, written)


def refuse_misread(url: str, scheme: str, service: NotifyBase, place: str) -> None:
    """Raise ConfigFault if the plugin misreads or ignores a part of `url`."""
    known = _declared(service)
    for option in options(url):
        kind = str(known.get(option.key, {}).get("type", ""))
        if kind == "bool" and parse_bool(option.value, None) is None:  # type: ignore[no-untyped-call]  # as above
            raise ConfigFault(f"{place}: {scheme}:// with {option.key}=, which takes yes or no")
        if kind in {"int", "float"} and not _is_number(option.value, above=0.0 if option.key in _TIMES else None):
            raise ConfigFault(f"{place}: {scheme}:// with {option.key}=, which takes a number it can use")
        if not _is_known(option, url, scheme, service, known):
            raise ConfigFault(f"{place}: {scheme}:// with {_unknown(option, service, known)}")
    if isinstance(service, Carded) and (fault := service.misread(options(url))):
        raise ConfigFault(f"{place}: {scheme}:// with {fault}")
    _refuse_other_login(url, service, place)
    _refuse_address(service, place)


def _declared(service: NotifyBase) -> Mapping[str, Mapping[str, Any]]:
    found = {name.lower(): held for name, held in service.template_args.items()}
    return {name: found.get(str(held.get("alias_of")).lower(), held) for name, held in found.items()}


def _is_known(
    option: Option, url: str, scheme: str, service: NotifyBase, known: Mapping[str, Mapping[str, Any]]
) -> bool:
    """Whether the plugin declares the option, or reads the URL differently once the option is renamed."""
    if option.key in known or option.key in _EVERYWHERE:
        return True
    if option.key[:1] in _prefixes(service):
        return True
    renamed = with_query(
        url, lambda each: f"{_NO_SUCH if each == option else quote(each.name, safe='+:')}={each.raw}"
    )
    return _read(url, scheme) != _read(renamed, scheme)


def _read(url: str, scheme: str) -> dict[str, Any]:
    try:
        found = parsed(url, scheme) or {}
    except Exception as error:  # noqa: BLE001 - an option that is refused is read
        return {"": type(error)}
    return {name: value for name, value in found.items() if name not in _RAW}


def _prefixes(service: NotifyBase) -> frozenset[str]:
    return frozenset(str(held.get("prefix", " ")) for held in getattr(service, "template_kwargs", {}).values())


def _unknown(option: Option, service: NotifyBase, known: Mapping[str, Mapping[str, Any]]) -> str:
    """The unknown option, and the remedy."""
    shown = shown_key(option.key)
    names = (*known, *service.template_tokens, *_EVERYWHERE)
    near = closest(option.key, names, cutoff=0.75) if shown.endswith("=") else None
    ways = {"-": "a parameter of its own query", "+": "a header", ":": "a field"}
    further = [f"{sign}NAME= for {what}" for sign, what in ways.items() if sign in _prefixes(service)]
    hint = f"did you mean {near}=?" if near else f"write {', '.join(further)}" if further else "leave it out"
    return f"{shown}, which this service does not know; {hint}"


def _is_number(text: str, *, above: float | None) -> bool:
    try:
        number = float(text)
    except ValueError:
        return False
    return math.isfinite(number) and (above is None or number > above)


def _refuse_other_login(url: str, service: NotifyBase, place: str) -> None:
    user, password = login(url)
    for option in options(url):
        if option.key in {"pass", "password"}:
            password = option.value
        elif option.key == "user":
            user, password = option.value, password or user  # the password may stand alone before the host
        elif unquote(option.value) != option.value and not _holds(service, option.value):
            raise ConfigFault(
                f"{place}: has {shown_key(option.key)} with a % that its plugin does not read as it is written"
            )
    for what, text in (("user", user), ("password", password)):
        if text and not _holds(service, text, within=what == "user"):
            raise ConfigFault(
                f"{place}: has a {what} that its plugin does not read as it is written; give it as "
                f"{'user' if what == 'user' else 'pass'}= with special characters percent-encoded"
            )


def _holds(value: object, text: str, *, within: bool = True, depth: int = 3) -> bool:
    """Whether an attribute of an object equals `text`, or contains it (`within`)."""
    if isinstance(value, str):
        return text in value if within else text == value
    if depth == 0:
        return False
    if isinstance(value, Mapping):
        inner: list[object] = [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple | set | frozenset):
        inner = list(value)
    else:
        inner = list(vars(value).values()) if isinstance(value, NotifyBase) else []
    return any(_holds(each, text, within=within, depth=depth - 1) for each in inner)


def _refuse_address(service: NotifyBase, place: str) -> None:
    """Refuse a port or host that a library would refuse only when it sends."""
    if isinstance(service.port, int) and not 0 < service.port < 65536:
        raise ConfigFault(f"{place}: has an invalid port; ports go from 1 to 65535")
    for name in ("host", "smtp_host"):
        host = getattr(service, name, None)
        if not isinstance(host, str) or not host or (name == "host" and "host" not in service.template_tokens):
            continue
        try:
            host.encode("idna")
        except UnicodeError:
            raise ConfigFault(f"{place}: has an invalid host name") from None


def doubts_of(url: str, scheme: str, service: NotifyBase) -> Iterator[str]:
    """Warnings about what a URL may do but should not."""
    host = str(getattr(service, "smtp_host", "") or service.host or "")
    near = is_loopback(host.strip("[]"))
    given = {option.key for option in options(url)}
    if not service.verify_certificate and not near:
        yield f"{scheme}:// with verify=no: anyone on the network path can read the alerts and the credentials"
    if scheme in _LOCAL:
        yield f"{scheme}:// ends on this machine: nothing confirms that a person saw an alert"
    if service.password and not near and _is_open(service):
        yield f"{scheme}:// sends the password in the clear; let it use TLS"
    for name in sorted(_IGNORED & given):
        yield f"{scheme}:// with {name}=, which does nothing: one alert is one message"
    if host.endswith(".logic.azure.com"):
        yield (
            "Teams workflows moved away from logic.azure.com on 2025-11-30; copy the URL from the workflow again, "
            "unless this is a logic app"
        )


def _is_open(service: NotifyBase) -> bool:
    """Whether it goes without TLS although its service offers TLS under another scheme."""
    mode = getattr(service, "secure_mode", None)
    if mode is not None:
        return bool(mode == "insecure")
    both = all(getattr(service, name, None) for name in ("protocol", "secure_protocol"))
    return both and not service.secure
