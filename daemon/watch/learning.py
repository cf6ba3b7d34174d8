"""What was learned of production times: read from the jobs table and refitted as jobs end. Nothing is stored.

Owns which rows are usable as evidence and when to learn again. Does not decide when a job is queried.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from math import inf
from typing import TYPE_CHECKING

from daemon.clock import Clock
from daemon.domain.durations import LIMIT, ClassKey, Durations, Running, Sample, fit
from daemon.domain.jobs import ProjectName
from daemon.domain.production import sample_of, samples_of
from daemon.domain.states import State
from daemon.store import FinishedRow, Store, Transaction

if TYPE_CHECKING:
    from daemon.watch.agenda import Agenda
    from daemon.watch.job import Watched

_SAMPLE = 200
"""Running jobs of a project that are sampled to represent all of them."""
_SOONEST, _LATEST = 5.0, 60.0
"""Seconds between two fits: at least, and at most while jobs run."""
_SHARE = 0.05
"""New ends, as a share of the known ones, that are worth a fit."""
_OVERLAP = 4
"""Known ends that are read again with the new ones, to see that these follow them."""

Finished = Mapping[tuple[ProjectName, str], Sequence[FinishedRow]]
_Ends = list[Sample | None]
"""The ends of a class, newest first; None for one that is no evidence."""


class Learning:
    """The durations learned so far, shared by all projects. Only classes with news are fitted again, and of each
    only the new ends are read."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.durations = fit({}, {})
        self._store = store
        self._clock = clock
        self._known: dict[ClassKey, _Ends] = {}
        """The last ends of each class when it was last fitted."""
        self._ends: Counter[ClassKey] = Counter()
        """The number of ends since then."""
        self._fitted: dict[ProjectName, float] | None = None
        """When all classes of a project were last fitted; None before the first fit."""
        self._tried = -inf
        self._begin = 0

    def ended(self, key: ClassKey) -> None:
        """Note that a job of the class ended, so that there is something to learn."""
        self._ends[key] += 1

    async def refresh(self, agendas: "Mapping[ProjectName, Agenda]") -> None:
        """Refit what is due. Raises StoreError; what was learned is kept then."""
        now = self._clock.monotonic()
        projects, news = self._due(now, agendas)
        if not projects and not news:
            return
        self._tried = now
        some = {*projects, *(ProjectName(project) for project, _ in news)}
        new = [None] if self._fitted is None else [name for name in projects if name not in self._fitted]
        lives, at = self._running(agendas, some, now), self._clock.now().timestamp()
        ends = {key: self._ends.pop(key) for key in [*self._ends] if key[0] in projects or key in news}
        due = {key for key in [*ends, *lives, *self._known] if key[0] in projects or key in news}
        before, known = self.durations, self._known

        def fitted(tx: Transaction) -> tuple[dict[ClassKey, _Ends], Durations]:
            found: dict[ClassKey, _Ends] = {}
            for project in new:
                found |= {(str(p), kind): _ends(each) for (p, kind), each in tx.jobs.finished(project).items()}
            for key in due - found.keys():
                found[key] = _read(tx, key, known.get(key), ends.get(key, 0))
            samples = {key: [each for each in ends if each is not None] for key, ends in found.items()}
            running = {key: each for key, each in lives.items() if key in found}
            return found, fit(samples, running, now=at, before=before)

        try:
            found, self.durations = await self._store.read_async(fitted)
        except BaseException:
            self._ends.update(ends)
            raise
        self._known |= found
        if self._fitted is None:  # staggered from here on, so that no later refit is of all classes
            self._fitted = {name: now - _LATEST * i / len(agendas) for i, name in enumerate(agendas)}
        else:
            self._fitted.update(dict.fromkeys(projects, now))

    def _due(self, now: float, agendas: "Mapping[ProjectName, Agenda]") -> tuple[set[ProjectName], set[ClassKey]]:
        """Projects with running jobs, all of whose classes are due once a minute, and classes with new ends."""
        if self._fitted is None:
            return set(agendas), set()
        soon = now - self._tried < _SOONEST
        news = set()
        for key, ends in self._ends.items():
            known = len(self._known.get(key, ()))
            if known < 1 / _SHARE if soon else ends > known * _SHARE:
                news.add(key)
        fitted, late = self._fitted, now - _LATEST
        running = [name for name, agenda in agendas.items() if len(agenda) and fitted.get(name, -inf) <= late]
        return set() if soon else set(running), news

    def _running(
        self, agendas: "Mapping[ProjectName, Agenda]", projects: Collection[ProjectName], now: float
    ) -> dict[ClassKey, list[Running]]:
        self._begin += 1
        running: defaultdict[ClassKey, list[Running]] = defaultdict(list)
        for project, agenda in agendas.items():
            sample = agenda.sample(self._begin, _SAMPLE) if project in projects else []
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


def started_before(watched: "Watched", started_at: datetime | None, *, now: float, wall: datetime) -> float:
    """Return when the production that an answer reports began (monotonic seconds): by the service's time, but not
    before the last answer that saw it wait, nor after now."""
    seen_waiting = watched.looked if watched.state == State.WAITING and watched.looked is not None else None
    begin = now if started_at is None else min(now, now - (wall - started_at).total_seconds())
    return begin if seen_waiting is None else max(begin, seen_waiting)


def _read(tx: Transaction, key: ClassKey, known: _Ends | None, new: int) -> _Ends:
    """Return the last ends of a class of which some are known: reads `new` ones that were noted since, and a few
    more. All are read where these do not join what is known, as after the clock was set back."""
    project, kind = ProjectName(key[0]), key[1]
    if known and new + _OVERLAP < LIMIT:
        newest = _ends(tx.jobs.last_finished(project, kind, limit=new + _OVERLAP))
        joined = _joined(newest, known, new)
        if joined is not None:
            return joined
    return _ends(tx.jobs.last_finished(project, kind, limit=LIMIT))


def _joined(newest: _Ends, known: _Ends, new: int) -> _Ends | None:
    """Put the newest ends, at least `new` of which are unknown, before the known ones; None where they do not
    join."""
    for count in range(new, len(newest)):
        overlap = newest[count:]
        if overlap == known[: len(overlap)]:
            return [*newest[:count], *known][:LIMIT]
    return None


def _ends(rows: Iterable[FinishedRow]) -> _Ends:
    return [sample_of(row) for row in rows]
