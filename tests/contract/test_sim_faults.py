"""Every fault by name: its effect on the wire, how often, and on which requests."""

import asyncio
import gzip
import json
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest

from daemon.clock import ManualClock
from daemon.sim import SimSettings, Simulator
from daemon.sim.faults import OFFERED
from tests.support.sim import Raw, exchange, list_jobs, show, show_path, token_of

DONE = [("SUCCEED", None)]


@pytest.fixture
async def sim():
    clock = ManualClock(datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC))
    async with Simulator(SimSettings(show_rate=None, write_rate=None, clock=clock)) as sim:
        yield sim


def clock_of(sim: Simulator) -> ManualClock:
    assert isinstance(sim.settings.clock, ManualClock)
    return sim.settings.clock


async def with_fault(sim: Simulator, name: str, **options: object) -> Raw:
    """Show a job once under the fault, then check that the next answer is normal."""
    [job_id] = sim.create_jobs(timeline=[("PROCESSING", None)])
    sim.fault(name, times=1, **options)
    raw = await show(sim, job_id)
    after = await show(sim, job_id)
    assert (after.status, after.json()["state"], after.ended) == (200, "PROCESSING", "eof")
    return raw


def test_the_issue_names_are_all_offered() -> None:
    named = """throttled throttled_retry_after server_error slow hang reset reset_before truncated html_200
        wrong_content_type huge_body gzip gzip_bomb drip empty_body redirect bad_status_line quirk_success
        quirk_position quirk_width quirk_object_for_array quirk_blocked quirk_job_type clock_skew requeue vanished
        unknown_state unauthorized gateway_error job_ids_ignored job_ids_capped job_ids_unsorted job_ids_foreign
        job_ids_duplicated job_ids_missing list_refused feed_unsorted feed_stale feed_filter_ignored
        feed_pages_repeat feed_pages_skip month_limit"""
    assert set(named.split()) <= set(OFFERED)


async def test_throttled(sim: Simulator) -> None:
    raw = await with_fault(sim, "throttled")
    assert (raw.status, raw.json()["error_code"]) == (429, "APIG.0308")
    assert "retry-after" not in raw.headers


async def test_throttled_retry_after(sim: Simulator) -> None:
    assert (await with_fault(sim, "throttled_retry_after")).headers["retry-after"] == "2"
    assert (await with_fault(sim, "throttled_retry_after", retry_after=7)).headers["retry-after"] == "7"


async def test_server_error(sim: Simulator) -> None:
    raw = await with_fault(sim, "server_error")
    assert (raw.status, raw.json()) == (500, {"error_code": "MSS.00000004", "error_msg": "Internal Error"})
    assert (await with_fault(sim, "server_error", status=503)).status == 503


async def test_gateway_error(sim: Simulator) -> None:
    raw = await with_fault(sim, "gateway_error")
    assert (raw.status, raw.json()["error_code"]) == (504, "APIG.0203")
    assert raw.json()["request_id"]


async def test_unauthorized(sim: Simulator) -> None:
    raw = await with_fault(sim, "unauthorized")
    assert (raw.status, raw.json()["error_code"]) == (401, "APIG.0301")


async def test_not_offered(sim: Simulator) -> None:
    raw = await with_fault(sim, "not_offered")
    assert (raw.status, raw.json()["error_code"]) == (404, "APIG.0101")


async def test_html_200(sim: Simulator) -> None:
    raw = await with_fault(sim, "html_200")
    assert raw.status == 200
    assert raw.headers["content-type"].startswith("text/html")
    assert raw.body.startswith(b"<!DOCTYPE html>")


async def test_redirect(sim: Simulator) -> None:
    raw = await with_fault(sim, "redirect")
    assert (raw.status, raw.headers["location"]) == (302, "https://portal.example/login")


async def test_empty_body(sim: Simulator) -> None:
    raw = await with_fault(sim, "empty_body")
    assert (raw.status, raw.body, raw.headers["content-length"]) == (200, b"", "0")


async def test_slow(sim: Simulator) -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    raw = await with_fault(sim, "slow", delay=0.2)
    assert raw.status == 200
    assert loop.time() - begun >= 0.2


async def test_hang(sim: Simulator) -> None:
    [job_id] = sim.create_jobs()
    sim.fault("hang", times=1)
    raw = await exchange(sim, "GET", show_path(sim, job_id), headers=token_of(sim), wait=0.3)
    assert (raw.ended, raw.data) == ("open", b"")
    assert sim.stats()["by_status"] == {"none": 1}
    assert (await show(sim, job_id)).status == 200


async def test_a_hanging_answer_does_not_keep_the_simulator_from_ending() -> None:
    async with Simulator(SimSettings()) as sim:
        [job_id] = sim.create_jobs()
        sim.fault("hang")
        hanging = asyncio.create_task(show(sim, job_id))
        while not sim.stats()["total"]:
            await asyncio.sleep(0)
    assert (await hanging).ended in ("eof", "reset")


async def test_reset(sim: Simulator) -> None:
    raw = await with_fault(sim, "reset")
    assert (raw.ended, raw.data) == ("reset", b"")
    part = await with_fault(sim, "reset", after=60)
    assert part.ended == "reset"
    assert len(part.data) <= 60


async def test_reset_before(sim: Simulator) -> None:
    raw = await with_fault(sim, "reset_before")
    assert (raw.ended, raw.data) == ("eof", b"")


async def test_truncated(sim: Simulator) -> None:
    raw = await with_fault(sim, "truncated")
    assert (raw.status, raw.ended) == (200, "eof")
    promised = int(raw.headers["content-length"])
    assert promised // 2 <= len(raw.body) < promised
    with pytest.raises(json.JSONDecodeError):
        raw.json()


async def test_wrong_content_type(sim: Simulator) -> None:
    raw = await with_fault(sim, "wrong_content_type")
    assert (raw.status, raw.headers["content-type"]) == (200, "text/html")
    assert raw.json()["state"] == "PROCESSING"


async def test_huge_body(sim: Simulator) -> None:
    raw = await with_fault(sim, "huge_body", size=3_000_000)
    assert (raw.status, len(raw.body)) == (200, 3_000_000)
    assert raw.json()["state"] == "PROCESSING"


async def test_gzip(sim: Simulator) -> None:
    raw = await with_fault(sim, "gzip")
    assert raw.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(raw.body))["state"] == "PROCESSING"


async def test_gzip_bomb(sim: Simulator) -> None:
    raw = await with_fault(sim, "gzip_bomb", size=8 * 1024 * 1024)
    assert raw.headers["content-encoding"] == "gzip"
    assert len(raw.body) < 20_000
    assert gzip.decompress(raw.body) == b" " * (8 * 1024 * 1024)


async def test_drip(sim: Simulator) -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    raw = await with_fault(sim, "drip", interval=0.01, piece=30)
    assert raw.json()["state"] == "PROCESSING"
    assert loop.time() - begun >= 0.01 * (len(raw.body) // 30)


async def test_bad_status_line(sim: Simulator) -> None:
    raw = await with_fault(sim, "bad_status_line")
    assert raw.status is None
    assert not raw.data.startswith(b"HTTP/")
    assert raw.data


async def test_quirk_success_and_blocked(sim: Simulator) -> None:
    [done] = sim.create_jobs(timeline=DONE)
    [frozen] = sim.create_jobs(timeline=[("BLOCK", None)])
    sim.fault("quirk_success")
    sim.fault("quirk_blocked")
    assert (await show(sim, done)).json()["state"] == "SUCCESS"
    assert (await show(sim, frozen)).json()["state"] == "BLOCKED"
    assert {job["state"] for job in (await list_jobs(sim))["jobs"]} == {"SUCCESS", "BLOCKED"}
    assert [job["state"] for job in sim.jobs()] == ["SUCCEED", "BLOCK"]


async def test_quirks_of_layers_and_backgrounds(sim: Simulator) -> None:
    [job_id] = sim.create_jobs(timeline=DONE)
    for name in ("quirk_position", "quirk_width", "quirk_object_for_array"):
        sim.fault(name)
    for query in ("", "?show_script=true"):
        script = (await show(sim, job_id, query=query)).json()["shoot_scripts"][0]["shoot_script"]
        assert script["layer_config"][0]["position"] == {"dx": "656,", "dy": "0,", "layer_index": 1}
        assert script["layer_config"][0]["size"]["width"] == 607.5
        assert isinstance(script["background_config"], dict)
    sim.clear_faults()
    script = (await show(sim, job_id, query="?show_script=true")).json()["shoot_scripts"][0]["shoot_script"]
    assert script["layer_config"][0]["position"]["dx"] != "656,"
    assert "shoot_scripts" not in (await show(sim, job_id)).json()


async def test_quirk_job_type(sim: Simulator) -> None:
    [photo] = sim.create_jobs(kind="photo")
    [avatar] = sim.create_jobs()
    sim.fault("quirk_job_type")
    assert (await show(sim, photo, kind="photo")).json()["job_type"] == "DIGITAL_HUMAN_PHOTO_VIDEO"
    assert "job_type" not in (await show(sim, avatar)).json()


async def test_quirk_not_found_400(sim: Simulator) -> None:
    assert (await show(sim, "unknown")).status == 404
    sim.fault("quirk_not_found_400")
    raw = await show(sim, "unknown")
    assert (raw.status, raw.json()["error_code"]) == (400, "MSS.00010003")


async def test_unknown_state(sim: Simulator) -> None:
    [job_id] = sim.create_jobs()
    sim.fault("unknown_state", times=1)
    assert (await show(sim, job_id)).json()["state"] == "THAWING"
    assert (await show(sim, job_id)).json()["state"] == "WAITING"


async def test_clock_skew_moves_dates_links_and_the_age_of_signatures(sim: Simulator) -> None:
    sim.fault("clock_skew", skew=-4000)
    [job_id] = sim.create_jobs(timeline=DONE)
    raw = await show(sim, job_id)
    wrong = clock_of(sim).now() - timedelta(seconds=4000)
    assert parsedate_to_datetime(raw.headers["date"]) == wrong
    assert raw.json()["create_time"] == wrong.strftime("%Y-%m-%dT%H:%M:%SZ")
    expires = int(raw.json()["output_asset_config"]["cover_url"].partition("Expires=")[2].partition("&")[0])
    assert expires == wrong.timestamp() + 86400


async def test_requeue_steps_back_once_and_goes_on(sim: Simulator) -> None:
    [job_id] = sim.create_jobs(timeline=[("WAITING", 5), ("PROCESSING", 60), ("SUCCEED", None)])
    sim.fault("requeue", wait=10)
    states = []
    for _ in range(9):
        states.append((await show(sim, job_id)).json()["state"])
        clock_of(sim).advance(10)
    assert states == ["WAITING", "WAITING", *["PROCESSING"] * 6, "SUCCEED"]
    assert [step["state"] for step in sim.jobs()[0]["history"]] == [
        "WAITING",
        "PROCESSING",
        "WAITING",
        "PROCESSING",
        "SUCCEED",
    ]
    assert (await list_jobs(sim, "?state=SUCCEED"))["count"] == 1


async def test_vanished_lasts_as_long_as_it_is_told(sim: Simulator) -> None:
    [gone, other] = sim.create_jobs(count=2)
    sim.fault("vanished", job_id=gone, seconds=30)
    assert (await show(sim, gone)).status == 404
    assert (await show(sim, other)).status == 200
    assert [job["job_id"] for job in (await list_jobs(sim))["jobs"]] == [other]
    clock_of(sim).advance(30)
    assert (await show(sim, gone)).status == 200
    assert (await list_jobs(sim))["count"] == 2


async def test_faults_about_several_jobs_act_side_by_side(sim: Simulator) -> None:
    ids = sim.create_jobs(count=5, timeline=[("PROCESSING", 60), ("SUCCEED", None)])
    for job_id in ids[:2]:
        sim.fault("vanished", job_id=job_id)
    for job_id in ids[2:4]:
        sim.fault("requeue", job_id=job_id)
    states = {job["job_id"]: job["state"] for job in (await list_jobs(sim))["jobs"]}
    assert states == {ids[2]: "WAITING", ids[3]: "WAITING", ids[4]: "PROCESSING"}


async def test_faults_hit_the_operation_and_job_that_they_name(sim: Simulator) -> None:
    [one, two] = sim.create_jobs(count=2)
    sim.fault("server_error", operation="list")
    sim.fault("gateway_error", job_id=one)
    assert (await show(sim, one)).status == 504
    assert (await show(sim, two)).status == 200
    path = f"/v1/{sim.settings.project_id}/digital-human-videos"
    assert (await exchange(sim, "GET", path, headers=token_of(sim))).status == 500
    sim.clear_faults()
    assert (await show(sim, one)).status == 200


async def test_a_lost_answer_to_create_leaves_the_job(sim: Simulator) -> None:
    sim.fault("reset", operation="create")
    path = f"/v1/{sim.settings.project_id}/2d-digital-human-videos"
    raw = await exchange(sim, "POST", path, headers=token_of(sim), body=b'{"script_id": "s"}')
    assert raw.ended == "reset"
    assert len(sim.jobs()) == 1


async def test_what_cannot_be_ordered_is_refused(sim: Simulator) -> None:
    with pytest.raises(ValueError, match="unknown fault 'nonsense'"):
        sim.fault("nonsense")
    with pytest.raises(ValueError, match="has no option colour"):
        sim.fault("slow", colour=1)
    with pytest.raises(ValueError, match="cannot hit 'show'"):
        sim.fault("job_ids_ignored", operation="show")
    with pytest.raises(ValueError, match="must be a number"):
        sim.fault("slow", delay="long")
    with pytest.raises(ValueError, match="0 or more"):
        sim.fault("feed_stale", behind=-1)
