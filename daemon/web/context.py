"""What the web server uses of the rest of the daemon, as plain functions: it knows neither watch nor delivery.

Settings, projects and routing may change while it runs, so they are read at each request.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from msgspec import Struct

from daemon.clock import Clock
from daemon.domain.durations import Durations
from daemon.domain.jobs import ChannelName, JobId, ProjectName
from daemon.domain.routing import Routing
from daemon.store import JobRow, Store
from daemon.tasks import Tasks
from daemon.views import ChannelFacts
from daemon.web.settings import WebSettings

if TYPE_CHECKING:
    from daemon.web.live import Live  # loads uvicorn

Hint = Callable[[ProjectName, JobId], bool]
"""Polls a job at once; returns False if it is not being watched."""
Renew = Callable[[JobRow], Awaitable[JobRow]]
"""Returns the job with links recently obtained from the service, or unchanged if that fails. Never raises; takes a
few seconds at most."""


class SentTest(Struct, frozen=True, kw_only=True):
    """What became of a test message; `seconds` is how long it took. `reason` holds no secret."""

    sent: bool
    reason: str | None
    seconds: float


SendTest = Callable[[ChannelName], Awaitable[SentTest]]
"""Sends a test message to a channel of the config."""


@dataclass(slots=True, kw_only=True)
class WebContext:
    """The web server's context."""

    settings: WebSettings
    store: Store
    clock: Clock
    projects: tuple[ProjectName, ...]
    hint: Hint
    renew: Renew
    durations: Callable[[], Durations]
    """What was learned of production times so far."""
    tasks: Tasks
    channels: Mapping[ChannelName, ChannelFacts]
    """The channels of the config."""
    test: SendTest
    live: "Live"
    give_up_after: float
    """Seconds after which a tracked job expires."""
    routing: Routing | None = None
    """Where to report the end of a batch when its last job moves to another batch; None: nowhere."""
    sheets: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))
    """Held while a CSV is made: each takes some megabytes."""
