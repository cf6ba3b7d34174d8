"""What a daemon is to do, in plain values: made by `build` (from the config) or by the demo, carried out by
`app`.

Decides nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

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
class Plan:
    """Everything that a daemon is to do. Durations are seconds."""

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
    discovery: Mapping[ProjectName, DiscoverySettings] = field(default_factory=dict)
    """The projects whose jobs are taken from the service's list."""
    link_reminder: float = 0.0
    """How long before its last link dies `link_expiring` is told; 0: never."""
    keep: float = 0.0
    """For how long what is over is kept; 0: for ever."""
    log_level: Level = "info"
    log_format: Format = "text"
    source: Mapping[str, object] = field(default_factory=dict)
    """The config that asked for this, as it is written but for its secrets: to show, not to go by."""
