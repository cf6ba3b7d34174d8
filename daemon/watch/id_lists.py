"""Lists by ids: which jobs share a request, and what such an answer says of each of them.

Owns the choice (by the expected undetected delay) and the reading of list answers with all their oddities. A job
that is missing from an answer is asked singly, and never judged gone by it.
"""

import math
from collections.abc import Iterable, Sequence
from datetime import timedelta

from daemon.domain.jobs import JobId
from daemon.domain.planning import Reason
from daemon.logs import LogEvent, logger
from daemon.metastudio.budget import Permit
from daemon.metastudio.errors import Refused
from daemon.metastudio.listing import ListQuery, Summary
from daemon.tasks import where_of
from daemon.watch.agenda import JobQueue
from daemon.watch.answers import Answers, Asked, complete_enough
from daemon.watch.context import ProjectContext
from daemon.watch.job import Watched
from daemon.watch.trust import IdListTrust, Pauses

log = logger(__name__)

_SINCE = timedelta(days=366)
"""How old a job may be that a list is asked about: without a bound the service lists the last month only."""
_SOONEST, _LATEST = 0.05, 1.0
"""Seconds until the jobs are weighed again that were not worth a request yet."""
_BY_PRICE = frozenset({Reason.PRICE, Reason.SHORTEST, Reason.NET})
"""Reasons for which a due job waits until a request is worth its price; any other wants it now."""
_DETAIL_TRIES = 3
"""Single queries in a row that failed after a list told of an end; then it is told without what the list lacks."""
_WHOLE_SECOND = 1.0
"""The service writes times in whole seconds, cut off."""
_MISSED = 2
"""Answers in a row without a job that exists, after which lists are taken not to hold it."""


class IdLists:
    """The lists by ids of one project."""

    def __init__(self, context: ProjectContext, answers: Answers) -> None:
        self.trust = IdListTrust(on=context.planner.plan.batch)
        self._context = context
        self._answers = answers
        self._looks = context.metrics.looks.labels(context.project, "ids")
        self._weigh_at = 0.0
        self._net_at = 0.0
        self._lacks = Pauses()
        self._lacks_until = math.inf
        """When the jobs that lists do not hold are tried in lists again."""
        context.planner.list_size = self.trust.size

    def due(self, now: float) -> bool:
        """Whether it may be time for a request: a cheap check before `choose`."""
        planner = self._context.planner
        if now >= min(self._lacks_until, self.trust.again_at or math.inf):
            self._try_again(now)
        planner.list_size = self.trust.usable(now)
        first = self._context.agenda.first(JobQueue.TOGETHER)
        if first is None:
            return False
        if planner.behind_feed and planner.list_size > 1:
            return now >= self._net_at or (first.due <= now and first.reason not in _BY_PRICE)
        if planner.list_size == 1:
            return self._answers.ready(first, now)
        if first.due <= now and first.reason not in _BY_PRICE:
            return True
        # Under pressure jobs are planned for later than their price is reached.
        return now >= self._weigh_at and (first.due <= now or planner.pressure > 1.0)

    def choose(self, now: float) -> list[Watched]:
        """The jobs that are worth a request now; none where no request is. They are to be asked or given back."""
        planner, agenda = self._context.planner, self._context.agenda
        chosen = agenda.pop(JobQueue.TOGETHER, planner.list_size)
        try:
            worth = planner.list_size == 1 or planner.behind_feed or self._worth(chosen, now)
        except Exception as error:  # noqa: BLE001 - one of them breaks the plan: asked singly they show which
            self.broken(chosen, error)
            return []
        if worth:
            if planner.behind_feed:
                pace = planner.net_pace
                self._net_at = min(max(self._net_at, now - pace), now) + pace
            return chosen
        agenda.give_back(chosen)
        return []

    async def ask(self, jobs: Sequence[Watched], permit: Permit) -> None:
        """Ask about all of them at once and take what the answer says. Raises ApiError: nothing was learned."""
        context = self._context
        began = context.clock.monotonic()
        query = ListQuery(
            job_ids=tuple(watched.job_id for watched in jobs),
            created_since=(context.clock.now() - _SINCE).replace(hour=0, minute=0, second=0, microsecond=0),
        )
        try:
            listed = await context.client.list(query, permit=permit)
        except Refused:
            if len(jobs) > 1:
                self._limited(self.trust.refused(len(jobs), context.clock.monotonic()))
            raise
        wanted = {watched.job_id for watched in jobs}
        best, foreign = _newest(listed.entries, wanted)
        missing, stale = self._take(jobs, best, Asked(by="ids", began=began))
        self._looks.inc(len(best) - len(stale))
        why = self.trust.answered(
            asked=len(jobs),
            found=len(best),
            missing=sum(watched.missed == 0 for watched in missing),
            foreign=foreign,
            stale=len(stale),
            now=context.clock.monotonic(),
        )
        if why is not None:
            self._limited(why)
        self._ask_singly(missing, doubtful=why is not None and not stale)
        self._ask_singly(stale, doubtful=False)

    def failed(self, why: str, *, for_good: bool) -> None:
        """A list could not be used while single queries are answered."""
        limited = self.trust.failed(why, self._context.clock.monotonic(), for_good=for_good)
        if limited is not None:
            self._limited(limited)

    def broken(self, jobs: Sequence[Watched], error: Exception) -> None:
        """An error of wrapd's own about a list as a whole: its jobs are asked singly, so that the one shows
        that it is about; where lists break again and again they are left alone for a while."""
        context = self._context
        now, shortest = context.clock.monotonic(), context.planner.plan.rails.min_interval
        context.defects.note("watch", error, project=context.project)
        self.failed(where_of(error), for_good=False)
        for watched in jobs:
            if watched.in_flight:
                watched.ask_singly(now + shortest, Reason.RETRY)
                context.agenda.put_back(watched, earliest=watched.due)

    def _worth(self, chosen: Sequence[Watched], now: float) -> bool:
        """Whether the undetected delay that is expected of all of them is worth a request."""
        planner = self._context.planner
        longest = planner.plan.rails.max_interval
        if not chosen:
            return False
        if chosen[-1].due <= now and len(chosen) == planner.list_size:
            return True  # each is worth its share
        total = 0.0
        for watched in chosen:
            if watched.due <= now and (
                watched.reason not in _BY_PRICE or watched.looked is None or now - watched.looked >= longest
            ):
                return True
            total += planner.area(watched, now)
            if total >= planner.plan.price:
                return True
        self._weigh_at = now + self._until_worth(chosen, total, now)
        return False

    def _until_worth(self, chosen: Sequence[Watched], total: float, now: float) -> float:
        """Seconds until the sum may reach the price: it grows about as the square of the time since then."""
        looked = [watched.looked for watched in chosen if watched.looked is not None]
        if total <= 0 or not looked:
            return _SOONEST
        since = now - sum(looked) / len(looked)
        return min(_LATEST, max(_SOONEST, since * (math.sqrt(self._context.planner.plan.price / total) - 1)))

    def _take(
        self, jobs: Iterable[Watched], best: dict[JobId, Summary], asked: Asked
    ) -> tuple[list[Watched], list[Watched]]:
        """Take what the answer says of each job. Returns those that it does not hold, and those of which it says
        something older than what is known: that is no answer. What breaks costs the one job that it is about."""
        context, agenda = self._context, self._context.agenda
        now = context.clock.monotonic()
        missing: list[Watched] = []
        stale: list[Watched] = []
        for watched in jobs:
            if watched.recording or not agenda.holds(watched):
                watched.release()  # whoever records it plans it
                continue
            summary = best.get(watched.job_id)
            if summary is None:
                missing.append(watched)
                continue
            try:
                if self._take_one(watched, summary, asked, now):
                    continue
            except Exception as error:  # noqa: BLE001
                self._answers.defect(watched, error)
                context.planner.put_back(watched, now)
                continue
            stale.append(watched)
        return missing, stale

    def _take_one(self, watched: Watched, summary: Summary, asked: Asked, now: float) -> bool:
        """Take what is said of one job. False where it is older than what was known when the question began."""
        context = self._context
        moved = summary.state != watched.state
        if watched.unstored and asked.began < watched.due:
            pass  # it only filled the list: the store gets its pause
        elif not (outdated(watched, summary, asked) if moved else lags(watched, summary)):
            watched.set_missed(0)
            if moved:
                watched.begin_recording()
                context.tasks.spawn("move", self._take_move(watched, summary, asked), job=watched.job_id)
                return True
            self._answers.unchanged(watched, asked, now)
            watched.note_reported(summary.reported_at)
            if now >= watched.expires:
                watched.ask_singly(now)  # the last question is a single one
        elif watched.looked is None or asked.began >= watched.looked:
            return False
        context.planner.put_back(watched, now, by_list=True)
        return True

    async def _take_move(self, watched: Watched, summary: Summary, asked: Asked) -> None:
        context = self._context
        try:
            await take_summary(context, self._answers, watched, summary, asked)
        except Exception as error:  # noqa: BLE001
            self._answers.defect(watched, error)
        finally:
            watched.end_recording()
            context.planner.put_back(watched, context.clock.monotonic(), by_list=True)

    def _ask_singly(self, jobs: Sequence[Watched], *, doubtful: bool) -> None:
        """Those of which an answer says nothing are asked singly; where the list is in doubt, once more
        together."""
        context = self._context
        now = context.clock.monotonic()
        for watched in jobs:
            watched.lacked(now, doubtful=doubtful)
            log.debug(LogEvent.LIST_LACKS, project=context.project, job=watched.job_id, times=watched.missed)
            context.planner.put_back(watched, now, by_list=True)

    def exists(self, watched: Watched) -> None:
        """A single query was answered about a job that lists lacked."""
        if watched.missed >= _MISSED and not watched.unlisted:
            self._context.agenda.set_unlisted(watched)
            if self._lacks_until == math.inf:
                self._lacks_until = self._lacks.begin(self._context.clock.monotonic(), good_since=None)

    def _try_again(self, now: float) -> None:
        """Where a limit is over lists begin anew; else those that they lacked need to be missing once more."""
        agenda = self._context.agenda
        anew = self.trust.again_at is not None and now >= self.trust.again_at
        for watched in agenda:
            if watched.missed and watched.kind.listed:
                watched.set_missed(0 if anew else _MISSED - 1)
                if watched.unlisted:
                    agenda.set_unlisted(watched, unlisted=False)
                    if not watched.in_flight:
                        agenda.put(watched, watched.due)
        self._lacks_until = math.inf

    def _limited(self, why: str) -> None:
        context = self._context
        context.planner.list_size = self.trust.size
        log.warning(LogEvent.BATCH_LIMITED, project=context.project, size=self.trust.size, reason=why)


def outdated(watched: Watched, summary: Summary, asked: Asked) -> bool:
    """Whether a list tells of an older state than the one that is known: lists may lag behind."""
    if watched.reported is not None and summary.reported_at is not None:
        return summary.reported_at < watched.reported
    return watched.looked is not None and asked.began < watched.looked


def lags(watched: Watched, summary: Summary) -> bool:
    """Whether a list tells of an older update than the one that is known, in the same state: it is a picture
    of the past, and what happened since is not in it."""
    known, told = watched.reported, summary.reported_at
    return known is not None and told is not None and told <= known - _WHOLE_SECOND


async def take_summary(
    context: ProjectContext, answers: Answers, watched: Watched, summary: Summary, asked: Asked
) -> None:
    """Store the move that a list tells of, where it carries what the alert needs; else the single query comes
    first. Puts nothing into the agenda."""
    seen, now = summary.observation(), context.clock.monotonic()
    answers.learn_kind(watched, summary.kind)
    if complete_enough(seen) or watched.failures >= _DETAIL_TRIES:
        await answers.take(watched, seen, asked)
        return
    due = now
    if watched.failures:  # the single query was tried, and has its own pace
        due = max(now, watched.due)
    elif watched.asked_by == "single" and watched.looked is not None:  # it had an answer, and that says otherwise
        due = max(now, watched.looked + context.planner.plan.rails.min_interval)
    watched.ask_singly(due, Reason.DETAIL)


def _newest(entries: Iterable[Summary], wanted: set[JobId]) -> tuple[dict[JobId, Summary], int]:
    """The latest entry of each job that was asked for, and how many others there are."""
    best: dict[JobId, Summary] = {}
    foreign = 0
    for entry in entries:
        if entry.job_id not in wanted:
            foreign += 1
            continue
        known = best.get(entry.job_id)
        if known is None or (entry.reported_at or 0.0) > (known.reported_at or 0.0):
            best[entry.job_id] = entry
    return best, foreign
