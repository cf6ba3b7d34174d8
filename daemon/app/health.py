"""Whether the daemon gets on: which parts there are, what each last did, and for how long each may pause.

Owns the two judgements: alive (else it is to be killed and started again) and ready (else somebody has to look).
Decides nothing else, and must never wait for anything.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from daemon.clock import Clock
from daemon.domain.jobs import ProjectName
from daemon.schedule import Schedule
from daemon.store import WriterHealth
from daemon.web import Health, Part, judge_health

STALL = 30.0
"""Seconds without progress after which a part is stalled."""
_VITAL_TICKS = ("poll", "changes")
_TICKS = {"checkpoint": 30.0, "discovery": 0.0}
"""Further ticks, and the seconds between two of each that count for nothing."""


class Lanes(Protocol):
    """What sends: the lanes of all channels. One that has nothing to do gets on."""

    def progress(self) -> Mapping[str, float]:
        """When each channel's lane last got on without an error of wrapd's own (monotonic seconds)."""
        ...

    def moved(self) -> Mapping[str, float]:
        """The same, with such errors: one that has not moved hangs."""
        ...


class Looks(Protocol):
    """What asks: the watch of one project."""

    def progress(self, now: float) -> float:
        """When it last got on without an error of wrapd's own (monotonic seconds); `now` without jobs."""
        ...

    def moved(self, now: float) -> float:
        """The same, with such errors: one that has not moved hangs."""
        ...


class QueuePart(Protocol):
    """What waits to be stored."""

    def progress(self, now: float) -> float: ...


class WriterPart(Protocol):
    """What stores."""

    def writer_health(self) -> WriterHealth: ...


@dataclass(slots=True, kw_only=True)
class Pulse:
    """All parts of one daemon, `started` at that moment (monotonic seconds)."""

    clock: Clock
    started: float
    schedule: Schedule
    store: WriterPart
    lanes: Lanes
    projects: Mapping[ProjectName, Looks]
    operators: QueuePart
    send_timeout: float
    """Seconds that one send may take: a lane that waits for its end does not stall."""

    def alive(self) -> Health:
        """Whether the vital ticks run and no part hangs: what a new start may put right. An error of wrapd's own
        that comes back with the same job or alert would come back after each start as well."""
        now = self.clock.monotonic()
        projects = {str(name): project.moved(now) for name, project in self.projects.items()}
        return self._judge(
            [*self._ticks(dict.fromkeys(_VITAL_TICKS, 0.0)), *self._parts(self.lanes.moved(), projects)]
        )

    def ready(self, *, moved: bool) -> Health:
        """Whether jobs are really asked about and alerts sent, and everything else gets on as well. `moved`: the
        database's file is not the open one."""
        now = self.clock.monotonic()
        projects = {str(name): project.progress(now) for name, project in self.projects.items()}
        parts = [*self._ticks(_TICKS), *self._parts(self.lanes.progress(), projects), *self._stored()]
        stalled = self.alive().stalled | self._judge(parts).stalled
        return Health(stalled=stalled | {"database": None} if moved else stalled)

    def _judge(self, parts: list[Part]) -> Health:
        return judge_health(parts, now=self.clock.monotonic(), started=self.started)

    def _ticks(self, pauses: Mapping[str, float]) -> Iterator[Part]:
        ran = self.schedule.last_ran()
        return (Part(name=name, last=ran[name], limit=STALL + pause) for name, pause in pauses.items())

    def _parts(self, lanes: Mapping[str, float], projects: Mapping[str, float]) -> Iterator[Part]:
        for name, last in lanes.items():
            yield Part(name=f"channels.{name}", last=last, limit=STALL + self.send_timeout)
        for name, last in projects.items():
            yield Part(name=f"projects.{name}", last=last, limit=STALL)

    def _stored(self) -> Iterator[Part]:
        writer = self.store.writer_health()
        # A full disk takes transactions that change nothing: what counts is since when changes fail.
        last = writer.last_commit_at if writer.failing_since is None else writer.failing_since
        yield Part(name="writer", last=last, limit=STALL)
        yield Part(name="operators", last=self.operators.progress(self.clock.monotonic()), limit=STALL)
