"""The complete path from the API to the chat in time that the test moves: simulator, watch, store, fresh links,
pictures, dispatcher, channels; with real sockets."""

import asyncio
import random
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from daemon.domain.jobs import ChannelName
from daemon.notify import Dispatcher, NotifySettings
from daemon.notify.outbox import ChannelPlan
from daemon.notify.outbox.pictures import Covers, PictureSource
from daemon.notify.outbox.prepare import OwnLinks, Preparer
from daemon.notify.transport import ChannelSettings, open_channel
from daemon.store import DeliveryRow
from daemon.tasks import Defects
from daemon.watch.links import FreshLinks
from tests.support.background import tasks
from tests.support.dispatching import Quiet
from tests.support.rig import CHANNEL, PROJECT, Rig, rig


class Way:
    """All parts, with one channel that gets all events."""

    def __init__(self, watch: Rig, dispatcher: Dispatcher, quiet: Quiet) -> None:
        self.watch, self.dispatcher, self.quiet = watch, dispatcher, quiet

    async def later(self, seconds: float) -> None:
        """Advance time; then the watch queries due jobs, and the channel sends its due alerts."""
        self.watch.clock.advance(seconds)
        await self.watch.tick()
        await self.turn()

    async def turn(self) -> None:
        """Let the channel send its due alerts now."""
        begun = len(self.quiet.waits)
        self.dispatcher.wake([CHANNEL])
        await self.quiet.until(begun + 1)

    async def end_jobs(self, count: int = 1, *, state: str = "SUCCEED", **options: Any) -> list[str]:
        """Create jobs that end now, as seen by the watch."""
        jobs = self.watch.sim.create_jobs(count=count, timeline=[(state, None)], **options)
        for job in jobs:
            self.watch.track(job)
        await self.watch.tick()
        return jobs

    def rows(self) -> list[DeliveryRow]:
        return self.watch.deliveries()


@asynccontextmanager
async def way(
    folder: Path,
    url: str,
    *,
    plan: ChannelPlan | None = None,
    settings: NotifySettings | None = None,
    public_url: str | None = None,
    **changes: Mapping[str, Any],
) -> AsyncIterator[Way]:
    """Open the path to the channel at `url`. `changes` are those of `tests.support.rig.rig`."""
    async with rig(folder, **changes) as watch:
        clock, store, quiet = watch.clock, watch.store, Quiet()
        settings = settings or NotifySettings(send_timeout=5.0)
        fresh = FreshLinks({PROJECT: watch.poller.context.client}, store, clock, tasks=tasks("links", clock))
        pictures = Covers(
            {PROJECT: PictureSource(endpoint=watch.sim.url)}, store, clock, tasks=tasks("pictures", clock)
        )
        tokens = iter(range(10**6))
        own = None
        if public_url is not None:
            own = OwnLinks(public_url=public_url, life=30 * 86400.0, token=lambda: f"token-{next(tokens):030d}")
        defects = Defects(clock=clock, metrics=watch.metrics, report=watch.operators.defect)
        channel = open_channel(ChannelSettings(name=CHANNEL, url=url, plan=plan or ChannelPlan()))
        dispatcher = Dispatcher(
            store,
            {ChannelName(CHANNEL): channel},
            clock=clock,
            rng=random.Random(1),
            settings=settings,
            defects=defects,
            operators=[],
            preparer=Preparer(
                settings=settings,
                clock=clock,
                defects=defects,
                renew=fresh.renew,
                pictures=pictures,
                own_links=own,
            ),
            waiter=quiet,
        )
        await dispatcher.start()
        try:
            await quiet.until(1)
            yield Way(watch, dispatcher, quiet)
        finally:
            await dispatcher.stop()
            await pictures.stop()
            await fresh.stop()


async def fetch(url: str) -> int:
    """Return the status that a browser gets for a link."""

    def get() -> int:
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return int(error.code)

    return await asyncio.to_thread(get)
