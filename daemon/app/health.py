"""Health of the daemon: which parts there are, when each last made progress, and how long each may pause.

Makes two judgements: alive (if not, the daemon should be killed and restarted) and ready (if not, a person should
look). It never waits.
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
"""Seconds without progress after which a part counts as stalled."""
_VITAL_TICKS = ("poll", "changes")
_TICKS = {"checkpoint": 30.0, "discovery": 0.0}
"""Further ticks, each with its normal pause in seconds."""


class Lanes(Protocol):
    """The lanes of all channels. A lane with nothing to do counts as making progress."""

    def progress(self) -> Mapping[str, float]:
        """When each channel's lane last made progress without an error in wrapd itself (monotonic seconds)."""
        ...

    def moved(self) -> Mapping[str, float]:
        """The same including such errors: a lane that has not moved hangs."""
        ...


class PollerPart(Protocol):
    """The poller of one project."""

    def progress(self, now: float) -> float:
        """When it last made progress without an error in wrapd itself (monotonic seconds); `now` without jobs."""
        ...

    def moved(self, now: float) -> float:
        """The same including such errors: a poller that has not moved hangs."""
        ...


class QueuePart(Protocol):
    """A queue of events to be stored."""

    def progress(self, now: float) -> float: ...


class WriterPart(Protocol):
    """The store's writer."""

    def writer_health(self) -> WriterHealth: ...


@dataclass(slots=True, kw_only=True)
class Pulse:
    """All parts of one daemon that `started` at that moment (monotonic seconds)."""

    clock: Clock
    started: float
    schedule: Schedule
    store: WriterPart
    lanes: Lanes
    projects: Mapping[ProjectName, PollerPart]
    operators: QueuePart
    send_timeout: float
    """Seconds that one send may take; a lane waiting for it is not stalled."""

    def alive(self) -> Health:
        """Whether the vital ticks run and no part hangs, which a restart may fix. Errors in wrapd itself do not
        count: one caused by a job or alert would recur after each restart."""
        now = self.clock.monotonic()
        projects = {str(name): project.moved(now) for name, project in self.projects.items()}
        return self._judge(
            [*self._ticks(dict.fromkeys(_VITAL_TICKS, 0.0)), *self._parts(self.lanes.moved(), projects)]
        )

    def ready(self, *, moved: bool) -> Health:
        """Whether jobs are also polled and alerts sent. `moved`: the database's file is no longer the open one."""
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
        # On a full disk, transactions without changes still succeed. What counts is since when changes fail.
        last = writer.last_commit_at if writer.failing_since is None else writer.failing_since
        yield Part(name="writer", last=last, limit=STALL)
        yield Part(name="operators", last=self.operators.progress(self.clock.monotonic()), limit=STALL)
