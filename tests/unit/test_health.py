"""Liveness and readiness, from the last progress of each part."""

from collections.abc import Mapping

import pytest

from daemon.app.health import STALL, Pulse
from daemon.clock import ManualClock
from daemon.schedule import Schedule
from daemon.store import WriterHealth

START = 1000.0


class Ran(Schedule):
    """Ticks that ran at times set by the test."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.at: dict[str, float] = {}

    def last_ran(self) -> dict[str, float | None]:
        names = ("poll", "changes", "checkpoint", "discovery")
        return {name: self.at.get(name, self.clock.monotonic()) for name in names}


class Sends:
    """Lanes whose progress and moves the test sets."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}
        self.moved_at: dict[str, float] | None = None

    def progress(self) -> Mapping[str, float]:
        return self.at

    def moved(self) -> Mapping[str, float]:
        return self.at if self.moved_at is None else self.moved_at


class Asks:
    """A watch or queue whose last progress the test sets (None: just now)."""

    def __init__(self) -> None:
        self.at: float | None = None
        self.breaks = False
        """It moves nevertheless."""

    def progress(self, now: float) -> float:
        return now if self.at is None else self.at

    def moved(self, now: float) -> float:
        return now if self.breaks else self.progress(now)


class Writes:
    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.failing_since: float | None = None

    def writer_health(self) -> WriterHealth:
        now = self.clock.monotonic()
        return WriterHealth(last_commit_at=now, waiting=0, oldest_wait=0.0, failing_since=self.failing_since)


class House:
    """All parts, in good health."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.clock.advance(START)
        self.ticks, self.lanes, self.main, self.queue = Ran(self.clock), Sends(), Asks(), Asks()
        self.writes = Writes(self.clock)
        self.pulse = Pulse(
            clock=self.clock,
            started=self.clock.monotonic(),
            schedule=self.ticks,
            store=self.writes,
            lanes=self.lanes,
            projects={"main": self.main},
            operators=self.queue,
            send_timeout=20.0,
        )

    def now(self) -> float:
        return self.clock.monotonic()

    def judged(self, *, moved: bool = False) -> tuple[set[str], set[str]]:
        return set(self.pulse.alive().stalled), set(self.pulse.ready(moved=moved).stalled)


@pytest.fixture
def house() -> House:
    return House()


def test_all_is_well(house: House) -> None:
    house.clock.advance(3600)
    house.lanes.at = {"editors": house.now()}
    assert house.judged() == (set(), set())


@pytest.mark.parametrize("tick", ["poll", "changes"])
def test_a_vital_tick_that_stands_still_is_death(house: House, tick: str) -> None:
    house.ticks.at[tick] = house.now()
    house.clock.advance(STALL + 1)
    assert house.judged() == ({tick}, {tick})


@pytest.mark.parametrize(("tick", "after"), [("checkpoint", 30 + STALL), ("discovery", STALL)])
def test_another_tick_that_stands_still_is_for_a_person(house: House, tick: str, after: float) -> None:
    house.ticks.at[tick] = house.now()
    house.clock.advance(after)
    assert house.judged() == (set(), set())
    house.clock.advance(1)
    assert house.judged() == (set(), {tick})


def test_a_lane_may_wait_for_the_end_of_a_send_and_no_longer(house: House) -> None:
    house.lanes.at = {"editors": house.now(), "ops": house.now() + 3600}
    house.clock.advance(STALL + 20)
    assert house.judged() == (set(), set())
    house.clock.advance(1)
    assert house.judged() == ({"channels.editors"}, {"channels.editors"})


def test_a_project_that_nobody_asks_about_is_seen(house: House) -> None:
    house.main.at = house.now()
    house.clock.advance(STALL + 1)
    assert house.judged() == ({"projects.main"}, {"projects.main"})


def test_what_breaks_each_time_but_does_not_hang_is_for_a_person(house: House) -> None:
    house.main.at, house.main.breaks = house.now(), True
    house.lanes.at, broken = {"editors": house.now(), "ops": house.now()}, {"projects.main", "channels.editors"}
    house.clock.advance(3600)
    house.lanes.at["ops"] = house.now()
    house.lanes.moved_at = dict.fromkeys(house.lanes.at, house.now())
    assert house.judged() == (set(), broken)
    house.lanes.moved_at["editors"] -= STALL + 21
    assert house.judged() == ({"channels.editors"}, broken)


def test_alerts_for_operators_that_are_not_stored_are_for_a_person(house: House) -> None:
    house.queue.at = house.now()
    house.clock.advance(STALL + 1)
    assert house.judged() == (set(), {"operators"})


def test_a_writer_that_fails_is_for_a_person(house: House) -> None:
    house.writes.failing_since = house.now()
    house.clock.advance(STALL + 1)
    assert house.judged() == (set(), {"writer"})


def test_another_file_in_the_databases_place_is_not_ready(house: House) -> None:
    assert house.judged(moved=True) == (set(), {"database"})
