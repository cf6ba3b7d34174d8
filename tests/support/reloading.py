"""A daemon in this process with a config file that a test rewrites and reloads. The simulator, the webhooks, the
database and time are real."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from daemon.app.reload import Reloaded
from daemon.app.run import Daemon
from daemon.build import load_spec
from daemon.clock import SystemClock
from daemon.domain.jobs import ChannelName, JobId, ProjectName
from daemon.sim import Simulator
from daemon.store import DeliveryRow, TrackRequest
from tests.support.live import QUICK
from tests.support.webhook import Received, Webhook

PATIENCE = 30.0
"""Maximum seconds that a test waits for an expected event."""
BASE = QUICK + "[web]\nenabled = false\n"


def project(sim: Simulator, name: str = "main", *, rate: float = 50, secret: str | None = None) -> str:
    """Return a config section for a project."""
    keys = sim.settings
    pair = f'access_key = "{keys.access_key}", secret_key = "{secret or keys.secret_key}"'
    return (
        f'[projects.{name}]\nendpoint = "{sim.url}"\nproject_id = "{keys.project_id}"\n'
        f"requests_per_second = {rate:g}\n"
        f'auth = {{ method = "aksk", {pair} }}\n'
    )


@dataclass
class Live:
    """The daemon, with the checks and waits that tests need."""

    service: Daemon
    path: Path

    async def reload(self, config: str) -> Reloaded:
        self.path.write_text(config)
        assert self.service.reloader is not None
        return await self.service.reloader.reload()

    async def track(self, *jobs: str, project: str = "main", kind: str = "avatar") -> None:
        requests = [TrackRequest(project=ProjectName(project), kind=kind, job_id=JobId(job)) for job in jobs]
        at = self.service.clock.now()
        await self.service.store.write(lambda tx: tx.jobs.track_many(requests, at=at))
        self.service.scope.watcher.notice_soon()

    def deliveries(self) -> list[DeliveryRow]:
        return sorted(self.service.store.read(lambda tx: tx.outbox.list()), key=lambda row: row.id)

    def statuses(self) -> Counter[str]:
        return Counter(str(row.status) for row in self.deliveries())

    def polled(self, job: str) -> bool:
        """Whether a job is in the agenda of a poller and has been queried."""
        found = [poller.agenda.get(JobId(job)) for poller in self.service.scope.pollers.values()]
        return any(each is not None and each.looked is not None for each in found)

    def lane(self, name: str = "hook") -> Any:
        return self.service.delivery.dispatcher._lanes[ChannelName(name)]

    def metric(self, name: str, **labels: str) -> float | None:
        return self.service.metrics.registry.get_sample_value(name, labels)

    async def came(self, hook: Webhook, number: int) -> list[Received]:
        """Return the requests once there are `number` of them."""
        await self.until(f"{number} came", lambda: len(hook.requests) >= number)
        return list(hook.requests)

    async def until(self, what: str, holds: Callable[[], object], *, seconds: float = PATIENCE) -> None:
        """Wait for a condition that is not announced."""
        try:
            async with asyncio.timeout(seconds):
                while not holds():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"not within {seconds:g} s: {what}") from None


@asynccontextmanager
async def live(folder: Path, config: str, environ: Mapping[str, str] | None = None) -> AsyncIterator[Live]:
    """Run a daemon on `config` with its own environment."""
    path = folder / "wrapd.toml"
    path.write_text(config)
    path.chmod(0o600)
    read = partial(load_spec, path, environ or {})
    service = Daemon(read()[0], SystemClock(), rng=random.Random(1), read=read, config=path)
    await service.start()
    try:
        yield Live(service=service, path=path)
    finally:
        await service.stop()
