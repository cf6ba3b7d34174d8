"""The delivery side of a running daemon: the dispatcher, the parts its messages need, and their recurring tasks.

Creates these parts from the spec and stops them in the right order. Makes no decisions about messages.
"""

import asyncio
import random
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial

from daemon.clock import Clock, PatientClock
from daemon.domain.jobs import ChannelName, ProjectName
from daemon.logs import LogEvent, logger
from daemon.metastudio.client import ProjectClient
from daemon.metrics import Metrics
from daemon.notify.outbox.context import OnResult
from daemon.notify.outbox.dispatcher import Dispatcher
from daemon.notify.outbox.pictures import Covers, PictureSource
from daemon.notify.outbox.prepare import OwnLinks, Preparer
from daemon.notify.transport import Channel, test_message
from daemon.notify.transport.verdicts import Sent
from daemon.spec import Spec
from daemon.store import Store, StoreError
from daemon.tasks import Defects, Tasks
from daemon.views import ChannelFacts
from daemon.watch.links import FreshLinks, remind
from daemon.web.context import SentTest

log = logger(__name__)

_TOKEN_BYTES = 24
"""Random bytes of a link's token: 192 bits cannot be guessed."""


class DeliveryService:
    """Sends the outbox. Call `start` first; call `stop` and `close` last, before the clients are closed."""

    def __init__(
        self,
        spec: Spec,
        *,
        store: Store,
        clients: Mapping[ProjectName, ProjectClient],
        clock: Clock,
        rng: random.Random,
        metrics: Metrics,
        defects: Defects,
        on_result: OnResult,
    ) -> None:
        self._plan = spec
        self._store = store
        self._clock = clock
        self._patient = PatientClock(clock, last=None)
        self._metrics = metrics
        self.links = FreshLinks(clients, store, clock, tasks=Tasks("links", defects))
        self._defects = defects
        self._sources = _sources(spec)
        self.pictures = Covers(self._sources, store, clock, tasks=Tasks("pictures", defects))
        self._preparer = self._make_preparer(spec)
        self.dispatcher = Dispatcher(
            store,
            spec.channels,
            clock=clock,
            rng=rng,
            settings=spec.notify,
            defects=defects,
            routing=spec.routing,
            preparer=self._preparer,
            on_result=on_result,
        )
        self._shows_pictures = _shows_pictures(spec)
        self._mutes_known = False
        self._next_unmute: datetime | None = None

    def adopt(self, spec: Spec) -> None:
        """Deliver according to this spec from now on."""
        before, self._plan = self._plan, spec
        self._sources.clear()
        self._sources.update(_sources(spec))
        self._shows_pictures = _shows_pictures(spec)
        if (spec.notify, _public(spec)) != (before.notify, _public(before)):
            self._preparer = self._make_preparer(spec)
        self.dispatcher.adopt(spec.channels, settings=spec.notify, routing=spec.routing, preparer=self._preparer)

    async def start(self) -> None:
        """Load all deliveries. Raises StoreError."""
        last = await self._store.read_async(lambda tx: tx.outbox.last_written())
        self._patient = PatientClock(self._clock, last=last)
        await self.end_mutes()
        await self.dispatcher.start()

    def notice(self) -> None:
        """Look at the outbox and the mutes now: somebody may have changed them."""
        self._mutes_known = False
        self.dispatcher.wake_all()

    def finished(self, job: int) -> None:
        """Start fetching the cover of a finished video while its alert is on its way."""
        if self._shows_pictures or self._plan.covers:
            self.pictures.begin(job)

    async def remind(self) -> None:
        """Send reminders of links that expire soon and have not been opened."""
        try:
            await remind(self._store, self._plan.routing, within=self._plan.link_reminder, now=self._clock.now())
        except StoreError:  # logged by the writer; the next round retries
            self._metrics.store_errors.inc()

    async def end_mutes(self) -> None:
        """End the mutes whose time is over, and send what they kept."""
        now = self._clock.now()
        try:
            if not self._mutes_known:
                self._mutes_known = True
                self._next_unmute = await self._store.read_async(lambda tx: tx.mutes.next_end())
            if self._next_unmute is None or now < self._next_unmute:
                return
            ended = await self._store.write(lambda tx: tx.mutes.end_due(at=now))
        except StoreError:  # the next round retries
            self._mutes_known = False
            self._metrics.store_errors.inc()
            return
        for each in ended:
            mute = each.mute
            log.info(LogEvent.MUTE_ENDED, mute=mute.id, of=mute.scope, then=mute.then, deliveries=each.count)
        self.notice()

    async def prune(self) -> None:
        """Delete expired rows in small batches, so that others can write in between. After a step of the wall
        clock, the new time is trusted only after a day."""
        try:
            await self._make_room()
            if self._plan.keep > 0:
                await self._forget(self._patient.now() - timedelta(seconds=self._plan.keep))
        except StoreError:  # logged by the writer; the next round continues
            self._metrics.store_errors.inc()

    async def _make_room(self) -> None:
        """Remove the oldest covers beyond what all may take."""
        most, step = self._plan.covers, 100
        while most and await self._store.write(lambda tx: tx.pictures.make_room(most=most, limit=step)) == step:
            pass

    async def _forget(self, before: datetime) -> None:
        total = 0
        while deleted := await self._store.write(lambda tx: tx.retention.prune(before=before)):
            total += deleted
        if total:
            log.info(LogEvent.RETENTION_PRUNED, rows=total, before=before.isoformat(timespec="seconds"))

    def channel_facts(self, spec: Spec | None = None) -> dict[ChannelName, ChannelFacts]:
        """What a spec (by default that in use) says about its channels, for people."""
        return {name: _facts(channel) for name, channel in (spec or self._plan).channels.items()}

    async def send_test(self, name: ChannelName) -> SentTest:
        """Send a test message to a channel, beside its own alerts. A channel that is gone is a failure."""
        found = self._plan.channels.get(name)
        if found is None:
            return SentTest(sent=False, reason="the config has no such channel any more", seconds=0.0)
        now = self._clock.now().astimezone(found.zone).isoformat(timespec="seconds")
        message = test_message(name, now_text=now, language=found.language)
        report = await asyncio.to_thread(
            partial(found.twin().send, message, timeout=self._plan.notify.send_timeout)
        )
        sent = isinstance(report.verdict, Sent)
        return SentTest(sent=sent, reason=None if sent else report.reason or "not sent", seconds=report.seconds)

    async def stop(self, *, patience: float) -> None:
        """Finish the sends in progress, within `patience` seconds."""
        await self.dispatcher.stop(patience=patience)

    async def close(self) -> None:
        """Stop fetching links and pictures. Call it after `stop`, and after stopping the web, which uses both."""
        await asyncio.gather(self.pictures.stop(), self.links.stop())

    def _make_preparer(self, spec: Spec) -> Preparer:
        return Preparer(
            settings=spec.notify,
            clock=self._clock,
            defects=self._defects,
            renew=self.links.renew,
            pictures=self.pictures,
            own_links=_own_links(spec),
        )


def _sources(spec: Spec) -> dict[ProjectName, PictureSource]:
    return {
        each.name: PictureSource(endpoint=each.api_url, proxy=each.proxy, ca_file=each.ca_file)
        for each in spec.projects
    }


def _shows_pictures(spec: Spec) -> bool:
    shown = any(channel.service.picture != "none" for channel in spec.channels.values())
    return shown or _public(spec) is not None


def _public(spec: Spec) -> tuple[str, float] | None:
    """The base URL of wrapd's own links and their lifetime in seconds; None if there are none."""
    if spec.web is None or spec.web.public_url is None:
        return None
    return spec.web.public_url, spec.web.link_life


def _own_links(spec: Spec) -> OwnLinks | None:
    if (public := _public(spec)) is None:
        return None
    return OwnLinks(
        public_url=public[0],
        life=public[1],
        token=lambda: secrets.token_urlsafe(_TOKEN_BYTES),
    )


def _facts(channel: Channel) -> ChannelFacts:
    plan, templates = channel.plan, channel.templates
    return ChannelFacts(
        timezone=str(channel.zone),
        language=channel.language.value,
        max_per_minute=plan.max_per_minute,
        digest_above=plan.digest_above,
        digest_window=plan.digest_window,
        fallback=plan.fallback,
        fallback_after=plan.fallback_after,
        templates=() if templates is None else tuple(templates.sources),
    )
