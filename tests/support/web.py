"""The web server on a real socket and a real database, with stand-ins for the rest of the daemon that record their
calls."""

import asyncio
import contextlib
import http.client
import json
import random
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from daemon.app.hub import Hub, News
from daemon.clock import ManualClock
from daemon.domain.durations import Durations, Sample, fit
from daemon.domain.jobs import ChannelName, JobId, ProjectName
from daemon.domain.routing import routing
from daemon.metrics import Metrics
from daemon.store import JobRow, Store, TrackRequest
from daemon.tasks import Defects, Tasks
from daemon.views import ChannelFacts
from daemon.web import Health, Probes, WebSettings, listen
from daemon.web.app import App
from daemon.web.context import SentTest, WebContext
from daemon.web.live import Live
from daemon.web.server import WebServer, build_app
from tests.support import quick_apps
from tests.support.store import A, B

quick_apps.install()

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
MAIN, OTHER = ProjectName("main"), ProjectName("other")
TOKEN = "a-token-of-24-characters"
PUBLIC = "https://wrapd.example.com"


FACTS = ChannelFacts(
    timezone="UTC",
    language="en",
    max_per_minute=None,
    digest_above=None,
    digest_window=60.0,
    fallback=None,
    fallback_after=900.0,
    templates=(),
)
_CLIENTS = ThreadPoolExecutor(max_workers=32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A received answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Desk:
    """The server, and its calls to the rest of the daemon."""

    store: Store
    hub: Hub
    live: Live
    clock: ManualClock
    web: WebServer
    tasks: Tasks
    """Work that goes on after the answers."""
    app: App
    watched: set[tuple[str, str]] = field(default_factory=set)
    """(project, job id) of the watched jobs."""
    hints: list[tuple[str, str]] = field(default_factory=list)
    told: list[News] = field(default_factory=list)
    """What the hub told."""
    news: asyncio.Event = field(default_factory=asyncio.Event)
    durations: Durations = field(default_factory=lambda: fit({}, {}))
    """What the daemon has learned."""
    fresh: dict[str, JobRow] = field(default_factory=dict)
    """The job that `renew` returns for a job id; unchanged for ids not listed."""
    renewed: list[str] = field(default_factory=list)

    tests: list[str] = field(default_factory=list)
    """The channels to which a test message was sent."""
    refusing: set[str] = field(default_factory=set)
    """The channels that refuse it."""

    async def ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | object | None = None,
        token: str | None = None,
    ) -> Answer:
        """Send one request; a body that is not bytes is sent as JSON."""
        sent = dict(headers or {}) | ({} if token is None else {"Authorization": f"Bearer {token}"})
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        loop = asyncio.get_running_loop()  # its own threads: the store reads in those of the loop
        return await loop.run_in_executor(_CLIENTS, self._ask, method, path, sent, data)

    def _ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        host, _, port = self.web.address.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        try:
            connection.request(method, path, body=body, headers=dict(headers))
            answer = connection.getresponse()
            named = {name.lower(): value for name, value in answer.getheaders()}
            endless = method == "GET" and named.get("content-type", "").startswith("text/event-stream")
            return Answer(status=answer.status, headers=named, body=b"" if endless else answer.read())
        finally:
            connection.close()

    async def heard(self, holds: Callable[[News], bool]) -> None:
        """Wait until the hub has told such news."""
        await self.until(lambda: any(map(holds, self.told)))

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for a condition on what the hub told."""
        async with asyncio.timeout(60):
            while not holds():
                self.news.clear()
                await self.news.wait()

    def job(self, job_id: str, project: str = MAIN) -> JobRow:
        [row] = self.store.read(lambda tx: tx.jobs.find(JobId(job_id), ProjectName(project)))
        return row

    def jobs(self) -> dict[str, JobRow]:
        return {row.job_id: row for row in self.store.read(lambda tx: tx.jobs.list())}

    def track(self, job_id: str, *, kind: str = "avatar", **more: Any) -> int:
        """Track a job; return its row id."""
        request = TrackRequest(project=MAIN, kind=kind, job_id=JobId(job_id), **more)
        self.store.write_now(lambda tx: tx.jobs.track(request, at=self.clock.now()))
        return self.job(job_id).id


def learned(*, seconds: float = 60.0) -> Durations:
    """The law of forty avatar videos of `main` that took this long and up to two thirds more."""
    ends = [
        Sample(seconds=seconds + n * seconds / 60.0, length=None, failed=False, ended=NOW.timestamp() - n)
        for n in range(40)
    ]
    return fit({("main", "avatar"): ends}, {}, now=NOW.timestamp())


@contextlib.asynccontextmanager
async def desk(
    folder: Path,
    *,
    projects: tuple[ProjectName, ...] = (MAIN,),
    channels: tuple[ChannelName, ...] = (A, B),
    streams: Mapping[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[Desk]:
    """Run a server with these WebSettings; `streams` are options of `Live`."""
    clock = ManualClock(NOW)
    store = Store.open(f"sqlite:///{folder / 'web.db'}", clock=clock, daemon=True)
    listener = listen(settings.get("host", "127.0.0.1"), 0)
    made = WebSettings(**{"host": "127.0.0.1", "port": 0, "token": TOKEN, "public_url": PUBLIC} | settings)
    it: Desk

    def hint(project: ProjectName, job_id: JobId) -> bool:
        it.hints.append((project, job_id))
        return (project, job_id) in it.watched

    def told(news: News) -> None:
        it.told.append(news)
        it.news.set()

    async def renew(row: JobRow) -> JobRow:
        it.renewed.append(row.job_id)
        return it.fresh.get(row.job_id, row)

    async def test(channel: ChannelName) -> SentTest:
        it.tests.append(channel)
        return SentTest(sent=channel not in it.refusing, reason="refused" if it.refusing else None, seconds=0.5)

    defects = Defects(clock=clock, metrics=Metrics())
    tasks, hub = Tasks("web", defects), Hub(store, defects=defects)
    live = Live(store, tasks=tasks, rng=random.Random(1), **(streams or {}))
    hub.listen(told)
    hub.listen(lambda news: live.hear(news.rows, missed=news.missed), wants_all=lambda: live.watched)
    context = WebContext(
        settings=made,
        routing=routing([], operators=None, channels=channels),
        store=store,
        clock=clock,
        projects=projects,
        hint=hint,
        renew=renew,
        channels=dict.fromkeys(channels, FACTS),
        test=test,
        durations=lambda: it.durations,
        give_up_after=86400.0,
        tasks=tasks,
        live=live,
    )
    healthy = Probes(alive=lambda: Health(stalled={}), ready=lambda: Health(stalled={}))
    app = build_app(healthy, _no_metrics, metrics_type="text/plain", context=context)
    web = WebServer(app, listener, tasks=tasks, defects=defects, live=live)
    it = Desk(store=store, hub=hub, live=live, clock=clock, web=web, tasks=tasks, app=app)
    hub.start()
    it.web.start()
    try:
        yield it
    finally:
        await it.web.stop()
        store.close()


async def _no_metrics() -> bytes:
    return b""
