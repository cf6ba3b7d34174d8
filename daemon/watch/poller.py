"""Asks about the jobs of one project: takes what is due, within the budget, and stores what the answers say.

Owns when a query starts and what an answer or an error means for the job. Never formats a message, never lets an
error of our own (the store's, a bug's) become a job's state.
"""

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

from daemon.clock import Clock
from daemon.domain import backoff
from daemon.domain.events import Event, OperatorAlert
from daemon.domain.jobs import ChannelName, Observation, ProjectName
from daemon.domain.planning import Rails, next_gap
from daemon.domain.routing import Routing
from daemon.domain.states import State, is_known
from daemon.domain.transitions import Moved, judge
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
)
from daemon.metrics import Metrics
from daemon.store import Recorded, Store, StoreError
from daemon.watch.agenda import Agenda, Watched
from daemon.watch.health import Change, Overload, ProjectHealth

log = logger(__name__)

LINK_PATIENCE = 3.0
"""Seconds that an alert waits at most for the download link of a finished avatar video."""
LAST_LOOK = 30.0
"""Seconds that a job whose time is over is kept for a last look where the service does not answer."""
_ENDS_AT_ONCE = 200
"""Jobs that are given up in one tick: after a long stop it may be the time of all."""
_PROBE_BASE, _PROBE_CAP = 1.0, 30.0
"""Seconds between two probes of a project that is at fault or down."""
_NOT_IN_TIME = "it did not end in time"
_OVERLOAD_PATIENCE = 60.0
"""Seconds for which jobs must be late before the operators hear of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a job may be missing or unfinished (seconds), and how many queries may be under way at once."""

    not_found_grace: float
    give_up_after: float
    max_in_flight: int


class Poller:
    """The jobs of one project. `pump` starts what is due; everything else follows from the answers."""

    def __init__(
        self,
        *,
        project: ProjectName,
        client: ProjectClient,
        store: Store,
        routing: Routing,
        rails: Rails,
        limits: Limits,
        clock: Clock,
        rng: random.Random,
        metrics: Metrics,
        wake: Callable[[Iterable[ChannelName]], None],
    ) -> None:
        self.project = project
        self.agenda = Agenda()
        self.limits = limits
        self.touched: dict[int, Watched] = {}
        """Jobs looked at since the last checkpoint."""
        self.moved: dict[int, Watched] = {}
        """Jobs whose state changed since the last flush."""
        self._client = client
        self._store = store
        self._routing = routing
        self._rails = rails
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        self._wake = wake
        self._health = ProjectHealth()
        self._overload = Overload(limit=rails.max_interval, patience=_OVERLOAD_PATIENCE)
        self._auth_told = False
        self._paused_until = 0.0
        self._in_flight = 0
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._up = metrics.project_up.labels(project)
        self._up.set(1)
        self._late = metrics.lateness.labels(project)

    # Starting queries

    def pump(self) -> None:
        """Start every query that is due and that the budget, the cap and the project's health allow."""
        now = self._clock.monotonic()
        if self._stopping or now < self._paused_until:
            return
        cap = 1 if self._health.down else self.limits.max_in_flight
        while self._in_flight < cap:
            due = self.agenda.first_due()
            if due is None or due > now:
                return
            permit = self._client.budget.try_take(now, Priority.NEWS)
            if permit is None:
                self._arm(self._client.budget.next_at() - now)
                return
            watched = self.agenda.pop_due(now)
            if watched is not None:
                watched.in_flight = True
                self._in_flight += 1
                self._spawn(self._look(watched, permit))

    def note_lateness(self) -> float:
        """Seconds for which the most overdue job has waited; told to the operators when it lasts."""
        now = self._clock.monotonic()
        due = self.agenda.first_due()
        late = max(0.0, now - due) if due is not None and now >= self._paused_until else 0.0
        self._late.set(late)
        if self._overload.note(0.0 if self._health.down else late, now):
            log.warning(LogEvent.OVERLOADED, project=self.project, late=round(late, 1), jobs=len(self.agenda))
            self._tell(Event.OVERLOADED, late_seconds=round(late, 1), jobs=len(self.agenda))
        return late

    async def expire(self) -> None:
        """End tracking of the jobs whose time is over and about which the service says nothing.

        The others are given up by the look that comes when their time is over: it may find that they ended.
        """
        silent = self._health.down or self._auth_told
        over = self.agenda.expired(self._clock.monotonic() - LAST_LOOK)
        given_up = [watched for watched in over if silent or watched.last_error][:_ENDS_AT_ONCE]
        await asyncio.gather(*(self._give_up_unseen(watched) for watched in given_up))

    async def idle(self) -> None:
        """Wait until nothing is under way. Only tests need it: the daemon never is idle for long."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def stop(self, *, patience: float) -> None:
        """Start nothing more; wait `patience` seconds for the queries under way, then cancel them."""
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=patience)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _arm(self, seconds: float) -> None:
        """Pump again when the budget has its next permit: the tick alone would be too coarse a pace."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, seconds), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self.pump()

    def _spawn(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # One look at a job

    async def _look(self, watched: Watched, permit: Permit) -> None:
        try:
            seen = await self._client.show(watched.kind, watched.job_id, permit=permit)
        except ApiError as error:
            await self._failed(watched, error)
        except Exception as error:
            log.error(LogEvent.POLL_FAILED, project=self.project, job=watched.job_id, error=error, exc_info=True)
            self._plan(watched, failed=True)
        else:
            await self._answered(watched, seen)
        finally:
            watched.in_flight = False
            self._in_flight -= 1
            if self.agenda.get(watched.job) is watched:
                self.agenda.put(watched, watched.due)
            self.pump()

    async def _answered(self, watched: Watched, seen: Observation) -> None:
        self._reached()
        watched.missing_since = None
        watched.last_error = None
        self._looked(watched)
        verdict = judge(watched.state, seen, at=self._clock.now())
        if isinstance(verdict, Moved):
            await self._record(watched, verdict, seen)
        elif self._clock.monotonic() >= watched.expires:
            await self._end(watched, Event.EXPIRED, reason=_NOT_IN_TIME)
        else:
            self._plan(watched)

    async def _record(self, watched: Watched, move: Moved, seen: Observation) -> None:
        asset_id = _asset_to_complete(move, seen)
        due_at = move.observed_at + timedelta(seconds=LINK_PATIENCE if asset_id else 0)
        try:
            recorded = await self._store.write(
                lambda tx: tx.jobs.record_move(
                    watched.job,
                    move,
                    seen,
                    routing=self._routing,
                    due_at=due_at,
                    operator_alerts=self._alerts_for(watched, move),
                )
            )
        except StoreError as error:
            self._store_failed(watched, error)
            return
        if recorded is None:  # stopped by a person meanwhile; the next look at the changes takes that up
            self.agenda.drop(watched.job)
            return
        self._note_move(watched, move)
        if asset_id is None:
            self._wake(recorded.channels)
        else:
            self._spawn(self._complete(watched, asset_id, recorded))

    def _note_move(self, watched: Watched, move: Moved) -> None:
        watched.state = move.after
        watched.since = self._clock.monotonic()
        label = move.after if is_known(move.after) else "other"
        self._metrics.transitions.labels(self.project, label).inc()
        log.info(
            LogEvent.JOB_MOVED, project=self.project, job=watched.job_id, before=move.before, after=move.after
        )
        if move.unknown:
            log.warning(LogEvent.STATE_UNKNOWN, project=self.project, job=watched.job_id, state=move.after)
        if move.ends:
            self.agenda.drop(watched.job)
            self.touched.pop(watched.job, None)
        else:
            self.moved[watched.job] = watched
            self._plan(watched)

    async def _complete(self, watched: Watched, asset_id: str, recorded: Recorded) -> None:
        """Add the download link of a finished video that has no preview; its alert waits for this, briefly."""
        url: str | None = None
        try:
            async with asyncio.timeout(LINK_PATIENCE):
                permit = await self._client.budget.take(Priority.NEWS)
                url = await self._client.download_url(asset_id, permit=permit, timeout=LINK_PATIENCE)
        except (ApiError, TimeoutError) as error:
            log.info(LogEvent.POLL_FAILED, project=self.project, job=watched.job_id, asset=asset_id, error=error)
        try:
            await self._store.write(lambda tx: tx.jobs.set_download_url(watched.job, url, at=self._clock.now()))
        except StoreError as error:  # the alert goes out without the link when its time comes
            self._metrics.store_errors.inc()
            log.error(LogEvent.DATABASE_FAILED, project=self.project, job=watched.job_id, error=error)
        self._wake(recorded.channels)

    # What an error means

    async def _failed(self, watched: Watched, error: ApiError) -> None:
        now = self._clock.monotonic()
        match error:
            case JobNotFound():
                self._reached()
                await self._missing(watched, now, error)
            case Throttled():  # the budget waits; the job keeps its place
                watched.due = now
            case AuthPaused():
                watched.due = now
                self._paused_until = error.until
            case AuthRefused():
                watched.due = now
                self._auth_refused(error)
            case ProjectFault():
                watched.due = now
                self._unreached(now, error)
                self._paused_until = now + self._probe_gap()
            case _:
                self._query_failed(watched, now, error)

    def _query_failed(self, watched: Watched, now: float, error: ApiError) -> None:
        watched.last_error = str(error)
        self._looked(watched)
        self._plan(watched, failed=True, floor=error.retry_after or 0.0)
        if isinstance(error, Refused):  # the service answered; it is this query that it will not have
            self._reached()
        else:
            self._unreached(now, error)
        level = log.warning if watched.failures == 1 else log.debug
        level(
            LogEvent.POLL_FAILED,
            project=self.project,
            job=watched.job_id,
            failures=watched.failures,
            again_in=round(watched.due - now, 1),
            error=error,
        )

    async def _missing(self, watched: Watched, now: float, error: JobNotFound) -> None:
        watched.last_error = str(error)
        self._looked(watched)
        if watched.missing_since is None:
            watched.missing_since = now
            log.warning(LogEvent.JOB_MISSING, project=self.project, job=watched.job_id, error=error)
        if now - watched.missing_since >= self.limits.not_found_grace:
            await self._end(watched, Event.LOST, reason=str(error))
        elif now >= watched.expires:
            await self._end(watched, Event.EXPIRED, reason=_NOT_IN_TIME)
        else:
            self._plan(watched, failed=True)
            watched.due = min(watched.due, watched.missing_since + self.limits.not_found_grace)

    async def _give_up_unseen(self, watched: Watched) -> None:
        watched.in_flight = True  # no query begins meanwhile
        try:
            await self._end(watched, Event.EXPIRED, reason=_NOT_IN_TIME)
        finally:
            watched.in_flight = False
        if self.agenda.get(watched.job) is watched:
            self.agenda.put(watched, watched.due)

    async def _end(self, watched: Watched, event: Event, *, reason: str) -> None:
        try:
            recorded = await self._store.write(
                lambda tx: tx.jobs.record_end(
                    watched.job, event, at=self._clock.now(), routing=self._routing, reason=reason
                )
            )
        except StoreError as error:
            self._store_failed(watched, error)
            return
        self.agenda.drop(watched.job)
        self.touched.pop(watched.job, None)
        if recorded is not None:
            name = LogEvent.JOB_LOST if event is Event.LOST else LogEvent.JOB_EXPIRED
            log.warning(name, project=self.project, job=watched.job_id, reason=reason)
            self._wake(recorded.channels)

    def _store_failed(self, watched: Watched, error: StoreError) -> None:
        """Nothing is known to be stored: the job keeps its state and is asked again, soon and then more slowly."""
        self._metrics.store_errors.inc()
        level = log.debug if watched.failures else log.error
        level(LogEvent.DATABASE_FAILED, project=self.project, job=watched.job_id, error=error)
        self._plan(watched, failed=True)
        watched.expires = max(watched.expires, watched.due)  # what could not be stored may be its end

    # Planning and the project's health

    def _looked(self, watched: Watched) -> None:
        watched.looks += 1
        watched.asked = self._clock.now().timestamp()
        self.touched[watched.job] = watched

    def _plan(self, watched: Watched, *, failed: bool = False, floor: float = 0.0) -> None:
        watched.failures = watched.failures + 1 if failed else 0
        now = self._clock.monotonic()
        watched.due = now + next_gap(
            state=watched.state,
            in_state=now - watched.since,
            failures=watched.failures,
            floor=floor,
            rails=self._rails,
            spread=self._rng.random(),
        )
        if now < watched.expires < watched.due:  # a last look when its time is over
            watched.due = max(watched.expires, now + floor)

    def _probe_gap(self) -> float:
        return backoff.delay(
            max(1, self._health.failures), base=_PROBE_BASE, cap=_PROBE_CAP, spread=self._rng.random()
        )

    def _reached(self) -> None:
        self._auth_told = False
        if self._health.failures:
            self._tell_health(self._health.succeeded())

    def _unreached(self, now: float, error: ApiError) -> None:
        self._tell_health(self._health.failed(now), error)
        if self._health.down:
            self._paused_until = now + self._probe_gap()
        if isinstance(error, ProjectFault) and self._health.failures == 1:
            log.warning(LogEvent.POLL_FAILED, project=self.project, error=error)

    def _tell_health(self, change: Change | None, error: ApiError | None = None) -> None:
        if change == "down":
            self._up.set(0)
            log.error(LogEvent.PROJECT_DOWN, project=self.project, error=error)
            self._tell(Event.PROJECT_DOWN, reason=str(error))
        elif change == "recovered":
            self._up.set(1)
            log.info(LogEvent.PROJECT_RECOVERED, project=self.project)
            self._tell(Event.PROJECT_RECOVERED)

    def _auth_refused(self, error: AuthRefused) -> None:
        if self._auth_told:
            return
        self._auth_told = True
        self._tell(Event.AUTH_FAILED, reason=str(error))

    def _tell(self, event: Event, **facts: str | float) -> None:
        """Put an operator event into the outbox; it is unique for the moment at which it happened."""
        at = self._clock.now()
        alert = OperatorAlert(
            event=event,
            key=f"project/{self.project}/{event}/{int(at.timestamp() * 1000)}",
            project=self.project,
            facts={**facts, "observed_at": at.isoformat()},
        )
        self._spawn(self._store_alert(alert))

    async def _store_alert(self, alert: OperatorAlert) -> None:
        channels = self._routing.channels_for(alert.event)
        try:
            await self._store.write(
                lambda tx: tx.outbox.add_operator(alert, channels=channels, at=self._clock.now())
            )
        except StoreError as error:
            self._metrics.store_errors.inc()
            log.error(LogEvent.DATABASE_FAILED, project=self.project, told=alert.event, error=error)
        self._wake(channels)

    def _alerts_for(self, watched: Watched, move: Moved) -> tuple[OperatorAlert, ...]:
        if not move.unknown:
            return ()
        return (
            OperatorAlert(
                event=Event.UNKNOWN_STATE,
                key=f"project/{self.project}/state/{move.after}",
                project=self.project,
                facts={
                    "state": move.after,
                    "job_id": watched.job_id,
                    "observed_at": move.observed_at.isoformat(),
                },
            ),
        )


def _asset_to_complete(move: Moved, seen: Observation) -> str | None:
    """The asset to ask for a download link: that of a finished video without a preview link."""
    if move.after == State.SUCCEED and seen.asset.preview_url is None:
        return seen.asset.asset_id
    return None
