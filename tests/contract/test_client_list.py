"""The client's list requests: against the simulator, against those of the official SDK, and their pace."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkmetastudio.v1 import ListDigitalHumanVideoRequest, MetaStudioClient

from daemon.clock import ManualClock, SystemClock
from daemon.domain.jobs import JobId, parse_job_id
from daemon.metastudio.auth import Signer, canonical_query
from daemon.metastudio.budget import Budget, Priority
from daemon.metastudio.client import ProjectClient
from daemon.metastudio.errors import (
    ApiError,
    AuthRefused,
    JobNotFound,
    ProjectFault,
    Refused,
    Throttled,
    Unavailable,
    Unusable,
)
from daemon.metastudio.kinds import AVATAR, PHOTO
from daemon.metastudio.listing import Listed, ListQuery
from daemon.sim import SimSettings, Simulator
from daemon.sim.plans import spoken_seconds
from tests.support.clients import Project, project, project_of
from tests.support.rawhttp import RawServer, answer, header, raw_server, saying

FAST: dict[str, Any] = {"show_rate": None, "write_rate": None}
ENDED = ("SUCCEED", "FAILED", "CANCELED", "BLOCK")
EMPTY = answer(200, b'{"count":0,"jobs":[]}')


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(SimSettings(**FAST)) as one:
        yield one


async def listed(ours: Project, **query: Any) -> Listed:
    return await ours.client.list(ListQuery(**query), permit=await ours.permit())


def jobs_in(sim: Simulator, state: str, number: int, **options: Any) -> list[JobId]:
    return [JobId(each) for each in sim.create_jobs(count=number, timeline=[(state, None)], **options)]


async def test_a_hundred_jobs_by_their_ids(sim: Simulator) -> None:
    asked = jobs_in(sim, "PROCESSING", 60) + jobs_in(sim, "SUCCEED", 40, kind="photo")
    jobs_in(sim, "PROCESSING", 30)
    async with project_of(sim) as ours:
        got = await listed(ours, job_ids=tuple(asked))
        one = await ours.show(asked[-1], PHOTO)
    assert (got.count, got.skipped) == (100, 0)
    assert {entry.job_id for entry in got.entries} == set(asked)
    states = {entry.job_id: entry.state for entry in got.entries}
    assert [states[job] for job in asked] == ["PROCESSING"] * 60 + ["SUCCEED"] * 40
    entry = next(entry for entry in got.entries if entry.job_id == asked[-1])
    assert entry.kind is PHOTO
    seen = entry.observation()
    assert (seen.asset.asset_id, seen.reported_at, seen.state) == (one.asset.asset_id, one.reported_at, one.state)
    assert seen.asset.preview_url is not None
    assert one.reported_at is not None
    assert entry.reported_at == one.reported_at.timestamp()
    assert ours.sent == [("list", "ok"), ("show", "ok")]


async def test_the_clock_of_the_service(sim: Simulator) -> None:
    sim.fault("clock_skew", skew=100)
    async with project_of(sim) as ours:
        got = await listed(ours)
    assert got.server_time is not None
    assert abs(got.server_time - datetime.now(UTC) - timedelta(seconds=100)) < timedelta(seconds=5)


async def test_the_ended_ones_newest_update_first_in_pages() -> None:
    clock = ManualClock(datetime.now(UTC))
    async with Simulator(SimSettings(**FAST, clock=clock)) as sim:
        order = []
        for state in (*ENDED, "PROCESSING", *ENDED):
            order += jobs_in(sim, state, 1)
            clock.advance(2)
        async with project_of(sim, clock=clock) as ours:
            whole = await listed(ours, states=ENDED, newest_update_first=True)
            first = await listed(ours, states=ENDED, newest_update_first=True, limit=5)
            second = await listed(ours, states=ENDED, newest_update_first=True, limit=5, offset=5)
    expected = [job for number, job in enumerate(order) if number != 4][::-1]
    assert [entry.job_id for entry in whole.entries] == expected
    assert [entry.job_id for entry in first.entries + second.entries] == expected
    assert whole.count == first.count == 8
    times = [entry.reported_at for entry in whole.entries]
    assert times == sorted(times, key=lambda at: -1 if at is None else -at)


async def test_by_kind_and_by_creation() -> None:
    clock = ManualClock(datetime.now(UTC))
    async with Simulator(SimSettings(**FAST, clock=clock)) as sim:
        [old] = jobs_in(sim, "PROCESSING", 1)
        clock.advance(40 * 86400)
        [avatar] = jobs_in(sim, "PROCESSING", 1)
        [photo] = jobs_in(sim, "PROCESSING", 1, kind="photo")
        async with project_of(sim, clock=clock) as ours:
            month = await listed(ours)
            since = await listed(ours, created_since=clock.now() - timedelta(days=50))
            photos = await listed(ours, kind=PHOTO)
    assert {entry.job_id for entry in month.entries} == {avatar, photo}
    assert {entry.job_id for entry in since.entries} == {old, avatar, photo}
    assert [(entry.job_id, entry.kind) for entry in photos.entries] == [(photo, PHOTO)]


@pytest.mark.parametrize(
    ("fault", "options", "kind"),
    [
        ("throttled", {}, Throttled),
        ("server_error", {}, Unavailable),
        ("unauthorized", {}, AuthRefused),
        ("not_offered", {}, ProjectFault),
        ("html_200", {}, ProjectFault),
        ("truncated", {}, Unavailable),
    ],
)
async def test_a_list_that_fails(
    sim: Simulator, fault: str, options: dict[str, Any], kind: type[ApiError]
) -> None:
    async with project_of(sim) as ours:
        sim.fault(fault, operation="list", **options)
        with pytest.raises(kind) as caught:
            await listed(ours)
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (answer(200, b'{"count":5}'), Unusable),
        (answer(200, b'{"count":5,"jobs":"no"}'), Unusable),
        (answer(200, b'{"jobs":[{"job_id":'), Unusable),
        (answer(400, b'{"error_code":"MSS.00000003","error_msg":"job_ids"}'), Refused),
        (answer(404, b'{"error_code":"MSS.00000002","error_msg":"Not Found"}'), JobNotFound),
        (answer(200, b'{"error_code":"APIG.0308","error_msg":"slow down"}'), Throttled),
    ],
)
async def test_what_a_list_answer_means(raw: bytes, kind: type[Exception]) -> None:
    async with raw_server(saying(raw)) as server, project(server.url) as ours:
        with pytest.raises(kind) as caught:
            await listed(ours)
        assert type(caught.value) is kind


async def test_a_429_halves_the_pace_until_it_climbs_back() -> None:
    clock = ManualClock()
    async with raw_server(saying(answer(429, b""))) as server, project(server.url, rate=8.0, clock=clock) as ours:
        for _ in range(2):
            with pytest.raises(Throttled):
                await listed(ours)
        budget = ours.client.budget
        assert budget.next_at() - clock.monotonic() > 1.9
        assert budget.current_rate(clock.monotonic()) == pytest.approx(2.0, abs=0.3)
        clock.advance(66)
        assert budget.current_rate(clock.monotonic()) == 8.0


def sdk_to(server: RawServer) -> MetaStudioClient:
    return (
        MetaStudioClient.new_builder()
        .with_http_config(HttpConfig(timeout=(5, 10)))
        .with_credentials(BasicCredentials("AK", "SK", "p1"))
        .with_endpoint(server.url)
        .build()
    )


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
async def test_the_same_request_as_the_official_sdk() -> None:
    ids = [f"job-{number}" for number in range(100)]
    since = datetime(2021, 1, 10, 10, 43, 17, tzinfo=UTC)
    theirs = ListDigitalHumanVideoRequest(
        offset=200,
        limit=100,
        state="SUCCEED,FAILED",
        sort_key="update_time",
        sort_dir="desc",
        create_since="2021-01-10T10:43:17Z",
        job_type="2D_DIGITAL_HUMAN_VIDEO",
        job_ids=ids,
    )
    async with raw_server(saying(EMPTY)) as server:
        client = sdk_to(server)
        await asyncio.to_thread(client.list_digital_human_video, theirs)
        client.get_http_client().close()
        client.get_http_client().executor.shutdown()
        async with project(server.url) as ours:
            await listed(
                ours,
                states=("SUCCEED", "FAILED"),
                job_ids=tuple(JobId(each) for each in ids),
                kind=AVATAR,
                created_since=since,
                newest_update_first=True,
                offset=200,
            )
    wanted, sent = (urlsplit(head.split()[1]) for head in server.heads)
    assert sent.path == wanted.path
    pairs = parse_qsl(sent.query, strict_parsing=True)
    assert sorted(pairs) == sorted(parse_qsl(wanted.query, strict_parsing=True))
    assert len(pairs) == 107
    # other tests compare our signer with the official one; here, what was signed is what was sent
    date, proof = header(server.heads[1], "x-sdk-date"), header(server.heads[1], "authorization")
    assert date is not None
    headers = [("Host", header(server.heads[1], "host") or ""), ("X-Project-Id", "p1"), ("X-Sdk-Date", date)]
    assert Signer("AK", "SK").sign("GET", sent.path, canonical_query(pairs), headers) == proof


async def test_the_length_of_a_jobs_script(sim: Simulator) -> None:
    [job_id] = sim.create_jobs(timeline=[("WAITING", None)], script_chars=700)
    async with project_of(sim) as ours:
        with_script = await ours.client.show_whole(
            AVATAR, parse_job_id(job_id), permit=await ours.permit(), show_script=True
        )
        without = await ours.client.show_whole(AVATAR, parse_job_id(job_id), permit=await ours.permit())
    length = with_script.expected_length()
    text = json.loads(with_script.raw)["shoot_scripts"][0]["shoot_script"]["text_config"]["text"]
    assert length == pytest.approx(spoken_seconds(text), abs=0.1)
    assert without.expected_length() is None


async def busy(client: ProjectClient, job_id: str, seconds: float, *, stands_still: float = 0.0) -> None:
    """Request as often as the budget allows, concurrently. With `stands_still` the process stops for that many
    seconds each time a sixth request is on its way out."""
    budget, clock = client.budget, SystemClock()
    asking = []
    end = clock.monotonic() + seconds
    while (wait := budget.next_at() - clock.monotonic()) + clock.monotonic() < end:
        await asyncio.sleep(max(0.0, wait))
        permit = budget.try_take(clock.monotonic())
        if permit is not None:
            asking.append(asyncio.ensure_future(client.show(AVATAR, parse_job_id(job_id), permit=permit)))
            if stands_still and len(asking) % 6 == 1:
                await asyncio.sleep(0)
                time.sleep(stands_still)
    await asyncio.gather(*asking)


@pytest.mark.long
async def test_the_service_counts_no_second_above_the_rate_on_a_busy_machine(sim: Simulator) -> None:
    """A delayed request arrives together with the next ones."""
    [job_id] = jobs_in(sim, "WAITING", 1)
    async with project_of(sim, rate=10.0) as ours:
        await ours.show(job_id)
        await busy(ours.client, job_id, 3.0, stands_still=0.17)
    stats = sim.stats()
    assert stats["max_in_any_second"] <= 11
    assert stats["by_operation"]["show"] >= 25


@pytest.mark.long
async def test_the_service_counts_no_second_above_the_rate_over_a_restart(sim: Simulator) -> None:
    """The first client is dropped like a killed process, just after it has used a second's permits at once; the
    next start at once, as fast as allowed."""
    [job_id] = jobs_in(sim, "WAITING", 1)
    clock = SystemClock()
    async with project_of(sim, rate=20.0) as ours:
        budget = ours.client.budget = Budget(20.0, clock)
        permits = list(iter(lambda: budget.try_take(clock.monotonic(), Priority.URGENT), None))
        assert len(permits) == 20
        await asyncio.gather(*(ours.client.show(AVATAR, parse_job_id(job_id), permit=each) for each in permits))
    for _ in range(2):
        async with project_of(sim, rate=20.0) as ours:
            ours.client.budget = Budget(20.0, clock, after_restart=True)
            await busy(ours.client, job_id, 1.6)
    stats = sim.stats()
    assert stats["max_in_any_second"] <= 21
    assert stats["by_operation"]["show"] >= 30
