"""Asks about the jobs of one project: takes the question that is worth most, within the budget.

Owns when a question starts and what an error means for the project and its jobs. Never formats a message, never
lets an error of our own (the store's, a bug's) become a job's state.
"""

import asyncio
import math
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
from daemon.metastudio.client import ProjectClient, Shown
from daemon.metastudio.errors import (
    ApiError,
    AuthPaused,
    AuthRefused,
    JobNotFound,
    ProjectFault,
    Refused,
    Throttled,
    Unusable,
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
from daemon.watch.health import Change, Overload, ProjectHealth, Refusals
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
_PICK_PACE = 0.2
"""Seconds at least between two jobs that are asked, due or not, to learn about another one's failure."""
_SOME = 100
"""Jobs among which another one to ask is sought first."""
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
        self.refusals = Refusals()
        self._answered_last: Watched | None = None
        self._picked_at = float("-inf")
        self._progress = self._moved = clock.monotonic()
        self._broken = False
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
            if not self._anything(now):
                self._starved_since = None
                self._rests(now)
                return
            if self._in_flight >= (1 if self.health.probing else self.limits.max_in_flight):
                self._starve(now)
                return
            priority = self._priority(now)
            free_at = budget.next_at()
            if now < free_at or not budget.is_next(priority):  # who completes an alert goes before other looks
                self._rests(now)
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
        if now < self.health.paused_until:
            self._rests(now)

    def _broken_pump(self, error: Exception) -> None:
        """One of the jobs that are next may be what breaks it: they make room for the others."""
        self._broke()
        self.ground.defects.note("watch", error, project=self.project)
        for queue in Queue:
            if (first := self.agenda.first(queue)) is not None:
                self.answers.defect(first, error)
                self._put_back([first])

    def _priority(self, now: float) -> Priority:
        return Priority.FEED if not self._doubtful and self._feed_due(now) else Priority.NEWS

    def _feed_due(self, now: float) -> bool:
        try:
            return self.feed.due(now)
        except Exception as error:  # noqa: BLE001 - the rest goes on without it
            self.feed.broken(error)
            return False

    @property
    def _doubtful(self) -> bool:
        """Whether single queries are to show first that the service answers at all."""
        return self.refusals.open or (self.health.failures > 0 and self.health.lone is None)

    def _anything(self, now: float) -> bool:
        """Whether any question may be due: a cheap look."""
        if self._doubtful:
            return self._probe(now) is not None
        if self._feed_due(now) or self.batches.due(now):
            return True
        first = self.agenda.first(Queue.SINGLY)
        if first is not None and self.answers.ready(first, now):
            return True
        return self._cross_check(now) is not None

    def _question(self, now: float) -> _Question | None:
        """The question to ask next. While the project does not answer, single queries probe it: the list may be
        what is broken."""
        if self._doubtful:
            return self._ask_now(self._probe(now), now)
        if self._feed_due(now):
            return _Question()
        singly, together = (self.agenda.first(queue) for queue in (Queue.SINGLY, Queue.TOGETHER))
        if singly is not None and not self.answers.ready(singly, now):
            singly = None
        if singly is not None and (
            together is None or singly.due <= together.due or singly.reason in (Reason.DETAIL, Reason.HINT)
        ):
            return _Question(self.agenda.pop(Queue.SINGLY))
        if self.batches.due(now) and (chosen := self.batches.choose(now)):
            return _Question(chosen)
        if singly is not None:
            return _Question(self.agenda.pop(Queue.SINGLY))
        return self._ask_now(self._cross_check(now), now)

    def _ask_now(self, watched: Watched | None, now: float) -> _Question | None:
        if watched is None or not self.agenda.take(watched):
            return None
        self._picked_at = now
        return _Question([watched])

    def _cross_check(self, now: float) -> Watched | None:
        """Another job to ask, where one job's questions fail and nothing else would tell whether others' do."""
        if self.health.lone is None or self._in_flight or not self._may_pick(now):
            return None
        return self._other()

    def _may_pick(self, now: float) -> bool:
        return now >= self._picked_at + min(_PICK_PACE, self.planner.plan.rails.min_interval)

    def _probe(self, now: float) -> Watched | None:
        """The job to ask first where it is in doubt whether the service answers, or takes the credentials: after a
        refusal one that it did not refuse; else the most overdue one, and after a while any."""
        if self.refusals.open and (other := self._other()) is not None:
            return other if self._may_pick(now) else None
        due = [first for queue in Queue if (first := self.agenda.first(queue)) is not None]
        first = min(due, key=lambda watched: watched.due, default=None)
        if first is None or first.due <= now:
            return first
        if self.refusals.open or now < self.health.failed_at + _PROBE_ANY:
            return None
        return first

    def _other(self) -> Watched | None:
        """A job that none of the failures in a row was about: best the one that was answered last."""
        suspects = {self.health.lone} | self.refusals.about

        def fit(watched: Watched | None) -> bool:
            return (
                watched is not None
                and watched.job_id not in suspects
                and self.agenda.holds(watched)
                and not (watched.in_flight or watched.recording)
            )

        if fit(self._answered_last):
            return self._answered_last
        some = [watched for watched in self.agenda.sample(0, _SOME) if fit(watched)]
        best = min(some, key=lambda watched: watched.failures, default=None)
        return best or next(filter(fit, self.agenda), None)

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
        try:
            try:
                shown = await self._shown(watched, permit)
            except ApiError as error:
                await self._failed(watched, error, source)
            else:
                await self._answered(watched, shown, source)
            self._progressed()
        except Exception as error:  # noqa: BLE001 - a bug costs one look at one job
            self._broke()
            self.answers.defect(watched, error)
        finally:
            self._put_back([watched])

    async def _shown(self, watched: Watched, permit: Permit) -> Shown:
        """The answer about a job. Its script is a wish: where the answer with it cannot be had for whatever
        reason, the job is asked about without, at once, and for good if that succeeds. Raises ApiError."""
        if not self._wants_script(watched):
            return await self._client.show_whole(watched.kind, watched.job_id, permit=permit)
        watched.script_asked = True
        try:
            shown = await self._client.show_whole(watched.kind, watched.job_id, permit=permit, show_script=True)
        except (Throttled, AuthPaused, JobNotFound):  # these are not about the script
            watched.script_asked = False
            raise
        except AuthRefused:  # it may be; a second refusal at once would tell no more
            raise
        except Exception as error:  # noqa: BLE001 - whatever the script does, it is not worth the job
            if not isinstance(error, ApiError):
                self.ground.defects.note("watch", error, project=self.project, job=watched.job_id)
            log.info(LogEvent.POLL_FAILED, project=self.project, job=watched.job_id, wish="script", error=error)
            again = await self._client.budget.take(Priority.NEWS)
            try:
                return await self._client.show_whole(watched.kind, watched.job_id, permit=again)
            except AuthPaused:
                if isinstance(error, ApiError):
                    raise error from None  # nothing was sent: what is known is the first one
                raise
            except ApiError:
                watched.script_asked = False  # not the script's fault alone; while it fails none is asked for
                raise
        await self._learn_length(watched, shown)
        return shown

    async def _learn_length(self, watched: Watched, shown: Shown) -> None:
        try:
            length = shown.expected_length()
            if length is not None:
                await self.answers.set_length(watched, length)
        except Exception as error:  # noqa: BLE001 - it costs the foresight, not the look
            self.ground.defects.note("watch", error, project=self.project, job=watched.job_id)

    async def _answered(self, watched: Watched, shown: Shown, source: Source) -> None:
        self._reached(watched)
        self._looks.inc()
        self.batches.exists(watched)
        if not watched.recording and self.agenda.holds(watched):
            await self.answers.take(watched, shown.observation, source)

    async def _look_together(self, jobs: Sequence[Watched], permit: Permit) -> None:
        """Ask about several jobs with one list."""
        try:
            await self.batches.ask(jobs, permit)
        except ApiError as error:
            self._list_failed(error, self.batches.failed)
            self._progressed()
        except Exception as error:  # noqa: BLE001 - the same
            self._broke()
            self.batches.broken(jobs, error)
        else:
            self._reached()
            self._progressed()
        finally:
            self._put_back([watched for watched in jobs if watched.in_flight and not watched.recording])

    async def _read_feed(self, permit: Permit) -> None:
        try:
            await self.feed.read(permit)
        except ApiError as error:
            self._list_failed(error, self.feed.failed)
            self._progressed()
        except Exception as error:  # noqa: BLE001 - the same
            self._broke()
            self.feed.broken(error)
        else:
            self._reached()
            self._progressed()

    def _wants_script(self, watched: Watched) -> bool:
        return (
            watched.kind.scripted
            and watched.length is None
            and not watched.script_asked
            and not watched.failures
            and not self.health.failures
            and self._calm(self._clock.monotonic())
        )

    def _put_back(self, jobs: Sequence[Watched]) -> None:
        earliest = self.planner.earliest(self._clock.monotonic())
        for watched in jobs:
            self.agenda.put_back(watched, earliest=earliest)

    # What an error means

    async def _failed(self, watched: Watched, error: ApiError, source: Source) -> None:
        """A single query gave no state. Where others are answered it is about this job, whatever it says."""
        match error:
            case JobNotFound():
                self._reached(watched)
                await self._missing(watched, self._clock.monotonic(), error, source)
            case Throttled():
                self.answers.without_answer(watched, error, source)
                self._project_failed(error)
            case AuthPaused():  # it was not asked: it keeps its place
                self._project_failed(error)
            case Refused():  # the service answered; it is this query that it will not have
                self._query_failed(watched, error, source)
                self._reached()
            case AuthRefused():
                worked = watched.looked is not None and not watched.failures
                self._query_failed(watched, error, source)
                self._refused(error, watched.job_id, began=source.began, worked=worked)
            case Unusable() if len(self.agenda) <= 1:  # the service answers: with one job nothing more is known
                self._query_failed(watched, error, source)
            case _:
                self._query_failed(watched, error, source)
                self._unreached(error, about=watched.job_id)

    def _list_failed(self, error: ApiError, tell: Callable[..., None]) -> None:
        """A list gave an error. It is the list's own, if single queries are answered: they are asked next."""
        match error:
            case Throttled() | AuthPaused():
                self._project_failed(error)
            case AuthRefused():
                tell(str(error), for_good=False)
                self._refused(error, None)
            case Refused() | JobNotFound():
                self._reached()
                tell(str(error), for_good=False)
            case ProjectFault() if is_not_offered(error):
                tell(str(error), for_good=True)
            case _:
                if not self.health.failures:  # those that were under way together count once
                    tell(str(error), for_good=False)
                self._unreached(error)

    def _project_failed(self, error: Throttled | AuthPaused) -> None:
        if isinstance(error, AuthPaused):
            self.health.paused_until = max(self.health.paused_until, error.until)
        else:
            self._unreached(error)

    def _refused(
        self, error: AuthRefused, about: JobId | None, *, began: float = math.inf, worked: bool = False
    ) -> None:
        if error.key_works:
            return
        alone = about is not None and len(self.agenda) <= 1
        now, by_service = self._clock.monotonic(), error.by_service
        if self.refusals.refused(about, began=began, now=now, by_service=by_service, worked=worked, alone=alone):
            self._tell(Event.AUTH_FAILED, reason=str(error))

    def _query_failed(self, watched: Watched, error: ApiError, source: Source) -> None:
        self.answers.without_answer(watched, error, source)
        watched.once = False  # lists may tell of it meanwhile
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
        silent = self.health.down or self.refusals.told
        over = self.agenda.expired(self._clock.monotonic() - LAST_LOOK)
        given_up = [watched for watched in over if silent or watched.last_error][:_ENDS_AT_ONCE]
        await asyncio.gather(*(self._give_up_unseen(watched) for watched in given_up))

    async def _give_up_unseen(self, watched: Watched) -> None:
        watched.in_flight = True  # no query begins meanwhile
        try:
            await self.answers.end(watched, Event.EXPIRED, reason=NOT_IN_TIME)
        except Exception as error:  # noqa: BLE001 - the others' time is over too
            self.answers.defect(watched, error)
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

    def progress(self, now: float) -> float:
        """The monotonic moment of the last progress: a question ended with an answer or a foreseen error; or,
        after such a one, nothing was due, or the budget or the project's pause held the next one back. `now` for
        a project without jobs."""
        return self._progress if len(self.agenda) else now

    def moved(self, now: float) -> float:
        """The same, errors of wrapd's own included: a project that has not moved for long hangs."""
        return self._moved if len(self.agenda) else now

    def _progressed(self) -> None:
        self._broken = False
        self._progress = self._moved = self._clock.monotonic()

    def _broke(self) -> None:
        """An error of wrapd's own: until a question ends otherwise, nothing here is progress."""
        self._broken = True
        self._moved = self._clock.monotonic()

    def _rests(self, now: float) -> None:
        """No question now, by rule."""
        self._moved = now
        if not self._broken:
            self._progress = now

    def _end_found(self, found: Found) -> None:
        self.feed.found(found)
        self._on_end(found.watched.job)

    def _reached(self, watched: Watched | None = None) -> None:
        """The service answered; about `watched`, if it said something of one job."""
        self._answered_last = watched or self._answered_last
        if self.refusals.answered() and not self.health.down:
            self._tell_recovered()
        if self.health.failures:
            self._tell_health(self.health.succeeded())

    def _unreached(self, error: ApiError, *, about: JobId | None = None) -> None:
        others = len(self.agenda) > 1
        fault = isinstance(error, ProjectFault)
        if fault and not self.health.failures:
            log.warning(LogEvent.POLL_FAILED, project=self.project, error=error)
        change = self.health.failed(
            self._clock.monotonic(), spread=self._rng.random(), at_once=fault, about=about, others=others
        )
        if error.retry_after is not None and self.health.lone is None:
            self._client.budget.pause_until(self._clock.monotonic() + error.retry_after)
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
