"""One job whose queries fail among others that work: only its own alerts are delayed."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.domain.events import Event
from daemon.domain.planning import Rails
from daemon.metastudio.listing import Listed
from daemon.watch.answers import DEFECTS
from tests.support.feeding import change_lists, listing_rig, told_ends, track
from tests.support.rig import Rig, rig

LONGEST = 10.0
OPERATORS = frozenset({Event.PROJECT_DOWN, Event.PROJECT_RECOVERED, Event.AUTH_FAILED, Event.OVERLOADED})


class Bug(RuntimeError):
    """An unforeseen error."""


def ends(it: Rig, count: int, *, over: float) -> list[str]:
    """Track jobs that end evenly within `over` seconds, and one that goes on."""
    specs = [
        {"timeline": [("PROCESSING", 5 + number * over / count), ("SUCCEED", None)]} for number in range(count)
    ]
    jobs = it.sim.create_many(specs)
    track(it, [*jobs, *it.sim.create_jobs(timeline=[("PROCESSING", 1e6), ("SUCCEED", None)])])
    return jobs


def poison(it: Rig) -> str:
    [job] = it.sim.create_jobs(timeline=[("PROCESSING", 1e6), ("SUCCEED", None)])
    it.track(job)
    return job


def looks_at(it: Rig, job: str) -> Callable[[], int]:
    """Return how often the job is polled singly from now on."""
    client, count = it.poller.context.client, 0
    ask = client.show_whole

    async def counted(kind: Any, job_id: Any, **options: Any) -> Any:
        nonlocal count
        count += job_id == job
        return await ask(kind, job_id, **options)

    client.show_whole = counted  # type: ignore[method-assign]
    return lambda: count


def operators(it: Rig) -> list[Event]:
    return [event for event in it.events() if event in OPERATORS]


def breaking(it: Rig, where: str, job: str) -> None:
    """Make a step of each poll of one job raise."""
    answers, planner = it.poller.answers, it.poller.planner
    owner: Any = answers if where in ("take", "unchanged") else planner
    step = getattr(owner, where)

    def broken(watched: Any, *args: Any, **options: Any) -> Any:
        if watched.job_id == job:
            raise Bug(f"{where} {job}")
        return step(watched, *args, **options)

    setattr(owner, where, broken)


@pytest.mark.parametrize("where", ["take", "unchanged", pytest.param("plan_next", marks=pytest.mark.long)])
@pytest.mark.parametrize("lists", [False, True])
async def test_a_defect_at_one_job_costs_no_other(tmp_path: Path, where: str, lists: bool) -> None:
    plan = {"batch": lists, "feed": lists}
    rails = Rails(min_interval=1, max_interval=LONGEST, blocked_interval=60)
    async with rig(tmp_path, rate=5, rails=rails, plan=plan) as it:
        bad = poison(it)
        jobs = ends(it, 20, over=60)
        breaking(it, where, bad)
        count = looks_at(it, bad)
        await it.run(100)
        told = told_ends(it)
        assert {it.job(job).id for job in jobs} == set(told), "each of the others is told"
        assert set(told.values()) == {1}
        assert count() <= 20, "no faster than its failures allow"
        assert it.metrics.defects.labels("watch")._value.get() >= DEFECTS
        named = [row.facts for row in it.deliveries() if row.event is Event.DEFECT and row.facts["job_id"] == bad]
        assert named, "the operators hear of it by name"
        assert operators(it) == []
        assert it.poller.agenda.get(it.job(bad).job_id), "it is still watched"
        before = count()
        await it.run(100)
        assert count() - before <= 100 / LONGEST + 2, "it is asked at max_interval"


@pytest.mark.parametrize("where", ["ready", "area", "law"])
async def test_a_plan_that_breaks_at_one_job_costs_early_looks_alone(tmp_path: Path, where: str) -> None:
    async with listing_rig(tmp_path, rate=5) as it:
        bad = poison(it)
        breaking(it, where, bad)
        jobs = ends(it, 20, over=60)
        await it.run(150)
        assert set(told_ends(it)) == {it.job(job).id for job in jobs}
        assert it.job(bad).state == "PROCESSING"


async def test_an_answer_that_is_taken_whole_ends_the_row_of_defects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path) as it:
        bad = poison(it)
        with monkeypatch.context() as patch:

            async def broken(*_: Any) -> None:
                raise Bug("take")

            patch.setattr(it.poller.answers, "take", broken)
            await it.run(60)
        watched = it.poller.agenda.get(it.job(bad).job_id)
        assert watched is not None
        assert watched.defects >= DEFECTS
        await it.run(LONGEST * 1.5)
        assert (watched.defects, watched.failures) == (0, 0)
        assert it.job(bad).state == "PROCESSING"


async def test_a_list_of_which_one_entry_breaks_costs_that_entry(tmp_path: Path) -> None:
    async with listing_rig(tmp_path, rate=10.0) as it:
        bad = poison(it)
        jobs = ends(it, 30, over=60)
        await it.run(3)

        def broken(watched: Any, *args: Any, **options: Any) -> Any:
            if watched.job_id == bad:
                raise Bug("lists")
            return unchanged(watched, *args, **options)

        unchanged = it.poller.answers.unchanged
        it.poller.answers.unchanged = broken  # type: ignore[method-assign]
        await it.run(120)
        assert set(told_ends(it)) == {it.job(job).id for job in jobs}
        assert it.requests("list") > 5
        assert it.poller.id_lists.trust.size > 1, "lists are still used"


async def test_lists_that_break_as_a_whole_leave_the_news_to_single_queries(tmp_path: Path) -> None:
    async with listing_rig(tmp_path, rate=20.0) as it:
        jobs = ends(it, 40, over=60)
        await it.run(3)

        def broken(_listed: Listed, _query: Any) -> Listed:
            raise Bug("a list")

        change_lists(it, broken)
        await it.run(150)
        assert set(told_ends(it)) == {it.job(job).id for job in jobs}
        assert operators(it) == []


async def test_a_project_of_which_every_look_breaks_makes_no_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path) as it:
        poison(it)
        await it.run(30)
        assert it.poller.progress(it.clock.monotonic()) >= it.clock.monotonic() - 1

        async def broken(*_: Any) -> None:
            raise Bug("take")

        monkeypatch.setattr(it.poller.answers, "take", broken)
        await it.run(200)
        assert it.poller.progress(it.clock.monotonic()) <= it.clock.monotonic() - 150
        assert it.poller.moved(it.clock.monotonic()) >= it.clock.monotonic() - 31, "it does not hang"
        monkeypatch.undo()
        await it.run(20)
        assert it.poller.progress(it.clock.monotonic()) >= it.clock.monotonic() - 11


async def test_a_pump_that_breaks_makes_no_progress_and_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path) as it:
        poison(it)
        await it.run(5)

        def broken(*_: Any, **__: Any) -> None:
            raise Bug("weigh")

        monkeypatch.setattr(it.poller.planner, "weigh", broken)
        began = it.clock.monotonic()
        await it.run(100)
        assert it.poller.progress(it.clock.monotonic()) <= began + 1
        assert it.poller.moved(it.clock.monotonic()) >= it.clock.monotonic() - 1, "it does not hang"


async def test_progress_goes_on_while_the_service_does_not(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        poison(it)
        await it.run(5)
        await it.sim.down()
        await it.run(300, step=1)
        assert it.events()[-1] is Event.PROJECT_DOWN
        assert it.poller.progress(it.clock.monotonic()) >= it.clock.monotonic() - 31


FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("unauthorized", {}),
    ("server_error", {}),
    ("gateway_error", {}),
    ("not_offered", {}),
    ("html_200", {}),
    ("redirect", {}),
    ("empty_body", {}),
    ("huge_body", {"size": 5_000_000}),
    ("truncated", {}),
    ("reset", {}),
    ("throttled_retry_after", {"retry_after": 1}),
]


@pytest.mark.parametrize(("fault", "options"), FAULTS, ids=[name for name, _ in FAULTS])
@pytest.mark.parametrize("bad_ones", [1, pytest.param(3, marks=pytest.mark.long)])
async def test_what_the_service_says_of_one_job_is_not_said_of_the_project(
    tmp_path: Path, fault: str, options: dict[str, Any], bad_ones: int
) -> None:
    async with rig(tmp_path, rate=20) as it:
        bad = [poison(it) for _ in range(bad_ones)]
        jobs = ends(it, 20, over=90)
        await it.run(3)
        for job in bad:
            it.sim.fault(fault, job_id=job, operation="show", **options)
        await it.run(200)
        assert operators(it) == []
        assert set(told_ends(it)) == {it.job(job).id for job in jobs}
        late = [it.job(job).state_since for job in jobs]
        assert all(late)


@pytest.mark.parametrize("fault", ["unauthorized", "empty_body", "html_200", "server_error"])
async def test_a_job_that_was_bad_from_the_beginning_is_not_the_project(tmp_path: Path, fault: str) -> None:
    async with rig(tmp_path, rate=20) as it:
        bad = poison(it)
        it.sim.fault(fault, job_id=bad, operation="show")
        jobs = ends(it, 20, over=60)
        await it.run(120)
        assert operators(it) == []
        assert set(told_ends(it)) == {it.job(job).id for job in jobs}


async def test_a_key_is_never_refused_often_enough_to_be_locked_by_one_job(tmp_path: Path) -> None:
    """More than five refusals in a row lock a key. Without other jobs there are at most three in five minutes."""
    async with rig(tmp_path) as it:
        bad = poison(it)
        await it.run(3)
        it.sim.fault("unauthorized", job_id=bad, operation="show")
        await it.run(299, step=1)
        assert it.sim.stats()["by_status"]["401"] <= 3
        assert operators(it) == [Event.AUTH_FAILED]


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"[]", b"{}", b'{"state": null}', b'{"state": 5}', b'{"state": "\\u0000"}', b"\xff\xfe", b"null",  # noqa: E501
        b'{"job_id": "someone-else", "state": "SUCCEED"}', json.dumps({"state": "SUCCEED"}).encode("utf-16"),
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000, b'{"state":' + b"[" * 50_000, b'{"state": "WAIT',
        b'{"error_code": "X.1", "error_msg": "no"}', b"x" * 5_000_000, b'{"state": ' + b"9" * 10_000 + b"}",
    ],
)  # fmt: skip
async def test_the_one_job_that_is_tracked_may_answer_what_it_likes(tmp_path: Path, body: bytes) -> None:
    async with rig(tmp_path) as it:
        bad = poison(it)
        it.sim.answer(bad, body)
        await it.run(120)
        assert it.events() == [], "the service answers: nothing is said of the way to it"
        assert it.requests() <= 25
        assert it.job(bad).state is None
        it.sim.answer(bad, None)
        await it.run(LONGEST * 2)
        assert it.job(bad).state == "PROCESSING"


async def test_a_project_of_which_nothing_can_be_used_is_told(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        for _ in range(3):
            it.sim.answer(poison(it), b"")
        await it.run(120)
        assert it.events() == [Event.PROJECT_DOWN]


# The script is optional


@pytest.mark.parametrize("fault", ["huge_body", "truncated", "hang", "unauthorized", "server_error", "empty_body"])
@pytest.mark.parametrize("lists", [False, True])
async def test_a_script_that_cannot_be_had_costs_no_news(tmp_path: Path, fault: str, lists: bool) -> None:
    async with rig(tmp_path, rate=20, plan={"batch": lists, "feed": lists}) as it:
        [job] = it.sim.create_jobs(timeline=[("PROCESSING", 60), ("SUCCEED", None)])
        others = it.sim.create_jobs(count=3, timeline=[("PROCESSING", 60), ("SUCCEED", None)])
        client = it.poller.context.client
        ask, asked = client.show_whole, {True: 0, False: 0}

        async def faulty(kind: Any, job_id: Any, *, permit: Any, show_script: bool = False) -> Any:
            if job_id != job:
                return await ask(kind, job_id, permit=permit, show_script=show_script)
            asked[show_script] += 1
            if show_script:
                it.sim.fault(fault, job_id=job, operation="show")
            try:
                if fault == "hang" and show_script:
                    it.clock.advance(15)
                return await ask(kind, job_id, permit=permit, show_script=show_script)
            finally:
                it.sim.clear_faults()

        if fault == "hang":
            client._session._api.transport._total = 0.2
        client.show_whole = faulty  # type: ignore[method-assign]
        for each in [job, *others]:
            it.track(each)
        await it.run(100)
        assert it.job(job).state == "SUCCEED"
        assert asked[True] == 1
        assert operators(it) == []


async def test_a_script_that_breaks_the_reader_costs_the_length_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> float:
        raise Bug("script")

    monkeypatch.setattr("daemon.metastudio.session.expected_length", broken)
    async with rig(tmp_path) as it:
        [job] = it.sim.create_jobs(timeline=[("PROCESSING", 30), ("SUCCEED", None)])
        it.track(job)
        await it.run(60)
        assert it.job(job).state == "SUCCEED"
        assert it.requests() < 40


async def test_who_hears_of_an_end_cannot_unmake_it(tmp_path: Path) -> None:
    def broken(*_: object) -> None:
        raise Bug("hearer")

    async with rig(tmp_path) as it:
        it.poller.answers.on_end = broken
        it.poller.answers.on_finished = broken
        [job] = it.sim.create_jobs(timeline=[("PROCESSING", 30), ("SUCCEED", None)])
        it.track(job)
        await it.run(60)
        assert it.job(job).asset.download_url, "what follows an end follows it all the same"
        assert it.events().count(Event.SUCCEEDED) == 1
        assert len(it.poller.agenda) == 0


# A list that lags


@pytest.mark.parametrize("behind", [600.0, 30.0])
async def test_a_list_that_shows_the_past_is_no_answer(tmp_path: Path, behind: float) -> None:
    async with listing_rig(tmp_path, rate=20.0, plan={"feed": False}) as it:
        jobs = ends(it, 30, over=60)
        await it.run(2)
        frozen: dict[str, Any] = {}

        def lagging(listed: Listed, _query: Any) -> Listed:
            for at, entry in enumerate(listed.entries):
                old = frozen.setdefault(entry.job_id, entry)
                if old.reported_at is not None and old is entry:
                    old.reported_at -= behind
                listed.entries[at] = old
            return listed

        change_lists(it, lagging)
        await it.run(100)
        assert set(told_ends(it)) == {it.job(job).id for job in jobs}
        assert "ended jobs as unfinished" in (it.poller.id_lists.trust.reason or "")


async def test_a_time_from_the_future_blinds_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with listing_rig(tmp_path, rate=20.0) as it:
        jobs = ends(it, 30, over=60)
        client = it.poller.context.client
        body = {"state": "PROCESSING", "lastupdate_time": "2099-12-31T23:59:59Z"}
        for job in jobs[:5]:
            it.sim.answer(job, json.dumps(body).encode())
        await it.run(2)
        assert client is it.poller.context.client
        for job in jobs[:5]:
            it.sim.answer(job, None)
        await it.run(100)
        assert set(told_ends(it)) == {it.job(job).id for job in jobs}


# A link that comes after the end


@pytest.mark.parametrize("absent", [None, {}, {"asset_id": "a1", "preview_video_url": "", "cover_url": " "}])
async def test_a_link_that_appears_after_the_end_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, absent: dict[str, str] | None
) -> None:
    monkeypatch.setattr("daemon.watch.answers.LINK_RETRIES", (0.01, 0.02))
    async with rig(tmp_path) as it:
        job = "early"
        it.sim.answer(job, json.dumps({"state": "SUCCEED", "output_asset_config": absent}).encode())
        it.track(job)
        it.track("other")
        looks = it.poller.context.client.show
        asked = 0

        async def later(*args: Any, **options: Any) -> Any:
            nonlocal asked
            asked += 1
            if asked == 2:
                links = {"preview_video_url": "https://cdn.example/v.mp4"}
                it.sim.answer(job, json.dumps({"state": "SUCCEED", "output_asset_config": links}).encode())
            return await looks(*args, **options)

        it.poller.context.client.show = later  # type: ignore[method-assign]
        await it.run(1)
        async with asyncio.timeout(10):
            while not it.poller.context.tasks.idle:
                await asyncio.sleep(0.005)
        assert asked == 2
        assert it.job(job).asset.preview_url == "https://cdn.example/v.mp4"
        [told] = [row for row in it.deliveries() if row.event is Event.SUCCEEDED]
        assert told.due_at <= it.clock.now(), "it waits no longer than it must"
        assert it.events().count(Event.SUCCEEDED) == 1
