"""Asks about the jobs of one project: takes the question that is worth most, within the budget.

Owns when a question starts; `choosing` says which, `asking` asks it, and `outcomes` says what an error means.
Never formats a message, never lets an error of our own (the store's, a bug's) become a job's state.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from daemon.clock import Clock
from daemon.domain.events import Event
from daemon.domain.jobs import ChannelName, JobId, ProjectName
from daemon.domain.routing import Routing
from daemon.logs import LogEvent, logger
from daemon.metastudio.budget import Permit
from daemon.metastudio.client import ProjectClient
from daemon.metrics import Metrics
from daemon.operators import Operators
from daemon.store import Store
from daemon.store_errors import StoreErrors
from daemon.tasks import Defects, Tasks
from daemon.watch.agenda import Agenda, Queue
from daemon.watch.answers import NOT_IN_TIME, Answers, Found
from daemon.watch.asking import Asker
from daemon.watch.choosing import Chooser, Question
from daemon.watch.context import Limits, ProjectContext
from daemon.watch.feed import FeedReader
from daemon.watch.health import Overload, Progress
from daemon.watch.id_lists import IdLists
from daemon.watch.identify import Kinds
from daemon.watch.job import Watched
from daemon.watch.learning import Learning
from daemon.watch.outcomes import Outcomes
from daemon.watch.planner import Planner
from daemon.watch.reports import Reports
from daemon.watch.settings import PollingPlan
from daemon.watch.trust import FeedTrust, IdListTrust

log = logger(__name__)

LAST_LOOK = 30.0
"""Seconds that a job whose time is over is kept for a last look where the service does not answer."""
_ENDS_AT_ONCE = 200
"""Jobs that are given up in one tick: after a long stop it may be the time of all."""
_OVERLOAD_PATIENCE = 60.0
"""Seconds for which jobs must be late before the operators hear of it."""
_NEXT_IN_LINE = 0.002
"""Seconds at least until the budget is looked at again after somebody went first."""
_HINT_PACE = 1.0
"""Seconds at least between two looks at a job that callbacks ask for."""
_GATHER = 1.0
"""Seconds that a new job waits for others to share its first look with, where the budget is not calm."""


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
        store_errors = StoreErrors(clock=clock, metrics=metrics)
        self.reports = Reports(project, operators)
        self.context = ProjectContext(
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
            store_errors=store_errors,
            tasks=Tasks("watch", defects),
            defects=defects,
        )
        self.answers = Answers(self.context, self.reports)
        self.id_lists = IdLists(self.context, self.answers)
        self.feed = FeedReader(self.context, self.answers)
        self.answers.on_end = self._end_found
        self.kinds = Kinds(self.context, self.reports)
        self.outcomes = Outcomes(self.context, self.reports, self.answers, self.kinds)
        self.health = self.outcomes.health
        self.chooser = Chooser(self.context, self.answers, self.id_lists, self.feed, self.outcomes)
        now = clock.monotonic()
        self._progress = Progress(at=now, moved=now)
        self._asker = Asker(
            self.context,
            self.answers,
            self.id_lists,
            self.feed,
            self.outcomes,
            progress=self._progress,
            calm=self.chooser.calm,
        )
        self._on_end = on_end
        self._client = client
        self._clock = clock
        self._overload = Overload(limit=plan.rails.max_interval, patience=_OVERLOAD_PATIENCE)
        self._in_flight = 0
        self._starved_since: float | None = None
        self._stopping = False
        self._timer: asyncio.TimerHandle | None = None
        self.late = 0.0
        """Seconds for which the most overdue job had waited at the last checkpoint."""
        self._late = metrics.lateness.labels(project)

    def adopt(self, *, routing: Routing, plan: PollingPlan, limits: Limits, way_changed: bool) -> None:
        """Go on by these settings. `way_changed`: requests go another way to the same project (keys, proxy, …).
        What is known of the jobs, and of the service, stays."""
        before, longer = self.planner.plan, limits.give_up_after - self.limits.give_up_after
        self.context.routing, self.context.limits, self.limits = routing, limits, limits
        self.planner.adopt(plan, rate=self._client.budget.rate)
        self._overload.limit = plan.rails.max_interval
        if plan.feed != before.feed:
            self.feed.trust = FeedTrust(on=plan.feed)
        if plan.batch != before.batch:
            self.id_lists.trust = IdListTrust(on=plan.batch)
        if plan != before or longer:
            self.agenda.bound(self.planner.latest, longer=longer)
        if way_changed:
            self.health.begin_anew()
        self.pump()

    def add(self, watched: Watched, *, anew: bool = False) -> None:
        """Take up a job. A new one, and one that is taken up `anew`, is asked singly where the budget is calm:
        that brings its script too."""
        if (watched.state is None or anew) and not watched.unlisted:
            now = self._clock.monotonic()
            if not self.chooser.calm(now):
                watched.put_off(now + _GATHER)
            elif self.agenda.queued(Queue.SINGLY) < self._client.budget.rate:
                watched.ask_singly()
        self.agenda.add(watched)

    def hint(self, job_id: JobId) -> bool:
        """Ask about the job now, within the budget: somebody outside says that it ended. Once a second at most;
        what comes sooner is asked when that is over. False where the job is not watched."""
        now, watched = self._clock.monotonic(), self.agenda.get(job_id)
        if watched is None:
            return False
        if watched.hint(now, pace=_HINT_PACE):
            singly = self.agenda.queued(Queue.SINGLY) < self._client.budget.rate  # else many share one request
            self.agenda.ask_soon(watched, watched.hinted, now=now, singly=singly)
            self.pump()
        return True

    def pump(self) -> None:
        """Start every question that is due and that the budget, the cap and the project's health allow. Never
        raises: what breaks costs the jobs that are next their turn."""
        try:
            self._pump()
        except Exception as error:  # noqa: BLE001
            self._broken_pump(error)

    def _pump(self) -> None:
        now = self._clock.monotonic()
        budget = self._client.budget
        self.planner.weigh(now, starved=0.0 if self._starved_since is None else now - self._starved_since)
        while not self._stopping and now >= self.health.paused_until:
            if not self.chooser.anything(now, idle=not self._in_flight):
                self._starved_since = None
                self._progress.rested(now)
                return
            if self._in_flight >= (1 if self.health.probing else self.limits.max_in_flight):
                self._starve(now)
                return
            priority = self.chooser.priority(now)
            free_at = budget.next_at()
            if now < free_at or not budget.is_next(priority):  # who completes an alert goes before other looks
                self._progress.rested(now)
                self._starve(now, max(free_at, now + _NEXT_IN_LINE))
                return
            question = self.chooser.question(now, idle=not self._in_flight)
            if question is None:
                self._starved_since = None
                return
            permit = budget.try_take(now, priority)
            if permit is None:  # the budget counts to the millisecond
                self.agenda.give_back(question.jobs)
                self._starve(now, now + _NEXT_IN_LINE)
                return
            self._start(question, permit)
        if now < self.health.paused_until:
            self._progress.rested(now)

    def _broken_pump(self, error: Exception) -> None:
        """One of the jobs that are next may be what breaks it: they make room for the others."""
        self._progress.broke(self._clock.monotonic())
        self.context.defects.note("watch", error, project=self.project)
        for queue in Queue:
            if (first := self.agenda.first(queue)) is not None:
                self.answers.defect(first, error)
                self._asker.put_back([first])

    def _start(self, question: Question, permit: Permit) -> None:
        self._in_flight += 1
        if question.single:
            self._spawn(self._asker.look(question.jobs[0], permit))
        elif question.jobs:
            self._spawn(self._asker.look_together(question.jobs, permit))
        else:
            self.feed.begin()
            self._spawn(self._asker.read_feed(permit))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.context.tasks.spawn("look", self._counted(work), project=self.project)

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

    # Jobs whose time is over

    async def expire(self) -> None:
        """End tracking of the jobs whose time is over and about which the service says nothing.

        The others are given up by the look that comes when their time is over: it may find that they ended.
        """
        silent = self.health.down or self.outcomes.refusals.told
        over = self.agenda.expired(self._clock.monotonic() - LAST_LOOK)
        given_up = [watched for watched in over if silent or watched.last_error][:_ENDS_AT_ONCE]
        await asyncio.gather(*(self._give_up_unseen(watched) for watched in given_up))

    async def _give_up_unseen(self, watched: Watched) -> None:
        watched.ask()  # no query begins meanwhile
        try:
            await self.answers.end(watched, Event.EXPIRED, reason=NOT_IN_TIME)
        except Exception as error:  # noqa: BLE001 - the others' time is over too
            self.answers.defect(watched, error)
        finally:
            self._asker.put_back([watched])

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
            self.outcomes.tell(Event.OVERLOADED, late_seconds=round(late, 1), jobs=len(self.agenda))
        return late

    def progress(self, now: float) -> float:
        """The monotonic moment of the last progress: a question ended with an answer or a foreseen error; or,
        after such a one, nothing was due, or the budget or the project's pause held the next one back. `now` for
        a project without jobs."""
        return self._progress.at if len(self.agenda) else now

    def moved(self, now: float) -> float:
        """The same, errors of wrapd's own included: a project that has not moved for long hangs."""
        return self._progress.moved if len(self.agenda) else now

    def _end_found(self, found: Found) -> None:
        self.feed.found(found)
        self._on_end(found.watched.job)

    # The end

    async def idle(self) -> None:
        """Wait until nothing is under way. Only tests need it: the daemon never is idle for long."""
        await self.context.tasks.wait()

    def halt(self) -> None:
        """Start nothing more."""
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()

    async def stop(self, *, patience: float) -> None:
        """Start nothing more; wait `patience` seconds for what is under way, then cancel it."""
        self.halt()
        await self.context.tasks.end(patience=patience)
        await self.kinds.stop()
