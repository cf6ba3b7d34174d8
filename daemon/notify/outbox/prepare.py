"""Prepares what a message needs besides its text: valid links, wrapd's own links, the picture.

Owns their order and how long a message waits for them. A link or picture that cannot be had neither raises nor
delays, repeats or loses the message. It knows nothing of a channel's markup.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from daemon.clock import Clock
from daemon.domain.events import Event
from daemon.domain.jobs import DAY, link_expiry
from daemon.notify.message import Cover
from daemon.notify.outbox import NotifySettings
from daemon.notify.outbox.pictures import Covers
from daemon.store import Claimed, JobRow, Transaction, is_of_database
from daemon.tasks import Defects

LINK_EVENTS = frozenset({Event.SUCCEEDED, Event.LINK_EXPIRING})
"""Events whose messages carry links to the video."""
RENEWAL_PATIENCE = 5.0
"""Most seconds that a message waits for renewed links."""
TOGETHER_PATIENCE = 30.0
"""The same for a digest. Only one that is hours late has many dead links, and then working links are worth it."""
_AT_ONCE = 8
"""Concurrent queries for renewed links. If the service does not answer these, the others are not sent."""
CLOSED = ""
"""Stands for a revoked link of wrapd's own: the message then carries no link at all."""


class Renew(Protocol):
    """Queries the service for a job's links. Returns the job as it is then, with its old links if that fails."""

    async def __call__(self, job: JobRow, *, patience: float) -> JobRow: ...


class OwnLinks(Struct, frozen=True, kw_only=True):
    """wrapd's own links to videos: `{public_url}/v/{token}`, valid for `life` seconds. `token` makes one that
    cannot be guessed."""

    public_url: str
    life: float
    token: Callable[[], str]

    def url(self, token: str) -> str:
        """The link with `token`."""
        return f"{self.public_url.rstrip('/')}/v/{token}"

    def of(self, tx: Transaction, job: JobRow, *, at: datetime) -> str | None:
        """The job's link, created if needed; `CLOSED` if it was revoked, None if there is no video to link to."""
        asset = job.asset
        if asset.preview_url is None and asset.download_url is None and asset.asset_id is None:
            return None
        link = tx.links.of_job(job.id, token=self.token(), at=at, life=self.life)
        return CLOSED if link is None else self.url(link.token)


class Prepared(Struct, frozen=True, kw_only=True):
    """The deliveries with their jobs as they are now, and the picture if there is one to show."""

    claimed: tuple[Claimed, ...]
    cover: Cover | None = None


class Wants(Struct, frozen=True, kw_only=True):
    """What a channel's messages contain. `machine`: programs read them, so they carry the service's own links;
    `picture`: they show the cover."""

    machine: bool
    picture: bool


class Preparer(Struct, frozen=True, kw_only=True):
    """Prepares links and pictures. `renew`, `pictures` and `own_links` are None where they are not available."""

    settings: NotifySettings
    clock: Clock
    defects: Defects
    renew: Renew | None = None
    pictures: Covers | None = None
    own_links: OwnLinks | None = None

    def links(self, tx: Transaction, claimed: Sequence[Claimed], at: datetime) -> Mapping[int, str]:
        """wrapd's own links for what is claimed, by the jobs' row ids; created in the transaction of the claim. If
        one cannot be created, its alert carries the service's links."""
        found: dict[int, str] = {}
        for each in claimed if self.own_links is not None else ():
            if each.job is not None and each.delivery.event in LINK_EVENTS:
                url = self._own_link(tx, each, each.job, at)
                found |= {} if url is None else {each.job.id: url}
        return found

    def _own_link(self, tx: Transaction, claimed: Claimed, job: JobRow, at: datetime) -> str | None:
        try:
            return None if self.own_links is None else self.own_links.of(tx, job, at=at)
        except Exception as error:
            if is_of_database(error):
                raise
            self._note_defect([claimed], error)
            return None

    def is_ready(self, claimed: tuple[Claimed, ...], *, links: Mapping[int, str], wants: Wants) -> bool:
        """Whether `prepare` would do nothing. Pure."""
        if wants.picture and self.pictures is not None and len(claimed) == 1:
            return False
        return self.renew is None or not self._expiring(claimed, links=links, machine=wants.machine)

    async def prepare(self, claimed: tuple[Claimed, ...], *, links: Mapping[int, str], wants: Wants) -> Prepared:
        """What is claimed, with links renewed that expire within `link_margin`, and the cover of a single finished
        job. Takes at most 5 s for links (30 s in a digest) and `picture_patience` for the picture."""
        try:
            claimed = await self._renewed(claimed, links=links, machine=wants.machine)
        except Exception as error:  # noqa: BLE001 - old links are better than no message
            self._note_defect(claimed, error)
        if not wants.picture or len(claimed) != 1:
            return Prepared(claimed=claimed)
        try:
            return Prepared(claimed=claimed, cover=await self._cover(claimed[0], links=links))
        except Exception as error:  # noqa: BLE001 - no picture is better than no message
            self._note_defect(claimed, error)
            return Prepared(claimed=claimed)

    def _note_defect(self, claimed: Sequence[Claimed], error: Exception) -> None:
        first = claimed[0].delivery
        self.defects.note("delivery", error, channel=first.channel, delivery=first.id)

    async def _renewed(
        self, claimed: tuple[Claimed, ...], *, links: Mapping[int, str], machine: bool
    ) -> tuple[Claimed, ...]:
        renew = self.renew
        expiring = {} if renew is None else self._expiring(claimed, links=links, machine=machine)
        if renew is None or not expiring:
            return claimed
        patience = RENEWAL_PATIENCE if len(claimed) == 1 else TOGETHER_PATIENCE
        renewed = await self._query_links(renew, list(expiring.values()), patience=patience)
        return tuple(
            each if each.job is None or each.job.id not in renewed else replace(each, job=renewed[each.job.id])
            for each in claimed
        )

    async def _query_links(self, renew: Renew, jobs: Sequence[JobRow], *, patience: float) -> dict[int, JobRow]:
        """The jobs as they are now, as many as can be queried in `patience` seconds."""
        end = self.clock.monotonic() + patience
        renewed: dict[int, JobRow] = {}
        for begin in range(0, len(jobs), _AT_ONCE):
            left = end - self.clock.monotonic()
            if left <= 0:
                break
            some = jobs[begin : begin + _AT_ONCE]
            renewed |= {row.id: row for row in await asyncio.gather(*(renew(job, patience=left) for job in some))}
        return renewed

    def _expiring(
        self, claimed: tuple[Claimed, ...], *, links: Mapping[int, str], machine: bool
    ) -> dict[int, JobRow]:
        """Jobs whose links will be shown and are dead, or expire within the margin."""
        by = self.clock.now() + timedelta(seconds=self.settings.link_margin)
        return {
            each.job.id: each.job
            for each in claimed
            if each.job is not None
            and each.delivery.event in LINK_EVENTS
            and (machine or each.job.id not in links)
            and _expires(each.job, by=by)
        }

    async def _cover(self, claimed: Claimed, *, links: Mapping[int, str]) -> Cover | None:
        job = claimed.job
        if self.pictures is None or job is None or claimed.delivery.event not in LINK_EVENTS:
            return None
        own = links.get(job.id)
        if own == CLOSED:
            return None
        cover = await self.pictures.cover_of(job, patience=self.settings.picture_patience)
        return cover if cover is None or own is None else replace(cover, url=f"{own}/cover")


def _expires(job: JobRow, *, by: datetime) -> bool:
    """Whether a link to the video expires `by` then."""
    for url in (job.asset.preview_url, job.asset.download_url):
        if url is None:
            continue
        fetched = job.links_at or job.ended_at or job.tracked_at
        until = link_expiry(url, fetched_at=fetched, unsigned_life=DAY)
        if until is not None and until <= by:
            return True
    return False
