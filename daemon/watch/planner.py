"""When each job of one project is due next: by the learned rule or the fixed one, the price, and the pressure.

Owns what a plan depends on besides the job: how many jobs share a list, whether the feed carries the news, how far
callbacks announce it, and how far the budget falls short. Sends no queries.
"""

import random
from collections import deque
from collections.abc import Callable
from itertools import pairwise

from daemon.domain.durations import ClassKey, Durations, Law
from daemon.domain.jobs import ProjectName
from daemon.domain.planning import Planned, Reason, Strategy, learned_gap, next_gap, undetected
from daemon.domain.states import State
from daemon.metastudio.kinds import Kind
from daemon.watch.agenda import Agenda, JobQueue
from daemon.watch.job import Watched
from daemon.watch.settings import PollingPlan
from daemon.watch.trust import FULL_LIST

_NET_JITTER = 0.05
"""Share by which the safety net's gaps are shortened at random, so that the jobs do not stay in step."""
_SPARED = 0.5
"""Share of the rate that the safety net may use where lists hold few jobs or are not used."""
_LATE, _LATE_AGAIN = 1.0, 0.25
"""Seconds of waiting and lateness above which the price rises, and below which it falls. The gap between the two
keeps the price from swinging."""
_FOLLOW_FIRST, FOLLOWED = 1.0, 60.0
"""Seconds from a hint to the second query of a job that had not ended at the first, and to the last such query.
Each gap is as long as all before together."""
_REST = 1.0
"""Longest rest after a query, in seconds, where no plan requires more."""
_BLOCK, _PROCESSING, _NET = State.BLOCK, State.PROCESSING, Reason.NET  # looked up once, for the hot path
_RISE, _FALL, _MOST_PRESSURE = 1.06, 0.96, 1000.0
"""Factors by which the price rises and falls each second, and the most it may grow."""

_RECENT = 30.0
"""Seconds over which ends are counted."""
_SILENT = 2.0
"""Times the longest recent gap between announced ends, after which callbacks are taken to have stopped."""


class Planner:
    """The plan of one project's jobs."""

    def __init__(
        self,
        *,
        project: ProjectName,
        plan: PollingPlan,
        rate: float,
        agenda: Agenda,
        durations: Callable[[], Durations],
        rng: random.Random,
    ) -> None:
        self.adopt(plan, rate=rate)
        self.list_size = 1
        """Most jobs that share one list; 1 where lists by ids are not used."""
        self.behind_feed = False
        """Whether the feed carries the news, so that all other queries are a safety net."""
        self.pressure = 1.0
        """Factor by which the price is raised because the budget is too small for it."""
        self.share = plan.price
        """What one job's place in a list is worth now. `weigh` keeps it up to date."""
        self._agenda = agenda
        self._durations = durations
        self._rng = rng
        self._keys: dict[str, ClassKey] = {}
        self._project = project
        self._weighed_at = 0.0

    def adopt(self, plan: PollingPlan, *, rate: float) -> None:
        """Use this plan from now on, with a budget of `rate` requests a second."""
        self.plan, self._fixed, self._rate = plan, plan.strategy is Strategy.FIXED, rate
        self._rest = min(_REST, plan.rails.min_interval)

    def latest(self, watched: Watched) -> float:
        """Return the latest moment at which a job planned under another plan may be due (monotonic seconds). A job
        that failed is not bounded: its wait has its own reason."""
        if watched.looked is None or watched.failures:
            return watched.expires
        rails = self.plan.rails
        longest = rails.blocked_interval if watched.state == _BLOCK else self.net_interval
        return min(watched.expires, watched.looked + longest)

    @property
    def price(self) -> float:
        """What a request is worth now, in seconds of undetected delay."""
        return self.plan.price * self.pressure

    @property
    def places(self) -> int:
        """How many jobs share a list now; at least 1."""
        return max(1, min(self.list_size, self._agenda.listed))

    @property
    def net_interval(self) -> float:
        """Seconds that one round of the safety net takes behind the feed: `max_interval`, or longer where there
        are more jobs than its share of the rate, and at most one full list a second, can cover in that time."""
        jobs_per_second = min(FULL_LIST, self.list_size * self._rate * _SPARED)
        return max(self.plan.rails.max_interval, self._agenda.listed / jobs_per_second)

    @property
    def net_pace(self) -> float:
        """Seconds between two lists of the safety net."""
        return self.net_interval * (1 - _NET_JITTER) * self.list_size / max(self.list_size, self._agenda.listed)

    def key(self, kind: Kind) -> ClassKey:
        """Return the class of a kind's jobs. Cached, so that all jobs share one tuple."""
        key = self._keys.get(kind.name)
        if key is None:
            key = self._keys[kind.name] = (str(self._project), kind.name)
        return key

    def law(self, watched: Watched) -> Law:
        """Return how long jobs like this one take. Never kept: a job would pin the fit that its law belongs to."""
        return self._durations().law(self.key(watched.kind), watched.length)

    def area(self, watched: Watched, now: float) -> float:
        """Return the expected undetected delay of a job as of now, in seconds."""
        if watched.looked is None:
            return self.price
        seconds = max(0.0, now - watched.looked)
        return undetected(self.law(watched), elapsed=watched.elapsed, seconds=seconds, waited=watched.waited)

    def ends_soon(self, watched: Watched, now: float) -> float:
        """Return the probability that the job ends within the next second."""
        if watched.start is not None:
            return self.law(watched).ended(max(0.0, now - watched.start), 1.0)
        return self.law(watched).waiting_ended(max(0.0, now - watched.since), 1.0)

    def plan_next(self, watched: Watched, now: float, *, failed: bool = False, floor: float = 0.0) -> None:
        """Decide when the job is due next, after a query at `now` (`failed`: one without an answer).

        `floor` is the wait in seconds that the service asked for; the job is not due before it is over.
        """
        plain = not failed and watched.plain
        if not plain:
            watched.count_failure(failed=failed)
        gap, reason = self._gap(watched, now)
        due = now + (gap if gap > floor else floor)
        if now < watched.expires < due:  # a last query when its time is up
            due, reason = max(watched.expires, now + floor), Reason.LAST
        if not plain and not failed:
            since = now - watched.hinted
            if 0 <= since < FOLLOWED and (again := now + max(_FOLLOW_FIRST, since, floor)) < due:
                due, reason = again, Reason.HINT  # reported to have ended: the service's answers may lag behind
        watched.plan(due, reason)

    def earliest(self, now: float) -> float:
        """Return the moment before which no job is due again after a query that ended at `now`."""
        return now + self._rest

    def put_back(self, watched: Watched, now: float, *, by_list: bool = False) -> None:
        """Give a job back to the agenda after its query, due as planned but not at once."""
        self._agenda.put_back(watched, earliest=self.earliest(now), by_list=by_list)

    def weigh(self, now: float, *, starved: float) -> None:
        """Adjust the price; acts once a second. It rises while queries have waited for the budget (`starved`,
        seconds) and jobs are late because of it, and falls when neither is so. However small the budget, it then
        goes to the jobs that need it most."""
        self.share = self.price / self.places
        if now - self._weighed_at < 1.0:
            return
        self._weighed_at = now
        late = self._late(now)
        if starved > _LATE and late > _LATE:
            self.pressure = min(_MOST_PRESSURE, self.pressure * _RISE)
        elif starved < _LATE_AGAIN or late < _LATE_AGAIN:
            self.pressure = max(1.0, self.pressure * _FALL)

    def ready(self, watched: Watched, now: float) -> bool:
        """Whether a request for this job alone is worth its price now. Under pressure jobs are planned late; one
        of them is queried early where the budget has room after all."""
        if watched.due <= now or self.pressure == 1.0 or watched.looked is None:
            return watched.due <= now
        return now - watched.looked >= self.plan.rails.min_interval and self.area(watched, now) >= self.plan.price

    def _late(self, now: float) -> float:
        queues = (JobQueue.SINGLY,) if self.behind_feed else JobQueue
        return max((now - first.due for queue in queues if (first := self._agenda.first(queue))), default=0.0)

    def _gap(self, watched: Watched, now: float) -> Planned:
        rails, spread = self.plan.rails, self._rng.random()
        if watched.failures or watched.state == _BLOCK or self._fixed:
            gap = next_gap(
                state=watched.state,
                in_state=now - watched.since,
                failures=watched.failures,
                floor=0.0,
                rails=rails,
                spread=spread,
            )
            if watched.failures:
                return gap, Reason.RETRY
            return gap, Reason.BLOCKED if watched.state == _BLOCK else Reason.FIXED
        law = self.law(watched)
        if watched.start is not None and watched.state == _PROCESSING:
            watched.set_stuck(stuck=now >= watched.start + law.stuck_after)
        if self.behind_feed and not watched.unlisted:
            return self.net_interval * (1 - _NET_JITTER * spread), _NET
        return learned_gap(
            law=law,
            elapsed=watched.elapsed,
            price=self.price if watched.unlisted else self.share,
            rails=rails,
            spread=spread,
            waited=None if watched.start is not None else watched.waited,
        )


class Announced:
    """How far callbacks announce the ends of one project: the more they do, the less a list finds that is not
    known yet. Moments are monotonic seconds."""

    def __init__(self) -> None:
        self._ends: deque[tuple[float, bool]] = deque()
        """When each was found, and whether it was announced."""

    def ended(self, now: float, *, announced: bool) -> None:
        """Note an end. `announced`: a callback had come for the job."""
        self._recent(now).append((now, announced))

    def rate(self, now: float) -> float:
        """Return the ends per second that were found lately, by whatever means."""
        return len(self._recent(now)) / _RECENT

    def unannounced(self, now: float) -> float:
        """Return the share (above 0, up to 1) of the ends to come that no callback is likely to announce."""
        ends = self._recent(now)
        said = [at for at, announced in ends if announced]
        gaps = [after - before for before, after in pairwise(said)]
        if gaps and now - said[-1] > _SILENT * max(gaps):
            return 1.0
        return (len(ends) - len(said) + 1) / (len(ends) + 1)

    def _recent(self, now: float) -> deque[tuple[float, bool]]:
        while self._ends and self._ends[0][0] <= now - _RECENT:
            self._ends.popleft()
        return self._ends
