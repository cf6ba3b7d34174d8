"""Project clients for tests, with their clock, a log of requests, and permits."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from daemon.clock import Clock, ManualClock, SystemClock
from daemon.domain.jobs import Observation, ProjectName, parse_job_id
from daemon.metastudio.budget import Budget, Permit, Priority
from daemon.metastudio.client import ProjectClient
from daemon.metastudio.gate import AuthGates
from daemon.metastudio.kinds import AVATAR, Kind
from daemon.metastudio.settings import AkSk, Auth, ProjectSettings
from daemon.sim import Simulator

KEYS = AkSk(access_key="AK", secret_key="SK")


@dataclass
class Project:
    """A client, and (operation, outcome) of each request it sent."""

    client: ProjectClient
    gates: AuthGates
    clock: Clock
    sent: list[tuple[str, str]] = field(default_factory=list)

    async def permit(self) -> Permit:
        return await self.client.budget.take(Priority.NEWS)

    async def show(self, job_id: str, kind: Kind = AVATAR, **options: Any) -> Observation:
        return await self.client.show(kind, parse_job_id(job_id), permit=await self.permit(), **options)

    async def download_url(self, asset_id: str, *, timeout: float = 3.0) -> str | None:
        return await self.client.download_url(asset_id, permit=await self.permit(), timeout=timeout)


@contextlib.asynccontextmanager
async def project(
    url: str,
    *,
    auth: Auth = KEYS,
    clock: Clock | None = None,
    gates: AuthGates | None = None,
    environ: Mapping[str, str] | None = None,
    **settings: Any,
) -> AsyncIterator[Project]:
    """Open a client of the server at `url` (API and IAM), with a rate of 1000 a second unless `rate` is given."""
    clock = clock or SystemClock()
    gates = gates or AuthGates(clock)
    values: dict[str, Any] = {"project_id": "p1", "rate": 1000.0, "endpoint": url, "iam_endpoint": url} | settings
    sent: list[tuple[str, str]] = []
    budget = Budget(values["rate"], clock, sleep=_passing(clock))
    client = ProjectClient(
        ProjectSettings(name=ProjectName("main"), auth=auth, **values),
        clock=clock,
        gates=gates,
        rng=random.Random(1),
        environ=environ or {},
        budget=budget,
        on_request=lambda operation, outcome, _seconds: sent.append((operation, outcome)),
    )
    try:
        yield Project(client=client, gates=gates, clock=clock, sent=sent)
    finally:
        await client.aclose()


def _passing(clock: Clock) -> Callable[[float], Awaitable[None]]:
    """Return a sleep that advances a manual clock instead of waiting for it."""
    if not isinstance(clock, ManualClock):
        return asyncio.sleep

    async def sleep(seconds: float) -> None:
        clock.advance(seconds)
        await asyncio.sleep(0)

    return sleep


@contextlib.asynccontextmanager
async def project_of(sim: Simulator, **options: Any) -> AsyncIterator[Project]:
    """Open a client of the simulator's project, with its keys unless another `auth` is given."""
    keys = AkSk(
        access_key=sim.settings.access_key,
        secret_key=sim.settings.secret_key,
        security_token=sim.settings.security_token,
    )
    given: dict[str, Any] = {"auth": keys, "project_id": sim.settings.project_id} | options
    async with project(sim.url, **given) as one:
        yield one
