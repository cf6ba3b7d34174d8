"""Asks about the jobs of one project: takes the question that is worth most, within the budget.

Owns when a question starts and what an error means for the project and its jobs. Never formats a message, never
lets an error of our own (the store's, a bug's) become a job's state.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from daemon.clock import Clock
from daemon.domain.events import Event
from daemon.domain.jobs import ChannelName, JobId, ProjectName
from daemon.domain.planning import Reason
from daemon.domain.routing import Routing
from daemon.logs import LogEvent, logger
from daemon.metastudio.budget import Permit, Priority
from daemon.metastudio.client import ProjectClient
from daemon.metastudio.errors import (
    ApiError,
    AuthPaused,
    AuthRefused,
    JobNotFound,
    ProjectFault,
    Refused,
    Throttled,
    is_not_offered,
)
from daemon.metrics import Metrics
from daemon.operators import Operators
from daemon.store import Store
from daemon.store_errors import StoreErrors
from daemon.tasks import Defects, Tasks
from daemon.watch.agenda import Agenda, Queue, Watched
from daemon.watch.answers import NOT_IN_TIME, Answers, Found, Source
from daemon.watch.batches import Batches
from daemon.watch.feed import FeedReader
from daemon.watch.ground import Ground, Limits
from daemon.watch.health import Change, Overload, ProjectHealth
from daemon.watch.identify import Kinds
from daemon.watch.learning import Learning
from daemon.watch.planner import Planner
from daemon.watch.reports import Reports
from daemon.watch.settings import PollingPlan

log = logger(__name__)

LAST_LOOK = 30.0
"""Seconds that a job whose time is over is kept for a last look where the service does not answer."""
_ENDS_AT_ONCE = 200
"""Jobs that are given up in one tick: after a long stop it may be the time of all."""
_OVERLOAD_PATIENCE = 60.0
"""Seconds for which jobs must be late before the operators hear of it."""
_CALM = 0.5
"""Share of the budget up to which a question may bring more than news: a job's script."""
_CALM_AGAIN = 0.1
"""Seconds for which that is taken to hold."""
_PROBE_ANY = 5.0
"""Seconds after a failure from which on a job that is not due may probe whether the project answers."""
_NEXT_IN_LINE = 0.002
"""Seconds at least until the budget is looked at again after somebody went first."""
_HINT_PACE = 1.0
"""Seconds at least between two looks at a job that callbacks ask for."""
_GATHER = 1.0
"""Seconds that a new job waits for others to share its first look with, where the budget is not calm."""


@dataclass(frozen=True, slots=True)
class _Question:
    """What is to be asked: the feed, or these jobs (one: singly)."""

    jobs: Sequence[Watched] = ()

    @property
    def single(self) -> bool:
        return len(self.jobs) == 1


class Poller:
    """The jobs of one project. `pump` starts what is worth asking; everything else follows from the answers.
    `on_end` is told of each job (its row id) that the service has ended, once the store has it."""

    def __init__(
        self,
        *,
        project: ProjectName,
        client: ProjectClient,
        store: Store,
        routing: Routing,
        plan: PollingPlan,
        limits: Limits,
        learning: Learning,
        clock: Clock,
        rng: random.Random,
        metrics: Metrics,
        wake: Callable[[Iterable[ChannelName]], None],
        operators: Operators,
        defects: Defects,
        on_end: Callable[[int], None] = lambda _job: None,
    ) -> None:
        self.project = project
        self.agenda = Agenda()
        self.limits = limits
        self.planner = Planner(
            project=project,
            plan=plan,
            rate=client.budget.rate,
            agenda=self.agenda,
            durations=lambda: learning.durations,
            rng=rng,
        )
        trouble = StoreErrors(clock=clock, metrics=metrics)
        self.reports = Reports(project, operators)
        self.ground = Ground(
            project=project,
            client=client,
            store=store,
            routing=routing,
            limits=limits,
            clock=clock,
            rng=rng,
            metrics=metrics,
            wake=wake,
            agenda=self.agenda,
            planner=self.planner,
            learning=learning,
            trouble=trouble,
            tasks=Tasks("watch", defects),
            defects=defects,
        )
        self.answers = Answers(self.ground, self.reports)
        self.batches = Batches(self.ground, self.answers)
        self.feed = FeedReader(self.ground, self.answers)
        self.answers.on_end = self._end_found
        self.kinds = Kinds(self.ground, self.reports)
        self._on_end = on_end
        self.health = ProjectHealth()
        self._client = client
        self._clock = clock
        self._rng = rng
        self._overload = Overload(limit=plan.rails.max_interval, patience=_OVERLOAD_PATIENCE)
        self._auth_told = False
        self._in_flight = 0
        self._starved_since: float | None = None
        self._calm_at, self._is_calm = float("-inf"), True
        self._stopping = False
        self._timer: asyncio.TimerHandle | None = None
        self._up = metrics.project_up.labels(project)
        self._up.set(1)
        self._looks = metrics.looks.labels(project, "single")
        self.late = 0.0
        """Seconds for which the most overdue job had waited at the last checkpoint."""
        self._late = metrics.lateness.labels(project)

    # Which question is next

    def add(self, watched: Watched, *, anew: bool = False) -> None:
        """Take up a job. A new one, and one that is taken up `anew`, is asked singly where the budget is calm:
        that brings its script too."""
        if (watched.state is None or anew) and not watched.alone:
            now = self._clock.monotonic()
            if not self._calm(now):
                watched.due = now + _GATHER
            elif self.agenda.queued(Queue.SINGLY) < self._client.budget.rate:
                watched.once = True
        self.agenda.add(watched)

    def hint(self, job_id: JobId) -> bool:
        """Ask about the job now, within the budget: somebody outside says that it ended. Once a second at most;
        what comes sooner is asked when that is over. False where the job is not watched."""
        now, watched = self._clock.monotonic(), self.agenda.get(job_id)
        if watched is None:
            return False
        if watched.hinted <= now:  # else that look is still to come
            watched.hinted = max(now, watched.hinted + _HINT_PACE)
            singly = self.agenda.queued(Queue.SINGLY) < self._client.budget.rate  # else many share one request
            self.agenda.ask_soon(watched, watched.hinted, now=now, singly=singly)
            self.pump()
        return True

    def pump(self) -> None:
        """Start every question that is due and that the budget, the cap and the project's health allow."""
        now = self._clock.monotonic()
        budget = self._client.budget
        self.planner.weigh(now, starved=0.0 if self._starved_since is None else now - self._starved_since)
        while not self._stopping and now >= self.health.paused_until:
            if not self._anything(now):
                self._starved_since = None
                return
            if self._in_flight >= (1 if self.health.probing else self.limits.max_in_flight):
                self._starve(now)
                return
            priority = self._priority(now)
            free_at = budget.next_at()
            if now < free_at or not budget.is_next(priority):  # who completes an alert goes before other looks
                self._starve(now, max(free_at, now + _NEXT_IN_LINE))
                return
            question = self._question(now)
            if question is None:
                self._starved_since = None
                return
            permit = budget.try_take(now, priority)
            if permit is None:  # the budget counts to the millisecond
                self.agenda.give_back(question.jobs)
                self._starve(now, now + _NEXT_IN_LINE)
                return
            self._start(question, permit)

    def _priority(self, now: float) -> Priority:
        return Priority.FEED if not self.health.failures and self.feed.due(now) else Priority.NEWS

    def _anything(self, now: float) -> bool:
        """Whether any question may be due: a cheap look."""
        if self.health.failures:
            return self._probe_queue(now) is not None
        if self.feed.due(now) or self.batches.due(now):
            return True
        first = self.agenda.first(Queue.SINGLY)
        return first is not None and self.planner.ready(first, now)

    def _question(self, now: float) -> _Question | None:
        """The question to ask next. While the project does not answer, single queries probe it: the list may be
        what is broken."""
        if self.health.failures:
            queue = self._probe_queue(now)
            return None if queue is None else _Question(self.agenda.pop(queue))
        if self.feed.due(now):
            return _Question()
        singly, together = (self.agenda.first(queue) for queue in (Queue.SINGLY, Queue.TOGETHER))
        if singly is not None and not self.planner.ready(singly, now):
            singly = None
        if singly is not None and (
            together is None or singly.due <= together.due or singly.reason in (Reason.DETAIL, Reason.HINT)
        ):
            return _Question(self.agenda.pop(Queue.SINGLY))
        if self.batches.due(now) and (chosen := self.batches.choose(now)):
            return _Question(chosen)
        return None if singly is None else _Question(self.agenda.pop(Queue.SINGLY))

    def _probe_queue(self, now: float) -> Queue | None:
        """The queue of the job to probe with: the most overdue one; after a while any, for the project's sake."""
        due = {queue: due for queue in Queue if (due := self.agenda.first_due(queue)) is not None}
        queue = min(due, key=due.__getitem__, default=None)
        if queue is None or (due[queue] > now and now < self.health.failed_at + _PROBE_ANY):
            return None
        return queue

    def _calm(self, now: float) -> bool:
        """Whether so little of the budget is used that a question may bring more than news."""
        if now - self._calm_at >= _CALM_AGAIN:
            self._calm_at, self._is_calm = now, self._client.budget.usage(now) < _CALM
        return self._is_calm

    def _start(self, question: _Question, permit: Permit) -> None:
        self._in_flight += 1
        if question.single:
            self._spawn(self._look(question.jobs[0], permit))
        elif question.jobs:
            self._spawn(self._look_together(question.jobs, permit))
        else:
            self.feed.begin()
            self._spawn(self._read_feed(permit))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.ground.tasks.spawn("look", self._counted(work), project=self.project)

    async def _counted(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        finally:
            self._in_flight -= 1
            self.pump()

    def _starve(self, now: float, until: float | None = None) -> None:
        """A question has to wait. Pump again when the budget has its next permit (`until`): the tick alone would
        be too coarse a pace."""
        if self._starved_since is None:
            self._starved_since = now
        if until is not None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, until - now), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self.pump()

    # Asking

    async def _look(self, watched: Watched, permit: Permit) -> None:
        """Ask about one job."""
        source = Source(by="single", began=self._clock.monotonic())
        with_script = self._wants_script(watched)
        try:
            shown = await self._client.show_whole(
                watched.kind, watched.job_id, permit=permit, show_script=with_script
            )
        except ApiError as error:
            await self._failed(watched, error, source)
        except Exception as error:  # noqa: BLE001 - a bug must cost one look, not the watch
            self._bug([watched], error)
        else:
            self._reached()
            self._looks.inc()
            self.batches.exists(watched)
            if with_script:
                watched.script_asked = True
            if not watched.recording and self.agenda.holds(watched):
                await self.answers.take(watched, shown.observation, source)
            if with_script and (length := shown.expected_length()) is not None:
                await self.answers.set_length(watched, length)
        finally:
            self._put_back([watched])

    async def _look_together(self, jobs: Sequence[Watched], permit: Permit) -> None:
        """Ask about several jobs with one list."""
        try:
            await self.batches.ask(jobs, permit)
        except ApiError as error:
            self._give_back(jobs)
            self._list_failed(error, self.batches.failed)
        except Exception as error:  # noqa: BLE001 - the same
            self._bug(jobs, error)
            self._put_back(jobs)
        else:
            self._reached()

    async def _read_feed(self, permit: Permit) -> None:
        try:
            await self.feed.read(permit)
        except ApiError as error:
            self._list_failed(error, self.feed.failed)
        except Exception as error:
            log.error(LogEvent.POLL_FAILED, project=self.project, error=error, exc_info=True)
        else:
            self._reached()

    def _wants_script(self, watched: Watched) -> bool:
        return (
            watched.kind.scripted
            and watched.length is None
            and not watched.script_asked
            and self._calm(self._clock.monotonic())
        )

    def _put_back(self, jobs: Sequence[Watched]) -> None:
        for watched in jobs:
            watched.in_flight = False
            if self.agenda.holds(watched):
                self.agenda.put(watched, watched.due)

    def _give_back(self, jobs: Sequence[Watched]) -> None:
        """Nothing was learned about them: they keep their places."""
        self._put_back([watched for watched in jobs if watched.in_flight])

    def _bug(self, jobs: Sequence[Watched], error: Exception) -> None:
        log.error(LogEvent.POLL_FAILED, project=self.project, job=jobs[0].job_id, error=error, exc_info=True)
        for watched in jobs:
            self.planner.plan_next(watched, self._clock.monotonic(), failed=True)

    # What an error means

    async def _failed(self, watched: Watched, error: ApiError, source: Source) -> None:
        now = self._clock.monotonic()
        match error:
            case JobNotFound():
                self._reached()
                await self._missing(watched, now, error, source)
            case Throttled() | AuthPaused() | AuthRefused() | ProjectFault():  # the job keeps its place
                watched.due = now
                self._project_failed(error)
            case Refused():  # the service answered; it is this query that it will not have
                self._query_failed(watched, error, source)
                self._reached()
            case _:
                self._query_failed(watched, error, source)
                self._unreached(error)

    def _list_failed(self, error: ApiError, tell: Callable[..., None]) -> None:
        """A list gave an error. It is the list's own, if single queries are answered: they are asked next."""
        match error:
            case Throttled() | AuthPaused() | AuthRefused():
                self._project_failed(error)
            case Refused() | JobNotFound():
                self._reached()
                tell(error, for_good=False)
            case ProjectFault() if is_not_offered(error):
                tell(error, for_good=True)
            case _:
                if not self.health.failures:  # those that were under way together count once
                    tell(error, for_good=False)
                self._unreached(error)

    def _project_failed(self, error: ApiError) -> None:
        match error:
            case AuthPaused():
                self.health.paused_until = max(self.health.paused_until, error.until)
            case AuthRefused():
                if not self._auth_told:
                    self._auth_told = True
                    self._tell(Event.AUTH_FAILED, reason=str(error))
            case _:
                if isinstance(error, ProjectFault) and not self.health.failures:
                    log.warning(LogEvent.POLL_FAILED, project=self.project, error=error)
                self._unreached(error, at_once=isinstance(error, ProjectFault))

    def _query_failed(self, watched: Watched, error: ApiError, source: Source) -> None:
        self.answers.without_answer(watched, error, source)
        level = log.warning if watched.failures == 1 else log.debug
        level(
            LogEvent.POLL_FAILED,
            project=self.project,
            job=watched.job_id,
            failures=watched.failures,
            again_in=round(watched.due - self._clock.monotonic(), 1),
            error=error,
        )

    async def _missing(self, watched: Watched, now: float, error: JobNotFound, source: Source) -> None:
        if watched.missing_since is None:
            watched.missing_since = now
            log.warning(LogEvent.JOB_MISSING, project=self.project, job=watched.job_id, error=error)
        self.answers.without_answer(watched, error, source)
        watched.once = True  # only a single query tells whether it is there
        over = watched.missing_since + self.limits.not_found_grace
        unsure = watched.guessed and not self.kinds.unknown_as(watched)  # it may be of another kind
        if now >= over and not unsure:
            await self.answers.end(watched, Event.LOST, reason=str(error))
        elif now >= watched.expires:
            await self.answers.end(watched, Event.EXPIRED, reason=NOT_IN_TIME)
        elif now < over:
            watched.due = min(watched.due, over)

    async def expire(self) -> None:
        """End tracking of the jobs whose time is over and about which the service says nothing.

        The others are given up by the look that comes when their time is over: it may find that they ended.
        """
        silent = self.health.down or self._auth_told
        over = self.agenda.expired(self._clock.monotonic() - LAST_LOOK)
        given_up = [watched for watched in over if silent or watched.last_error][:_ENDS_AT_ONCE]
        await asyncio.gather(*(self._give_up_unseen(watched) for watched in given_up))

    async def _give_up_unseen(self, watched: Watched) -> None:
        watched.in_flight = True  # no query begins meanwhile
        try:
            await self.answers.end(watched, Event.EXPIRED, reason=NOT_IN_TIME)
        finally:
            self._put_back([watched])

    # The project's health

    def note_lateness(self) -> float:
        """Seconds for which the most overdue job has waited; told to the operators when it lasts."""
        now = self._clock.monotonic()
        starved = self._starved_since is not None and now >= self.health.paused_until
        due = self.agenda.first_due()
        late = self.late = max(0.0, now - due) if due is not None and starved else 0.0
        self._late.set(late)
        if self._overload.note(0.0 if self.health.down else late, now):
            log.warning(LogEvent.OVERLOADED, project=self.project, late=round(late, 1), jobs=len(self.agenda))
            self._tell(Event.OVERLOADED, late_seconds=round(late, 1), jobs=len(self.agenda))
        return late

    def _end_found(self, found: Found) -> None:
        self.feed.found(found)
        self._on_end(found.watched.job)

    def _reached(self) -> None:
        if self._auth_told:
            self._auth_told = False
            if not self.health.down:
                self._tell_recovered()
        if self.health.failures:
            self._tell_health(self.health.succeeded())

    def _unreached(self, error: ApiError, *, at_once: bool = False) -> None:
        change = self.health.failed(self._clock.monotonic(), spread=self._rng.random(), at_once=at_once)
        self._tell_health(change, error)

    def _tell_health(self, change: Change | None, error: ApiError | None = None) -> None:
        if change == "down":
            self._up.set(0)
            log.error(LogEvent.PROJECT_DOWN, project=self.project, error=error)
            self._tell(Event.PROJECT_DOWN, reason=str(error))
        elif change == "recovered":
            self._up.set(1)
            self._tell_recovered()

    def _tell_recovered(self) -> None:
        log.info(LogEvent.PROJECT_RECOVERED, project=self.project)
        self._tell(Event.PROJECT_RECOVERED)

    def _tell(self, event: Event, **facts: str | float) -> None:
        self.reports.tell(event, **facts)
        self.ground.tasks.spawn("report", self.reports.flush(), project=self.project)

    # The end

    async def idle(self) -> None:
        """Wait until nothing is under way. Only tests need it: the daemon never is idle for long."""
        await self.ground.tasks.wait()

    async def stop(self, *, patience: float) -> None:
        """Start nothing more; wait `patience` seconds for what is under way, then cancel it."""
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()
        await self.kinds.stop()
        await self.ground.tasks.end(patience=patience)
