"""The list operation: every query parameter, paging, order, and how far back it goes."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from daemon.clock import ManualClock
from daemon.sim import SimSettings, Simulator
from tests.support.sim import exchange, list_jobs, token_of

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
async def sim():
    async with Simulator(SimSettings(show_rate=None, write_rate=None, clock=ManualClock(START))) as sim:
        yield sim


def clock_of(sim: Simulator) -> ManualClock:
    assert isinstance(sim.settings.clock, ManualClock)
    return sim.settings.clock


async def ids(sim: Simulator, query: str = "") -> list[str]:
    return [job["job_id"] for job in (await list_jobs(sim, query))["jobs"]]


async def test_pages_cover_everything_once(sim: Simulator) -> None:
    made = []
    for _ in range(25):
        made += sim.create_jobs()
        clock_of(sim).advance(0.1)
    assert await ids(sim) == made[:10]
    assert await ids(sim, "?offset=10&limit=10") == made[10:20]
    assert await ids(sim, "?offset=20&limit=100") == made[20:]
    assert await ids(sim, "?offset=25") == []
    assert (await list_jobs(sim, "?offset=25"))["count"] == 25
    assert await ids(sim, "?limit=3&sort_dir=desc") == made[:-4:-1]


async def test_update_order_is_the_feed_of_ends(sim: Simulator) -> None:
    lives = {"slow": 90, "fast": 10, "middle": 40}
    for name, seconds in lives.items():
        sim.create_jobs(job_id=name, timeline=[("WAITING", 5), ("PROCESSING", seconds), ("SUCCEED", None)])
    sim.create_jobs(job_id="failed", timeline=[("PROCESSING", 50), ("FAILED", None)])
    sim.create_jobs(job_id="frozen", timeline=[("PROCESSING", 20), ("BLOCK", None)])
    sim.create_jobs(job_id="waits", timeline=[("WAITING", None)])
    feed = "?state=SUCCEED,FAILED,CANCELED,BLOCK&sort_key=update_time&sort_dir=desc"
    assert await ids(sim, feed) == []
    clock_of(sim).advance(30)
    assert await ids(sim, feed) == ["frozen", "fast"]
    sim.set_state("waits", "CANCELED")
    clock_of(sim).advance(100)
    assert await ids(sim, feed) == ["slow", "failed", "middle", "waits", "frozen", "fast"]
    assert await ids(sim, feed.replace("desc", "asc")) == ["fast", "frozen", "waits", "middle", "failed", "slow"]
    assert await ids(sim, feed + "&limit=2&offset=1") == ["failed", "middle"]
    last = (await list_jobs(sim, feed))["jobs"][0]
    assert last["lastupdate_time"] == (START + timedelta(seconds=95)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert last["output_asset_config"]["cover_url"]


async def test_filters(sim: Simulator) -> None:
    sim.create_jobs(job_id="a", name="One Day", timeline=[("SUCCEED", None)])
    sim.create_jobs(job_id="p", kind="photo", name="城市 & more", timeline=[("WAITING", None)])
    sim.create_jobs(job_id="b", name="One Day again", timeline=[("PROCESSING", None)])
    assert await ids(sim, "?state=WAITING,PROCESSING") == ["p", "b"]
    assert await ids(sim, "?state=CREATING") == []
    assert await ids(sim, "?asset_name=One%20Day") == ["a"]
    assert await ids(sim, "?asset_name=One+Day&fuzzy_query_field=asset_name") == ["a", "b"]
    assert await ids(sim, f"?asset_name={quote('城市 & more')}") == ["p"]
    assert await ids(sim, "?job_type=PHOTO_DIGITAL_HUMAN_VIDEO") == ["p"]
    assert await ids(sim, "?job_type=DIGITAL_HUMAN_PHOTO_VIDEO") == ["p"]
    assert await ids(sim, "?job_type=2D_DIGITAL_HUMAN_VIDEO&state=SUCCEED") == ["a"]
    assert await ids(sim, "?job_id=b") == ["b"]
    assert await ids(sim, "?job_ids=b&job_ids=a&job_ids=b&job_ids=zzz") == ["a", "b"]
    assert await ids(sim, "?job_ids=b,a&state=SUCCEED") == ["a"]
    script = (await exchange(sim, "GET", _show(sim, "b"), headers=token_of(sim))).json()["script_id"]
    assert await ids(sim, f"?script_id={script}") == ["b"]


def _show(sim: Simulator, job_id: str) -> str:
    return f"/v1/{sim.settings.project_id}/2d-digital-human-videos/{job_id}"


async def test_without_create_since_only_the_last_month(sim: Simulator) -> None:
    sim.create_jobs(job_id="old")
    clock_of(sim).advance(20 * 86400)
    sim.create_jobs(job_id="new")
    assert await ids(sim) == ["old", "new"]
    clock_of(sim).advance(11 * 86400)
    assert await ids(sim) == ["new"]
    assert await ids(sim, "?job_ids=old&job_ids=new") == ["new"]
    assert await ids(sim, "?sort_key=update_time&state=SUCCEED,FAILED,CANCELED") == ["new"]
    assert await ids(sim, "?create_since=2026-03-01T00:00:00Z") == ["old", "new"]


async def test_creation_bounds_are_inclusive_to_the_second(sim: Simulator) -> None:
    for job_id in ("first", "second", "third"):
        sim.create_jobs(job_id=job_id)
        clock_of(sim).advance(1.5)
    since, until = "create_since=2026-03-01T12:00:01Z", "create_until=2026-03-01T12:00:01Z"
    assert await ids(sim, f"?{since}") == ["second", "third"]
    assert await ids(sim, f"?{until}") == ["first", "second"]
    assert await ids(sim, f"?{since}&{until}") == ["second"]
    assert await ids(sim, f"?{since}&sort_key=update_time") == ["second", "third"]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=ten",
        "limit=-1",
        "offset=-1",
        "offset=1.5",
        "sort_key=name",
        "sort_dir=down",
        "job_type=3D",
        "create_since=yesterday",
        "create_until=2026-13-01T00:00:00Z",
    ],
)
async def test_bad_parameters_are_400(sim: Simulator, query: str) -> None:
    path = f"/v1/{sim.settings.project_id}/digital-human-videos?{query}"
    raw = await exchange(sim, "GET", path, headers=token_of(sim))
    assert (raw.status, raw.json()["error_code"]) == (400, "MSS.00000003")
    assert query.partition("=")[0] in raw.json()["error_msg"]


async def test_the_index_finds_what_a_look_at_every_job_finds(sim: Simulator) -> None:
    """Random timelines, interventions and queries against a plain filter and sort of the true jobs."""
    rng = random.Random(5)
    states = ["WAITING", "PROCESSING", "SUCCEED", "FAILED", "CANCELED", "BLOCK"]
    for _ in range(60):
        age = rng.choice([0, 0, rng.randint(0, 500)])
        sim.create_jobs(kind=rng.choice(["avatar", "photo"]), count=rng.randint(1, 4), created_ago=age)
        clock_of(sim).advance(rng.randint(1, 40))
        if rng.random() < 0.4:
            sim.set_state(rng.choice(sim.jobs())["job_id"], rng.choice(states))
        if rng.random() < 0.2:
            sim.remove_job(rng.choice(sim.jobs())["job_id"])
        query = {
            "state": ",".join(rng.sample(states, rng.randint(1, 6))),
            "sort_key": rng.choice(["create_time", "update_time"]),
            "sort_dir": rng.choice(["asc", "desc"]),
            "offset": rng.randint(0, 5),
            "limit": rng.randint(1, 30),
        }
        truth = sim.jobs()
        fitting = [job for job in truth if job["state"] in query["state"].split(",")]
        answer = await list_jobs(sim, "?" + urlencode(query))
        assert answer["count"] == len(fitting)
        expected = _in_order(fitting, truth, query)
        assert [job["job_id"] for job in answer["jobs"]] == expected


def _in_order(fitting: list[dict[str, Any]], truth: list[dict[str, Any]], query: dict[str, Any]) -> list[str]:
    place = {job["job_id"]: number for number, job in enumerate(truth)}
    step = -1 if query["sort_key"] == "update_time" else 0
    fitting = sorted(
        fitting,
        key=lambda job: (job["history"][step]["at"], place[job["job_id"]]),
        reverse=query["sort_dir"] == "desc",
    )
    return [job["job_id"] for job in fitting[query["offset"] : query["offset"] + query["limit"]]]


async def test_an_entry_says_what_holds_now_however_often_it_was_asked(sim: Simulator) -> None:
    [job_id] = sim.create_jobs(timeline=[("WAITING", 5), ("PROCESSING", 60), ("SUCCEED", None)])
    query = f"?job_ids={job_id}"
    seen = []
    for _ in range(75):
        [entry] = (await list_jobs(sim, query))["jobs"]
        shown = (await exchange(sim, "GET", _show(sim, job_id), headers=token_of(sim))).json()
        entry["output_asset_config"].pop("cover_url", None)
        shown["output_asset_config"].pop("cover_url", None)
        assert entry == {name: shown[name] for name in entry}
        seen.append(entry["state"])
        clock_of(sim).advance(1)
    assert [seen.count(state) for state in ("WAITING", "PROCESSING", "SUCCEED")] == [5, 60, 10]
    sim.set_state(job_id, "BLOCK")
    assert (await list_jobs(sim, query))["jobs"][0]["state"] == "BLOCK"


async def test_links_of_lists_stay_fresh_and_follow_the_callers_address(sim: Simulator) -> None:
    [job_id] = sim.create_jobs(timeline=[("SUCCEED", None)])
    query = f"?job_ids={job_id}"
    for _ in range(200):
        [entry] = (await list_jobs(sim, query))["jobs"]
        url = entry["output_asset_config"]["cover_url"]
        expires = int(url.partition("Expires=")[2].partition("&")[0])
        assert 0 <= clock_of(sim).now().timestamp() + 86_400 - expires <= 60
        clock_of(sim).advance(11)
    [entry] = (await list_jobs(sim, query, host="elsewhere:80"))["jobs"]
    assert entry["output_asset_config"]["cover_url"].startswith("http://elsewhere:80/")
