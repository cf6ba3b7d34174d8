"""Lists by ids: which jobs share a request, and what the answer says about each of them.

Owns the choice (by expected undetected delay) and the reading of list answers with all their oddities. A job that
is missing from an answer is then queried singly; a list alone never proves that it is gone.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Sequence

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

_SOONEST, _LATEST = 0.05, 1.0
"""Seconds until jobs that were not worth a request are weighed again: at least, and at most."""
_BY_PRICE = frozenset({Reason.PRICE, Reason.SHORTEST, Reason.NET})
"""Reasons for which a due job waits until a request is worth its price. For any other it is queried at once."""
_DETAIL_TRIES = 3
"""Consecutive failed single queries after which an end is reported with only what the list had."""
_WHOLE_SECOND = 1.0
"""The service truncates times to whole seconds."""
_MISSED = 2
"""Consecutive answers without a job that exists, after which lists are taken not to hold it."""


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
        """When jobs that lists do not hold are tried in lists again."""
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
        # Under pressure jobs are planned later than their price is reached, so they are weighed before they are
        # due.
        return now >= self._weigh_at and (first.due <= now or planner.pressure > 1.0)

    def next_due(self) -> float:
        """Return when it may be time for a request, as of the last call of `due` and without pressure."""
        planner, first = self._context.planner, self._context.agenda.first(JobQueue.TOGETHER)
        if first is None:
            return math.inf
        by_price = first.reason in _BY_PRICE
        if planner.behind_feed and planner.list_size > 1:
            return self._net_at if by_price else min(self._net_at, first.due)
        return max(first.due, self._weigh_at) if by_price and planner.list_size > 1 else first.due

    def choose(self, now: float) -> list[Watched]:
        """Take the jobs that are worth a request now, if any. The caller queries them or gives them back."""
        planner, agenda = self._context.planner, self._context.agenda
        chosen = agenda.pop(JobQueue.TOGETHER, planner.list_size)
        try:
            worth = planner.list_size == 1 or planner.behind_feed or self._worth(chosen, now)
        except Exception as error:  # noqa: BLE001 - single queries will show which of them breaks the plan
            self.broken(chosen, error)
            return []
        if worth:
            if planner.behind_feed:
                pace = planner.net_pace
                # Slots that went by unused are not caught up with: that would be a burst of lists.
                self._net_at = min(max(self._net_at, now - pace), now) + pace
            return chosen
        agenda.give_back(chosen)
        return []

    async def ask(self, jobs: Sequence[Watched], permit: Permit) -> None:
        """Query all of them at once and take what the answer says. Raises ApiError: nothing was learned."""
        context = self._context
        began = context.clock.monotonic()
        ids = tuple(watched.job_id for watched in jobs)
        query = ListQuery(job_ids=ids, created_since=context.created_since())
        try:
            listed = await context.client.list(query, permit=permit)
        except Refused:
            if len(jobs) > 1:
                self._limited(self.trust.refused(len(jobs), context.clock.monotonic()))
            raise
        best, foreign = _newest(listed.entries, set(ids))
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
        """Note a list that failed while single queries are answered."""
        limited = self.trust.failed(why, self._context.clock.monotonic(), for_good=for_good)
        if limited is not None:
            self._limited(limited)

    def broken(self, jobs: Sequence[Watched], error: Exception) -> None:
        """Note an internal error that concerns an entire list. Its jobs are queried singly, which shows the one
        that causes it. If lists break repeatedly, they are left alone for a while."""
        context = self._context
        now, shortest = context.clock.monotonic(), context.planner.plan.rails.min_interval
        context.defects.note("watch", error, project=context.project)
        self.failed(where_of(error), for_good=False)
        for watched in jobs:
            if watched.in_flight:
                watched.ask_singly(now + shortest, Reason.RETRY)
                context.agenda.put_back(watched, earliest=watched.due)

    def _worth(self, chosen: Sequence[Watched], now: float) -> bool:
        """Whether the expected undetected delay of all of them together is worth a request."""
        planner = self._context.planner
        longest = planner.plan.rails.max_interval
        if not chosen:
            return False
        if chosen[-1].due <= now and len(chosen) == planner.list_size:
            return True  # each of a full list has reached its share of the price
        price = planner.plan.price / self._answers.announced.unannounced(now)
        total = 0.0
        for watched in chosen:
            if watched.due <= now and (
                watched.reason not in _BY_PRICE or watched.looked is None or now - watched.looked >= longest
            ):
                return True
            total += planner.area(watched, now)
            if total >= price:
                return True
        self._weigh_at = now + self._until_worth(chosen, total, price, now)
        return False

    def _until_worth(self, chosen: Sequence[Watched], total: float, price: float, now: float) -> float:
        """Seconds until the sum may reach the price. It grows roughly with the square of the time since the last
        answers, as ends become likely at a steady rate."""
        looked = [watched.looked for watched in chosen if watched.looked is not None]
        if total <= 0 or not looked:
            return _SOONEST
        since = now - sum(looked) / len(looked)
        return min(_LATEST, max(_SOONEST, since * (math.sqrt(price / total) - 1)))

    def _take(
        self, jobs: Iterable[Watched], best: dict[JobId, Summary], asked: Asked
    ) -> tuple[list[Watched], list[Watched]]:
        """Take what the answer says about each job. Returns the jobs that it lacks, and those about which it says
        something older than what is known, which counts as no answer. An internal error costs only its own job."""
        context, agenda = self._context, self._context.agenda
        now = context.clock.monotonic()
        missing: list[Watched] = []
        stale: list[Watched] = []
        for watched in jobs:
            if watched.recording or not agenda.holds(watched):
                watched.release()  # the task that records its move plans it
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
        """Take one job's entry. Returns False if it is older than what was known when the query began."""
        context = self._context
        moved, plain = summary.state != watched.state, watched.plain
        if not plain and watched.unstored and asked.began < watched.due:
            pass  # the job only filled up the list: the store gets its pause before the next try
        elif not (outdated(watched, summary, asked) if moved else lags(watched, summary)):
            if not plain:
                watched.set_missed(0)
            if moved:
                record_summary(context, self._answers, watched, summary, asked)
                return True
            doubted = not plain and watched.hinted > (watched.looked or -math.inf)
            self._answers.unchanged(watched, asked, now)
            watched.note_reported(summary.reported_at)
            if now >= watched.expires or (doubted and context.may_ask_singly()):
                watched.ask_singly(now)  # a single query has the last word: a callback contradicts the list
        elif watched.looked is None or asked.began >= watched.looked:
            return False
        context.planner.put_back(watched, now, by_list=True)
        return True

    def _ask_singly(self, jobs: Sequence[Watched], *, doubtful: bool) -> None:
        """Have jobs queried singly that an answer lacks; if the list is in doubt, once more in a list."""
        context = self._context
        now = context.clock.monotonic()
        for watched in jobs:
            watched.lacked(now, doubtful=doubtful)
            log.debug(LogEvent.LIST_LACKS, project=context.project, job=watched.job_id, times=watched.missed)
            context.planner.put_back(watched, now, by_list=True)

    def exists(self, watched: Watched) -> None:
        """Note a single query's answer about a job. If lists keep lacking it, they do not hold it."""
        if watched.missed >= _MISSED and not watched.unlisted:
            self._context.agenda.set_unlisted(watched)
            if self._lacks_until == math.inf:
                self._lacks_until = self._lacks.begin(self._context.clock.monotonic(), good_since=None)

    def _try_again(self, now: float) -> None:
        """Let lists be used again. Where the pause of a limit is over, all counts start anew; otherwise a job that
        lists lacked is taken out of them again as soon as it is missing once."""
        anew = self.trust.again_at is not None and now >= self.trust.again_at
        self._lacks_until = math.inf
        self._context.in_steps(self._forgive(missed=0 if anew else _MISSED - 1))

    def _forgive(self, *, missed: int) -> Iterator[None]:
        agenda = self._context.agenda
        for watched in agenda.each():
            if watched.missed and watched.kind.listed:
                watched.set_missed(missed)
                if watched.unlisted:
                    agenda.set_unlisted(watched, unlisted=False)
                    if not watched.in_flight:
                        agenda.put(watched, watched.due)
            yield

    def _limited(self, why: str) -> None:
        context = self._context
        context.planner.list_size = self.trust.size
        log.warning(LogEvent.BATCH_LIMITED, project=context.project, size=self.trust.size, reason=why)


def outdated(watched: Watched, summary: Summary, asked: Asked) -> bool:
    """Whether a list shows an older state than the known one: lists may lag behind."""
    if watched.reported is not None and summary.reported_at is not None:
        return summary.reported_at < watched.reported
    return watched.looked is not None and asked.began < watched.looked


def lags(watched: Watched, summary: Summary) -> bool:
    """Whether a list shows an older update than the known one, in the same state. It is then a picture of the past
    and says nothing about the job's present."""
    known, shown = watched.reported, summary.reported_at
    return known is not None and shown is not None and shown <= known - _WHOLE_SECOND


def record_summary(
    context: ProjectContext, answers: Answers, watched: Watched, summary: Summary, asked: Asked
) -> None:
    """Store the move that a list shows, in the background, and put the job back afterwards."""

    async def record() -> None:
        try:
            await _take_summary(context, answers, watched, summary, asked)
        except Exception as error:  # noqa: BLE001 - costs this job only
            answers.defect(watched, error)
        finally:
            watched.end_recording()
            if asked.by == "ids" or not watched.in_flight:  # otherwise the query under way puts it back
                context.planner.put_back(watched, context.clock.monotonic(), by_list=True)

    watched.begin_recording()
    context.tasks.spawn("move", record(), job=watched.job_id)


async def _take_summary(
    context: ProjectContext, answers: Answers, watched: Watched, summary: Summary, asked: Asked
) -> None:
    """Store the move if the list carries what the alert needs; otherwise have a single query come first."""
    seen, now = summary.observation(), context.clock.monotonic()
    answers.learn_kind(watched, summary.kind)
    if complete_enough(seen) or watched.failures >= _DETAIL_TRIES:
        await answers.take(watched, seen, asked)
        return
    due = now
    if watched.failures:  # the single query was tried and is retried at its own pace
        due = max(now, watched.due)
    elif watched.asked_by == "single" and watched.looked is not None:  # it was answered, and contradicts the list
        due = max(now, watched.looked + context.planner.plan.rails.min_interval)
    watched.ask_singly(due, Reason.DETAIL)


def _newest(entries: Collection[Summary], wanted: set[JobId]) -> tuple[dict[JobId, Summary], int]:
    """Return the latest entry of each requested job, and how many entries are about other jobs."""
    best = {entry.job_id: entry for entry in entries}
    if len(best) == len(entries) and best.keys() <= wanted:
        return best, 0  # as it should be
    best.clear()
    foreign = 0
    for entry in entries:
        if entry.job_id not in wanted:
            foreign += 1
            continue
        known = best.get(entry.job_id)
        if known is None or (entry.reported_at or 0.0) > (known.reported_at or 0.0):
            best[entry.job_id] = entry
    return best, foreign
