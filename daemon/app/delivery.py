"""The delivery side of a running daemon: the dispatcher and what its messages need, with their recurring tasks.

Owns which of these parts there are, by the plan, and the order in which they end. Decides nothing about messages.
"""

import asyncio
import random
import secrets
from collections.abc import Mapping
from datetime import timedelta

from daemon.clock import Clock, PatientClock
from daemon.domain.jobs import ProjectName
from daemon.logs import LogEvent, logger
from daemon.metastudio.client import ProjectClient
from daemon.metrics import Metrics
from daemon.notify import Dispatcher
from daemon.notify.outbox.context import OnResult
from daemon.notify.outbox.pictures import Covers, PictureSource
from daemon.notify.outbox.prepare import OwnLinks, Preparer
from daemon.plan import Plan
from daemon.store import Store, StoreError
from daemon.tasks import Defects, Tasks
from daemon.watch.links import FreshLinks, remind

log = logger(__name__)

_TOKEN_BYTES = 24
"""Random bytes of a link of wrapd's own: 192 bits, more than anybody can guess."""


class DeliveryService:
    """Sends what is in the outbox. `start` first; `stop` and `close` last, before the clients are closed."""

    def __init__(
        self,
        plan: Plan,
        *,
        store: Store,
        clients: Mapping[ProjectName, ProjectClient],
        clock: Clock,
        rng: random.Random,
        metrics: Metrics,
        defects: Defects,
        on_result: OnResult,
    ) -> None:
        self._plan = plan
        self._store = store
        self._clock = clock
        self._patient = PatientClock(clock, last=None)
        self._metrics = metrics
        self.links = FreshLinks(clients, store, clock, tasks=Tasks("links", defects))
        self._defects = defects
        self._sources = _sources(plan)
        self.pictures = Covers(self._sources, store, clock, tasks=Tasks("pictures", defects))
        self._preparer = self._prepares(plan)
        self.dispatcher = Dispatcher(
            store,
            plan.channels,
            clock=clock,
            rng=rng,
            settings=plan.notify,
            defects=defects,
            routing=plan.routing,
            preparer=self._preparer,
            on_result=on_result,
        )
        self._shows_pictures = _shows_pictures(plan)

    def adopt(self, plan: Plan) -> None:
        """Deliver by this plan from now on."""
        before, self._plan = self._plan, plan
        self._sources.clear()
        self._sources.update(_sources(plan))
        self._shows_pictures = _shows_pictures(plan)
        if (plan.notify, _public(plan)) != (before.notify, _public(before)):
            self._preparer = self._prepares(plan)
        self.dispatcher.adopt(plan.channels, settings=plan.notify, routing=plan.routing, preparer=self._preparer)

    async def start(self) -> None:
        """Take up every delivery. Raises StoreError."""
        last = await self._store.read_async(lambda tx: tx.outbox.last_written())
        self._patient = PatientClock(self._clock, last=last)
        await self.dispatcher.start()

    def finished(self, job: int) -> None:
        """A video is finished: its cover is fetched while the alert is on its way."""
        if self._shows_pictures:
            self.pictures.begin(job)

    async def remind(self) -> None:
        """Tell of links that die soon and that nobody has opened."""
        try:
            channels = await remind(
                self._store, self._plan.routing, within=self._plan.link_reminder, now=self._clock.now()
            )
        except StoreError:  # the writer has logged it; the next round tells them
            self._metrics.store_errors.inc()
            return
        self.dispatcher.wake(channels)

    async def prune(self) -> None:
        """Delete what has been over for long enough, a little at a time: others write in between. Once the
        wall clock was set it is believed only after a day."""
        if self._plan.keep <= 0:
            return
        before = self._patient.now() - timedelta(seconds=self._plan.keep)
        total = 0
        try:
            while deleted := await self._store.write(lambda tx: tx.retention.prune(before=before)):
                total += deleted
        except StoreError:  # the writer has logged it; the next round goes on
            self._metrics.store_errors.inc()
        if total:
            log.info(LogEvent.RETENTION_PRUNED, rows=total, before=before.isoformat(timespec="seconds"))

    async def stop(self, *, patience: float) -> None:
        """Finish the sends that are under way, `patience` seconds at most."""
        await self.dispatcher.stop(patience=patience)

    async def close(self) -> None:
        """Ask for no links and pictures any more. After `stop`, and after the web server's: its clicks ask too."""
        await asyncio.gather(self.pictures.stop(), self.links.stop())

    def _prepares(self, plan: Plan) -> Preparer:
        return Preparer(
            settings=plan.notify,
            clock=self._clock,
            defects=self._defects,
            renew=self.links.renew,
            pictures=self.pictures,
            own_links=_own_links(plan),
        )


def _sources(plan: Plan) -> dict[ProjectName, PictureSource]:
    return {
        each.name: PictureSource(endpoint=each.api_url, proxy=each.proxy, ca_file=each.ca_file)
        for each in plan.projects
    }


def _shows_pictures(plan: Plan) -> bool:
    shown = any(channel.service.picture != "none" for channel in plan.channels.values())
    return shown or _public(plan) is not None


def _public(plan: Plan) -> tuple[str, float] | None:
    """The address of wrapd's own links, and for how long they live; None: there are none."""
    if plan.web is None or plan.web.public_url is None:
        return None
    return plan.web.public_url, plan.web.link_life


def _own_links(plan: Plan) -> OwnLinks | None:
    if (public := _public(plan)) is None:
        return None
    return OwnLinks(
        public_url=public[0],
        life=public[1],
        token=lambda: secrets.token_urlsafe(_TOKEN_BYTES),
    )
