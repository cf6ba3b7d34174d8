"""Fresh links: queries a finished video's links again and stores them.

Owns how often a job is queried for this, and the reminder of links that expire unopened. Does not change a job's
state and does not block its caller for longer than the caller allows.
"""

import asyncio
import dataclasses
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from daemon.clock import Clock
from daemon.domain.events import Event
from daemon.domain.jobs import Asset, ChannelName, JobId, ProjectName
from daemon.domain.routing import Routing
from daemon.logs import LogEvent, logger
from daemon.metastudio.budget import Priority
from daemon.metastudio.client import ProjectClient
from daemon.metastudio.errors import ApiError, JobNotFound, Refused
from daemon.metastudio.kinds import KINDS, Kind
from daemon.store import JobRow, Store, StoreError, Transaction
from daemon.tasks import Tasks

log = logger(__name__)

FRESH_FOR = 120.0
"""Seconds for which an answer is reused rather than queried again."""
REST = 15.0
"""Seconds without queries for a project's links after one failed for a reason unrelated to its job."""
ASSET_TIMEOUT = 5.0
"""Seconds allowed for a video's download link, including the wait for the budget."""
_REMEMBERED = 4096
_REMINDED_AT_ONCE = 1000


class _Renewed(Struct, frozen=True, kw_only=True):
    """A result and until when it is reused (monotonic seconds). `job` is None if the service had no links."""

    until: float
    job: JobRow | None


class FreshLinks:
    """Renews links of all projects' jobs, with the priority of news. `stop` before the clients are closed."""

    def __init__(
        self, clients: Mapping[ProjectName, ProjectClient], store: Store, clock: Clock, *, tasks: Tasks
    ) -> None:
        self._clients = clients
        self._store = store
        self._clock = clock
        self._renewed: OrderedDict[int, _Renewed] = OrderedDict()
        self._resting: dict[ProjectName, float] = {}
        self._under_way: dict[int, asyncio.Task[JobRow | None]] = {}
        self._tasks = tasks

    async def renew(self, job: JobRow, *, patience: float) -> JobRow:
        """Return the job with the links that the service gives now, or `job` itself if none arrive within
        `patience` seconds; later ones are kept for the next caller. Concurrent callers share one query. Never
        raises."""
        now = self._clock.monotonic()
        known = self._renewed.get(job.id)
        if known is not None and now < known.until:
            return known.job or job
        client = self._clients.get(job.project)
        if now < self._resting.get(job.project, now) or client is None or client.paused:
            return job
        task = self._under_way.get(job.id)
        if task is None:
            task = self._tasks.spawn("links", self._ask(job), project=job.project, job=job.job_id)
            self._under_way[job.id] = task
            task.add_done_callback(lambda _: self._under_way.pop(job.id, None))
        done, _ = await asyncio.wait({task}, timeout=patience)
        if not done or task.cancelled():
            return job
        return task.result() or job

    def ask_again(self, project: ProjectName) -> None:
        """Allow queries again at once: what made the project's requests fail may be fixed."""
        self._resting.pop(project, None)

    async def stop(self) -> None:
        """Cancel what is under way."""
        await self._tasks.end(patience=0)

    async def _ask(self, job: JobRow) -> JobRow | None:
        asset = fresh = None
        try:
            client, kind = self._clients.get(job.project), KINDS.get(job.kind)
            if client is not None and kind is not None:
                old = job.asset.asset_id
                asset = await links_now(client, kind, job.job_id, asset_id=old, priority=Priority.NEWS)
            fresh = None if asset is None else await self._stored(job, asset)
        except ApiError as error:
            self._failed(job, error)
            return None
        except Exception:  # many may be waiting for this, and would all query again at once
            self._remember(job.id, None)
            raise
        self._remember(job.id, fresh)
        return fresh

    async def _stored(self, job: JobRow, asset: Asset) -> JobRow:
        """Return the job with its new links, stored if the database takes them."""
        at = self._clock.now()

        def work(tx: Transaction) -> JobRow | None:
            tx.jobs.set_links(job.id, asset, at=at)
            return tx.jobs.get(job.id)

        try:
            row = await self._store.write(work)
        except StoreError as error:  # the message can use them even so
            log.warning(LogEvent.LINK_NOT_RENEWED, project=job.project, job=job.job_id, error=error)
            row = None
        except Exception as error:  # noqa: BLE001 - the same, and `renew` must return an answer
            self._tasks.note("links", error, project=job.project, job=job.job_id)
            row = None
        return row or job._replace(asset=_merged(job.asset, asset), links_at=at)

    def _failed(self, job: JobRow, error: ApiError) -> None:
        log.warning(LogEvent.LINK_NOT_RENEWED, project=job.project, job=job.job_id, error=error)
        if isinstance(error, JobNotFound | Refused):
            self._remember(job.id, None)
            return
        self._resting[job.project] = self._clock.monotonic() + max(REST, error.retry_after or 0.0)

    def _remember(self, job: int, row: JobRow | None) -> None:
        self._renewed[job] = _Renewed(until=self._clock.monotonic() + FRESH_FOR, job=row)
        self._renewed.move_to_end(job)
        while len(self._renewed) > _REMEMBERED:
            self._renewed.popitem(last=False)


async def links_now(
    client: ProjectClient, kind: Kind, job_id: JobId, *, asset_id: str | None, priority: Priority
) -> Asset | None:
    """Return the links that the service has for a finished job now, including its asset's (`asset_id` is used
    where the answer names none); None if it has none. Raises ApiError."""
    permit = await client.budget.take(priority)
    found = (await client.show(kind, job_id, permit=permit)).asset
    asset_id = found.asset_id or asset_id
    if found.preview_url is None and found.download_url is None and asset_id is not None:
        try:
            url = await download_url(client, asset_id, priority=priority, patience=ASSET_TIMEOUT)
        except (ApiError, TimeoutError) as error:  # keep what the first answer had
            log.info(LogEvent.LINK_NOT_RENEWED, project=client.settings.name, job=job_id, error=error)
        else:
            found = dataclasses.replace(found, download_url=url)
    return None if linkless(found) else found


def linkless(asset: Asset) -> bool:
    """Whether none of the asset's links is known."""
    return asset.preview_url is None and asset.download_url is None and asset.cover_url is None


async def download_url(client: ProjectClient, asset_id: str, *, priority: Priority, patience: float) -> str | None:
    """Return an asset's download link, within `patience` seconds including the wait for the budget. Raises
    ApiError, TimeoutError."""
    async with asyncio.timeout(patience):
        permit = await client.budget.take(priority)
        return await client.download_url(asset_id, permit=permit, timeout=patience)


def _merged(old: Asset, new: Asset) -> Asset:
    """Return `new` with what it lacks taken from `old`."""
    return Asset(
        **{each.name: getattr(new, each.name) or getattr(old, each.name) for each in dataclasses.fields(Asset)}
    )


async def remind(store: Store, routing: Routing, *, within: float, now: datetime) -> tuple[ChannelName, ...]:
    """Write alerts about links that expire within so many seconds and that no one has opened, for at most a
    thousand jobs. Returns the channels that got one. Does nothing if `within` is 0 or no route wants them. Raises
    StoreError."""
    if within <= 0 or not any(Event.LINK_EXPIRING in route.events for route in routing.routes):
        return ()
    jobs = await store.read_async(lambda tx: tx.jobs.expiring(now=now, within=within, limit=_REMINDED_AT_ONCE))
    if not jobs:
        return ()

    def work(tx: Transaction) -> dict[ChannelName, None]:
        channels: dict[ChannelName, None] = {}
        for job in jobs:
            recorded = tx.jobs.record_link_expiring(job.id, at=now, routing=routing)
            channels |= dict.fromkeys(() if recorded is None else recorded.channels)
        return channels

    return tuple(await store.write(work))
