"""Polls the jobs of one project: starts the query that is worth most, within the budget.

Owns when a query starts. `choosing` picks it, `asking` sends it, and `outcomes` interprets errors. Formats no
messages, and never lets an internal error (of the store, or a bug) become a job's state.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

from daemon.domain.events import Event, Json
from daemon.domain.jobs import JobId
from daemon.domain.routing import Routing
from daemon.logs import LogEvent, logger
from daemon.operators import Operators
from daemon.watch.agenda import Agenda
from daemon.watch.answers import Answers
from daemon.watch.asking import Asker
from daemon.watch.choosing import Chooser
from daemon.watch.context import Limits, ProjectContext, all_steps
from daemon.watch.feed import FeedReader
from daemon.watch.health import Overload, Progress
from daemon.watch.id_lists import IdLists
from daemon.watch.identify import Kinds
from daemon.watch.job import Watched
from daemon.watch.outcomes import LAST_QUESTION, Outcomes
from daemon.watch.reports import Reports
from daemon.watch.settings import PollingPlan
from daemon.watch.trust import FeedTrust, IdListTrust

log = logger(__name__)

_OVERLOAD_PATIENCE = 60.0
"""Seconds for which jobs must be late before the operators are notified."""
TICK = 1.0
"""Seconds between two poll ticks. In between, a poller wakes up for what it knows to be due."""
_SOONEST = 0.05
"""Shortest sleep of a poller that has nothing to send (seconds): what may be due at any time is checked this
often."""
_NEXT_IN_LINE = 0.002
"""Shortest wait before the budget is tried again after a request with priority took the permit (seconds)."""


class Poller:
    """The jobs of one project. `pump` starts whatever is worth a query; the rest follows from the answers."""

    def __init__(self, context: ProjectContext, *, operators: Operators) -> None:
        self.context = context
        self.project, self.agenda, self.planner = context.project, context.agenda, context.planner
        reports = Reports(context.project, operators)
        self.answers = Answers(context, reports)
        self.id_lists = IdLists(context, self.answers)
        self.feed = FeedReader(context, self.answers)
        self.answers.on_end = self.feed.found
        self.kinds = Kinds(context, reports)
        self.outcomes = Outcomes(context, reports, self.answers, self.kinds)
        self.health = self.outcomes.health
        self.chooser = Chooser(context, self.answers, self.id_lists, self.feed, self.outcomes)
        now = context.clock.monotonic()
        self._progress = Progress(at=now, moved=now)
        self._asker = Asker(
            context,
            self.answers,
            self.id_lists,
            self.feed,
            self.outcomes,
            progress=self._progress,
            calm=self.chooser.calm,
            done=self.pump,
        )
        self._starved_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = float("inf")
        self.agenda.on_sooner = self._wake_at
        self._stopping = False
        self._judges_from = now
        """When jobs may be given up again: after a pause each is asked about first."""
        self._overload = Overload(limit=self.planner.plan.rails.max_interval, patience=_OVERLOAD_PATIENCE)
        self.paused_at: datetime | None = None
        """Since when a person has paused the project."""
        self.paused_before = 0.0
        """For how many seconds it was paused before this daemon began, as far as that matters to jobs."""
        self.late = 0.0
        """Seconds by which the most overdue job was late at the last checkpoint."""
        self._late = context.metrics.lateness.labels(context.project)

    def adopt(self, *, routing: Routing, plan: PollingPlan, limits: Limits, way_changed: bool) -> None:
        """Continue with these settings. `way_changed`: requests reach the same project in another way (keys,
        proxy, …). What is known of the jobs and the service is kept."""
        context, before = self.context, self.planner.plan
        longer = limits.give_up_after - context.limits.give_up_after
        context.routing, context.limits = routing, limits
        self.planner.adopt(plan, rate=context.client.budget.rate)
        self._overload.limit = plan.rails.max_interval
        if plan.feed != before.feed:
            self.feed.trust = FeedTrust(on=plan.feed)
        if plan.batch != before.batch:
            self.id_lists.trust = IdListTrust(on=plan.batch)
        if plan != before or longer:
            self.context.in_steps(self.agenda.bound(self.planner.latest, longer=longer))
        if way_changed:
            self.health.begin_anew()
        self.pump()

    # Whether it is asked at all

    @property
    def paused(self) -> bool:
        """Whether a person has paused the project."""
        return self.context.client.paused

    @property
    def life(self) -> float:
        """After how many seconds wrapd gives up on a job taken from the store."""
        return self.context.limits.give_up_after + self.paused_before

    def obey(self, pause: datetime | None) -> None:
        """Be paused since `pause`, or not at all. While paused nothing is sent, but queries under way end; jobs
        are taken up and hints noted for later; no job is judged."""
        before, self.paused_at = self.paused_at, pause
        self.context.client.paused = pause is not None
        if before is not None and pause != before:
            self._resume(max(0.0, ((pause or self.context.clock.now()) - before).total_seconds()))
        if pause is not None:
            self._starved_since = None

    def _resume(self, paused: float) -> None:
        """Ask again, what is due and hinted first. The `paused` seconds do not count for any job."""
        self._judges_from = self.context.clock.monotonic() + LAST_QUESTION
        self.context.in_steps(self.agenda.resume(paused))
        self.kinds.resume(paused)
        self.health.begin_anew()
        self.pump()

    async def tick(self) -> None:
        """Start what is due, end what is over."""
        self.pump()
        if self.paused:
            return
        self.kinds.tick()
        if self.context.clock.monotonic() >= self._judges_from:
            await self.outcomes.expire()

    # Which jobs

    def add(self, watched: Watched, *, anew: bool = False) -> Watched | None:
        """Take up a job, and return the one in whose place it is. `anew`: a command has just tracked it."""
        return self.chooser.add(watched, anew=anew)

    def hint(self, job_id: JobId) -> bool:
        """Query a job now, within the budget, because something outside says that it ended. At most once a second:
        a hint that comes sooner is served when that second is over. Returns False if the job is not watched."""
        watched = self.agenda.get(job_id)
        if watched is None:
            return False
        if self.chooser.hint(watched):
            self.pump()
        return True

    def inquire(self, job_id: JobId) -> "Inquiry | None":
        """Query a job now, as `hint` does, for a person who waits for what comes back. None if it is not
        watched."""
        watched = self.agenda.get(job_id)
        if watched is None:
            return None
        inquiry = Inquiry(self.agenda, watched)
        self.hint(job_id)
        return inquiry

    # When a query starts

    def pump(self) -> None:
        """Start every query that is due and that the budget, the cap and the project's health allow. Never raises:
        an internal error only makes the first jobs in line lose their turn."""
        self.agenda.awaited = float("-inf")  # nothing that is put meanwhile has to wake it up
        try:
            self._pump()
            self._sleep()
        except Exception as error:  # noqa: BLE001
            self._progress.broke(self.context.clock.monotonic())
            self.outcomes.choosing_broke(error)

    def _pump(self) -> None:
        now = self.context.clock.monotonic()
        budget = self.context.client.budget
        self.planner.weigh(now, starved=0.0 if self._starved_since is None else now - self._starved_since)
        while not (self._stopping or self.paused) and now >= self.health.paused_until:
            idle = not self._asker.in_flight
            if not self.chooser.anything(now, idle=idle):
                self._starved_since = None
                self._progress.rested(now)
                return
            if self._asker.in_flight >= (1 if self.health.probing else self.context.limits.max_in_flight):
                self._starve(now)
                return
            priority = self.chooser.priority(now)
            free_at = budget.next_at(priority)
            if now < free_at or not budget.is_next(priority):  # requests that complete an alert go first
                self._progress.rested(now)
                self._starve(now, max(free_at, now + _NEXT_IN_LINE))
                return
            question = self.chooser.question(now, idle=idle)
            if question is None:
                self._starved_since = None
                return
            permit = budget.try_take(now, priority)
            if permit is None:  # the budget counts to the millisecond
                self.agenda.give_back(question.jobs)
                self._starve(now, now + _NEXT_IN_LINE)
                return
            self._asker.start(question, permit)
        if self.paused or now < self.health.paused_until:
            self._progress.rested(now)

    def _starve(self, now: float, until: float | None = None) -> None:
        """Note that a query has to wait. Pump again when the budget has its next permit (`until`): the poll tick
        alone would be too coarse and leave permits unused."""
        if self._starved_since is None:
            self._starved_since = now
        if until is not None:
            self._wake_at(until)

    def _sleep(self) -> None:
        """Sleep until a query is due. One that waits for the budget, or for an answer, is woken by that."""
        now = self.context.clock.monotonic()
        if self._starved_since is not None or self._stopping or self.paused:
            return
        due = max(min(self.chooser.next_due(now), self.kinds.next_due()), self.health.paused_until)
        self.agenda.awaited = max(due, now + _SOONEST)
        self._wake_at(self.agenda.awaited)

    def _wake_at(self, moment: float) -> None:
        """Pump again at `moment`, unless that is earlier anyway or the next tick is."""
        now = self.context.clock.monotonic()
        if moment >= min(self._wakes_at, now + TICK):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._wakes_at = moment
        self._timer = asyncio.get_running_loop().call_later(max(0.0, moment - now), self._ring)

    def _ring(self) -> None:
        self._timer, self._wakes_at = None, float("inf")
        if not self.paused:
            self.kinds.tick()
        self.pump()

    # How it is doing

    def note_lateness(self) -> float:
        """Return by how many seconds the most overdue job is late. Notifies the operators when that lasts."""
        now = self.context.clock.monotonic()
        starved = self._starved_since is not None and now >= self.health.paused_until
        due = self.agenda.first_due()
        late = self.late = max(0.0, now - due) if due is not None and starved else 0.0
        self._late.set(late)
        if self._overload.note(0.0 if self.health.down else late, now):
            log.warning(LogEvent.OVERLOADED, project=self.project, late=round(late, 1), jobs=len(self.agenda))
            self.outcomes.tell(Event.OVERLOADED, late_seconds=round(late, 1), jobs=len(self.agenda))
        return late

    def progress(self, now: float) -> float:
        """The monotonic moment of the last progress: a query ended with an answer or an expected error; or, since
        then, nothing was due, or the budget or the project's pause held the next query back. `now` for a project
        without jobs."""
        return self._progress.at if len(self.agenda) else now

    def moved(self, now: float) -> float:
        """The same, counting internal errors too: a project that has not moved for long hangs."""
        return self._progress.moved if len(self.agenda) else now

    def status(self, now: float, wall: datetime) -> Mapping[str, Json]:
        """Return the facts of the project's watch as of `now` (monotonic seconds) and `wall` (UTC), as stored for
        commands. Also sets its gauges."""
        feed, id_lists, planner = self.feed.trust, self.id_lists.trust, self.planner
        budget, metrics = self.context.client.budget, self.context.metrics
        metrics.feed_trusted.labels(self.project).set(feed.trusted)
        metrics.batch_size.labels(self.project).set(planner.list_size)
        metrics.price.labels(self.project).set(planner.price)
        metrics.request_rate.labels(self.project).set(budget.current_rate(now))
        return {
            "feed": feed.standing,
            "feed_reason": feed.reason,
            "feed_again_at": _stamped(now, wall, feed.again_at),
            "feed_carries_news": self.feed.carries_news,
            "batch": "auto" if planner.plan.batch else "off",
            "batch_size": planner.list_size,
            "batch_reason": id_lists.reason,
            "price": planner.plan.price,
            "pressure": round(planner.pressure, 3),
            "net_interval": planner.net_interval,
            "rate": round(budget.current_rate(now), 3),
            "usage": round(budget.usage(now), 3),
            "requests": {each.name.lower(): number for each, number in sorted(budget.used(now).items())},
            "jobs": len(self.agenda),
            "late_seconds": round(self.late, 1),
            "up": not self.health.down,
            "down_since": _stamped(now, wall, self.health.failing_since if self.health.down else None),
            "refused_since": _stamped(now, wall, self.outcomes.refusals.reported_since),
        }

    # Stopping

    async def idle(self) -> None:
        """Wait until nothing is under way. For tests only: a daemon with jobs is never idle for long."""
        await self.context.tasks.wait()

    def halt(self) -> None:
        """Start no more queries."""
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()

    async def stop(self, *, patience: float) -> None:
        """Start no more queries; wait up to `patience` seconds for what is under way, then cancel it."""
        self.halt()
        await self.context.tasks.end(patience=patience)
        await self.kinds.stop()

    async def forget(self) -> None:
        """Drop all jobs of a poller that was stopped. Nothing large is left of it then."""
        self.feed.end_round()
        await all_steps(self.agenda.clear())


class Inquiry:
    """A query about a job that a person waits for."""

    def __init__(self, agenda: Agenda, watched: Watched) -> None:
        self._agenda = agenda
        self._watched = watched
        self._looked, self._failures = watched.looked, watched.failures

    def is_over(self) -> bool:
        """Whether a query about the job has ended and what it brought is stored."""
        watched = self._watched
        if not self._agenda.holds(watched):
            return True
        before = (self._looked, self._failures)
        return not (watched.in_flight or watched.recording) and (watched.looked, watched.failures) != before

    @property
    def error(self) -> str | None:
        """What the query met; None if it was answered."""
        return self._watched.last_error if self._watched.failures > self._failures else None


def _stamped(now: float, wall: datetime, at: float | None) -> str | None:
    """The monotonic moment `at` as a time of the wall clock."""
    return None if at is None else (wall + timedelta(seconds=at - now)).isoformat()
