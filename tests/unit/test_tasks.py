"""Background work: an unforeseen error is logged with its traceback, counted, and reported to the operators."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from daemon.clock import ManualClock
from daemon.domain.events import Event
from daemon.domain.jobs import ChannelName, parse_job_id
from daemon.domain.routing import Routing
from daemon.errors import WrapdError
from daemon.logs import LogEvent
from daemon.metrics import Metrics
from daemon.operators import Operators
from daemon.store import Store, StoreFailed
from daemon.store_errors import StoreErrors
from daemon.tasks import Defect, Defects, Tasks

TEAM = ChannelName("team")


class Desk:
    """Defects whose reports are recorded, and the tasks of one part."""

    def __init__(self) -> None:
        self.clock, self.metrics = ManualClock(), Metrics()
        self.reports: list[Defect] = []
        self.defects = Defects(clock=self.clock, metrics=self.metrics, report=self.reports.append)
        self.tasks = Tasks("web", self.defects)

    def count(self) -> float | None:
        return self.metrics.registry.get_sample_value("wrapd_defects_total", {"part": "web"})


async def breaks(error: BaseException) -> int:
    raise error


async def test_a_defect_is_logged_counted_and_reported_by_name() -> None:
    desk = Desk()
    with capture_logs() as lines:
        assert await desk.tasks.spawn("kind", breaks(KeyError("x")), job="j1") is None
    [line] = lines
    assert (line["event"], line["part"], line["task"], line["job"]) == (LogEvent.DEFECT, "web", "kind", "j1")
    assert isinstance(line["exc_info"], KeyError)
    assert desk.count() == 1
    [report] = desk.reports
    assert report.where.startswith("KeyError")
    assert report.fields == {"task": "kind", "job": "j1"}


async def test_the_place_of_a_defect_is_the_innermost_line_of_our_own() -> None:
    desk = Desk()

    async def bad_id() -> None:
        parse_job_id(3)  # type: ignore[arg-type]

    await desk.tasks.spawn("id", bad_id())
    assert desk.reports[0].where.startswith("TypeError (daemon/domain/jobs.py:")


async def test_the_same_defect_is_logged_once_in_ten_seconds_and_reported_once_an_hour() -> None:
    desk = Desk()
    with capture_logs() as lines:
        for _ in range(3 * 3600):
            await desk.tasks.spawn("kind", breaks(KeyError("x")))
            desk.clock.advance(1)
    assert len(lines) == 3 * 360
    assert len(desk.reports) == 3
    assert desk.count() == 3 * 3600


async def test_a_foreseen_error_is_no_defect() -> None:
    desk = Desk()
    with capture_logs() as lines:
        await desk.tasks.spawn("click", breaks(StoreFailed("the disk is full")))
    assert [line["log_level"] for line in lines] == ["debug"]
    assert desk.reports == []
    assert isinstance(StoreFailed(""), WrapdError)


async def test_a_task_gives_its_result() -> None:
    desk = Desk()
    assert await desk.tasks.spawn("sum", asyncio.sleep(0, result=7)) == 7


async def test_what_was_to_begin_later_never_does_after_the_end() -> None:
    desk, begun = Desk(), asyncio.Event()

    async def work() -> None:
        begun.set()

    desk.tasks.spawn_later(0, "later", work)
    await begun.wait()
    begun.clear()
    desk.tasks.spawn_later(0, "later", work)
    assert not desk.tasks.idle
    await desk.tasks.end(patience=0)
    desk.tasks.spawn_later(0, "later", work)
    assert desk.tasks.idle
    await asyncio.sleep(0)
    assert not begun.is_set()


async def test_the_end_waits_and_then_cancels() -> None:
    desk, hold = Desk(), asyncio.Event()
    quick = desk.tasks.spawn("quick", asyncio.sleep(0, result=1))
    stuck = desk.tasks.spawn("stuck", hold.wait())
    await desk.tasks.end(patience=0.01)
    assert quick.result() == 1
    assert stuck.cancelled()
    assert desk.reports == []


async def test_the_operators_hear_of_a_defect_once_the_store_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, metrics = ManualClock(), Metrics()
    store = Store.open(f"sqlite:///{tmp_path / 'x.db'}", clock=clock, daemon=True)
    operators = Operators(
        store=store,
        routing=Routing(routes=(), operators=(TEAM,)),
        clock=clock,
        errors=StoreErrors(clock=clock, metrics=metrics),
    )
    defects = Defects(clock=clock, metrics=metrics, report=operators.defect)
    for error in (KeyError("a"), ValueError("b")):
        defects.note("watch", error, project="main", job="j1")

    async def full(_work: Any) -> None:
        raise StoreFailed("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(store, "write", full)
        await operators.flush()
    assert store.read(lambda tx: tx.outbox.list()) == []
    clock.advance(60)
    await operators.flush()
    rows = store.read(lambda tx: tx.outbox.list(channel=TEAM))[::-1]
    assert [(row.event, row.project, row.facts["part"], row.facts["job_id"]) for row in rows] == [
        (Event.DEFECT, "main", "watch", "j1")
    ] * 2
    assert [row.facts["reason"] for row in rows] == ["KeyError", "ValueError"], "two defects, two alerts"
    await operators.flush()
    assert len(store.read(lambda tx: tx.outbox.list())) == 2
    store.close()
