"""The heartbeat: pings a dead man's switch while the daemon makes progress, so that someone hears when it stops.

Owns when a ping is due, the proof that a commit succeeds, and the form of the services' addresses. `health` judges
which parts make progress. A daemon that hangs or is gone pings no more; one that notices that it makes no progress
says so at once to the services whose form is known.
"""

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit

from daemon.addresses import Timeouts
from daemon.clock import Clock
from daemon.errors import ConfigFault
from daemon.logs import LogEvent, logger
from daemon.metrics import Metrics
from daemon.spec import HeartbeatSettings
from daemon.store import Store, StoreError
from daemon.transport import Answer, TransportError, environment_proxy, fetch
from daemon.web import Health

log = logger(__name__)

HEARTBEAT_TICK = 5.0
"""Seconds between two calls of `tick`. A ping comes with the call next to its time."""
FIRST = 30.0
"""Seconds from the start to the first ping, at most. A daemon that is restarted again and again pings never."""
AGAIN = 10.0
"""Seconds from a ping that failed to the next, at most."""
PROOF = 10.0
"""Seconds within which a commit must succeed."""
TIMEOUTS = Timeouts(connect=5.0, read=5.0, total=10.0)
_MOST_BYTES = 64 * 1024
_UUID = re.compile(r"/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.IGNORECASE)

Fetch = Callable[..., Awaitable[Answer]]
"""As `transport.fetch`."""


def down_url(url: str, stalled: str) -> str | None:
    """The address that tells the service of `url` that `stalled` makes no progress; None if it is unknown.

    Healthchecks takes `/fail` after the address of a check (https://healthchecks.io/docs/http_api/), Uptime Kuma
    `status=down` with a `msg` (its server/routers/api-router.js). Other services might take that for a ping.
    """
    parts = urlsplit(url)
    if "/api/push/" in parts.path:
        asked = {**dict(parse_qsl(parts.query, keep_blank_values=True)), "status": "down", "msg": stalled}
        return parts._replace(query=urlencode(asked)).geturl()
    if _UUID.search(parts.path) is not None or parts.hostname == "hc-ping.com":
        return parts._replace(path=f"{parts.path}/fail").geturl()
    return None


class HeartbeatSender:
    """Pings at every interval. Call `tick` every `HEARTBEAT_TICK` seconds."""

    def __init__(
        self,
        settings: HeartbeatSettings | None,
        *,
        store: Store,
        ready: Callable[[], Health],
        clock: Clock,
        metrics: Metrics,
        environ: Mapping[str, str] = os.environ,
        fetch: Fetch = fetch,
    ) -> None:
        """`ready` judges which parts make progress. None for `settings`: there are no pings."""
        self._settings: HeartbeatSettings | None = None
        self._store, self._ready, self._clock = store, ready, clock
        self._count, self._environ, self._fetch = metrics.heartbeats, environ, fetch
        self._due = 0.0
        self._last: LogEvent | None = None
        """What was logged last."""
        self.adopt(settings)

    def adopt(self, settings: HeartbeatSettings | None) -> None:
        """Use other settings from now on."""
        if settings == self._settings:
            return
        self._settings, self._last = settings, None
        if settings is not None:
            self._wait(min(settings.interval, FIRST))
            for outcome in ("sent", "failed", "withheld"):
                self._count.labels(outcome)  # a counter that appears with its first event shows no increase

    async def tick(self) -> None:
        """Ping if that is due and there is progress."""
        settings = self._settings
        if settings is None or self._clock.monotonic() < self._due:
            return
        self._wait(settings.interval)
        stalled = await self._stalled()
        if stalled:
            await self._withhold(settings, ", ".join(stalled))
            return
        error = await self._ask(settings.url)
        self._count.labels("sent" if error is None else "failed").inc()
        if error is None:
            self._log(LogEvent.HEARTBEAT_SENT)
        else:
            self._wait(min(settings.interval, AGAIN))
            self._log(LogEvent.HEARTBEAT_FAILED, error=error)

    def _wait(self, seconds: float) -> None:
        self._due = self._clock.monotonic() + seconds - HEARTBEAT_TICK / 2

    async def _stalled(self) -> list[str]:
        """The parts without progress. A daemon without work writes nothing, so a commit is tried."""
        if stalled := self._ready().stalled:
            return sorted(stalled)
        try:
            async with asyncio.timeout(PROOF):
                await self._store.write(lambda tx: tx.statuses.prove())
        except (StoreError, TimeoutError):
            return ["writer"]
        return []

    async def _withhold(self, settings: HeartbeatSettings, stalled: str) -> None:
        self._count.labels("withheld").inc()
        if self._last is LogEvent.HEARTBEAT_WITHHELD:
            return
        url = down_url(settings.url, f"no progress: {stalled}")
        error = None if url is None else await self._ask(url)
        self._log(LogEvent.HEARTBEAT_WITHHELD, stalled=stalled, error=error)

    async def _ask(self, url: str) -> str | None:
        """Send a request; returns what went wrong. Bounded by `TIMEOUTS`."""
        try:
            proxy = environment_proxy(url, self._environ)
            answer = await self._fetch(url, timeouts=TIMEOUTS, max_bytes=_MOST_BYTES, proxy=proxy)
        except (TransportError, ConfigFault) as error:
            return str(error)
        if not 200 <= answer.status < 300:
            return f"the service answers {answer.status}"
        # Healthchecks answers 200 "OK (not found)" if it has no such check.
        return "the service answers OK, but takes no notice" if answer.body.startswith(b"OK (") else None

    def _log(self, event: LogEvent, **fields: object) -> None:
        if event is self._last:
            return
        self._last = event
        write = log.info if event is LogEvent.HEARTBEAT_SENT else log.error
        write(event, **{name: value for name, value in fields.items() if value is not None})
