"""Whether lists can be relied on: pure state machines fed with what the answers were. Moments are monotonic
seconds.

`FeedTrust`: the list of ended jobs carries the news only once it has proved itself, and until it misses an end.
`IdListTrust`: how many job ids one list may be queried for.

Both forgive: what was distrusted or limited gets another trial after a pause, which doubles each time. The service
may have been fixed, and a wrong verdict would otherwise cost requests until the next restart.
"""

from dataclasses import dataclass
from enum import StrEnum

_FIRST_PAUSE, _LAST_PAUSE = 600.0, 86400.0
"""Seconds for which something distrusted is left alone: the first pause, doubled each time up to the last."""
_ENDS, _SWEEPS = 20, 2
"""What a feed must show on trial: so many ends, or rounds of the safety net without a miss."""
_INCOMPLETE = 3
"""Consecutive incomplete reads after which the feed is distrusted."""
_FAILURES = 3
"""Consecutive failed lists, while single queries work, after which lists are distrusted."""
FULL_LIST = 100
"""The most jobs that a list holds (list operation: `limit` is 1 to 100)."""
_FEW, _FEW_SHARE = 3, 0.1
"""Jobs that may be missing from an answer, as a number and as a share, before the list itself is doubted."""
_EMPTY = 3
"""Consecutive answers that hold none of at least `_EMPTY_FROM` jobs, after which lists by ids are not used."""
_EMPTY_FROM = 10


class Feed(StrEnum):
    """The standing of a feed."""

    OFF = "off"
    TRIAL = "trial"
    TRUSTED = "trusted"
    DISTRUSTED = "distrusted"


@dataclass(slots=True)
class Pauses:
    """Growing pauses for something that proved wrong. They start anew after a day of good service."""

    next: float = _FIRST_PAUSE
    begun: float = 0.0

    def begin(self, now: float, *, good_since: float | None) -> float:
        """Begin the next pause and return the moment at which to try again."""
        if good_since is not None and now - good_since >= _LAST_PAUSE:
            self.next = _FIRST_PAUSE
        again = now + self.next
        self.next = min(_LAST_PAUSE, self.next * 2)
        return again


class FeedTrust:
    """Trust in one project's feed."""

    def __init__(self, *, on: bool) -> None:
        self.standing = Feed.TRIAL if on else Feed.OFF
        self.reason: str | None = None if on else "polling.feed is off"
        self.again_at: float | None = None
        self.ends = 0
        """Ends that the feed has shown since the trial began."""
        self.sweeps = 0
        self._incomplete = 0
        self._failures = 0
        self._trusted_at: float | None = None
        self._pauses = Pauses()

    @property
    def trusted(self) -> bool:
        return self.standing is Feed.TRUSTED

    def usable(self, now: float) -> bool:
        """Whether it may be read. Puts a distrusted feed on trial again once its pause is over."""
        if self.standing is Feed.DISTRUSTED and self.again_at is not None and now >= self.again_at:
            self.standing, self.again_at = Feed.TRIAL, None
            self._begin_anew()
        return self.standing in (Feed.TRIAL, Feed.TRUSTED)

    def showed_end(self, now: float) -> bool:
        """Note an end that the feed showed as it should. Returns whether this makes the feed trusted."""
        self.ends += 1
        return self._judge(now)

    def swept(self, now: float) -> bool:
        """Note that every job was queried since the last sweep and the feed missed no end. Returns whether this
        makes the feed trusted."""
        self.sweeps += 1
        return self._judge(now)

    def read(self, *, complete: bool, why: str, now: float) -> bool:
        """Note a read. Returns whether the feed is distrusted because too many were incomplete (`why`)."""
        self._failures = 0
        self._incomplete = 0 if complete else self._incomplete + 1
        if self._incomplete < _INCOMPLETE:
            return False
        self.distrust(why, now)
        return True

    def failed(self, why: str, now: float, *, for_good: bool) -> bool:
        """Note a read that failed while other queries were answered. Returns whether the feed is distrusted for
        it. `for_good`: the error will not go away, so the first one is enough."""
        self._failures += 1
        if not for_good and self._failures < _FAILURES:
            return False
        self.distrust(why, now)
        return True

    def distrust(self, why: str, now: float) -> None:
        """Leave it alone for a while."""
        self.again_at = self._pauses.begin(now, good_since=self._trusted_at)
        self.standing, self.reason, self._trusted_at = Feed.DISTRUSTED, why, None
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.ends = self.sweeps = self._incomplete = self._failures = 0

    def _judge(self, now: float) -> bool:
        if self.standing is not Feed.TRIAL or (self.ends < _ENDS and self.sweeps < _SWEEPS):
            return False
        self.standing, self.reason, self._trusted_at = Feed.TRUSTED, None, now
        return True


class IdListTrust:
    """How many jobs of a project one list may be queried for; 1 where lists by ids are of no use."""

    def __init__(self, *, on: bool) -> None:
        self.size = FULL_LIST if on else 1
        self.reason: str | None = None if on else "polling.batch is off"
        self.again_at: float | None = None
        self._on = on
        self._empty = 0
        self._failures = 0
        self._size_before: int | None = None
        """The size before a cap was guessed from an answer that lacked many jobs; None without such a guess."""
        self._no_cap = False
        """The guess was wrong: shorter lists lacked just as many jobs."""
        self._good_since: float | None = None
        self._pauses = Pauses()

    def usable(self, now: float) -> int:
        """Return how many jobs a list may hold now. Lifts a limit once its pause is over."""
        if self.again_at is not None and now >= self.again_at:
            self.size, self.again_at = FULL_LIST, None
            self._size_before, self._no_cap = None, False
            self._empty = self._failures = 0
        return self.size

    def answered(
        self, *, asked: int, found: int, missing: int, foreign: int, now: float, stale: int = 0
    ) -> str | None:
        """Note an answer for `asked` jobs that held `found` of them and `foreign` others. `missing` of the absent
        jobs were lacked by no earlier answer, and `stale` entries say less than was known already. Returns what
        was learned against the list, or None."""
        self._failures = 0
        if stale > max(_FEW, asked * _FEW_SHARE) or stale * 2 > asked:
            return self._limit(1, "lists show ended jobs as unfinished", now)
        self._empty = self._empty + 1 if found == 0 and asked >= _EMPTY_FROM else 0
        many = missing > max(_FEW, asked * _FEW_SHARE)
        if (many and foreign >= missing) or (missing * 2 > asked and foreign * 2 >= missing):
            return self._limit(1, "lists ignore job_ids", now)
        if self._empty >= _EMPTY:
            return self._limit(1, "lists by job_ids are empty", now)
        if found and many and not self._no_cap:
            return self._guess_cap(asked, found, now)
        if self._good_since is None and found == asked:
            self._good_since = now
        if self.again_at is None and self._on:
            self.reason = None
        return None

    def refused(self, asked: int, now: float) -> str:
        """Note that the service refused a list of so many jobs. Returns what was learned."""
        return self._limit(asked // 2, f"a list of {asked} job_ids is refused", now)

    def failed(self, why: str, now: float, *, for_good: bool) -> str | None:
        """Note a list that failed while single queries work. Returns why if lists are given up for it."""
        self._failures += 1
        if not for_good and self._failures < _FAILURES:
            return None
        return self._limit(1, why, now)

    def _guess_cap(self, asked: int, found: int, now: float) -> str:
        """A list that lacked many jobs may have a cap below what was requested. If so short a list again lacks
        many, there is no cap: they are missing for another reason, and long lists remain useful for the other
        jobs."""
        if self._size_before is None:
            self._size_before = self.size
            return self._limit(found, f"a list held {found} of {asked} jobs asked for", now)
        self.size, self._size_before, self._no_cap = self._size_before, None, True
        self.reason = "lists lack some jobs, however few are requested"
        return self.reason

    def _limit(self, size: int, why: str, now: float) -> str:
        self.size = max(1, min(size, self.size))
        self.reason = why
        if self.again_at is None:  # a size found by halving step by step counts as one limit: it doubles no pause
            self.again_at = self._pauses.begin(now, good_since=self._good_since)
        self._good_since = None
        self._empty = self._failures = 0
        return why
