"""What the web server stands on: the store, and what it may ask of the rest of the daemon. Settings, projects and
routing may change while it runs: they are read at each request.

Plain functions, so that it knows nothing of the watch and of the delivery. Never decides anything.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from daemon.clock import Clock
from daemon.domain.durations import Eta
from daemon.domain.jobs import JobId, ProjectName
from daemon.domain.routing import Routing
from daemon.store import JobRow, Store
from daemon.tasks import Tasks
from daemon.web.settings import WebSettings

Hint = Callable[[ProjectName, JobId], bool]
"""Have a job asked about at once; False where nobody watches it."""
Renew = Callable[[JobRow], Awaitable[JobRow]]
"""The job with links that the service gave lately; as it is where the service gives none. Never raises, takes
seconds at most."""
EtaOf = Callable[[JobRow, datetime], Eta | None]
"""What remains of a job's production; None where nobody can say."""


@dataclass(slots=True, kw_only=True)
class WebGround:
    """The web server's surroundings. `tracked` is told that jobs were tracked: they are to be taken up at once."""

    settings: WebSettings
    store: Store
    clock: Clock
    projects: tuple[ProjectName, ...]
    hint: Hint
    tracked: Callable[[], None]
    renew: Renew
    eta: EtaOf
    tasks: Tasks
    routing: Routing | None = None
    """Where the end of a batch is told whose last job goes over to another; None: nowhere."""
