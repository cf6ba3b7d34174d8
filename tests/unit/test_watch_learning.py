"""When the watch learns again, and what: classes with news, and each project once a minute while its jobs run."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from daemon.clock import ManualClock
from daemon.domain.durations import ClassKey
from daemon.domain.jobs import Observation, ProjectName
from daemon.domain.survival import Law
from daemon.store import FinishedRow, Store
from daemon.store.jobs import Jobs
from daemon.watch.agenda import Agenda
from daemon.watch.learning import Learning
from tests.support.store import NOW, SILENT, later, move, open_store, track

A, B = ("a", "avatar"), ("b", "avatar")


class Desk:
    """Learning over a real store, in which jobs end at will."""

    def __init__(self, store: Store) -> None:
        self.clock = ManualClock(NOW)
        self.learning = Learning(store, self.clock)
        self.store = store
        self.at = 0.0
        self._jobs = 0

    def end(self, key: ClassKey, *, seconds: float, count: int = 1) -> None:
        for _ in range(count):
            self._jobs += 1
            seen = Observation(
                state="SUCCEED", created_at=later(-seconds), started_at=later(-seconds), ended_at=later(0)
            )

            moved = replace(move(None, seen), observed_at=later(self.at + self._jobs / 1000))

            def work(tx, job_id=f"job-{self._jobs}", seen=seen, moved=moved):
                job = track(tx, job_id, project=key[0], kind=key[1])
                tx.jobs.record_move(job, moved, seen, routing=SILENT, due_at=NOW)

            self.store.write_now(work)
            self.learning.ended(key)

    async def refresh(self, seconds: float = 0.0) -> tuple[Law, Law]:
        """Let `seconds` pass and learn where it is time; the laws of A and B."""
        self.clock.advance(seconds)
        await self.learning.refresh({ProjectName("a"): Agenda(), ProjectName("b"): Agenda()})
        return self.learning.durations.law(A, None), self.learning.durations.law(B, None)


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    store = open_store(tmp_path)
    yield Desk(store)
    store.close()


async def test_only_a_class_with_news_is_fitted_again(desk: Desk) -> None:
    desk.end(A, seconds=100, count=30)
    desk.end(B, seconds=100, count=30)
    first = await desk.refresh()
    assert await desk.refresh(6) == first  # no news: nothing is fitted
    desk.end(A, seconds=500, count=1)
    assert await desk.refresh(6) == first  # less than 5 % of what is known
    desk.end(A, seconds=500, count=10)
    assert await desk.refresh(1) == (await desk.refresh(0))
    a, b = await desk.refresh(6)
    assert a.quantile(0.5) > first[0].quantile(0.5)
    assert b is first[1]


async def test_while_few_jobs_are_known_each_end_is_news_at_once(desk: Desk) -> None:
    desk.end(B, seconds=100, count=30)
    before = await desk.refresh()
    desk.end(A, seconds=700)
    a, b = await desk.refresh(1)
    assert a.quantile(0.5) > 1.5 * before[0].quantile(0.5)
    assert b is before[1]


async def test_a_refit_reads_only_the_new_ends(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []

    def counted(jobs: Jobs, project: ProjectName, kind: str, *, limit: int) -> list[FinishedRow]:
        rows = last_finished(jobs, project, kind, limit=limit)
        read.append(len(rows))
        return rows

    last_finished = Jobs.last_finished
    desk.end(A, seconds=100, count=40)
    await desk.refresh()
    monkeypatch.setattr(Jobs, "last_finished", counted)
    desk.end(A, seconds=500, count=10)
    a, _ = await desk.refresh(6)
    assert 10 <= sum(read) < 20
    anew = Learning(desk.store, desk.clock)
    await anew.refresh({ProjectName("a"): Agenda(), ProjectName("b"): Agenda()})
    assert anew.durations.law(A, None).quantile(0.5) == a.quantile(0.5)


async def test_ends_that_do_not_join_the_known_ones_are_all_read(desk: Desk) -> None:
    desk.end(A, seconds=100, count=20)
    await desk.refresh()
    desk.at = -3600.0  # the clock was set back
    desk.end(A, seconds=500, count=40)
    a, _ = await desk.refresh(6)
    assert a.quantile(0.5) > 300
