"""What an error means for the job that was queried, for a list, and for the project and its credentials; and what
happens to a job whose time is up without an answer.

Owns the project's health and its refusals. Sends no queries, and does not blame the project for one job's trouble.
"""

import asyncio
import math
from collections.abc import Callable

from daemon.domain.events import Event
from daemon.domain.jobs import JobId
from daemon.domain.planning import Reason
from daemon.logs import LogEvent, logger
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
from daemon.watch.agenda import JobQueue
from daemon.watch.answers import NOT_IN_TIME, Answers, Asked
from daemon.watch.context import ProjectContext
from daemon.watch.health import Change, CredentialRefusals, ProjectHealth
from daemon.watch.identify import Kinds
from daemon.watch.job import Watched
from daemon.watch.reports import Reports

log = logger(__name__)

LAST_QUESTION = 30.0
"""Seconds that a job whose time is up is kept for a last query while the service does not answer."""
_ENDS_AT_ONCE = 200
"""Most jobs given up in one tick: after a long downtime the time of all of them may be up."""


class Outcomes:
    """Interprets the failed queries about one project's jobs."""

    def __init__(self, context: ProjectContext, reports: Reports, answers: Answers, kinds: Kinds) -> None:
        self.health = ProjectHealth()
        self.refusals = CredentialRefusals()
        self.answered_last: Watched | None = None
        """The job that was answered last."""
        self._context = context
        self._reports = reports
        self._answers = answers
        self._kinds = kinds
        self._up = context.metrics.project_up.labels(context.project)
        self._up.set(1)
        self._authorized = context.metrics.project_authorized.labels(context.project)
        self._authorized.set(1)

    @property
    def doubtful(self) -> bool:
        """Whether single queries have to show first that the service answers at all."""
        return self.refusals.open or (self.health.failures > 0 and self.health.lone is None)

    async def failed(self, watched: Watched, error: ApiError, asked: Asked) -> None:
        """Take a single query that returned no state. If other jobs are answered, it concerns only this job."""
        match error:
            case JobNotFound():
                self.reached(watched)
                await self._missing(watched, self._context.clock.monotonic(), error, asked)
            case Throttled():
                self._answers.without_answer(watched, error, asked)
                self._project_failed(error)
            case AuthPaused():  # nothing was sent: the job keeps its place
                self._project_failed(error)
            case Refused():  # the service answered, but refused this query
                self._query_failed(watched, error, asked)
                self.reached()
            case AuthRefused():
                worked = watched.looked is not None and not watched.failures
                self._query_failed(watched, error, asked)
                self._refused(error, watched.job_id, began=asked.began, worked=worked)
            case Unusable() if len(self._context.agenda) <= 1:
                self._query_failed(watched, error, asked)  # the service answers; one job alone shows no more
            case _:
                self._query_failed(watched, error, asked)
                self._unreached(error, about=watched.job_id)

    def list_failed(self, error: ApiError, failed: Callable[..., None]) -> None:
        """Take a list that failed. It is the list's own fault if single queries work, so they come next."""
        match error:
            case Throttled() | AuthPaused():
                self._project_failed(error)
            case AuthRefused():
                failed(str(error), for_good=False)
                self._refused(error, None)
            case Refused() | JobNotFound():
                self.reached()
                failed(str(error), for_good=False)
            case ProjectFault() if is_not_offered(error):
                failed(str(error), for_good=True)
            case _:
                if not self.health.failures:  # failures of concurrent requests count once
                    failed(str(error), for_good=False)
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
        alone = about is not None and len(self._context.agenda) <= 1
        now, by_service = self._context.clock.monotonic(), error.by_service
        if self.refusals.refused(about, began=began, now=now, by_service=by_service, worked=worked, alone=alone):
            self._authorized.set(0)
            self.tell(Event.AUTH_FAILED, reason=str(error))

    def _query_failed(self, watched: Watched, error: ApiError, asked: Asked) -> None:
        self._answers.without_answer(watched, error, asked)
        watched.ask_in_list()  # lists may still report on it
        level = log.warning if watched.failures == 1 else log.debug
        level(
            LogEvent.POLL_FAILED,
            project=self._context.project,
            job=watched.job_id,
            failures=watched.failures,
            again_in=round(watched.due - self._context.clock.monotonic(), 1),
            error=error,
        )

    async def _missing(self, watched: Watched, now: float, error: JobNotFound, asked: Asked) -> None:
        if watched.missing_since is None:
            log.warning(LogEvent.JOB_MISSING, project=self._context.project, job=watched.job_id, error=error)
        missing_since = watched.not_found(now)
        self._answers.without_answer(watched, error, asked)
        watched.ask_singly(reason=Reason.UNKNOWN)  # only a single query shows whether it exists
        over = missing_since + self._context.limits.not_found_grace
        unsure = watched.guessed and not self._kinds.unknown_as(watched)  # it may be of another kind
        if now >= over and not unsure:
            await self._answers.end(watched, Event.LOST, reason=str(error))
        elif now >= watched.expires:
            await self._answers.end(watched, Event.EXPIRED, reason=NOT_IN_TIME)
        elif now < over:
            watched.bring_forward(over)

    def reached(self, watched: Watched | None = None) -> None:
        """Note that the service answered; about `watched`, if the answer was about one job."""
        self.answered_last = watched or self.answered_last
        if self.refusals.answered():
            self._authorized.set(1)
            if not self.health.down:
                self._report_recovered()
        if self.health.failures:
            self._report_health(self.health.succeeded())

    def _unreached(self, error: ApiError, *, about: JobId | None = None) -> None:
        others = len(self._context.agenda) > 1
        fault = isinstance(error, ProjectFault)
        if fault and not self.health.failures:
            log.warning(LogEvent.POLL_FAILED, project=self._context.project, error=error)
        change = self.health.failed(
            self._context.clock.monotonic(),
            spread=self._context.rng.random(),
            at_once=fault,
            about=about,
            others=others,
        )
        if error.retry_after is not None and self.health.lone is None:
            self._context.client.budget.pause_until(self._context.clock.monotonic() + error.retry_after)
        self._report_health(change, error)

    def _report_health(self, change: Change | None, error: ApiError | None = None) -> None:
        if change == "down":
            self._up.set(0)
            log.error(LogEvent.PROJECT_DOWN, project=self._context.project, error=error)
            self.tell(Event.PROJECT_DOWN, reason=str(error))
        elif change == "recovered":
            self._up.set(1)
            self._report_recovered()

    def _report_recovered(self) -> None:
        log.info(LogEvent.PROJECT_RECOVERED, project=self._context.project)
        self.tell(Event.PROJECT_RECOVERED)

    def choosing_broke(self, error: Exception) -> None:
        """Take an internal error that came before a query was chosen. One of the first jobs in line may cause it,
        so they make room for others."""
        context = self._context
        context.defects.note("watch", error, project=context.project)
        for queue in JobQueue:
            if (first := context.agenda.first(queue)) is not None:
                self._answers.defect(first, error)
                context.planner.put_back(first, context.clock.monotonic())

    async def expire(self) -> None:
        """End tracking of jobs whose time is up and about which the service says nothing.

        Any other job gets one more query when its time is up, and is given up only if that shows no end.
        """
        silent = self.health.down or self.refusals.reported
        over = self._context.agenda.expired(self._context.clock.monotonic() - LAST_QUESTION)
        given_up = [watched for watched in over if silent or watched.last_error][:_ENDS_AT_ONCE]
        await asyncio.gather(*(self._give_up(watched) for watched in given_up))

    async def _give_up(self, watched: Watched) -> None:
        watched.ask()  # so that no query begins meanwhile
        try:
            await self._answers.end(watched, Event.EXPIRED, reason=NOT_IN_TIME)
        except Exception as error:  # noqa: BLE001 - other jobs are ended all the same
            self._answers.defect(watched, error)
        finally:
            self._context.planner.put_back(watched, self._context.clock.monotonic())

    def tell(self, event: Event, **facts: str | float) -> None:
        """Raise an operator event of the project and have it stored."""
        self._reports.tell(event, **facts)
        self._context.tasks.spawn("report", self._reports.flush(), project=self._context.project)
