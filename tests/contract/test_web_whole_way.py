"""From the service's callback to the recorded end, with real simulator, sockets, web server, watch and
database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from daemon.app.hub import Hub
from daemon.domain.events import Event
from daemon.domain.planning import Rails
from daemon.store import JobRow
from daemon.tasks import Defects, Tasks
from daemon.web import (
    CallbackAuth,
    CallbackSettings,
    Health,
    Probes,
    WebSettings,
    callback_url,
    listen,
)
from daemon.web.context import SentTest, WebContext
from daemon.web.live import Live
from daemon.web.server import WebServer, build_app
from tests.support.rig import PROJECT, Rig, rig
from tests.support.turns import turns_until

SLOW = Rails(min_interval=1000, max_interval=1000, blocked_interval=1000)
KEY = "k3y-of-the-project"


@dataclass
class Way:
    """A rig with a web server that passes callbacks to it."""

    rig: Rig
    callback: dict[str, str]
    """The `callback_config` for creating a job."""

    async def heard(self, count: int = 1) -> list[dict[str, Any]]:
        """Return the simulator's callbacks once this many were answered and everything they started is done."""

        def told() -> list[dict[str, Any]]:
            return [each for each in self.rig.sim.callbacks() if len(each) > 3]

        await turns_until(lambda: len(told()) >= count)
        await self.rig.poller.idle()
        return told()


async def _as_it_is(row: JobRow) -> JobRow:
    return row


async def _no_test(_: object) -> SentTest:
    raise AssertionError


async def _no_metrics() -> bytes:
    return b""


@asynccontextmanager
async def way(
    folder: Path, auth: CallbackAuth, *, track_unknown: bool = False, **options: Any
) -> AsyncIterator[Way]:
    async with rig(folder, rails=SLOW, **options) as it:
        listener = listen("127.0.0.1", 0)
        public = f"http://127.0.0.1:{listener.getsockname()[1]}"
        settings = CallbackSettings(auth=auth, key=KEY, track_unknown=track_unknown)
        defects = Defects(clock=it.clock, metrics=it.metrics)
        tasks, hub = Tasks("web", defects), Hub(it.store, defects=defects)
        hub.listen(lambda news: it.watcher.notice_soon() if news.tracked else None)
        hub.start()
        context = WebContext(
            settings=WebSettings(host="127.0.0.1", port=0, public_url=public, callbacks={PROJECT: settings}),
            store=it.store,
            clock=it.clock,
            projects=(PROJECT,),
            hint=it.watcher.hint,
            renew=_as_it_is,
            channels={},
            test=_no_test,
            durations=lambda: it.poller.context.learning.durations,
            give_up_after=86400.0,
            tasks=tasks,
            live=Live(it.store, tasks=tasks, rng=Random(1)),
        )
        probes = Probes(alive=lambda: Health(stalled={}), ready=lambda: Health(stalled={}))
        web = WebServer(
            build_app(probes, _no_metrics, metrics_type="text/plain", context=context),
            listener,
            tasks=tasks,
        )
        web.start()
        config = {
            "callback_url": callback_url(public, PROJECT, settings),
            "auth_type": auth.name,
            "key": KEY if auth is CallbackAuth.MSS_A else "",
        }
        try:
            yield Way(it, config)
        finally:
            await web.stop()


@pytest.mark.parametrize("signed", ["decimal", "hex"])
@pytest.mark.parametrize("unit", ["s", "ms"])
async def test_a_signed_callback_has_the_end_stored_though_no_look_is_due(
    tmp_path: Path, unit: str, signed: str
) -> None:
    sim = {"callback_unit": unit, "callback_signed": signed}
    async with way(tmp_path, CallbackAuth.MSS_A, sim=sim) as it:
        await _ends_by_callback(it)


async def test_a_callback_with_a_secret_path_does_too(tmp_path: Path) -> None:
    async with way(tmp_path, CallbackAuth.NONE) as it:
        await _ends_by_callback(it)


async def _ends_by_callback(it: Way) -> None:
    timeline = [("PROCESSING", None)]
    [job] = it.rig.sim.create_jobs(kind="photo", timeline=timeline, callback_config=it.callback)
    it.rig.track(job, kind="photo")
    await it.rig.run(2)
    assert it.rig.job(job).state == "PROCESSING"
    before, at = it.rig.requests(), it.rig.clock.now()
    it.rig.sim.set_state(job, "SUCCEED")
    [told] = await it.heard()
    assert told["status"] == 200
    row = it.rig.job(job)
    assert (row.state, row.state_since) == ("SUCCEED", at), "no time passed"
    assert it.rig.requests() == before + 1
    assert it.rig.events() == [Event.STARTED, Event.SUCCEEDED]


async def test_a_callback_of_another_key_does_nothing(tmp_path: Path) -> None:
    async with way(tmp_path, CallbackAuth.MSS_A) as it:
        config = it.callback | {"key": "another"}
        [job] = it.rig.sim.create_jobs(timeline=[("PROCESSING", None)], callback_config=config)
        it.rig.track(job)
        await it.rig.run(2)
        before = it.rig.requests()
        it.rig.sim.set_state(job, "FAILED")
        [told] = await it.heard()
        assert told["status"] == 401
        assert it.rig.requests() == before


@pytest.mark.parametrize("kind", ["avatar", "photo", "business_card"])
async def test_a_job_that_nobody_tracked_is_told_of_whatever_its_kind(tmp_path: Path, kind: str) -> None:
    async with way(tmp_path, CallbackAuth.NONE, track_unknown=True) as it:
        [job] = it.rig.sim.create_jobs(kind=kind, timeline=[("PROCESSING", None)], callback_config=it.callback)
        it.rig.sim.set_state(job, "FAILED")
        await it.heard()
        async with asyncio.timeout(60):  # the budget's pace follows this clock, so it has to move
            while it.rig.job(job).state != "FAILED":
                await it.rig.run(0.5)
                await asyncio.sleep(0.005)
        assert it.rig.job(job).kind == kind
        assert it.rig.events() == [Event.FAILED], "and of nothing else: a wrong kind is no lost job"


async def test_a_callback_that_comes_before_the_service_knows_is_no_end(tmp_path: Path) -> None:
    async with way(tmp_path, CallbackAuth.NONE) as it:
        [job] = it.rig.sim.create_jobs(timeline=[("PROCESSING", None)], callback_config=it.callback)
        it.rig.track(job)
        await it.rig.run(2)
        answer = f'{{"job_id": "{job}", "state": "PROCESSING"}}'.encode()
        it.rig.sim.answer(job, answer)
        it.rig.sim.set_state(job, "SUCCEED")
        await it.heard()
        assert it.rig.job(job).state == "PROCESSING", "the service's answer is the only truth"
        it.rig.sim.answer(job, None)
        await it.rig.run(1100, step=50)
        assert it.rig.job(job).state == "SUCCEED"
