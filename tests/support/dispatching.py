"""A dispatcher with a real database and loopback webhooks, in time that the test moves."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from daemon.clock import ManualClock
from daemon.domain.jobs import Asset, ChannelName
from daemon.domain.routing import Routing, routing
from daemon.metrics import Metrics
from daemon.notify import Dispatcher, NotifySettings
from daemon.notify.outbox import ChannelPlan
from daemon.notify.outbox.lane import Lane
from daemon.notify.outbox.prepare import Preparer
from daemon.notify.transport import ChannelSettings, open_channel
from daemon.store import AttemptOutcome, DeliveryRow, DeliveryStatus, Store
from daemon.tasks import Defect, Defects
from tests.support.store import NOW, later, record, track, url_of

PATIENCE = 60.0
"""Real seconds after which an expected event counts as missing."""


_ASSET = Asset(cover_url="https://h.example.com/c.png")


class Quiet:
    """Waits for events only: time passes where the test advances it. Counts the waits begun."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.waiting: list[asyncio.Event] = []
        self._more = asyncio.Condition()

    async def __call__(self, event: asyncio.Event, seconds: float) -> None:
        assert seconds > 0
        async with self._more:
            self.waits.append(seconds)
            self.waiting.append(event)
            self._more.notify_all()
        try:
            await event.wait()
        finally:
            self.waiting.remove(event)

    async def until(self, number: int) -> None:
        async with self._more, asyncio.timeout(PATIENCE):
            await self._more.wait_for(lambda: len(self.waits) >= number)

    async def at_rest(self, lanes: Iterable[Lane]) -> None:
        """Wait until each lane waits for its next wake, or for a failing database. A lane that was woken more
        often does not count for the others."""
        each = list(lanes)

        def rests(lane: Lane) -> bool:
            return lane.stopped in self.waiting or (lane._wake in self.waiting and not lane._wake.is_set())

        async with self._more, asyncio.timeout(PATIENCE):
            await self._more.wait_for(lambda: all(map(rests, each)))


class Rig:
    """Everything around one dispatcher. `turn` lets each lane run once; `later` advances time first."""

    def __init__(
        self,
        store: Store,
        clock: ManualClock,
        urls: Mapping[str, str],
        *,
        operators: Iterable[str] = (),
        settings: NotifySettings | None = None,
        quiet: Quiet | None = None,
        plans: Mapping[str, ChannelPlan] | None = None,
        preparer: Preparer | None = None,
        routing: Routing | None = None,
    ) -> None:
        self.store, self.clock = store, clock
        self.quiet = quiet or Quiet()
        self.results: list[tuple[str, AttemptOutcome]] = []
        self.defects: list[Defect] = []
        self.names = tuple(ChannelName(name) for name in urls)
        plans = plans or {}
        self.dispatcher = Dispatcher(
            store,
            {
                ChannelName(name): open_channel(
                    ChannelSettings(name=ChannelName(name), url=url, plan=plans.get(name, ChannelPlan()))
                )
                for name, url in urls.items()
            },
            clock=clock,
            rng=random.Random(1),
            settings=settings or NotifySettings(send_timeout=5.0),
            defects=Defects(clock=clock, metrics=Metrics(), report=self.defects.append),
            operators=[ChannelName(name) for name in operators],
            preparer=preparer,
            routing=routing,
            on_result=lambda channel, outcome: self.results.append((channel, outcome)),
            waiter=self.quiet,
        )

    async def start(self) -> None:
        await self.dispatcher.start()
        await self.quiet.until(len(self.names))

    async def turn(self, channels: Iterable[str] | None = None) -> None:
        """Wake the lanes (all or these) and wait until each has done all that it can now."""
        names = self.names if channels is None else tuple(ChannelName(name) for name in channels)
        for _ in range(2):  # a message that one lane writes for another is sent in the second round
            begun = len(self.quiet.waits)
            self.dispatcher.wake(names)
            await self.quiet.until(begun + len(names))
            await self.quiet.at_rest(self.dispatcher._lanes[name] for name in names)

    async def later(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await self.turn()

    async def job_ends(
        self,
        job_id: str = "job-1",
        *,
        state: str = "SUCCEED",
        channels: Iterable[str] | None = None,
        asset: Asset = _ASSET,
    ) -> None:
        """Track a job (if it is not) and have it reach `state` now, with its alerts in the outbox."""
        names = self.names if channels is None else tuple(ChannelName(name) for name in channels)
        routes = routing([], operators=[], channels=names)
        at = self.clock.now()

        def work(tx: object) -> None:
            row = track(tx, job_id)  # type: ignore[arg-type]
            record(tx, row, state, at=at, routes=routes, asset=asset)  # type: ignore[arg-type]

        self.store.write_now(work)  # directly, since a test may break the usual call

    def rows(self, channel: str) -> list[DeliveryRow]:
        """Return the channel's deliveries, oldest first."""
        return self.store.read(lambda tx: tx.outbox.list(channel=ChannelName(channel)))[::-1]

    def row(self, channel: str) -> DeliveryRow:
        (only,) = self.rows(channel)
        return only

    def statuses(self, channel: str) -> list[DeliveryStatus]:
        return [row.status for row in self.rows(channel)]

    def outcomes(self, channel: str) -> list[AttemptOutcome | None]:
        """Return the outcome of each attempt of the channel's only delivery."""
        row = self.row(channel)
        return [attempt.outcome for attempt in self.store.read(lambda tx: tx.outbox.attempts(row.id))]


@asynccontextmanager
async def rig(
    folder: Path,
    urls: Mapping[str, str],
    *,
    operators: Iterable[str] = (),
    settings: NotifySettings | None = None,
    clock: ManualClock | None = None,
    wrap: Callable[[Store], Store] = lambda store: store,
    quiet: Quiet | None = None,
    plans: Mapping[str, ChannelPlan] | None = None,
    preparer: Callable[[Store, ManualClock], Preparer] | None = None,
    routing: Routing | None = None,
) -> AsyncIterator[Rig]:
    """Start a dispatcher on the database in `folder`, continuing with its contents."""
    clock = clock or ManualClock(NOW)
    store = Store.open(url_of(folder / "wrapd.db"), clock=clock, daemon=True)
    try:
        one = Rig(
            wrap(store),
            clock,
            urls,
            operators=operators,
            settings=settings,
            quiet=quiet,
            plans=plans,
            preparer=None if preparer is None else preparer(store, clock),
            routing=routing,
        )
        await one.start()
        try:
            yield one
        finally:
            await one.dispatcher.stop()
    finally:
        store.close()


__all__ = ["NOW", "PATIENCE", "Quiet", "Rig", "later", "rig"]
