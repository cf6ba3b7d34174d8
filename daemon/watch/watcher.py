"""Brings the tracked jobs of the store to their pollers, and the pollers' bookkeeping back to the store.

Owns the load at start, changes that commands make while the daemon runs, and the checkpoint. Never queries the
API.
"""

import asyncio
import gc
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from operator import attrgetter
from typing import TypeVar

from daemon.clock import Clock
from daemon.domain.jobs import JobId, KindSource, ProjectName, Tracking
from daemon.logs import LogEvent, logger
from daemon.metastudio.kinds import KINDS
from daemon.metrics import Metrics
from daemon.store import (
    NO_GROUP,
    ActivePage,
    Bookkeeping,
    PauseRow,
    Store,
    StoreError,
    Transaction,
    WatchRow,
    to_stamp,
)
from daemon.store_errors import StoreErrors
from daemon.tasks import Defects, Tasks
from daemon.watch.job import Watched
from daemon.watch.learning import Learning
from daemon.watch.planner import FOLLOWED
from daemon.watch.poller import Poller
from daemon.watch.stored import Instant, watched_of, watched_of_all

log = logger(__name__)
T = TypeVar("T")

_PAGE = 2000
"""Jobs that are taken up without yielding: about 3 ms, and 2 MiB of rows."""
_FROZEN_FROM = 10_000
"""Jobs taken up from which on they are kept out of the collector's sight."""
_TAKEN = 2000
"""Most changed jobs that one transaction takes."""
_SLICE = 250
"""Most of them that are processed without yielding: queries and sends wait no longer than for these."""
_FEW = 20
"""Most jobs of such a slice that are logged one by one; of more only their number is logged."""
_MOST_HINTS = 1000
"""Most unwatched jobs for which hints are kept."""
_CHUNK = 1000
"""Most jobs whose bookkeeping is written at once: the loop and urgent writes wait no longer than for these."""


_MANY_TOUCHED = 30_000
"""Queried jobs whose bookkeeping does not wait for the next checkpoint: what the default rate queries until then.
The more are written together, the fewer pages of the table that takes; to put them in order takes about 8 ms."""


class Watcher:
    """All projects' pollers, fed from the store. `pollers` belongs to the caller, who may add and remove projects
    (`join` and `leave`)."""

    def __init__(
        self,
        *,
        pollers: Mapping[ProjectName, Poller],
        store: Store,
        learning: Learning,
        clock: Clock,
        metrics: Metrics,
        defects: Defects,
    ) -> None:
        self._pollers = pollers
        self._store = store
        self._learning = learning
        self._clock = clock
        self._metrics = metrics
        self._store_errors = StoreErrors(clock=clock, metrics=metrics)
        self._defects = defects
        self._tasks = Tasks("watch", defects)
        self._noticing = self._again = False
        self._behind = False
        """Whether changes could not be taken up."""
        self._changed: deque[WatchRow] = deque()
        """Taken from the store but not processed yet. The writer's thread appends to it."""
        self._hints: dict[tuple[ProjectName, JobId], float] = {}
        """When hints came for jobs that were not watched (monotonic seconds)."""
        self._pauses: Mapping[ProjectName, PauseRow] = {}
        """As last read from the store."""
        self._joining: set[ProjectName] = set()
        """Projects whose jobs have yet to be taken up from the store."""

    def join(self, project: ProjectName) -> None:
        """Note that a project was added. Its jobs are taken up from the store in the background."""
        self._obey(project)
        self._joining.add(project)
        self.notice_soon()

    async def leave(self, poller: Poller) -> None:
        """Stop a poller that is no longer among `pollers`. Its jobs and what is known of them stay stored."""
        await poller.stop(patience=0)
        await self._flush(poller.answers.take_moved())
        await self._flush(poller.answers.take_touched())

    async def load(self) -> int:
        """Take up every active job and return their number. The first are queried while the rest is still read.

        Jobs of a project or kind that the config does not have are left alone, with a warning.
        """
        await self.take_pauses()
        await self._take_past_pauses()
        await self._learn()
        strays: Counter[tuple[str, str]] = Counter()
        count = await self._load(tuple(self._pollers), strays)
        for (project, kind), number in strays.items():
            log.warning(LogEvent.JOBS_STRAY, project=project, kind=kind, jobs=number)
        return count

    async def _load(self, projects: Collection[ProjectName], strays: Counter[tuple[str, str]]) -> int:
        """Take up the active jobs of these projects, and return their number; `strays` counts those of another
        project or kind. Starts what is due after each page.

        The cyclic collector is off meanwhile: it would go through the growing heap again and again, for a second
        at 1,000,000 jobs. It finds nothing in what was loaded, so that is frozen before the collector runs again.
        """
        collects, count, after, usual = gc.isenabled(), 0, 0, NO_GROUP
        gc.disable()
        try:
            while True:
                moment = Instant(self._clock)
                read = partial(_page_of_active, after=after, ahead=moment.ahead, usual=usual)
                if not (page := await self._store.read_async(read)).last:
                    break
                count += self._take_page(page, moment, projects, strays)
                after, usual = page.last, page.following
                del page  # before the next is read: only one page of rows is held
                self.pump()
        finally:
            if count >= _FROZEN_FROM:
                gc.freeze()
            if collects:
                gc.enable()
        return count

    def _take_page(
        self,
        page: ActivePage,
        moment: Instant,
        projects: Collection[ProjectName],
        strays: Counter[tuple[str, str]],
    ) -> int:
        """Take up jobs of these projects, unless one has left while the page was read. Most are taken up by a
        short way: nothing has to be decided about ordinary ones. Returns how many."""
        count = 0
        lives = {name: self._pollers[name].life for name in projects if name in self._pollers}
        for row in page.others:
            if row.project not in lives or row.kind not in KINDS:
                strays[row.project, row.kind] += 1
            elif self._is_watched(row) or self._safely(partial(self._take, moment=moment), row):
                count += 1
        jobs = watched_of_all(page, moment, lives, strays, self._broken)
        for (project, listed), each in jobs.items():
            self._pollers[project].agenda.add_all(each, moment.now, singly=not listed)
            count += len(each)
        self._serve_hints(moment.now)
        return count

    def _broken(self, project: ProjectName, job_id: JobId, error: Exception) -> None:
        self._defects.note("watch", error, project=project, job=job_id)

    def _serve_hints(self, now: float) -> None:
        """Follow the hints that came for jobs before these were watched."""
        for project, job_id in tuple(self._hints):
            poller = self._pollers.get(project)
            if poller is None or poller.agenda.get(job_id) is None:
                continue
            if now - self._hints.pop((project, job_id)) < FOLLOWED:
                poller.hint(job_id)

    async def _take_up(self) -> None:
        """Take up the jobs of added projects. Raises StoreError: the rest is left for the next time."""
        joining = {name for name in self._joining if name in self._pollers}
        if joining:
            await self._load(joining, Counter())
        self._joining -= joining

    def pump(self) -> None:
        """Start what is due in every project."""
        for poller in self._pollers.values():
            poller.pump()

    async def tick(self) -> None:
        """Run the poll tick: start what is due, end what is over."""
        for project, poller in tuple(self._pollers.items()):
            try:
                await poller.tick()
            except Exception as error:  # noqa: BLE001 - other projects go on
                self._defects.note("watch", error, project=project)

    def hint(self, project: ProjectName, job_id: JobId) -> bool:
        """Have a job queried at once, within the budget. Returns False if it is not watched. If it is taken up
        within a minute, the hint still counts."""
        poller = self._pollers.get(project)
        if poller is None:
            return False
        if poller.hint(job_id):
            return True
        self._hints.pop((project, job_id), None)
        while len(self._hints) >= _MOST_HINTS:
            self._hints.pop(next(iter(self._hints)))
        self._hints[project, job_id] = self._clock.monotonic()
        return False

    def notice_soon(self) -> None:
        """Take up newly tracked jobs in the background now, rather than at the next tick."""
        self._again = True  # the task under way may already have passed the newest changes
        if not self._noticing:
            self._noticing = True
            self._tasks.spawn("notice", self._notice_now())

    async def _notice_now(self) -> None:
        try:
            while self._again:
                self._again = False
                await self._take_up()
                await self._notice_changes()
        except StoreError as error:
            self._behind = True
            self._store_errors.note(error)
        finally:
            self._noticing = False

    async def take_changes(self, *, anyway: bool = True) -> None:
        """Process what was changed since the last time, if `notice_soon` failed to do it, or `anyway`: jobs
        tracked, taken up again, stopped, and projects paused or resumed."""
        if anyway or self._behind:
            await self._take_up()
            await self._notice_changes()
            self._behind = False
        for project, poller in self._pollers.items():
            self._metrics.jobs.labels(project).set(len(poller.agenda))
        for poller in tuple(self._pollers.values()):
            await self._flush(poller.answers.take_moved())
            if len(poller.answers.touched) >= _MANY_TOUCHED:
                await self._flush(poller.answers.take_touched())
        await self._learn()

    async def take_pauses(self) -> None:
        """Pause and resume projects as the store says. At a start this comes before anything that may ask. Raises
        StoreError."""
        self._pauses = await self._store.read_async(lambda tx: tx.pauses.all())
        self._obey_all()

    async def _take_past_pauses(self) -> None:
        """Do not count, for the jobs in the store, the time of pauses that are over."""
        life = max((poller.context.limits.give_up_after for poller in self._pollers.values()), default=0.0)
        since, names = self._clock.now() - timedelta(seconds=life), tuple(self._pollers)
        past = await self._store.read_async(lambda tx: tx.pauses.past(names, since=since))
        for project, poller in self._pollers.items():
            poller.paused_before = past.get(project, 0.0)

    def _obey_all(self) -> None:
        for project in self._pollers:
            self._obey(project)

    def _obey(self, project: ProjectName) -> None:
        """Pause or resume one project."""
        poller, pause = self._pollers[project], self._pauses.get(project)
        if pause is not None and poller.paused_at is None:
            log.info(LogEvent.PROJECT_PAUSED, project=project, by=pause.who)
        elif pause is None and poller.paused_at is not None:
            log.info(LogEvent.PROJECT_RESUMED, project=project)
        poller.obey(None if pause is None else pause.at)

    async def _notice_changes(self) -> None:
        """Process all changes made so far, however many."""
        while await self._notice_some() == _TAKEN:
            pass

    async def _notice_some(self) -> int:
        def take(tx: Transaction) -> int:
            rows = tx.jobs.take_changes(limit=_TAKEN)
            self._changed.extend(rows)
            self._pauses = tx.pauses.all()
            return len(rows)

        try:
            return await self._store.write(take)
        finally:  # the store returns each change once: those taken are processed even if the write then failed
            self._obey_all()
            while self._changed:
                rows = [self._changed.popleft() for _ in range(min(_SLICE, len(self._changed)))]
                _report([(event, row) for row in rows if (event := self._safely(self._notice, row)) is not None])
                self.pump()
                await asyncio.sleep(0)

    def _safely(self, do: Callable[[WatchRow], T], row: WatchRow) -> T | None:
        """Return `do(row)`, or None after an internal error, which then costs no other job anything."""
        try:
            return do(row)
        except Exception as error:  # noqa: BLE001 - costs this job only
            self._broken(row.project, row.job_id, error)
            return None

    async def checkpoint(self) -> None:
        """Store when each job was last queried and is next due, and the status of each project."""
        try:
            for poller in tuple(self._pollers.values()):
                poller.note_lateness()
                await self._flush(poller.answers.take_touched())
        finally:
            await self._store_status()

    async def stop(self, *, patience: float) -> None:
        """Let queries under way end (`patience` seconds at most), then checkpoint."""
        await self._tasks.end(patience=patience)
        await asyncio.gather(*(poller.stop(patience=patience) for poller in self._pollers.values()))
        if self._store.writer_health().oldest_wait < patience:  # bookkeeping is not worth waiting for a lock
            await self.checkpoint()

    async def abandon(self) -> None:
        """End the queries under way and store nothing: for a start that failed."""
        await self._tasks.end(patience=0)
        await asyncio.gather(*(poller.stop(patience=0) for poller in self._pollers.values()))

    def _notice(self, row: WatchRow) -> LogEvent | None:
        """Take up a job that a command tracked, or drop one that it stopped. Does nothing for a job that is
        watched as the row says: it was tracked before the load. Returns the event to log, or None."""
        self._leave_others(row)
        poller = self._pollers.get(row.project)
        if row.tracking != Tracking.ACTIVE:
            dropped = poller is not None and _forget(poller, row.job_id)
            return LogEvent.JOB_DROPPED if dropped else None
        if self._is_watched(row):
            return None
        return (
            LogEvent.JOB_TAKEN if self._take(row, moment=Instant(self._clock), anew=True) else LogEvent.JOBS_STRAY
        )

    def _leave_others(self, row: WatchRow) -> None:
        """Drop the job in other projects: a person may have moved it here from one of them."""
        for project, poller in self._pollers.items():
            if project != row.project and _forget(poller, row.job_id, row=row.id):
                log.info(LogEvent.JOB_DROPPED, project=project, job=row.job_id)

    def _is_watched(self, row: WatchRow) -> bool:
        """Whether the agenda holds the job as the row describes it."""
        poller = self._pollers.get(row.project)
        watched = poller.agenda.get(row.job_id) if poller is not None else None
        if watched is None or (watched.job, watched.kind.name, watched.episode) != (row.id, row.kind, row.episode):
            return False
        watched.set_guessed(guessed=row.kind_source is KindSource.GUESSED)
        return True

    def _take(self, row: WatchRow, *, moment: Instant, anew: bool = False) -> bool:
        poller, kind = self._pollers.get(row.project), KINDS.get(row.kind)
        if poller is None or kind is None:
            return False
        if poller.kinds.are_for(row):
            poller.agenda.drop(row.job_id)
            poller.kinds.hold(row)
            return True
        poller.kinds.drop(row.job_id)
        before = poller.add(watched_of(row, kind, moment, poller.life), anew=anew)
        hinted = None if before is None else before.hinted
        if self._hints:
            hinted = self._hints.pop((row.project, row.job_id), hinted)
        if hinted is not None and moment.now - hinted < FOLLOWED:
            poller.hint(row.job_id)
        return True

    async def _learn(self) -> None:
        """Refit the production times when it is time. What was learned is kept if that fails."""
        try:
            # Jobs of a paused project may have ended: they are no evidence of long production.
            asked = {name: poller.agenda for name, poller in self._pollers.items() if not poller.paused}
            await self._learning.refresh(asked)
        except StoreError as error:
            self._store_errors.note(error)
        except Exception as error:  # noqa: BLE001 - costs foresight only
            self._defects.note("watch", error)

    async def _store_status(self) -> None:
        now, at = self._clock.monotonic(), self._clock.now()
        facts = {name: poller.status(now, at) for name, poller in self._pollers.items()}

        def store(tx: Transaction) -> None:
            for name, each in facts.items():
                tx.statuses.set(name, each, at)

        try:
            await self._store.write(store)
        except StoreError as error:
            self._store_errors.note(error)

    async def _flush(self, jobs: Sequence[Watched]) -> None:
        jobs = sorted(jobs, key=attrgetter("job"))  # neighbours share pages of the table
        for begin in range(0, len(jobs), _CHUNK):
            rows = self._bookkeeping(jobs[begin : begin + _CHUNK])
            try:
                await self._store.write(partial(_checkpoint, rows=rows))
            except StoreError as error:
                self._store_errors.note(error)

    def _bookkeeping(self, jobs: Iterable[Watched]) -> list[Bookkeeping]:
        now, wall, rows = self._clock.monotonic(), to_stamp(self._clock.now()), []
        for watched in jobs:  # hot: every query's answer passes here
            looked, until = watched.looked, watched.due - now
            row = Bookkeeping(
                watched.job,
                watched.polls,
                None if looked is None else wall - round((now - looked) * 1e6),
                wall + round(until * 1e6) if until > 0 else wall,
                watched.last_error,
                watched.asked_by,
                watched.reason,
            )
            rows.append(row)
            watched.checkpointed()
        return rows


def _report(changed: Sequence[tuple[LogEvent, WatchRow]]) -> None:
    """Log what became of changed jobs: of many, only how many. A line for each of thousands would cost more than
    taking them up, and more than a journal accepts at once."""
    alike = Counter(
        (event, row.project, row.kind, row.job_id if len(changed) <= _FEW else None) for event, row in changed
    )
    for (event, project, kind, job), number in alike.items():
        say = log.warning if event is LogEvent.JOBS_STRAY else log.info
        say(event, project=project, kind=kind, **({"jobs": number} if job is None else {"job": job}))


def _checkpoint(tx: Transaction, *, rows: Sequence[Bookkeeping]) -> None:
    tx.jobs.checkpoint(rows)


def _page_of_active(tx: Transaction, *, after: int, ahead: float, usual: str) -> ActivePage:
    return tx.jobs.active(after=after, limit=_PAGE, ahead=ahead, usual=usual)


def _forget(poller: Poller, job_id: JobId, *, row: int | None = None) -> bool:
    """Stop watching the job (with `row`: only if it has this row id). Returns False if it was not watched."""
    held = poller.kinds.drop(job_id, row=row)
    watched = poller.agenda.get(job_id)
    if watched is None or row not in (None, watched.job):
        return held
    poller.agenda.drop(job_id)
    poller.answers.moved.pop(watched.job, None)
    return True
