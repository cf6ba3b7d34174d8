"""The control endpoints, starting and stopping the server, and the announcement of its command."""

import asyncio
import json
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from daemon.clock import ManualClock
from daemon.sim import SimSettings, Simulator, serve
from tests.support.sim import Raw, exchange, list_jobs, show, token_of

EXAMPLE = Path(__file__).parents[1] / "data" / "document_example.json"


@pytest.fixture
async def sim():
    clock = ManualClock(datetime(2026, 3, 1, tzinfo=UTC))
    async with Simulator(SimSettings(clock=clock, show_rate=None, speed=10)) as sim:
        yield sim


def clock_of(sim: Simulator) -> ManualClock:
    assert isinstance(sim.settings.clock, ManualClock)
    return sim.settings.clock


async def control(sim: Simulator, method: str, path: str, body: object = None) -> Raw:
    return await exchange(sim, method, f"/_sim/{path}", body=b"" if body is None else json.dumps(body).encode())


async def test_jobs_over_http_follow_their_timeline_at_speed(sim: Simulator) -> None:
    made = await control(
        sim,
        "POST",
        "jobs",
        {
            "kind": "photo",
            "count": 2,
            "name": "N",
            "timeline": [["WAITING", 5], ["PROCESSING", 60], ["SUCCEED", None]],
        },
    )
    first, second = made.json()["job_ids"]
    clock_of(sim).advance(0.5)
    assert (await show(sim, first, kind="photo")).json()["state"] == "PROCESSING"
    clock_of(sim).advance(6)
    truth = (await control(sim, "GET", "jobs")).json()
    assert [job["job_id"] for job in truth] == [first, second]
    assert truth[0] == {
        "job_id": first,
        "kind": "photo",
        "name": "N",
        "state": "SUCCEED",
        "history": [
            {"state": "WAITING", "at": "2026-03-01T00:00:00.000000Z"},
            {"state": "PROCESSING", "at": "2026-03-01T00:00:00.500000Z"},
            {"state": "SUCCEED", "at": "2026-03-01T00:00:06.500000Z"},
        ],
    }
    assert truth == sim.jobs()


async def test_many_different_jobs_are_made_by_one_request(sim: Simulator) -> None:
    day = 86400
    jobs = [
        {
            "job_id": "old",
            "created_ago": 40 * day,
            "timeline": [["PROCESSING", 400 * day + 30], ["SUCCEED", None]],
        },
        {"kind": "photo_detection", "timeline": [["FAILED", None]]},
        {"count": 3, "name": "N"},
    ]
    made = (await control(sim, "POST", "jobs", {"jobs": jobs})).json()["job_ids"]
    assert (len(made), made[0]) == (5, "old")
    truth = sim.jobs()
    assert [job["job_id"] for job in truth] == made
    assert [job["kind"] for job in truth] == ["avatar", "photo_detection", "avatar", "avatar", "avatar"]
    assert [job["name"] for job in truth[2:]] == ["N"] * 3
    assert truth[0]["history"] == [{"state": "PROCESSING", "at": "2026-01-20T00:00:00.000000Z"}]
    clock_of(sim).advance(3)
    body = (await show(sim, "old")).json()
    assert (body["create_time"], body["state"]) == ("2026-01-20T00:00:00Z", "SUCCEED")
    assert body["start_time"] == body["create_time"]
    assert body["end_time"] == "2026-03-01T00:00:03Z"


async def test_one_bad_job_among_many_makes_none(sim: Simulator) -> None:
    sim.create_jobs(job_id="there")
    for jobs, place in (
        ([{}, {"timeline": []}], "jobs[1]"),
        ([{"job_id": "a"}, {"job_id": "a"}], "job a already exists"),
        ([{}, {"job_id": "there"}], "job there already exists"),
        ([{}, 1], "list of objects"),
        ({}, "list of objects"),
    ):
        raw = await control(sim, "POST", "jobs", {"jobs": jobs})
        assert raw.status == 400
        assert place in raw.json()["error"]
    assert (await control(sim, "POST", "jobs", {"jobs": [], "count": 2})).status == 400
    assert len(sim.jobs()) == 1


async def test_ends_are_told_in_order_and_from_a_moment_on(sim: Simulator) -> None:
    sim.create_many(
        [
            {"job_id": "slow", "timeline": [["PROCESSING", 80], ["FAILED", None]]},
            {"job_id": "fast", "timeline": [["PROCESSING", 20], ["CANCELED", None]]},
            {
                "job_id": "part",
                "kind": "picture_modeling",
                "timeline": [["WAITING", 50], ["PARTIAL_SUCCEED", None]],
            },
            {"job_id": "never", "timeline": [["PROCESSING", None]]},
            {"job_id": "past", "created_ago": 100, "timeline": [["PROCESSING", 500], ["SUCCEED", None]]},
            {"job_id": "gone", "timeline": [["SUCCEED", None]]},
        ]
    )
    sim.remove_job("gone")
    past = {"job_id": "past", "state": "SUCCEED", "at": "2026-02-28T23:59:10.000000Z"}
    assert (await control(sim, "GET", "ends")).json() == [past]
    clock_of(sim).advance(60)
    fast = {"job_id": "fast", "state": "CANCELED", "at": "2026-03-01T00:00:02.000000Z"}
    part = {"job_id": "part", "state": "PARTIAL_SUCCEED", "at": "2026-03-01T00:00:05.000000Z"}
    slow = {"job_id": "slow", "state": "FAILED", "at": "2026-03-01T00:00:08.000000Z"}
    assert (await control(sim, "GET", "ends")).json() == sim.ends() == [past, fast, part, slow]
    assert (await control(sim, "GET", "ends?since=2026-03-01T00:00:05Z")).json() == [part, slow]
    epoch = datetime(2026, 3, 1, 0, 0, 5, 1, UTC).timestamp()
    assert (await control(sim, "GET", f"ends?since={epoch}")).json() == sim.ends(epoch) == [slow]
    sim.set_state("slow", "WAITING")
    clock_of(sim).advance(1)
    sim.set_state("slow", "SUCCEED")
    assert [(end["job_id"], end["state"]) for end in sim.ends(epoch)] == [("slow", "FAILED"), ("slow", "SUCCEED")]
    for bad in ("ends?since=then", "ends?until=3"):
        assert (await control(sim, "GET", bad)).status == 400


async def test_states_are_set_and_jobs_removed(sim: Simulator) -> None:
    [job_id] = (await control(sim, "POST", "jobs", {"job_id": "mine"})).json()["job_ids"]
    assert job_id == "mine"
    clock_of(sim).advance(0.1)
    assert (await control(sim, "PUT", "jobs/mine", {"state": "BLOCK"})).status == 200
    clock_of(sim).advance(10_000)
    assert (await show(sim, "mine")).json()["state"] == "BLOCK"
    assert [step["state"] for step in sim.jobs()[0]["history"]] == ["WAITING", "BLOCK"]
    assert (await list_jobs(sim, "?state=BLOCK"))["count"] == 1
    assert (await control(sim, "DELETE", "jobs/mine")).status == 200
    assert (await show(sim, "mine")).json()["error_code"] == "MSS.00000002"
    assert (await list_jobs(sim))["count"] == 0
    assert (await control(sim, "DELETE", "jobs/mine")).status == 404


async def test_an_answer_is_served_byte_for_byte(sim: Simulator) -> None:
    example = EXAMPLE.read_bytes()
    job_id = json.loads(example)["job_id"]
    assert (await exchange(sim, "PUT", f"/_sim/answers/{job_id}", body=example)).status == 200
    assert (await show(sim, job_id)).body == example
    await control(sim, "DELETE", f"answers/{job_id}")
    assert (await show(sim, job_id)).status == 404


async def test_faults_over_http(sim: Simulator) -> None:
    ordered = await control(sim, "POST", "faults", {"name": "throttled", "times": 2, "operation": "show"})
    assert ordered.json()["times_left"] == 2
    skewed = await control(sim, "POST", "faults", {"name": "clock_skew", "skew": 60, "seconds": 30, "times": None})
    known = (await control(sim, "GET", "faults")).json()
    assert [fault["name"] for fault in known["active"]] == ["throttled", "clock_skew"]
    assert {"name", "about", "operations", "options"} == set(known["offered"][0])
    [job_id] = sim.create_jobs()
    assert [(await show(sim, job_id)).status for _ in range(3)] == [429, 429, 200]
    await control(sim, "DELETE", f"faults/{skewed.json()['id']}")
    assert (await control(sim, "GET", "faults")).json()["active"] == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "jobs", {"kind": "film"}, 400),
        ("POST", "jobs", {"job_id": "a/b"}, 400),
        ("POST", "jobs", {"count": 0}, 400),
        ("POST", "jobs", {"count": 2, "job_id": "x"}, 400),
        ("POST", "jobs", {"colour": 1}, 400),
        ("POST", "jobs", {"timeline": []}, 400),
        ("POST", "jobs", {"created_ago": -1}, 400),
        ("POST", "jobs", {"created_ago": "1"}, 400),
        ("POST", "jobs", {"timeline": [["WAITING", "x"]]}, 400),
        ("POST", "jobs", {"timeline": [["WAITING", None], ["SUCCEED", None]]}, 400),
        ("POST", "jobs", [], 400),
        ("PUT", "jobs/unknown", {"state": "BLOCK"}, 404),
        ("POST", "faults", {"name": "nonsense"}, 400),
        ("POST", "faults", {"name": "slow", "self": 1}, 400),
        ("POST", "faults", {"name": "slow", "times": 0}, 400),
        ("POST", "faults", {"name": "slow", "operation": 3}, 400),
        ("GET", "nothing", None, 404),
        ("PATCH", "jobs", None, 404),
    ],
)
async def test_what_cannot_be_is_said_clearly(
    sim: Simulator, method: str, path: str, body: Any, status: int
) -> None:
    raw = await control(sim, method, path, body)
    assert raw.status == status
    assert raw.json()["error"]
    assert sim.jobs() == []


async def test_a_body_that_is_nested_too_deeply_is_no_json(sim: Simulator) -> None:
    raw = await exchange(sim, "POST", "/_sim/jobs", body=b"[" * 100_000)
    assert (raw.status, "not JSON" in raw.json()["error"]) == (400, True)


async def test_stats_count_by_operation_status_and_second(sim: Simulator) -> None:
    [job_id] = sim.create_jobs()
    for _ in range(3):
        await show(sim, job_id)
    clock_of(sim).advance(0.5)
    await list_jobs(sim)
    clock_of(sim).advance(1)
    await show(sim, "unknown")
    stats = (await control(sim, "GET", "stats")).json()
    second = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp())
    assert stats == {
        "total": 5,
        "by_operation": {"show": 4, "list": 1},
        "by_status": {"200": 4, "404": 1},
        "by_second": {str(second): {"show": 3, "list": 1}, str(second + 1): {"show": 1}},
        "max_in_any_second": 4,
    }
    await control(sim, "DELETE", "stats")
    assert sim.stats()["total"] == 0


async def test_the_same_seed_gives_the_same_world() -> None:
    async def world(seed: int) -> object:
        async with Simulator(SimSettings(seed=seed, clock=ManualClock())) as sim:
            ids = sim.create_jobs(count=20) + sim.create_jobs(kind="photo", count=5)
            clock_of(sim).advance(120)
            return sim.settings.access_key, sim.settings.project_id, ids, sim.jobs()

    assert await world(1) == await world(1)
    assert await world(1) != await world(2)


async def test_it_goes_down_and_comes_up_on_its_port() -> None:
    async with Simulator(SimSettings()) as sim:
        [job_id] = sim.create_jobs()
        url = sim.url
        await sim.down()
        with pytest.raises(ConnectionRefusedError):
            await show(sim, job_id)
        await sim.up()
        assert sim.url == url
        assert (await show(sim, job_id)).status == 200


async def test_requests_over_one_connection_and_through_a_proxys_absolute_form(sim: Simulator) -> None:
    [job_id] = sim.create_jobs()
    path = f"/v1/{sim.settings.project_id}/2d-digital-human-videos/{job_id}"
    host = sim.url.removeprefix("http://")
    reader, writer = await asyncio.open_connection("127.0.0.1", int(host.partition(":")[2]))
    for target in (path, f"http://{host}{path}"):
        writer.write(
            f"GET {target} HTTP/1.1\r\nHost: {host}\r\nX-Auth-Token: {sim.settings.token}\r\n\r\n".encode()
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert head.startswith("HTTP/1.1 200")
        assert "Connection: close" not in head
        length = int(head.partition("Content-Length: ")[2].partition("\r\n")[0])
        assert json.loads(await reader.readexactly(length))["job_id"] == job_id
    writer.close()
    await writer.wait_closed()


async def test_a_client_that_waits_for_100_continue(sim: Simulator) -> None:
    path = f"/v1/{sim.settings.project_id}/2d-digital-human-videos"
    raw = await exchange(
        sim, "POST", path, headers={**token_of(sim), "Expect": "100-continue"}, body=b'{"script_id": "s"}'
    )
    assert raw.status == 100
    assert raw.body.startswith(b"HTTP/1.1 200 OK")


async def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="speed"):
        Simulator(SimSettings(speed=0))
    async with Simulator(SimSettings()) as sim:
        taken = Simulator(SimSettings(port=int(sim.url.rpartition(":")[2])))
        with pytest.raises(OSError, match="in use"):
            await taken.up()
        await taken.down()


async def test_serve_announces_everything_and_ends_when_cancelled() -> None:
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(SimSettings(access_key="AK1", token="T1"), announce=told.set_result))
    text = await told
    for part in ("http://127.0.0.1:", "AK1", "T1", "secret key", "project id", "[projects.main]", "curl -X POST"):
        assert part in text
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_serve_ends_on_sigterm() -> None:
    program = (
        "import asyncio; from daemon.sim import SimSettings, serve; "
        "asyncio.run(serve(SimSettings(), announce=lambda text: print(text, flush=True)))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    assert b"MetaStudio simulator on" in await process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    await process.communicate()
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "127.0.0.1:8700"}, 200),
        ({"Host": "localhost"}, 200),
        ({"Host": "[::1]:8700"}, 200),
        ({"Host": "localhost:8700", "Origin": "http://localhost:8700", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:8700"}, 403),
        ({"Host": "127.0.0.1@evil.example"}, 403),
        ({"Host": "192.0.2.1"}, 403),
        ({"Host": "2130706433"}, 403),
        ({"Host": "localhost", "Origin": "https://evil.example"}, 403),
        ({"Host": "localhost:8700", "Origin": "http://localhost:8701"}, 403),
        ({"Host": "localhost", "Origin": "null"}, 403),
        ({"Host": "localhost", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "localhost", "Sec-Fetch-Site": "same-site"}, 403),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_pages_from_elsewhere_control_nothing(
    sim: Simulator, method: str, headers: dict[str, str], status: int
) -> None:
    told = await exchange(sim, method, "/_sim/jobs", headers=headers)
    assert told.status == status
    assert len(sim.jobs()) == (1 if method == "POST" and status == 200 else 0)


async def test_where_others_are_to_reach_it_an_address_will_do_but_no_name() -> None:
    async with Simulator(SimSettings(listen_host="0.0.0.0")) as sim:
        for host, status in {"192.0.2.1:8700": 200, "127.0.0.1": 200, "evil.example": 403}.items():
            assert (await exchange(sim, "GET", "/_sim/stats", headers={"Host": host})).status == status
