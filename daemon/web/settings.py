"""What the web server is told, and the addresses that follow from it. Pure.

Owns the form of wrapd's public addresses: those of callbacks and of links to videos. Never reads the config.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import assert_never
from urllib.parse import quote, urlsplit

from daemon.domain.hosts import is_loopback
from daemon.domain.jobs import ProjectName
from daemon.errors import ConfigFault

LEAST_TOKEN = 16
"""Characters of `web.token` at least: it is all that stands before the API."""
_SECRET_LENGTH = 40
"""Characters of a callback's secret path part: 160 bits."""


class CallbackAuth(StrEnum):
    """How MetaStudio proves that a callback is its own: `auth_type` of its `callback_config`."""

    NONE = "none"  # by a secret part of the path
    MSS_A = "mss_a"  # by a signature in the query


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackSettings:
    """Callbacks of one project. `key` signs them (MSS_A), or the secret path part is made of it (NONE); with
    `track_unknown` a callback about a job that wrapd does not know tracks it."""

    auth: CallbackAuth
    key: str = field(repr=False)
    track_unknown: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """How the web server is run. Raises ConfigFault for what must not be.

    `token` is the bearer token of the API (None: there is no API); `public_url` is where the server is reached
    from outside; `link_life` is how long a link to a video may be opened, in seconds.
    """

    host: str
    port: int
    token: str | None = field(default=None, repr=False)
    public_url: str | None = None
    callbacks: Mapping[ProjectName, CallbackSettings] = field(default_factory=dict)
    link_life: float = 30 * 86400.0

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


def callback_url(public_url: str, project: ProjectName, settings: CallbackSettings) -> str:
    """The address to give to MetaStudio as `callback_url`.

    With auth NONE it ends in a secret, made from the key: whoever reads the address cannot tell the key from it.
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
    """The secret part of the path of a callback with auth NONE: another key makes another one."""
    message = f"wrapd callback {project}".encode()
    return hmac.new(settings.key.encode(), message, hashlib.sha256).hexdigest()[:_SECRET_LENGTH]


def own_url(public_url: str, token: str) -> str:
    """wrapd's own link to a video; `/download` and `/cover` under it lead to the file and to its picture."""
    return f"{public_url.rstrip('/')}/v/{token}"


def check_public_url(url: str) -> None:
    """Raises ConfigFault for what cannot stand before a path."""
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right, parts = False, urlsplit("")
    if not right or parts.query or parts.fragment or parts.username is not None or not _plain(url):
        raise ConfigFault(
            "web.public_url: this is no address to build links on; write scheme and host, and a path where a "
            'proxy has one, as in "https://wrapd.example.com"'
        )


def _plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text
