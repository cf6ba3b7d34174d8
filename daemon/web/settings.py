"""Settings of the web server, its socket, and the public addresses of callbacks and links."""

import hashlib
import hmac
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import assert_never
from urllib.parse import quote, urlsplit

from daemon.domain.hosts import is_loopback
from daemon.domain.jobs import ProjectName
from daemon.errors import ConfigFault

LEAST_TOKEN = 16
"""Minimum length of `web.token` in characters: nothing else protects the API."""
_SECRET_LENGTH = 40
"""Length of the secret part of a callback's path in characters: 160 bits."""


class CallbackAuth(StrEnum):
    """How MetaStudio authenticates a callback: `auth_type` of its `callback_config`."""

    NONE = "none"  # by a secret part of the path
    MSS_A = "mss_a"  # by a signature in the query


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackSettings:
    """Callbacks of one project. `key` signs them (MSS_A) or is the source of the secret part of the path (NONE).
    With `track_unknown`, a callback about an unknown job tracks it."""

    auth: CallbackAuth
    key: str = field(repr=False)
    track_unknown: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """How the web server runs. Raises ConfigFault for unsafe or unusable values.

    `token` is the bearer token of the API (None: no API); `public_url` is the server's address from outside;
    `link_life` is how long a link to a video can be opened, in seconds; `hosts` are more names, in lower case,
    under which requests are answered; `pages` says whether there are pages for people.
    """

    host: str
    port: int
    token: str | None = field(default=None, repr=False)
    public_url: str | None = None
    callbacks: Mapping[ProjectName, CallbackSettings] = field(default_factory=dict)
    link_life: float = 30 * 86400.0
    hosts: tuple[str, ...] = ()
    pages: bool = True

    def __post_init__(self) -> None:
        if self.token is None and not is_loopback(self.host):
            raise ConfigFault(
                f"web.listen: {self.host} can be reached from other machines, and there is no web.token. "
                "Listen on 127.0.0.1 (behind a proxy), or set web.token."
            )
        if self.token is not None and (len(self.token) < LEAST_TOKEN or not _plain(self.token)):
            raise ConfigFault(
                f"web.token: it must be {LEAST_TOKEN} or more printable ASCII characters without spaces; "
                "`openssl rand -hex 24` makes one"
            )
        if self.public_url is not None:
            check_public_url(self.public_url)
        for project, each in self.callbacks.items():
            if self.public_url is None:
                raise ConfigFault(
                    f"projects.{project}.callback: MetaStudio must be told where to send callbacks; "
                    'set web.public_url, as in "https://wrapd.example.com"'
                )
            if not each.key:
                raise ConfigFault(
                    f"projects.{project}.callback.key: it is empty; `openssl rand -hex 24` makes one"
                )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ConfigFault if the address is in use or does not belong to this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol given, asyncio sets TCP_NODELAY: without that, each answer takes 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()  # clients that connect before the server runs wait for it
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigFault(
            f"web.listen: cannot listen on {host}:{port}: {reason}. "
            "Name a free address, port 0 for any free port, or set web.enabled = false."
        ) from error
    return listener


def callback_url(public_url: str, project: ProjectName, settings: CallbackSettings) -> str:
    """The address to give to MetaStudio as `callback_url`.

    With auth NONE it ends in a secret derived from the key; the key cannot be derived from the address.
    """
    plain = f"{public_url.rstrip('/')}/callbacks/{quote(project, safe='')}"
    match settings.auth:
        case CallbackAuth.MSS_A:
            return plain
        case CallbackAuth.NONE:
            return f"{plain}/{callback_secret(project, settings)}"
        case _:
            assert_never(settings.auth)


def callback_secret(project: ProjectName, settings: CallbackSettings) -> str:
    """The secret part of the path for auth NONE; it changes with the key."""
    message = f"wrapd callback {project}".encode()
    return hmac.new(settings.key.encode(), message, hashlib.sha256).hexdigest()[:_SECRET_LENGTH]


def own_url(public_url: str, token: str) -> str:
    """wrapd's own link to a video; `/download` and `/cover` below it lead to the file and its cover."""
    return f"{public_url.rstrip('/')}/v/{token}"


def share_url(public_url: str, secret: str) -> str:
    """The address of a share of a batch."""
    return f"{public_url.rstrip('/')}/share/{secret}"


def check_public_url(url: str) -> None:
    """Raise ConfigFault unless paths can be appended to the URL."""
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right, parts = False, urlsplit("")
    if not right or parts.query or parts.fragment or parts.username is not None or not _plain(url):
        raise ConfigFault(
            "web.public_url: links cannot be built on this address; write scheme and host, and a path if a proxy "
            'adds one, as in "https://wrapd.example.com"'
        )


def _plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text
