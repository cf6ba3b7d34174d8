"""Classifies IP addresses as internal or public, to keep third parties' URLs from reaching internal hosts; and
names the host of a URL.

A host name can resolve to a different address at any time, so the check applies to the address of each connection.
"""

import errno
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any
from urllib.parse import urlsplit

AddrInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]]
"""One result of `getaddrinfo`."""
Connect = Callable[[AddrInfo], socket.socket]
"""Creates the socket for a connection to an address. Raises OSError to refuse the address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds: `connect` for name look-up, connection and TLS; `read` between two pieces; `total` for all."""

    connect: float = 5.0
    read: float = 10.0
    total: float = 20.0


_IP = ipaddress.IPv4Address | ipaddress.IPv6Address
_SHARED = ipaddress.ip_network("100.64.0.0/10")
"""Shared address space (RFC 6598). Huawei Cloud's services have addresses here for machines inside the cloud."""
_EMBEDDING = (
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),  # NAT64
    (ipaddress.IPv6Network("64:ff9b:1::/48"), 0),
    (ipaddress.IPv6Network("::/96"), 0),  # IPv4-compatible
    (ipaddress.IPv6Network("::ffff:0:0:0/96"), 0),  # translated
    (ipaddress.IPv6Network("2002::/16"), 80),  # 6to4
)
"""IPv6 networks that embed an IPv4 address, each with the number of bits after that address."""


def host_of(url: str) -> str:
    """The host and port of an http(s) URL, to tell people whom wrapd talks to; '' if it has none.

    >>> [host_of(url) for url in ("https://a.example/secret?key=1", "http://u:p@[::1]:8080/x", "https:", "http://[")]
    ['a.example:443', '[::1]:8080', '', '']
    """
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return ""
    host = parts.hostname or ""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}" if host else ""


class Reach(Enum):
    """Which addresses a fetch may connect to."""

    ANY = auto()
    CLOUD = auto()  # public addresses, and the cloud's own in the shared address space
    OUTSIDE = auto()


def is_inside(host: str) -> bool:
    """Whether `host` is an address of this machine, a private network or a range never used on the internet.
    Host names are not resolved: the result for them is False.

    >>> [is_inside(host) for host in ("10.0.0.1", "::ffff:127.0.0.1", "224.0.0.1", "9.9.9.9", "example.com")]
    [True, True, True, False, False]
    """
    try:
        return _lies_inside(ipaddress.ip_address(host))
    except ValueError:
        return False


def may_reach(address: str, reach: Reach) -> bool:
    """Whether connecting to `address` (an IP address, not a name) is allowed."""
    if reach is Reach.ANY:
        return True
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if reach is Reach.CLOUD and found.version == 4 and found in _SHARED:
        return True
    return not _lies_inside(found) and not _is_own(found)


def connecting(reach: Reach) -> Connect | None:
    """Return a socket factory restricted to `reach`, or None if no restriction applies."""

    def connect(info: AddrInfo) -> socket.socket:
        family, kind, number, _, address = info
        if not may_reach(str(address[0]), reach):
            raise OSError(errno.EACCES, "it leads to this machine or its network")
        return socket.socket(family, kind, number)

    return None if reach is Reach.ANY else connect


def _lies_inside(address: _IP) -> bool:
    inner = _inner(address)
    if inner is not None:
        return _lies_inside(inner)
    if isinstance(address, ipaddress.IPv6Address) and address.is_site_local:
        return True
    return not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified


def _inner(address: _IP) -> ipaddress.IPv4Address | None:
    """The IPv4 address embedded in an IPv6 address, if any."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.teredo is not None:
        return address.teredo[1]
    for network, shift in _EMBEDDING:
        if address in network and int(address) > 1:  # :: and ::1 embed nothing
            return ipaddress.IPv4Address((int(address) >> shift) & 0xFFFFFFFF)
    return None


def _is_own(address: _IP) -> bool:
    """Whether the address belongs to this machine: then it is also the source of a route to it. Sends nothing."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as way:
            way.connect((str(address), 9))
            return ipaddress.ip_address(way.getsockname()[0]) == address
    except (OSError, ValueError):
        return False  # no route to it
