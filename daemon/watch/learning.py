"""What was learned of production times: read from the jobs table and refitted as jobs end. Nothing is stored.

Owns which rows are usable as evidence and when to learn again. Does not decide when a job is queried.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from daemon.clock import Clock
from daemon.domain.durations import ClassKey, Durations, Running, Sample, fit
from daemon.domain.jobs import ProjectName
from daemon.domain.states import State
from daemon.store import FinishedRow, JobRow, Store, WatchRow
from daemon.watch.agenda import Agenda
from daemon.watch.job import Watched

_LONGEST = timedelta(days=60)
"""Longer production times are taken for errors in the service's times."""
_SKEW = timedelta(minutes=2)
"""How far a start may precede the creation: in the API document's own example it does so by ten months."""
_SAMPLE = 200
"""Running jobs of a project that are sampled to represent all of them."""
_SOONEST, _LATEST = 5.0, 60.0
"""Seconds between two fits: at least, and at most while jobs run."""
_SHARE = 0.05
"""New ends, as a share of the known ones, that are worth a fit."""

Finished = Mapping[tuple[ProjectName, str], Sequence[FinishedRow]]


class Learning:
    """The durations learned by the last fit, shared by all projects."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.durations = fit({}, {})
        self._store = store
        self._clock = clock
        self._known = 0
        self._ends = 0
        self._fitted: float | None = None
        self._begin = 0

    def ended(self) -> None:
        """Note that a job ended, so that there is something to learn."""
        self._ends += 1

    async def refresh(self, agendas: Mapping[ProjectName, Agenda]) -> None:
        """Refit if it is time. Raises StoreError; what was learned is kept then."""
        now = self._clock.monotonic()
        if not self._worth_it(now, sum(len(agenda) for agenda in agendas.values())):
            return
        running, at = self._running(agendas, now), self._clock.now().timestamp()
        ends, self._ends, self._fitted = self._ends, 0, now
        try:
            finished, self.durations = await self._store.read_async(
                lambda tx: _fitted(tx.jobs.finished(), running, at)
            )
        except BaseException:
            self._ends += ends
            raise
        self._known = finished

    def _worth_it(self, now: float, running: int) -> bool:
        if self._fitted is None:
            return True
        since = now - self._fitted
        if since < _SOONEST:
            return self._ends > 0 and self._known < 1 / _SHARE
        if self._ends > self._known * _SHARE:
            return True
        return since >= _LATEST and running > 0

    def _running(self, agendas: Mapping[ProjectName, Agenda], now: float) -> dict[ClassKey, list[Running]]:
        self._begin += 1
        running: defaultdict[ClassKey, list[Running]] = defaultdict(list)
        for project, agenda in agendas.items():
            sample = agenda.sample(self._begin, _SAMPLE)
            weight = len(agenda) / max(1, len(sample))
            for watched in sample:
                if watched.state == State.PROCESSING and watched.start is not None:
                    life = Running(seconds=max(0.0, now - watched.start), length=watched.length, weight=weight)
                    running[str(project), watched.kind.name].append(life)
        return dict(running)


def durations_of(
    finished: Finished, running: Mapping[ClassKey, Sequence[Running]] | None = None, *, now: float | None = None
) -> Durations:
    """Fit finished jobs (of each class, newest first) and those running as of `now` (epoch seconds)."""
    samples = {(str(project), kind): samples_of(rows) for (project, kind), rows in finished.items()}
    return fit(samples, running or {}, now=now)


def samples_of(rows: Iterable[FinishedRow]) -> list[Sample]:
    """Return, in order, the jobs whose production time is known. A job that was frozen is no evidence."""
    return [sample for row in rows if (sample := _sample(row)) is not None]


def production_began(
    *, started_at: datetime | None, created_at: datetime | None, by: datetime | None
) -> datetime | None:
    """Return when production began by the service's own times, or None where they are not credible. `by` is a
    moment at which it had begun, if one is known."""
    if started_at is None or (created_at is not None and started_at < created_at - _SKEW):
        return None
    if by is not None and not -_SKEW <= by - started_at <= _LONGEST:
        return None
    return started_at


def elapsed_of(row: JobRow | WatchRow, now: datetime) -> float | None:
    """Return for how many seconds a job has been in production as of `now`; None if it is not."""
    if row.state != State.PROCESSING:
        return None
    begin = production_began(started_at=row.started_at, created_at=row.created_at, by=row.state_since)
    begin = begin or row.state_since
    return None if begin is None else max(0.0, (now - begin).total_seconds())


def started_before(watched: Watched, started_at: datetime | None, *, now: float, wall: datetime) -> float:
    """Return when the production that an answer reports began (monotonic seconds): by the service's time, but not
    before the last answer that saw it wait, nor after now."""
    seen_waiting = watched.looked if watched.state == State.WAITING and watched.looked is not None else None
    begin = now if started_at is None else min(now, now - (wall - started_at).total_seconds())
    return begin if seen_waiting is None else max(begin, seen_waiting)


def _fitted(
    finished: Finished, running: Mapping[ClassKey, Sequence[Running]], now: float
) -> tuple[int, Durations]:
    return sum(len(rows) for rows in finished.values()), durations_of(finished, running, now=now)


def _sample(row: FinishedRow) -> Sample | None:
    begin = production_began(started_at=row.started_at, created_at=row.created_at, by=None)
    end = row.ended_at or row.reported_at or row.state_since
    if begin is None or row.blocked or not timedelta(0) < end - begin <= _LONGEST:
        return None
    return Sample(
        seconds=(end - begin).total_seconds(),
        length=row.expected_length,
        failed=row.state in (State.FAILED, State.CANCELED),
        ended=row.state_since.timestamp(),
    )
