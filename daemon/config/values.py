"""Parsers for config values. Each returns the value or raises ValueError with the fault and its remedy.

Knows nothing of files, sections. Messages may show the value: do not use these for secrets.
"""

import ipaddress
import re
import zoneinfo
from collections.abc import Callable, Iterable
from datetime import time
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import SplitResult, urlsplit

from daemon.domain.events import JOB_EVENTS, OPERATOR_EVENTS, Event
from daemon.domain.hosts import is_loopback
from daemon.domain.states import State
from daemon.domain.text import MAX_WORD, closest
from daemon.masks import MASKS
from daemon.regions import REGIONS

T = TypeVar("T")

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)(ms|s|m|h|d))", re.ASCII)
_MOST_PORT = 65535
_LONGEST = 3650 * 86400.0
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_PROJECT_ID = re.compile(r"[A-Za-z0-9]{1,64}", re.ASCII)
_USERINFO = re.compile(r"(//).*@", re.DOTALL)
_LABEL = r"(?!-)[A-Za-z0-9_-]{1,63}"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?", re.ASCII)
_AUTHORITY = re.compile(r"(?:\[([^\[\]%]+)\]|([^:\[\]]+))(?::(\d{1,5}))?", re.ASCII)
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
_SQLITE = "sqlite:///"

LISTED_KINDS = ("avatar", "photo")
"""The kinds that the service's list of jobs contains; a test checks this against the table of kinds."""
UNLISTED_KINDS = ("business_card", "photo_detection", "picture_modeling")
"""The other kinds."""
MAX_PATTERN = 200
"""Maximum length of a name pattern."""


_JOB_EVENTS = [event.value for event in JOB_EVENTS]
_EVENTS = [event.value for event in Event]
_TEMPLATES = [*_EVENTS, "digest", "*"]


def shaped(**shape: object) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Declares which texts a parser accepts, in keywords of JSON Schema and as far as these can say it. What the
    parser accepts must fit."""

    def mark(parse: Callable[..., T]) -> Callable[..., T]:
        vars(parse)["shape"] = shape
        return parse

    return mark


class Listen(NamedTuple):
    """Where a server listens. Port 0 picks a free port."""

    host: str
    port: int


def shown(value: object) -> str:
    """A config value for messages: quoted, with control characters escaped, at most 60 characters, and without
    passwords in URLs."""
    text = MASKS.apply(_USERINFO.sub(r"\1***@", str(value)))
    return repr(text if len(text) <= 60 else f"{text[:59]}…")


def nearest(wrong: str, right: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The element of `right` closest to `wrong`, or None. `cutoff` is the required similarity, 1 for equal."""
    by_folded = {name.lower().replace("-", "_"): name for name in right}
    found = closest(wrong.lower().replace("-", "_"), by_folded, cutoff=cutoff)
    return None if found is None else by_folded[found]


def suggestion(wrong: str, right: Iterable[str]) -> str:
    """'did you mean …?' if one of `right` is close, else a list of them."""
    names = list(right)
    near = nearest(wrong, names)
    if near is not None:
        return f"did you mean {near!r}?"
    return f"choose one of {', '.join(sorted(names))}" if names else "there is none yet"


@shaped(pattern=r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$")
def seconds(text: str) -> float:
    """A duration such as "100ms", "1s", "10m", "2h", "14d" or "1h30m", in seconds; at most 3650d."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        bare = text if re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII) else "10"
        raise ValueError(
            f'{shown(text)} is not a duration; write a number and unit (ms, s, m, h, d), as in "{bare}s", "1h30m"'
        )
    total = float(sum(float(number) * _UNITS[unit] for number, unit in parts))
    if total > _LONGEST:
        raise ValueError(f'{shown(text)} is too long; write at most "3650d"')
    return total


def spoken(duration: float) -> str:
    """`duration` (seconds) in the notation that `seconds` reads.

    >>> [spoken(each) for each in (0.1, 1, 90, 5400, 14 * 86400)]
    ['100ms', '1s', '1m30s', '1h30m', '14d']
    """
    left = round(duration * 1000)
    text = ""
    for unit in ("d", "h", "m", "s", "ms"):
        count, left = divmod(left, round(_UNITS[unit] * 1000))
        text += f"{count}{unit}" if count else ""
    return text or "0s"


@shaped(pattern=f"^{_NAME.pattern}$")
def name(text: str) -> str:
    """The name of a project or a channel."""
    if _NAME.fullmatch(text) is None:
        raise ValueError(f"{shown(text)} is not a name; use 1 to 64 letters, digits, '_' and '-'")
    return text


@shaped(pattern=f"^{_PROJECT_ID.pattern}$")
def project_id(text: str) -> str:
    """A MetaStudio project id."""
    if _PROJECT_ID.fullmatch(text) is None:
        raise ValueError(
            f"{shown(text)} is not a project id; copy it from the console (My Credentials, 1 to 64 letters and "
            "digits), or remove the key to have it looked up"
        )
    return text


@shaped(enum=[*REGIONS])
def region(text: str) -> str:
    """The name of a region of `REGIONS`."""
    if text not in REGIONS:
        raise ValueError(
            f"no region with MetaStudio is called {shown(text)}; {suggestion(text, REGIONS)} "
            "(for any other address set `endpoint` instead)"
        )
    return text


def is_host(text: str) -> bool:
    """Whether this is a valid host name or IP address."""
    try:
        if ":" in text or re.fullmatch(r"\d+(?:\.\d+){3}", text, re.ASCII):
            return ipaddress.ip_address(text).version > 0
        text.encode("ascii").decode("idna")  # a label that begins with xn-- must be valid punycode
    except ValueError:
        return False
    return len(text) <= 253 and _HOST.fullmatch(text) is not None


def web_address(text: str) -> SplitResult | None:
    """The parts of an http(s) URL; None if its host or port is invalid."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    found = _AUTHORITY.fullmatch(parts.netloc.rpartition("@")[2])
    if found is None or parts.scheme not in {"http", "https"} or not text.isprintable() or text != text.strip():
        return None
    in_brackets, plain, port = found.groups()
    usable = ":" in in_brackets and is_host(in_brackets) if in_brackets else is_host(plain)
    return parts if usable and 0 < int(port or 1) <= _MOST_PORT else None


@shaped(pattern="^https?://.")
def endpoint(text: str) -> str:
    """The base URL of an API, https:// or http:// to this machine, without a trailing slash."""
    parts = web_address(text)
    if parts is None:
        raise ValueError(f'{shown(text)} is not the address of an API; write "https://HOST"')
    if "@" in parts.netloc or parts.query or parts.fragment or parts.path not in {"", "/"}:
        raise ValueError('only scheme, host and port are allowed; write "https://HOST" or "https://HOST:PORT"')
    if parts.scheme == "http" and not is_loopback(str(parts.hostname)):
        raise ValueError(
            f'{shown(text)} would send credentials unencrypted; write "https://…" (http:// is accepted only for '
            "this machine: 127.0.0.1, [::1], localhost)"
        )
    return f"{parts.scheme}://{parts.netloc}"


@shaped(pattern=".:[0-9]{1,5}$")
def listen(text: str) -> Listen:
    """An address to listen on, "HOST:PORT"."""
    host, colon, port = text.rpartition(":")
    in_brackets = host.startswith("[") and host.endswith("]")
    if (":" in host) is not in_brackets:
        host = ""
    host = host[1:-1] if in_brackets else host
    if not colon or not is_host(host) or not re.fullmatch(r"\d{1,5}", port, re.ASCII) or int(port) > _MOST_PORT:
        raise ValueError(f'{shown(text)} is not an address; write "127.0.0.1:8787" or "[::1]:8787"')
    return Listen(host, int(port))


@shaped(minLength=1)
def timezone(text: str) -> str:
    """The name of a time zone in the tz database."""
    try:
        zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        zones = zoneinfo.available_timezones()
        by_city = {zone.rpartition("/")[2].lower(): zone for zone in sorted(zones)}
        near = by_city.get(text.strip().lower().replace(" ", "_")) or nearest(text, zones)
        remedy = f"did you mean {near!r}?" if near else 'write one such as "UTC" or "Asia/Shanghai"'
        raise ValueError(f"no time zone is called {shown(text)}; {remedy}") from error
    return text


@shaped(enum=_JOB_EVENTS)
def job_event(text: str) -> Event:
    """An event that a route can name."""
    if text in {event.value for event in OPERATOR_EVENTS}:
        raise ValueError(f"{shown(text)} is an operator event; list its channels in `operators` instead")
    if text not in _JOB_EVENTS:
        raise ValueError(f"no event is called {shown(text)}; {suggestion(text, _JOB_EVENTS)}")
    return Event(text)


@shaped(enum=_EVENTS)
def any_event(text: str) -> Event:
    """Any event, including operator events."""
    if text not in _EVENTS:
        raise ValueError(f"no event is called {shown(text)}; {suggestion(text, _EVENTS)}")
    return Event(text)


@shaped(enum=_TEMPLATES)
def template_name(text: str) -> str:
    """What a template can be for: an event, `digest`, or `*` for all others."""
    if text not in _TEMPLATES:
        raise ValueError(f"no event is called {shown(text)}; {suggestion(text, _TEMPLATES)}")
    return text


@shaped(pattern=f"^{_CLOCK.pattern}$")
def clock_time(text: str) -> time:
    """A time of the day, "HH:MM"."""
    found = _CLOCK.fullmatch(text)
    if found is None:
        raise ValueError(f'{shown(text)} is not a time of day; write "00:00" to "23:59"')
    return time(int(found[1]), int(found[2]))


@shaped(pattern="^https?://.")
def public_url(text: str) -> str:
    """The daemon's public http(s) address, with or without a path; trailing slashes are removed."""
    parts = web_address(text)
    if parts is None or re.fullmatch(r"[!-~]{1,500}", text) is None:
        raise ValueError(f'{shown(text)} is not a web address; write "https://HOST"')
    if "@" in parts.netloc or parts.query or parts.fragment or "?" in text or "#" in text:
        raise ValueError(
            'only scheme, host, port and path are allowed; write "https://HOST" or "https://HOST/PATH"'
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


@shaped(minLength=1)
def host_name(text: str) -> str:
    """The name or address of a host, without a port, in lower case."""
    name = text.strip().lower().removesuffix(".").removeprefix("[").removesuffix("]")
    if re.fullmatch(r"[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?|[0-9a-f:.]{2,45}", name, re.ASCII) is None:
        raise ValueError(f'{shown(text)} is not a host; write it without scheme and port, as in "wrapd.internal"')
    return name


@shaped(enum=[*LISTED_KINDS, *UNLISTED_KINDS])
def kind(text: str) -> str:
    """Any kind of job."""
    if text not in (*LISTED_KINDS, *UNLISTED_KINDS):
        raise ValueError(
            f"no kind of job is called {shown(text)}; {suggestion(text, LISTED_KINDS + UNLISTED_KINDS)}"
        )
    return text


@shaped(pattern=f"^{_SQLITE}.")
def database_url(text: str, folder: Path | None = None) -> str:
    """The database as an absolute SQLite URL; a relative path starts from `folder`, that of the config file."""
    path = text.removeprefix(_SQLITE)
    if path == text:
        raise ValueError('wrapd keeps its state in an SQLite file; write "sqlite:///wrapd.db"')
    if not path or path == ":memory:" or path.endswith("/"):
        raise ValueError('it names no file; write "sqlite:///wrapd.db" or "sqlite:////var/lib/wrapd/wrapd.db"')
    if "?" in path or not path.isprintable():
        raise ValueError('the path allows no options and no control characters; write "sqlite:///wrapd.db"')
    return _SQLITE + str((folder or Path()).absolute() / path)


@shaped(enum=[*LISTED_KINDS])
def listed_kind(text: str) -> str:
    """A kind of job that can be discovered."""
    if text in UNLISTED_KINDS:
        raise ValueError(
            f"the service does not list jobs of kind {shown(text)}; {suggestion('', LISTED_KINDS)}, and track "
            "others by their ids"
        )
    if text not in LISTED_KINDS:
        raise ValueError(f"no kind of job is called {shown(text)}; {suggestion(text, LISTED_KINDS)}")
    return text


@shaped(enum=[*State.__members__])
def state(text: str) -> State:
    """A job state, as named in the service's API document."""
    if text not in State.__members__:
        raise ValueError(f"no state is called {shown(text)}; {suggestion(text, State.__members__)}")
    return State(text)


@shaped(pattern=r"\S", maxLength=MAX_WORD)
def word(text: str) -> str:
    """A tag or a batch."""
    if not text.strip() or len(text) > MAX_WORD or not text.isprintable():
        raise ValueError(f"{shown(text)} is not a tag or batch; write 1 to {MAX_WORD} printable characters")
    return text.strip()


@shaped(minLength=1, maxLength=MAX_PATTERN)
def pattern(text: str) -> str:
    """A name pattern: `*` stands for any characters, `?` for one, `[ab]` for a or b."""
    if not text or len(text) > MAX_PATTERN:
        raise ValueError(f"write 1 to {MAX_PATTERN} characters")
    return text
