"""The feed: the list of ended jobs, latest update first. One request reports every recent end, however many jobs
are tracked.

Owns when the feed is read, how far back, and whether it can be trusted. It proves itself against the safety net
(lists by ids and single queries): no end may be found there that an earlier complete read should have shown.
Does not decide what an end means.
"""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from daemon.domain.jobs import JobId
from daemon.domain.states import State
from daemon.logs import LogEvent, logger
from daemon.metastudio.budget import Permit, Priority
from daemon.metastudio.listing import Listed, ListQuery, Summary
from daemon.store import StoreError
from daemon.tasks import where_of
from daemon.watch.agenda import Round
from daemon.watch.answers import Answers, Asked, EndFound
from daemon.watch.context import ProjectContext
from daemon.watch.id_lists import outdated, record_summary
from daemon.watch.trust import FULL_LIST, FeedTrust

log = logger(__name__)

STATES = (State.SUCCEED, State.FAILED, State.CANCELED, State.BLOCK)
"""The states that the feed is queried for."""
OVERLAP = 10.0
"""Seconds of the service's time by which each read overlaps the previous one: updates may be listed late."""
FEED_FROM = 20
"""Tracked jobs from which on the feed is worth a trial."""
_SOONEST, _SOONEST_ON_TRIAL = 0.55, 1.0
"""Shortest gap between two reads, in seconds."""
_LATEST = 10.0
"""Longest gap between two reads, in seconds, while more jobs are tracked than fit in a list by ids. The learned
laws may be wrong, and every job waits for this one request."""
_WEIGH_AGAIN = 1.0
"""Seconds for which the planned time of the next read stands. Then ends seen meanwhile may bring it forward."""
_MAX_PAGES = 20
"""Most pages of one read, unless lists by ids would need more for all jobs."""
_JOIN = 5
"""Entries that each page repeats of the one before, since entries shift while pages are read."""
_SAMPLE, _SAMPLE_AGAIN = 100, 10.0
"""Jobs sampled to plan the next read, and seconds for which a sample is used."""
_MARGIN = timedelta(hours=1)
_SINCE_AGAIN = 60.0
"""Seconds after which the oldest tracked job is read again from the store."""
_FAR = timedelta(days=366)
_SWEEP_CHECK = 1.0
"""Seconds between two checks whether such a round is over."""
_KEEP = 10_000
"""Most ends kept that were found elsewhere and that the feed still has to show."""


class _Read:
    """One read of the feed, page by page. Pure. Moments are the service's own, epoch seconds."""

    def __init__(self, mark: float | None, *, most_pages: int = _MAX_PAGES) -> None:
        self.ids: set[JobId] = set()
        self.newest: float | None = None
        self.oldest = math.inf
        """The read has no gap from the newest update down to this one."""
        self.server_time: float | None = None
        self.offset = 0
        self.pages = 0
        self.done = False
        self.fault: str | None = None
        """Why the read is incomplete."""
        self.violation: str | None = None
        """What contradicts the documentation of the list operation. A single case is enough for distrust: a feed
        that ignores its filter or its order would hide ends without a visible miss."""
        self._until = -math.inf if mark is None else mark - OVERLAP
        self._first = mark is None
        self._most_pages = most_pages

    def page(self, listed: Listed) -> None:
        """Take the next page."""
        entries = listed.entries
        if self.pages == 0 and listed.server_time is not None:
            self.server_time = listed.server_time.timestamp()
        self._check(entries)
        seen_before = sum(entry.job_id in self.ids for entry in entries)
        if self.pages and entries and not seen_before and self.fault is None:
            self.fault = "pages do not join"  # entries shifted by more than the overlap
        if self.pages and seen_before == len(entries) >= FULL_LIST:
            self.fault, self.done = "pages repeat", True
        self.ids.update(entry.job_id for entry in entries)
        times = [entry.reported_at for entry in entries if entry.reported_at is not None]
        if times:
            self.newest = max(times) if self.newest is None else max(self.newest, *times)
            self.oldest = min(self.oldest, *times)
        self.pages += 1
        self.offset += max(1, len(entries) + listed.skipped - _JOIN)
        if len(entries) + listed.skipped < FULL_LIST:
            self.done, self.oldest = True, -math.inf  # the end of the list
        elif self._first or self.oldest < self._until or self.pages >= self._most_pages:
            self.done = True  # where this is short of `_until`, the safety net finds the rest

    def _check(self, entries: Sequence[Summary]) -> None:
        last = math.inf
        # Later pages may repeat known entries, which are newer. A new entry is at most late by the overlap.
        bound = self.oldest + OVERLAP if self.pages else math.inf
        for entry in entries:
            if entry.reported_at is None:
                self.violation = "it does not say when jobs were updated"
            elif entry.reported_at > last or (entry.reported_at > bound and entry.job_id not in self.ids):
                self.violation = "it is not sorted by update time"
            else:
                last = entry.reported_at
            if entry.state in (State.WAITING, State.PROCESSING):
                self.violation = "it ignores the requested states"


class FeedReader:
    """The feed of one project."""

    def __init__(self, context: ProjectContext, answers: Answers) -> None:
        plan = context.planner.plan
        self.trust = FeedTrust(on=plan.feed)
        self._context = context
        self._answers = answers
        self._read_from = -math.inf
        """When the last read began."""
        self._interval = 0.0
        self._weighed_at = -math.inf
        self._reading = False
        self._mark: float | None = None
        """The newest update in the last complete read (the service's time). The next read goes back to it."""
        self._covered: float | None = None
        """The complete reads have no gap from the newest update down to this one (the service's time)."""
        self._read_at: tuple[float, float] | None = None
        """When the last complete read began: our monotonic seconds, and the service's time."""
        self._shown: set[JobId] = set()
        """The ids that the last complete read held."""
        self._unshown: dict[JobId, float] = {}
        """Ends found elsewhere that no read had to show yet, with the service's time of the update."""
        self._round: Round | None = None
        """The round of the safety net that is under way."""
        self._sweep_check = 0.0
        self._since: datetime | None = None
        self._since_at = -math.inf
        self._sample, self._sampled_at = context.agenda.sample(0, _SAMPLE), -math.inf

    @property
    def carries_news(self) -> bool:
        """Whether other queries are a safety net: the feed is trusted, and a list by ids cannot hold all jobs."""
        listed = self._context.agenda.listed
        return self.trust.trusted and listed >= FEED_FROM and listed > self._context.planner.list_size

    @property
    def reading(self) -> bool:
        """Whether it is being read."""
        return self._reading

    def due(self, now: float) -> bool:
        """Whether to read it now."""
        self._settle(now)
        if self._reading or self._context.agenda.listed < FEED_FROM or not self.trust.usable(now):
            return False
        if now - self._weighed_at >= _WEIGH_AGAIN:
            self._weighed_at, self._interval = now, self._worth_after(now)
        return now >= self._read_from + self._interval

    def next_due(self, now: float) -> float:
        """Return when it is due, as of the last call of `due`."""
        if self._reading or self._context.agenda.listed < FEED_FROM or not self.trust.usable(now):
            return math.inf
        return self._read_from + self._interval

    def _settle(self, now: float) -> None:
        """Keep the planner informed whether the feed carries the news. When it stops doing so, every job becomes
        due: their plans were those of a safety net, minutes apart."""
        planner, carries = self._context.planner, self.carries_news
        if planner.behind_feed and not carries:
            self._context.in_steps(self._context.agenda.hasten(now))
        planner.behind_feed = carries

    def begin(self) -> None:
        """Mark a read as started, so that no second one starts alongside it."""
        self._reading = True

    async def read(self, permit: Permit) -> None:
        """Read the feed once, back to what earlier reads saw. Raises ApiError: the read is not judged then."""
        context = self._context
        began = self._read_from = context.clock.monotonic()
        read = _Read(self._mark, most_pages=max(_MAX_PAGES, context.agenda.listed // FULL_LIST))
        try:
            since = await self._created_since(began)
            while not read.done:
                query = ListQuery(states=STATES, newest_update_first=True, created_since=since, offset=read.offset)
                listed = await context.client.list(query, permit=permit)
                read.page(listed)
                self._take(listed.entries, Asked(by="feed", began=began))  # news does not wait for `_judge`
                if not read.done:
                    permit = await context.client.budget.take(Priority.FEED)
            self._judge(read, began)
        finally:
            self._reading = False

    def failed(self, why: str, *, for_good: bool) -> None:
        """Note a read that failed while single queries are answered."""
        if not self.trust.usable(self._context.clock.monotonic()):
            return
        if self.trust.failed(why, self._context.clock.monotonic(), for_good=for_good):
            self._report_distrust()

    def broken(self, error: Exception) -> None:
        """Note an internal error in a read. If it recurs, the feed is left alone for a while."""
        self._context.defects.note("watch", error, project=self._context.project)
        # The read may have failed before it set this, and the next one would start at once.
        self._read_from = max(self._read_from, self._context.clock.monotonic())
        self.failed(where_of(error), for_good=False)

    def found(self, end: EndFound) -> None:
        """Note an end that the feed or the safety net found, and hold it against what the feed has shown."""
        now = self._context.clock.monotonic()
        job_id, reported = end.watched.job_id, end.reported
        if not self.trust.usable(now) or not end.watched.kind.listed:
            return
        if end.by == "feed" or job_id in self._shown:  # a single query may have completed an end that it showed
            self._showed(job_id)
        elif reported is None or end.looked is None or self._too_old(end.created):
            return  # no way to tell whether the feed should have shown it
        elif self._missed(reported, end.looked):
            self._miss(job_id)
        elif len(self._unshown) < _KEEP:
            self._unshown[job_id] = reported

    # What a read shows

    def _take(self, entries: Sequence[Summary], asked: Asked) -> None:
        context = self._context
        for entry in entries:
            watched = context.agenda.get(entry.job_id)
            # Where a single query comes next, it will say more than this entry.
            if watched is None or watched.recording or watched.singly_next or entry.state == watched.state:
                continue
            # After an error of the store or of wrapd itself it waits for its next try.
            waits = watched.due > asked.began and (watched.unstored or watched.defects > 0)
            try:
                if not (waits or outdated(watched, entry, asked)):
                    record_summary(context, self._answers, watched, entry, asked)
            except Exception as error:  # noqa: BLE001 - costs this entry only
                self._answers.defect(watched, error)
                if not watched.in_flight:
                    context.planner.put_back(watched, context.clock.monotonic(), by_list=True)

    # Whether it can be trusted

    def _judge(self, read: _Read, began: float) -> None:
        now = self._context.clock.monotonic()
        if not self.trust.usable(now):  # a miss was found while it was read
            return
        if read.violation is not None:
            self._distrust(read.violation)
            return
        why = read.fault or ""
        if self.trust.read(complete=read.fault is None, why=why, now=now):
            self._report_distrust()
        if read.fault is not None:
            return
        server = read.server_time if read.server_time is not None else read.newest
        if server is None:  # an empty list without a server time: nothing to judge by
            return
        # A read that stopped before the last one's newest update leaves a gap: only its own range is covered then.
        gap = self._mark is not None and read.oldest > self._mark
        self._covered = read.oldest if self._covered is None or gap else min(self._covered, read.oldest)
        newest = server if read.newest is None else read.newest  # an empty list: nothing has ended so far
        self._mark = newest if self._mark is None else max(self._mark, newest)
        self._read_at, self._shown = (began, server), read.ids
        self._compare(read, server)
        self._sweep(now)

    def _compare(self, read: _Read, server: float) -> None:
        """Check the ends found elsewhere against a complete read. Both ends of its range are given `OVERLAP` of
        grace, since an update may be listed that late."""
        for job_id, reported in list(self._unshown.items()):
            if job_id in read.ids:
                self._showed(job_id)
            elif reported < max(self._covered or -math.inf, read.oldest) + OVERLAP:
                del self._unshown[job_id]  # older than the read's range: it cannot tell
            elif reported < server - OVERLAP:
                self._miss(job_id)
                return

    def _too_old(self, created: float | None) -> bool:
        """Whether the job was created before the bound that the feed is queried with."""
        return created is not None and self._since is not None and created < self._since.timestamp()

    def _missed(self, reported: float, looked: float) -> bool:
        """Whether the last complete read should have shown an end that was found elsewhere. The job must have been
        queried before that read began (`looked`) and still not have ended: else the safety net may just be
        faster."""
        if self._read_at is None or self._covered is None:
            return False
        began, server = self._read_at
        return looked < began and self._covered + OVERLAP <= reported < server - OVERLAP

    def _showed(self, job_id: JobId) -> None:
        self._unshown.pop(job_id, None)
        if self.trust.showed_end(self._context.clock.monotonic()):
            self._report_trust()

    def _miss(self, job_id: JobId) -> None:
        self._distrust(f"job {job_id} ended and the feed did not show it")

    def _sweep(self, now: float) -> None:
        """On trial, count complete rounds of the safety net over all jobs without a miss: where jobs seldom end,
        the feed earns trust by these."""
        if self.trust.trusted or now < self._sweep_check:
            return
        self._sweep_check = now + _SWEEP_CHECK
        swept = self._round is not None and self._round.over()
        if self._round is None or swept:
            self._round = Round(self._context.agenda, now)
        if swept and self.trust.swept(now):
            self._report_trust()

    def end_round(self) -> None:
        """Drop the round of the safety net that is under way: it holds all jobs."""
        self._round = None

    def _distrust(self, why: str) -> None:
        self.trust.distrust(why, self._context.clock.monotonic())
        self._report_distrust()

    def _report_distrust(self) -> None:
        context = self._context
        self._mark = self._covered = self._read_at = self._round = None
        self._unshown.clear()
        self._shown = set()
        log.warning(
            LogEvent.FEED_DISTRUSTED,
            project=context.project,
            reason=self.trust.reason,
            again_in=round((self.trust.again_at or 0) - context.clock.monotonic()),
        )
        self._settle(context.clock.monotonic())

    def _report_trust(self) -> None:
        self._round = None
        ends, jobs = self.trust.ends, self._context.agenda.listed
        log.info(LogEvent.FEED_TRUSTED, project=self._context.project, ends=ends, jobs=jobs)

    # When to read it

    def _worth_after(self, now: float) -> float:
        """Return the seconds from one read to the next at which the next one is worth its price."""
        planner = self._context.planner
        longest = planner.plan.rails.max_interval
        if self._context.agenda.listed <= planner.list_size:
            return longest  # lists by ids carry the news; the feed is read only to stay proven
        soonest = _SOONEST if self.trust.trusted else _SOONEST_ON_TRIAL
        ends = self._ends_per_second(now) * self._answers.announced.unannounced(now)
        # n ends a second accumulate n·T²/2 seconds of undetected delay in T seconds, which is the price at
        # √(2·price/n).
        worth = math.sqrt(2 * planner.price / ends) if ends > 0 else longest
        return min(longest, _LATEST, max(soonest, worth))

    def _ends_per_second(self, now: float) -> float:
        """Return the expected ends per second: as the laws predict, or as recently observed if that is more."""
        context = self._context
        if now - self._sampled_at >= _SAMPLE_AGAIN:
            self._sampled_at = now
            self._sample = context.agenda.sample(context.rng.randrange(1 << 30), _SAMPLE)
        likely = sum(context.planner.ends_soon(watched, now) for watched in self._sample)
        predicted = likely * len(context.agenda) / len(self._sample) if self._sample else 0.0
        return max(predicted, self._answers.announced.rate(now))

    async def _created_since(self, now: float) -> datetime:
        """Return the creation time of the oldest tracked job, less a margin. The hour is cut so that the bound,
        and with it the range of the reads, seldom changes."""
        context = self._context
        if now - self._since_at >= _SINCE_AGAIN:
            self._since_at = now
            try:
                oldest = await context.store.read_async(lambda tx: tx.jobs.oldest_created(context.project))
            except StoreError as error:
                context.store_errors.note(error, project=context.project)
            else:
                since = context.clock.now() - _FAR if oldest is None else oldest - _MARGIN
                since = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
                if self._since is not None and since < self._since:
                    self._covered = None  # no read so far was about jobs as old as this
                self._since = since
        return self._since or context.clock.now().replace(microsecond=0) - _FAR
