"""The simulator sends callbacks about job ends, as the service does."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from huaweicloudsdkmetastudio.v1 import (
    CallBackConfig,
    Create2DDigitalHumanVideoReq,
    Create2DDigitalHumanVideoRequest,
)

from daemon.metastudio.callback import is_genuine
from daemon.sim import SimSettings, Simulator
from tests.support.sim import ask, exchange, sdk
from tests.support.turns import turns_until

KEY = "k3y"
ENDS = [("WAITING", 0.02), ("PROCESSING", 0.02), ("SUCCEED", None)]


@dataclass
class Ear:
    """A server that receives callbacks."""

    url: str = ""
    status: int = 200
    heard: asyncio.Queue[tuple[str, dict[str, Any]]] = field(default_factory=asyncio.Queue)
    """(raw query, body) of each."""

    async def next(self) -> tuple[str, dict[str, Any]]:
        return await asyncio.wait_for(self.heard.get(), 10)


@asynccontextmanager
async def ear() -> AsyncIterator[Ear]:
    it = Ear()

    async def hear(request: web.BaseRequest) -> web.Response:
        assert request.method == "POST"
        assert request.headers["Content-Type"] == "application/json"
        it.heard.put_nowait((request.raw_path.partition("?")[2], json.loads(await request.read())))
        return web.Response(status=it.status, headers={"Location": "/elsewhere"})

    server = web.Server(hear)
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    it.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/callbacks/main"
    try:
        yield it
    finally:
        listener.close()
        await server.shutdown(1)


async def answered(sim: Simulator, count: int) -> list[dict[str, Any]]:
    """Return the callbacks once this many were answered."""

    def found() -> list[dict[str, Any]]:
        return [each for each in sim.callbacks() if {"status", "error"} & set(each)]

    await turns_until(lambda: len(found()) >= count)
    return found()


async def test_an_end_is_told_once_with_the_assets_id() -> None:
    async with ear() as it, Simulator(SimSettings()) as sim:
        [job] = sim.create_jobs(timeline=ENDS, callback_config={"callback_url": it.url})
        sim.create_jobs(timeline=ENDS)
        query, body = await it.next()
        assert query == ""
        assert (body["result"], body["job_id"], set(body)) == ("SUCCEED", job, {"result", "job_id", "asset_id"})
        [sent] = await answered(sim, 1)
        assert (sent["job_id"], sent["status"]) == (job, 200)
        assert it.heard.empty()


@pytest.mark.parametrize("unit", ["s", "ms"])
@pytest.mark.parametrize("signed", ["decimal", "hex"])
async def test_a_signed_callback_is_one_that_wrapd_believes(unit: Any, signed: Any) -> None:
    settings = SimSettings(callback_unit=unit, callback_signed=signed)
    async with ear() as it, Simulator(settings) as sim:
        config = {"callback_url": it.url, "auth_type": "MSS_A", "key": KEY}
        sim.create_jobs(timeline=[("FAILED", None)], callback_config=config)
        query, body = await it.next()
        assert body["result"] == "FAILED"
        now = datetime.now(UTC)
        assert is_genuine(query, callback_url=it.url, key=KEY, now=now)
        assert not is_genuine(query, callback_url=it.url, key="other", now=now)


async def test_of_a_canceled_or_frozen_job_nothing_is_told() -> None:
    async with ear() as it, Simulator(SimSettings()) as sim:
        config = {"callback_url": it.url}
        sim.create_jobs(timeline=[("CANCELED", None)], callback_config=config)
        sim.create_jobs(timeline=[("PROCESSING", 0.01), ("BLOCK", None)], callback_config=config)
        [job] = sim.create_jobs(timeline=[("WAITING", None)], callback_config=config)
        [old] = sim.create_jobs(timeline=[("SUCCEED", None)], created_ago=60, callback_config=config)
        [gone] = sim.create_jobs(timeline=[("PROCESSING", 0.05), ("SUCCEED", None)], callback_config=config)
        sim.remove_job(gone)
        sim.set_state(job, "SUCCEED")
        _, body = await it.next()
        assert body["job_id"] == job
        assert [each["job_id"] for each in await answered(sim, 1)] == [job]
        assert old != job


async def test_a_timeline_that_ends_twice_tells_twice() -> None:
    async with ear() as it, Simulator(SimSettings()) as sim:
        timeline = [("PROCESSING", 0.02), ("FAILED", 0.02), ("PROCESSING", 0.02), ("SUCCEED", None)]
        sim.create_jobs(timeline=timeline, callback_config={"callback_url": it.url})
        assert [(await it.next())[1]["result"] for _ in range(2)] == ["FAILED", "SUCCEED"]


async def test_each_is_tried_once_and_what_came_of_it_is_known() -> None:
    async with ear() as it, Simulator(SimSettings()) as sim:
        it.status = 302
        sim.create_jobs(timeline=[("SUCCEED", None)], callback_config={"callback_url": it.url})
        sim.create_jobs(timeline=[("SUCCEED", None)], callback_config={"callback_url": "http://127.0.0.1:1/x"})
        told = await answered(sim, 2)
        assert sorted(str(each.get("status", each.get("error"))) for each in told) == [
            "302",
            "ClientConnectorError",
        ]
        raw = await exchange(sim, "GET", "/_sim/callbacks")
        assert raw.json() == sim.callbacks()


async def test_what_ended_while_the_service_was_down_is_told_when_it_is_back() -> None:
    async with ear() as it, Simulator(SimSettings()) as sim:
        [job] = sim.create_jobs(timeline=[("PROCESSING", None)], callback_config={"callback_url": it.url})
        await sim.down()
        sim.set_state(job, "SUCCEED")
        assert sim.callbacks() == []
        await sim.up()
        assert (await it.next())[1]["job_id"] == job


async def test_a_job_that_the_sdk_creates_with_a_callback_tells_of_its_end() -> None:
    async with ear() as it, Simulator(SimSettings(speed=100_000)) as sim:
        request = Create2DDigitalHumanVideoRequest(
            body=Create2DDigitalHumanVideoReq(
                script_id="s1",
                model_asset_id="m1",
                callback_config=CallBackConfig(callback_url=it.url, auth_type="MSS_A", key=KEY),
            )
        )
        with sdk(sim) as client:
            created = await ask(client.create2_d_digital_human_video, request)
        query, body = await it.next()
        assert body["job_id"] == created.job_id
        assert is_genuine(query, callback_url=it.url, key=KEY, now=datetime.now(UTC))


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"callback_url": "ftp://h"}, "callback_url"),
        ({"auth_type": "NONE"}, "callback_url"),
        ({"callback_url": "http://h", "auth_type": "MSS_B"}, "auth_type"),
        ({"callback_url": "http://h", "key": 5}, "key"),
    ],
)
async def test_a_callback_that_cannot_be_is_refused(config: dict[str, Any], key: str) -> None:
    async with Simulator(SimSettings()) as sim:
        with pytest.raises(ValueError, match=rf"callback_config\.{key} is missing or wrong"):
            sim.create_jobs(callback_config=config)
        with pytest.raises(ValueError, match="callback_config must be an object"):
            sim.create_jobs(callback_config="http://h")  # type: ignore[arg-type]
        path = f"/v1/{sim.settings.project_id}/2d-digital-human-videos"
        body = json.dumps({"script_id": "s1", "callback_config": config}).encode()
        raw = await exchange(sim, "POST", path, headers={"X-Auth-Token": sim.settings.token}, body=body)
        assert raw.status == 400
        assert f"callback_config.{key}" in raw.json()["error_msg"]
        assert sim.jobs() == []
