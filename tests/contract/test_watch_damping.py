"""Recurring conditions are alerted when they begin and end, then less and less often, with a count."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.domain import damping
from daemon.domain.events import Event
from daemon.domain.planning import Rails
from daemon.notify.message.language.chinese import CHINESE
from daemon.notify.message.language.english import ENGLISH
from daemon.store import DeliveryRow, DeliveryStatus
from tests.support.rig import PROJECT, Rig, rig

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
QUICK = Rails(min_interval=0.5, max_interval=1, blocked_interval=1)
FLAPPING = [state for _ in range(30) for state in (("BLOCK", 2), ("PROCESSING", 2))]


def live(it: Rig) -> list[DeliveryRow]:
    """Return the alerts sent or scheduled."""
    return [row for row in it.deliveries() if row.status is not DeliveryStatus.CANCELED]


def due(it: Rig) -> list[Event]:
    return [row.event for row in live(it) if row.due_at <= it.clock.now()]


async def flapping(it: Rig, *after: tuple[str, float | None]) -> str:
    [job] = it.sim.create_jobs(timeline=[("PROCESSING", 2), *FLAPPING, *after])
    it.track(job)
    await it.run(130, step=0.5)
    return job


@pytest.mark.parametrize(("last", "told"), [("BLOCK", Event.BLOCKED), ("PROCESSING", Event.UNBLOCKED)])
async def test_a_freeze_that_comes_and_goes_is_a_few_messages_and_the_last_state_is_told(
    tmp_path: Path, last: str, told: Event
) -> None:
    async with rig(tmp_path, rails=QUICK) as it:
        job = await flapping(it, (last, 1e6), ("SUCCEED", None))
        assert len(it.transitions(job)) > 40, "all of it is recorded"
        assert due(it) == [Event.STARTED, Event.BLOCKED, Event.UNBLOCKED]
        [waiting] = [row for row in live(it) if row.due_at > it.clock.now()]
        assert waiting.event is told
        assert waiting.facts["times"] in range(30, 60)
        assert waiting.due_at - it.clock.now() < damping.FIRST


async def test_an_end_is_told_at_once_and_ends_what_waited(tmp_path: Path) -> None:
    async with rig(tmp_path, rails=QUICK) as it:
        await flapping(it, ("FAILED", None))
        assert due(it) == [Event.STARTED, Event.BLOCKED, Event.UNBLOCKED, Event.FAILED]
        assert len(live(it)) == 4


async def test_operators_hear_of_an_outage_that_comes_and_goes_in_growing_pauses(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        for at in range(40):
            event = Event.PROJECT_RECOVERED if at % 2 else Event.PROJECT_DOWN
            it.operators.tell(event, f"project/{PROJECT}", project=PROJECT, reason="x")
            await it.operators.flush()
            it.clock.advance(30)
        assert due(it) == [Event.PROJECT_DOWN, Event.PROJECT_RECOVERED, Event.PROJECT_DOWN]
        [waiting] = [row for row in live(it) if row.due_at > it.clock.now()]
        assert waiting.event is Event.PROJECT_RECOVERED
        assert waiting.facts["times"] > 15


@pytest.mark.parametrize("restart_at", [1, 2, 3, 7, 20, 39])
async def test_a_restart_neither_repeats_nor_loses_what_waits(tmp_path: Path, restart_at: int) -> None:
    async def outages(folder: Path, runs: list[range]) -> list[tuple[Event, timedelta, object]]:
        folder.mkdir()
        for run in runs:
            async with rig(folder) as it:
                began = it.clock.now()
                it.clock.advance(30 * run.start)
                for at in run:
                    event = Event.PROJECT_RECOVERED if at % 2 else Event.PROJECT_DOWN
                    it.operators.tell(event, f"project/{PROJECT}", project=PROJECT, reason="x")
                    await it.operators.flush()
                    it.clock.advance(30)
                rows = [(row.event, row.due_at - began, row.facts.get("times")) for row in live(it)]
        return rows

    once = await outages(tmp_path / "once", [range(40)])
    twice = await outages(tmp_path / "twice", [range(restart_at), range(restart_at, 40)])
    assert twice == once


async def test_a_freeze_that_waits_to_be_told_is_told_after_a_restart(tmp_path: Path) -> None:
    async with rig(tmp_path, rails=QUICK) as it:
        await flapping(it, ("BLOCK", 1e6), ("SUCCEED", None))
        before, passed = live(it), it.clock.monotonic()
        [waiting] = [row for row in before if row.due_at > it.clock.now()]
    async with rig(tmp_path, rails=QUICK) as it:
        it.clock.advance(passed - it.clock.monotonic())
        await it.run(5)
        assert live(it) == before, "the start itself changes nothing"
        it.clock.advance(damping.FIRST.total_seconds())
        assert waiting.id in [row.id for row in live(it) if row.due_at <= it.clock.now()]


async def test_other_news_of_the_project_does_not_wait(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        for event in (Event.PROJECT_DOWN, Event.PROJECT_RECOVERED, Event.PROJECT_DOWN):
            it.operators.tell(event, f"project/{PROJECT}", project=PROJECT, reason="x")
            await it.operators.flush()
            it.clock.advance(1)
        it.operators.tell(Event.DEFECT, "defect/x", project=PROJECT, part="x")
        await it.operators.flush()
        assert due(it) == [Event.PROJECT_DOWN, Event.PROJECT_RECOVERED, Event.PROJECT_DOWN, Event.DEFECT]


async def test_what_is_rare_is_told_at_once(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        for at in range(6):
            event = Event.PROJECT_RECOVERED if at % 2 else Event.PROJECT_DOWN
            it.operators.tell(event, f"project/{PROJECT}", project=PROJECT, reason="x")
            await it.operators.flush()
            assert len(due(it)) == at + 1
            it.clock.advance(damping.MEMORY.total_seconds() / 2 + 1)


@given(st.lists(st.timedeltas(timedelta(days=-400), timedelta(days=400)), max_size=40))
def test_a_pause_is_never_longer_than_the_longest(gaps: list[timedelta]) -> None:
    told = [NOON + gap for gap in gaps]
    assert NOON <= damping.tell_at(told, at=NOON) <= NOON + damping.LONGEST


def test_a_message_says_how_often() -> None:
    for texts in (ENGLISH, CHINESE):
        said = texts.damped.format(n=7, since="12:00")
        assert "7" in said
        assert "12:00" in said
