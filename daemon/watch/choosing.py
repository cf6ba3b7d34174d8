"""Chooses which query about a project's jobs is worth sending next.

Owns the order: the feed, jobs by ids, single jobs; the place of a new job and of one with a hint; and, while it is
in doubt whether the service answers, the job that probes. Sends nothing and takes no permit.
"""

import math
from collections.abc import Sequence

from msgspec import Struct

from daemon.domain.planning import Reason
from daemon.metastudio.budget import Priority
from daemon.watch.agenda import JobQueue
from daemon.watch.answers import Answers
from daemon.watch.context import ProjectContext
from daemon.watch.feed import FeedReader
from daemon.watch.id_lists import IdLists
from daemon.watch.job import Phase, Watched
from daemon.watch.outcomes import Outcomes

_CALM = 0.5
"""Share of the budget up to which a query may bring more than news: a job's script."""
_CALM_AGAIN = 0.1
"""Seconds for which that result is reused."""
_PROBE_ANY = 5.0
"""Seconds after a failure from which on even a job that is not due may probe the project."""
_PICK_PACE = 0.2
"""Shortest gap in seconds between two jobs that are queried, due or not, to learn about another job's failure."""
_GATHER = 1.0
"""Seconds that a new job waits for others to share its first query with, where the budget is not calm."""
_HINT_PACE = 1.0
"""Shortest gap in seconds between two queries of a job that callbacks request."""
_HINT_PATIENCE = 0.25
"""Seconds after which the query for a callback goes before the requests that complete alerts, and waits for no
other one."""
_AMPLE = 0.7
"""Share of a second's permits that must be left for a callback's job to be queried singly while another one is: a
burst then leaves enough for the requests that complete its alerts."""
_CALLBACKS = 60.0
"""Seconds since the last callback during which callbacks are taken to carry most of the news."""
_FEED_PATIENCE = 2.0
"""Most seconds for which the feed then waits for callbacks and for requests that complete alerts."""
_FEW = 0.1
"""Share of the ends, at most, that callbacks may leave unannounced for the feed to wait until the next one comes:
its read then replaces a query for that job."""
_SOME = 100
"""Jobs among which another one to query is looked for first."""


class Question(Struct, frozen=True):
    """What to query: the feed if there are no jobs, one job singly, or several by ids."""

    jobs: Sequence[Watched] = ()

    @property
    def single(self) -> bool:
        return len(self.jobs) == 1


class Chooser:
    """Chooses among the jobs of one project. Moments are monotonic seconds. `idle`: nothing is under way."""

    def __init__(
        self, context: ProjectContext, answers: Answers, id_lists: IdLists, feed: FeedReader, outcomes: Outcomes
    ) -> None:
        self._context = context
        self._answers = answers
        self._id_lists = id_lists
        self._feed = feed
        self._outcomes = outcomes
        self._picked_at = self._hinted_at = float("-inf")
        self._asked_for: list[Watched] = []
        """The jobs with callbacks that were queried last."""
        self._feed_since: float | None = None
        """Since when the feed has been due."""
        self._calm_at, self._is_calm = float("-inf"), True

    def add(self, watched: Watched, *, anew: bool) -> Watched | None:
        """Take up a job. Where the budget is calm, a new or `anew` tracked one is queried singly, for its
        script."""
        if (watched.state is None or anew) and not watched.unlisted:
            now = self._context.clock.monotonic()
            if not self.calm(now):
                watched.put_off(now + _GATHER)
            elif self._context.may_ask_singly():
                watched.ask_singly()
        return self._context.agenda.add(watched)

    def hint(self, watched: Watched) -> bool:
        """Put a job before all others, within its pace, because something outside says that it ended. Returns
        False if an earlier hint has already done so."""
        now = self._hinted_at = self._context.clock.monotonic()
        if not watched.hint(now, pace=_HINT_PACE):
            return False
        shared = self._feed_answers(now) or self._better_together(now) or not self._context.may_ask_singly()
        self._context.agenda.ask_soon(watched, watched.hinted, now=now, singly=not shared)
        return True

    def _better_together(self, now: float) -> bool:
        """Whether a callback's job shares a list with those that come until one can be sent: permits are scarce,
        since each end takes one more to complete its alert."""
        budget = self._context.client.budget
        spare, asked = budget.spare(now), self._hints_under_way()
        return spare == 0 or (asked > 0 and spare - asked - self._answers.awaited < _AMPLE * budget.rate)

    def _hints_under_way(self) -> int:
        """How many jobs with callbacks are being queried; the feed counts as one."""
        self._asked_for = [each for each in self._asked_for if each.in_flight and not each.recording]
        return len(self._asked_for) + self._feed.reading

    def priority(self, now: float) -> Priority:
        """Return the priority with which the next query waits for its permit. The feed, which may report many
        ends, and a callback that has waited go before the requests that complete alerts."""
        if self._outcomes.doubtful:
            return Priority.NEWS
        if self._feed_due(now) and not self._feed_waits(now):
            return Priority.FEED
        since = min(self._hinted(now, JobQueue.SINGLY), self._hinted(now, JobQueue.TOGETHER))
        if since == math.inf:
            return Priority.NEWS
        return Priority.FEED if now - since > _HINT_PATIENCE else Priority.URGENT

    def _hinted(self, now: float, queue: JobQueue) -> float:
        """Since when the first job of a queue has waited because a callback came for it; inf if none did."""
        first = self._context.agenda.first(queue)
        if first is None or first.reason is not Reason.HINT or first.due > now:
            return math.inf
        return max(first.hinted, first.due)

    def _feed_due(self, now: float) -> bool:
        try:
            due = self._feed.due(now)
        except Exception as error:  # noqa: BLE001 - the other queries go on without it
            self._feed.broken(error)
            due = False
        self._feed_since = (self._feed_since or now) if due else None
        return due

    def _feed_waits(self, now: float) -> bool:
        """Whether a feed that is due lets requests about known ends go first: a read now and then may come later
        where callbacks carry the news."""
        since = now if self._feed_since is None else self._feed_since
        return now - self._hinted_at < _CALLBACKS and now - since < _FEED_PATIENCE

    def _feed_answers(self, now: float) -> bool:
        """Whether the feed is to be read anyway: it then reports an end as well as a query for its job would."""
        return self._feed_due(now) and self._feed.carries_news

    def _feed_holds(self, now: float) -> bool:
        """Whether a feed that is due waits for the next callback."""
        if not (self._feed_waits(now) and self._feed.carries_news):
            return False
        together = self._hinted(now, JobQueue.TOGETHER)
        return together == math.inf and self._answers.announced.unannounced(now) < _FEW

    def _hint_first(self, now: float) -> bool:
        """Whether a callback's job goes before the feed."""
        queues = (JobQueue.SINGLY,) if self._feed_answers(now) else JobQueue
        return self._feed_waits(now) and any(self._hinted(now, queue) < math.inf for queue in queues)

    def anything(self, now: float, *, idle: bool) -> bool:
        """Whether any query may be due: a cheap check."""
        if self._outcomes.doubtful:
            return self._probe(now) is not None
        if self._feed_due(now) or self._id_lists.due(now):
            return True
        first = self._context.agenda.first(JobQueue.SINGLY)
        if first is not None and self._answers.ready(first, now):
            return True
        return self._cross_check(now, idle=idle) is not None

    def next_due(self, now: float) -> float:
        """Return when a query may be due, if none is now. In doubt, and under pressure, it may be at any time."""
        if (
            self._outcomes.doubtful
            or self._outcomes.health.lone is not None
            or self._context.planner.pressure > 1.0
        ):
            return now
        single = self._context.agenda.first_due(JobQueue.SINGLY)
        return min(self._feed.next_due(now), self._id_lists.next_due(), math.inf if single is None else single)

    def question(self, now: float, *, idle: bool) -> Question | None:
        """Return the query to send next. While the project does not answer, only single queries are sent."""
        if self._outcomes.doubtful:
            return self._ask_now(self._probe(now), now)
        if self._feed_due(now) and not (self._hint_first(now) or self._feed_holds(now)):
            return Question()
        return self._about_jobs(now) or self._ask_now(self._cross_check(now, idle=idle), now)

    def _about_jobs(self, now: float) -> Question | None:
        """Return the query about jobs that are due or that callbacks came for."""
        shared = self._many_hinted(now)
        if shared and self._gathers(now):
            return None
        singly, together = (self._context.agenda.first(queue) for queue in (JobQueue.SINGLY, JobQueue.TOGETHER))
        if singly is not None and not self._answers.ready(singly, now):
            singly = None
        if (
            singly is not None
            and not shared
            and (together is None or singly.due <= together.due or singly.reason in (Reason.DETAIL, Reason.HINT))
        ):
            return self._ask(self._context.agenda.pop(JobQueue.SINGLY))
        if self._id_lists.due(now) and (chosen := self._id_lists.choose(now)):
            return self._ask(chosen)
        return None if singly is None else self._ask(self._context.agenda.pop(JobQueue.SINGLY))

    def _many_hinted(self, now: float) -> bool:
        """Whether callbacks' jobs that share a list are next."""
        since = self._hinted(now, JobQueue.TOGETHER)
        return since < math.inf and since <= self._hinted(now, JobQueue.SINGLY)

    def _gathers(self, now: float) -> bool:
        """Whether these wait for others as long as a query for earlier ones is under way."""
        waited = now - self._hinted(now, JobQueue.TOGETHER)
        return self._context.planner.list_size > 1 and waited <= _HINT_PATIENCE and self._hints_under_way() > 0

    def _ask(self, jobs: Sequence[Watched]) -> Question:
        self._hints_under_way()
        self._asked_for += [each for each in jobs if each.reason is Reason.HINT]
        return Question(jobs)

    def _ask_now(self, watched: Watched | None, now: float) -> Question | None:
        if watched is None or not self._context.agenda.take(watched):
            return None
        self._picked_at = now
        return Question([watched])

    def _cross_check(self, now: float, *, idle: bool) -> Watched | None:
        """Return another job to query where one job's queries fail and nothing shows whether others' do."""
        if self._outcomes.health.lone is None or not idle or not self._may_pick(now):
            return None
        return self._other()

    def _may_pick(self, now: float) -> bool:
        return now >= self._picked_at + min(_PICK_PACE, self._context.planner.plan.rails.min_interval)

    def _probe(self, now: float) -> Watched | None:
        """Return the job to query first while it is in doubt whether the service answers or accepts the
        credentials: after a refusal, one that was not refused; otherwise the most overdue one, and after a while
        any."""
        if self._outcomes.refusals.open and (other := self._other()) is not None:
            return other if self._may_pick(now) else None
        due = [first for queue in JobQueue if (first := self._context.agenda.first(queue)) is not None]
        first = min(due, key=lambda watched: watched.due, default=None)
        if first is None or first.due <= now:
            return first
        if self._outcomes.refusals.open or now < self._outcomes.health.failed_at + _PROBE_ANY:
            return None
        return first

    def _other(self) -> Watched | None:
        """Return a job that none of the current failures was about; preferably the one answered last."""
        suspects = {self._outcomes.health.lone} | self._outcomes.refusals.about

        def fit(watched: Watched | None) -> bool:
            return (
                watched is not None
                and watched.job_id not in suspects
                and self._context.agenda.holds(watched)
                and watched.phase is Phase.PLANNED
            )

        if fit(self._outcomes.answered_last):
            return self._outcomes.answered_last
        some = [watched for watched in self._context.agenda.sample(0, _SOME) if fit(watched)]
        best = min(some, key=lambda watched: watched.failures, default=None)
        return best or next(filter(fit, self._context.agenda), None)

    def calm(self, now: float) -> bool:
        """Whether so little of the budget is in use that a query may bring more than news."""
        if now - self._calm_at >= _CALM_AGAIN:
            self._calm_at, self._is_calm = now, self._context.client.budget.usage(now) < _CALM
        return self._is_calm
