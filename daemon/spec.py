"""The spec of a daemon: everything that a config asks for, in plain values.

`build` makes it from the config, the demo by itself; `app` carries it out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec import Struct

from daemon.domain.jobs import ChannelName, ProjectName
from daemon.domain.routing import Routing
from daemon.logs import Format, Level
from daemon.metastudio.settings import ProjectSettings
from daemon.notify import NotifySettings
from daemon.notify.transport import Channel
from daemon.watch.settings import PollingPlan
from daemon.watch.wishes import DiscoverySettings
from daemon.web import WebSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatSettings:
    """The address of a dead man's switch, a secret, and the seconds between two pings."""

    url: str = field(repr=False)
    interval: float


class Spec(Struct, frozen=True, kw_only=True):
    """Everything a daemon does. Durations are seconds."""

    database_url: str
    auto_migrate: bool = True
    projects: tuple[ProjectSettings, ...]
    max_in_flight: Mapping[ProjectName, int]
    polling: PollingPlan
    not_found_grace: float
    give_up_after: float
    channels: Mapping[ChannelName, Channel]
    routing: Routing
    notify: NotifySettings
    web: WebSettings | None
    """None: no web server."""
    discovery: Mapping[ProjectName, DiscoverySettings] = {}
    """The projects whose jobs are discovered from the service's list."""
    link_reminder: float = 0.0
    """How long before its last link expires `link_expiring` is sent; 0: never."""
    keep: float = 0.0
    """How long ended jobs and deliveries are kept; 0: forever."""
    covers: int = 0
    """Bytes that the covers of finished videos may take; 0: only those that messages show are fetched."""
    heartbeat: HeartbeatSettings | None = None
    log_level: Level = "info"
    log_format: Format = "text"
    source: Mapping[str, object] = {}
    """The config as written, without its secrets. For display only."""
