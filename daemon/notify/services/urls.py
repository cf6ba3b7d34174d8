"""URLs of channels, read and written as text. Pure.

Where a plugin of ours is meant for a service that may live elsewhere, `host=` says so: a private gateway, or a
stand-in for tests, takes the service's place: `?host=gateway.example.com:8443`, with `&insecure=yes` for plain
HTTP, which is for this machine alone: a token must not cross a network in the open.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlencode

from daemon.domain.hosts import is_loopback


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
