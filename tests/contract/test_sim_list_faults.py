"""The faults of lists, one by one over the socket: by job_ids, and of the feed of ends."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from daemon.clock import ManualClock
from daemon.sim import SimSettings, Simulator
from tests.support.sim import exchange, list_jobs, show, token_of

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
FEED = "?state=SUCCEED,FAILED,CANCELED,BLOCK&sort_key=update_time&sort_dir=desc&limit=10"


@pytest.fixture
async def sim():
    async with Simulator(SimSettings(show_rate=None, write_rate=None, clock=ManualClock(START))) as sim:
        yield sim


def clock_of(sim: Simulator) -> ManualClock:
    assert isinstance(sim.settings.clock, ManualClock)
    return sim.settings.clock


def ended(sim: Simulator, count: int = 40) -> list[str]:
    """Create jobs that ended one second apart; the newest end first."""
    jobs = [{"timeline": [["PROCESSING", 1 + place], ["SUCCEED", None]]} for place in range(count)]
    made = sim.create_many(jobs)
    clock_of(sim).advance(count + 10)
    return made[::-1]


def by_ids(ids: list[str]) -> str:
    return "?limit=100&" + "&".join(f"job_ids={job_id}" for job_id in ids)


def ids_of(answer: Any) -> list[str]:
    return [job["job_id"] for job in answer["jobs"]]


async def ids(sim: Simulator, query: str) -> list[str]:
    return ids_of(await list_jobs(sim, query))


async def test_job_ids_ignored(sim: Simulator) -> None:
    made = sim.create_jobs(count=20)
    sim.fault("job_ids_ignored")
    answer = await list_jobs(sim, by_ids(made[3:5]))
    assert (answer["count"], ids_of(answer)) == (20, made)


async def test_job_ids_capped(sim: Simulator) -> None:
    made = sim.create_jobs(count=30)
    sim.fault("job_ids_capped")
    answer = await list_jobs(sim, by_ids(made[5:]))
    assert (answer["count"], ids_of(answer)) == (10, made[5:15])
    sim.clear_faults()
    sim.fault("job_ids_capped", cap=3)
    assert await ids(sim, by_ids(made)) == made[:3]
    assert await ids(sim, "?limit=100") == made


async def test_job_ids_unsorted(sim: Simulator) -> None:
    made = sim.create_jobs(count=30)
    sim.fault("job_ids_unsorted")
    mixed = await ids(sim, by_ids(made))
    assert mixed != made
    assert sorted(mixed) == sorted(made)
    assert await ids(sim, by_ids(made)) == mixed
    pair = await ids(sim, by_ids(made[:2]))
    assert pair == made[1::-1]
    assert await ids(sim, "?limit=100") == made


async def test_job_ids_foreign(sim: Simulator) -> None:
    made = sim.create_jobs(count=30)
    sim.create_jobs(kind="picture_modeling", count=30)
    sim.fault("job_ids_foreign", count=4)
    answer = await list_jobs(sim, by_ids(made[:6]))
    assert answer["count"] == len(answer["jobs"]) == 10
    assert set(made[:6]) < set(ids_of(answer)) < set(made)
    assert await ids(sim, "?limit=100") == made


async def test_job_ids_duplicated(sim: Simulator) -> None:
    made = sim.create_jobs(count=8)
    sim.fault("job_ids_duplicated", copies=3)
    assert await ids(sim, by_ids(made[:2])) == made[:2] * 3
    assert await ids(sim, "?limit=100") == made


async def test_job_ids_missing(sim: Simulator) -> None:
    made = sim.create_jobs(count=100)
    first = sim.fault("job_ids_missing", first=3)
    answer = await list_jobs(sim, by_ids(made[10:20]))
    assert (answer["count"], ids_of(answer)) == (7, made[13:20])
    sim.clear_faults(first)
    sim.fault("job_ids_missing")
    some = await ids(sim, by_ids(made))
    assert 65 <= len(some) <= 95
    assert await ids(sim, by_ids(made[:50])) == [job_id for job_id in made[:50] if job_id in some]
    sim.clear_faults()
    sim.fault("job_ids_missing", job_id=made[4], share=1)
    assert await ids(sim, by_ids(made[3:6])) == [made[3], made[5]]
    assert await ids(sim, "?limit=100") == made
    assert (await show(sim, made[4])).status == 200


async def test_list_refused(sim: Simulator) -> None:
    made = sim.create_jobs(count=20)
    number = sim.fault("list_refused", times=1)
    assert await ids(sim, by_ids(made[:10])) == made[:10]
    assert sim.faults()[0]["hits"] == 0
    path = f"/v1/{sim.settings.project_id}/digital-human-videos"
    raw = await exchange(sim, "GET", path + by_ids(made[:11]), headers=token_of(sim))
    assert (raw.status, raw.json()["error_code"]) == (400, "MSS.00000003")
    assert "job_ids" in raw.json()["error_msg"]
    assert number not in {fault["id"] for fault in sim.faults()}


async def test_feed_unsorted(sim: Simulator) -> None:
    newest = ended(sim)
    number = sim.fault("feed_unsorted")
    pages = [await ids(sim, f"{FEED}&offset={offset}") for offset in (0, 10, 20, 30)]
    assert sorted(job_id for page in pages for job_id in page) == sorted(newest)
    assert sorted(pages[0]) != sorted(newest[:10])
    assert await ids(sim, by_ids(newest)) == newest[::-1]
    sim.clear_faults(number)
    sim.fault("feed_unsorted", page_only=1)
    page = await ids(sim, FEED + "&offset=10")
    assert page != newest[10:20]
    assert sorted(page) == sorted(newest[10:20])


async def test_feed_stale_shows_the_past_as_it_was(sim: Simulator) -> None:
    life = [["WAITING", 20], ["PROCESSING", 100], ["SUCCEED", None]]
    [old, requeued] = sim.create_many(
        [{"job_id": "old", "timeline": life}, {"job_id": "requeued", "timeline": life}]
    )
    answers: dict[str, list[Any]] = {"now": [], "stale": []}
    queries = ("?limit=100", FEED, "?state=PROCESSING,WAITING&limit=100", "?sort_key=update_time")
    for step in range(16):
        answers["now"].append([await list_jobs(sim, query) for query in queries])
        number = sim.fault("feed_stale", behind=30)
        answers["stale"].append([await list_jobs(sim, query) for query in queries])
        assert ids_of(await list_jobs(sim, by_ids([old])))[0] == old
        assert (await list_jobs(sim, by_ids([old])))["jobs"][0]["state"] == (await show(sim, old)).json()["state"]
        sim.clear_faults(number)
        clock_of(sim).advance(1)
        if step == 4:
            sim.create_jobs(job_id="later", timeline=life)
        if step == 6:
            sim.set_state(requeued, "WAITING")
        clock_of(sim).advance(9)
    empty = {"count": 0, "jobs": []}
    assert answers["stale"][:3] == [[empty] * 4] * 3
    assert [_timeless(step) for step in answers["stale"][3:]] == [_timeless(step) for step in answers["now"][:-3]]
    assert {job["job_id"]: job["state"] for job in answers["stale"][-1][0]["jobs"]} == {
        "old": "SUCCEED",
        "requeued": "WAITING",
        "later": "PROCESSING",
    }


def _timeless(answers: list[Any]) -> list[Any]:
    """Return answers without the links, which are signed at the time of the request."""
    for answer in answers:
        for job in answer["jobs"]:
            job["output_asset_config"].pop("cover_url", None)
    return answers


async def test_feed_stale_is_a_minute_behind_unless_told(sim: Simulator) -> None:
    newest = ended(sim, 100)
    sim.fault("feed_stale")
    page = await list_jobs(sim, FEED)
    assert (page["count"], ids_of(page)) == (50, newest[50:60])
    assert page["jobs"][0]["lastupdate_time"] == (START + timedelta(seconds=50)).strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_feed_filter_ignored(sim: Simulator) -> None:
    [running] = sim.create_jobs(timeline=[("PROCESSING", None)])
    newest = ended(sim, 5)
    assert await ids(sim, FEED) == newest
    sim.fault("feed_filter_ignored")
    assert await ids(sim, FEED) == [*newest, running]
    assert await ids(sim, by_ids([running]) + "&state=SUCCEED") == []


async def test_feed_missing(sim: Simulator) -> None:
    newest = ended(sim)
    sim.fault("feed_missing", job_id=newest[3])
    assert await ids(sim, FEED) == newest[:3] + newest[4:11]
    assert await ids(sim, by_ids([newest[3]])) == [newest[3]]
    sim.clear_faults()
    sim.fault("feed_missing", share=0.5)
    left = await ids(sim, FEED + "&limit=100")
    assert 8 <= len(left) <= 32
    assert await ids(sim, FEED) == left[:10]


async def test_feed_pages_repeat(sim: Simulator) -> None:
    newest = ended(sim)
    sim.fault("feed_pages_repeat", times=2)
    assert await ids(sim, FEED) == newest[:10]
    assert await ids(sim, FEED + "&offset=10") == newest[:10]
    assert await ids(sim, FEED + "&offset=27") == newest[:10]
    assert await ids(sim, FEED + "&offset=10") == newest[10:20]


async def test_feed_pages_skip(sim: Simulator) -> None:
    newest = ended(sim)
    sim.fault("feed_pages_skip", count=2)
    assert await ids(sim, FEED) == newest[:10]
    assert await ids(sim, FEED + "&offset=10") == newest[12:22]
    assert await ids(sim, FEED + "&offset=8") == newest[10:20]
    assert await ids(sim, FEED + "&offset=20") == newest[24:34]


async def test_month_limit(sim: Simulator) -> None:
    life = [["PROCESSING", 40 * 86400 + 10], ["SUCCEED", None]]
    sim.create_many(
        [{"job_id": "old", "created_ago": 40 * 86400, "timeline": life}, {"job_id": "new", "timeline": life[1:]}]
    )
    clock_of(sim).advance(11)
    wide = "&create_since=2026-01-01T00:00:00Z"
    assert await ids(sim, FEED) == ["new"]
    assert await ids(sim, FEED + wide) == ["old", "new"]
    assert await ids(sim, by_ids(["old", "new"]) + wide) == ["old", "new"]
    sim.fault("month_limit")
    assert await ids(sim, FEED + wide) == ["new"]
    assert await ids(sim, by_ids(["old", "new"]) + wide) == ["new"]
    assert (await show(sim, "old")).json()["state"] == "SUCCEED"


async def test_several_lies_at_once(sim: Simulator) -> None:
    newest = ended(sim)
    sim.fault("feed_stale", behind=20)
    sim.fault("feed_pages_skip", count=3)
    sim.fault("feed_missing", job_id=newest[26])
    assert await ids(sim, FEED + "&offset=10") == [*newest[23:26], *newest[27:34]]
    sim.fault("job_ids_capped", cap=4)
    sim.fault("job_ids_duplicated")
    assert await ids(sim, by_ids(newest)) == newest[3::-1] * 2


async def test_a_fault_about_one_job_acts_on_the_lists_that_name_it(sim: Simulator) -> None:
    made = sim.create_jobs(count=20)
    sim.fault("job_ids_capped", cap=1, job_id=made[0])
    assert await ids(sim, by_ids(made[:5])) == made[:1]
    assert await ids(sim, by_ids(made[5:9])) == made[5:9]
