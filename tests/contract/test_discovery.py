"""Jobs discovered in the service's list, by a real client from a simulator over sockets, with a real database and
a clock that the test moves."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.clock import ManualClock
from daemon.domain.jobs import JobId, ProjectName, Tracking
from daemon.metastudio.budget import Priority
from daemon.metastudio.client import ProjectClient
from daemon.metrics import Metrics
from daemon.sim import SimSettings, Simulator
from daemon.store import Discoveries, JobRow, Store
from daemon.tasks import Defect, Defects
from daemon.watch import discovery, wishes
from daemon.watch.discovery import Discovery, Looker
from daemon.watch.wishes import DiscoverySettings, Filters, Wish
from tests.support.clients import project_of

PROJECT = ProjectName("main")
LONG = [("PROCESSING", 1e6), ("SUCCEED", None)]
SHORT = [("PROCESSING", 20.0), ("SUCCEED", None)]


@dataclass
class Scene:
    clock: ManualClock
    sim: Simulator
    store: Store
    client: ProjectClient
    sent: list[tuple[str, str]]
    looks: Discovery = field(init=False)
    defects: list[Defect] = field(default_factory=list)

    def begin(self, settings: DiscoverySettings | None, **options: Any) -> None:
        """Start a discovery, as a daemon does."""
        self.looks = Discovery(
            project=PROJECT,
            client=self.client,
            store=self.store,
            clock=self.clock,
            rng=random.Random(1),
            settings=settings,
            defects=Defects(clock=self.clock, metrics=Metrics(), report=self.defects.append),
            **options,
        )

    async def tick(self, seconds: float = 0.0) -> None:
        """Advance time, then run one tick and everything that it starts."""
        self.clock.advance(seconds)
        await self.looks.tick()
        await self.looks.idle()

    def tracked(self) -> dict[str, JobRow]:
        return {row.job_id: row for row in self.store.read(lambda tx: tx.jobs.list())}

    def ask(self, wish: Wish) -> int:
        return self.store.write_now(lambda tx: tx.discoveries.ask(PROJECT, wish.facts(), self.clock.now()))

    def row(self, number: int) -> Any:
        return self.store.read(lambda tx: tx.discoveries.get(number))

    def lists(self) -> int:
        return int(self.sim.stats()["by_operation"].get("list", 0))


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    clock = ManualClock()
    async with Simulator(SimSettings(seed=1, show_rate=None, write_rate=None, clock=clock)) as sim:
        store = Store.open(f"sqlite:///{folder / 'wrapd.db'}", clock=clock, daemon=True)
        async with project_of(sim, clock=clock) as project:
            one = Scene(clock=clock, sim=sim, store=store, client=project.client, sent=project.sent)
            try:
                yield one
            finally:
                await one.looks.stop()
                store.close()


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path) as one:
        one.begin(DiscoverySettings())
        yield one


async def test_the_first_look_takes_what_runs_and_leaves_what_has_ended(it: Scene) -> None:
    running = it.sim.create_jobs(count=3, timeline=LONG)
    it.sim.create_jobs(count=2, timeline=[("SUCCEED", None)])
    await it.tick()
    assert set(it.tracked()) == set(running)
    assert {row.kind for row in it.tracked().values()} == {"avatar"}
    assert all(row.tracking is Tracking.ACTIVE and row.state is None for row in it.tracked().values())


async def test_a_job_that_is_created_and_ends_between_two_looks_is_taken(it: Scene) -> None:
    await it.tick()
    it.clock.advance(20)
    [job] = it.sim.create_jobs(kind="photo", timeline=SHORT)
    await it.tick(39)
    assert it.tracked() == {}, "it is not time for the second look"
    await it.tick(1)
    assert it.sim.jobs()[0]["state"] == "SUCCEED"
    assert [row.kind for row in it.tracked().values()] == ["photo"]
    assert list(it.tracked()) == [job]


async def test_what_is_created_and_ends_while_no_daemon_runs_is_taken_by_the_next_one(it: Scene) -> None:
    await it.tick()
    it.clock.advance(3600)
    it.sim.create_jobs(timeline=SHORT)
    it.clock.advance(3600)
    it.begin(DiscoverySettings())
    await it.tick()
    assert len(it.tracked()) == 1


async def test_a_job_that_is_older_than_since_is_left(it: Scene) -> None:
    it.begin(DiscoverySettings(filters=Filters(since=3600)))
    [old] = it.sim.create_jobs(timeline=LONG, created_ago=3700)
    [young] = it.sim.create_jobs(timeline=LONG, created_ago=3500)
    await it.tick()
    assert list(it.tracked()) == [young]
    assert old not in it.tracked()


async def test_filters_and_what_is_given_to_what_is_found(it: Scene) -> None:
    settings = DiscoverySettings(
        filters=Filters(kinds=("photo",), states=("WAITING",), name="promo *"),
        tags=("found", "spring"),
        batch="nightly",
    )
    it.begin(settings)
    waiting = [("WAITING", 1e6), ("SUCCEED", None)]
    [right] = it.sim.create_jobs(kind="photo", name="promo 1", timeline=waiting)
    for wrong in (
        {"kind": "avatar", "name": "promo 1", "timeline": waiting},
        {"kind": "photo", "name": "a promo 1", "timeline": waiting},
        {"kind": "photo", "name": "promo 1", "timeline": LONG},
    ):
        it.sim.create_jobs(**wrong)
    await it.tick(5)
    [row] = it.tracked().values()
    assert (row.job_id, row.tags, row.batch) == (right, ("found", "spring"), "nightly")
    it.clock.advance(60)
    it.sim.create_jobs(kind="photo", name="other", timeline=LONG)
    [later] = it.sim.create_jobs(kind="photo", name="promo 2", timeline=LONG)
    await it.tick()
    assert set(it.tracked()) == {right, later}, "in any state, but only what fits otherwise"


async def test_what_is_known_stays_as_it_is(it: Scene) -> None:
    [job] = it.sim.create_jobs(timeline=LONG)
    await it.tick()
    it.store.write_now(lambda tx: tx.jobs.untrack(PROJECT, JobId(job), at=it.clock.now()))
    for _ in range(70):
        await it.tick(60)
    assert it.tracked()[job].tracking is Tracking.STOPPED
    assert it.tracked()[job].episode == 1


async def test_many_jobs_are_read_page_by_page_each_once(it: Scene) -> None:
    ids = it.sim.create_jobs(count=437, timeline=LONG)
    await it.tick()
    assert set(it.tracked()) == set(ids)
    assert it.lists() == 5


async def test_jobs_that_leave_the_list_between_two_pages_hide_no_other(it: Scene) -> None:
    """During each request, 40 of the jobs at the start of the list end."""
    it.begin(DiscoverySettings(filters=Filters(states=("PROCESSING",))))
    for number in range(8):
        it.sim.create_jobs(count=40, timeline=[("PROCESSING", 10.0 * number + 5), ("SUCCEED", None)])
    staying = it.sim.create_jobs(count=300, timeline=LONG)
    listing = it.client.list

    async def slow(*args: Any, **options: Any) -> Any:
        listed = await listing(*args, **options)
        it.clock.advance(10)
        return listed

    it.client.list = slow  # type: ignore[method-assign]
    await it.tick()
    assert set(staying) <= set(it.tracked())


@pytest.mark.parametrize("fault", ["feed_filter_ignored", "feed_unsorted", "feed_pages_repeat", "feed_pages_skip"])
async def test_a_list_that_lies_ends_and_gives_nothing_that_is_not_wanted(it: Scene, fault: str) -> None:
    running = set(it.sim.create_jobs(count=250, timeline=LONG))
    it.sim.create_jobs(count=50, timeline=[("FAILED", None)])
    it.sim.fault(fault)
    await it.tick()
    assert set(it.tracked()) <= running
    assert it.lists() < 20
    if fault != "feed_pages_repeat":
        assert set(it.tracked()) == running


async def test_pages_that_do_not_join_are_told(it: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(
        discovery.log, "warning", lambda event, **fields: told.append(f"{event}: {fields['error']}")
    )
    it.sim.create_jobs(count=300, timeline=LONG)
    it.sim.fault("feed_pages_skip", count=20)
    await it.tick()
    assert told == ["discovery.failed: its pages do not join"]
    assert it.lists() < 20
    it.sim.clear_faults()
    await it.tick(600)
    assert len(it.tracked()) == 300


async def test_a_list_that_cannot_be_read_is_read_later_and_less_often(it: Scene) -> None:
    [job] = it.sim.create_jobs(timeline=LONG)
    it.sim.fault("server_error")
    for _ in range(3600):
        await it.tick(1)
    assert 6 <= it.lists() <= 12
    it.sim.clear_faults()
    await it.tick(600)
    assert list(it.tracked()) == [job]
    before = it.lists()
    await it.tick(60)
    assert it.lists() == before + 1, "it is back at its pace"


async def test_no_look_begins_while_another_runs(it: Scene) -> None:
    it.sim.create_jobs(timeline=LONG)
    for _ in range(5):
        await it.looks.tick()
        it.clock.advance(100)
    await it.looks.idle()
    assert it.lists() == 1


async def test_a_project_that_may_not_be_asked_is_not(it: Scene) -> None:
    it.sim.create_jobs(timeline=LONG)
    may = [False]
    it.begin(DiscoverySettings(), may_ask=lambda: may[0])
    await it.tick(100)
    assert it.lists() == 0
    may[0] = True
    await it.tick()
    assert it.lists() == 1


async def test_requests_wait_behind_all_news(it: Scene) -> None:
    asked: list[Priority] = []
    take: Callable[..., Any] = it.client.budget.take

    async def noted(priority: Priority) -> Any:
        asked.append(priority)
        return await take(priority)

    it.client.budget.take = noted  # type: ignore[method-assign]
    it.sim.create_jobs(count=150, timeline=LONG)
    await it.tick()
    assert asked == [Priority.DISCOVERY] * 2


async def test_a_wish_is_done_without_any_setting_and_told(it: Scene) -> None:
    it.begin(None)
    [known, *others] = it.sim.create_jobs(count=4, timeline=LONG, name="Film")
    first = it.ask(Wish(filters=Filters(name="nothing*")))
    await it.tick()
    assert (it.row(first).found, it.row(first).added, it.row(first).error) == (0, 0, None)
    dry = it.ask(Wish(dry_run=True))
    await it.tick(2)
    assert (it.row(dry).found, it.row(dry).added) == (4, 0)
    assert {job["result"] for job in it.row(dry).result["jobs"]} == {"new"}
    assert it.tracked() == {}
    number = it.ask(Wish(batch="b", tags=("t",)))
    await it.tick(2)
    assert (it.row(number).found, it.row(number).added) == (4, 4)
    it.store.write_now(lambda tx: tx.jobs.untrack(PROJECT, JobId(known), at=it.clock.now()))
    again = it.ask(Wish())
    await it.tick(2)
    told = {job["job_id"]: (job["result"], job["tracking"], job["name"]) for job in it.row(again).result["jobs"]}
    assert told[known] == ("known", "stopped", "Film")
    assert {told[job] for job in others} == {("known", "active", "Film")}
    assert it.row(again).added == 0


async def test_a_wish_that_fails_tells_why_and_the_next_one_is_done(it: Scene) -> None:
    it.begin(None)
    it.sim.create_jobs(timeline=LONG)
    it.sim.fault("server_error", times=1)
    bad, strange, good = it.ask(Wish()), 0, 0
    strange = it.store.write_now(lambda tx: tx.discoveries.ask(PROJECT, {"of": "another time"}, it.clock.now()))
    good = it.ask(Wish())
    await it.tick()
    assert "HTTP 5" in it.row(bad).error
    assert "another version of wrapd" in it.row(strange).error
    assert (it.row(good).error, it.row(good).added) == (None, 1)


async def test_a_wish_of_another_project_is_left_to_it(it: Scene) -> None:
    other = it.store.write_now(lambda tx: tx.discoveries.ask(ProjectName("other"), Wish().facts(), it.clock.now()))
    await it.tick()
    assert it.row(other).ended_at is None


async def test_of_very_many_only_the_first_are_told_one_by_one(it: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wishes, "KEPT", 3)
    it.begin(None)
    it.sim.create_jobs(count=5, timeline=LONG)
    number = it.ask(Wish())
    await it.tick()
    result = it.row(number).result
    assert (len(result["jobs"]), result["left_out"], it.row(number).found) == (3, 2, 5)


async def test_a_list_without_end_is_left(it: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "MOST_PAGES", 3)
    it.sim.create_jobs(count=500, timeline=LONG)
    await it.tick()
    assert it.lists() == 3
    assert len(it.tracked()) == 280


async def test_jobs_that_are_listed_late_are_found(it: Scene) -> None:
    """The list shows the state of 60 s ago."""
    it.sim.fault("feed_stale", behind=60.0)
    await it.tick()
    jobs: list[str] = []
    for _ in range(5):
        it.clock.advance(30)
        jobs += it.sim.create_jobs(timeline=SHORT)
        await it.tick(30)
    await it.tick(60)
    await it.tick(60)
    assert set(jobs) <= set(it.tracked())


async def test_the_looks_of_a_year_leave_few_rows(it: Scene) -> None:
    for _ in range(24 * 14):
        await it.tick(3600)
    rows = it.store.read(lambda tx: tx.discoveries.done(PROJECT, limit=10_000))
    assert 100 < len(rows) <= 24 * 7 + 1
    assert it.clock.now() - rows[-1].asked_at <= timedelta(days=7)


async def test_a_wish_whose_end_cannot_be_stored_is_done_again_and_the_next_one_is_served(
    it: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish, broken = Discoveries.finish, 0

    def breaks(self: Discoveries, id: int, **values: Any) -> bool:  # noqa: A002 - the real parameter's name
        nonlocal broken
        if id == bad and broken < 2:
            broken += 1
            raise RuntimeError("an end")
        return finish(self, id, **values)

    monkeypatch.setattr(Discoveries, "finish", breaks)
    it.begin(None)
    bad, good = it.ask(Wish()), it.ask(Wish())
    for _ in range(3):
        await it.tick(60)
    assert [row.id for row in it.store.read(lambda tx: tx.discoveries.done(PROJECT, limit=10))] == [good]
    for _ in range(20):
        await it.tick(60)
    assert {row.id for row in it.store.read(lambda tx: tx.discoveries.done(PROJECT, limit=10))} == {bad, good}


async def test_a_wish_that_breaks_ends_with_an_error_and_the_next_one_is_served(
    it: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = Looker.look
    broken = 0

    async def breaks(self: Looker, wish: Wish, **options: Any) -> None:
        nonlocal broken
        if wish.batch == "bad":
            broken += 1
            raise RuntimeError("a wish")
        await look(self, wish, **options)

    monkeypatch.setattr(Looker, "look", breaks)
    it.begin(None)
    bad, good = it.ask(Wish(batch="bad")), it.ask(Wish())
    for _ in range(10):
        await it.tick(60)
    assert broken == 1, "it is not tried for ever"
    rows = {row.id: row for row in it.store.read(lambda tx: tx.discoveries.done(PROJECT, limit=10))}
    assert "RuntimeError" in (rows[bad].error or "")
    assert rows[good].error is None
    assert [each.part for each in it.defects] == ["discovery"]
