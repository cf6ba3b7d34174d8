"""Whether lists may be relied on: pure state machines, told what the answers were. Moments are monotonic seconds.

`FeedTrust`: the list of ended jobs carries the news only after it proved itself, and until it is caught at a miss.
`IdListTrust`: how many job ids a list may be asked about.
"""

from dataclasses import dataclass
from enum import StrEnum

_FIRST_PAUSE, _LAST_PAUSE = 600.0, 86400.0
"""Seconds for which something distrusted is left alone: at first, doubling, at most."""
_ENDS, _SWEEPS = 20, 2
"""What a feed must show to be trusted: ends, or clean sweeps of the safety net."""
_INCOMPLETE = 3
"""Reads in a row that could not be completed: the feed is of no use."""
_FAILURES = 3
"""Lists in a row that failed while single queries work."""
FULL_LIST = 100
"""The most jobs that a list holds (list operation: `limit` is 1 to 100)."""
_FEW, _FEW_SHARE = 3, 0.1
"""Jobs that may be missing from an answer without doubt about the list itself."""
_EMPTY = 3
"""Answers without any of at least `_EMPTY_FROM` jobs, in a row, after which ids are not used."""
_EMPTY_FROM = 10


class Feed(StrEnum):
    """How a feed stands."""

    OFF = "off"
    TRIAL = "trial"
    TRUSTED = "trusted"
    DISTRUSTED = "distrusted"


@dataclass(slots=True)
class Pauses:
    """How long something is left alone that proved wrong: doubling, and forgotten after a day of good service."""

    next: float = _FIRST_PAUSE
    begun: float = 0.0

    def begin(self, now: float, *, good_since: float | None) -> float:
        """The moment at which to try again."""
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
        """Ends that the feed showed since the trial began."""
        self.sweeps = 0
        self._incomplete = 0
        self._failures = 0
        self._trusted_at: float | None = None
        self._pauses = Pauses()

    @property
    def trusted(self) -> bool:
        return self.standing is Feed.TRUSTED

    def usable(self, now: float) -> bool:
        """Whether it may be read; a distrusted one gets another trial when its time has come."""
        if self.standing is Feed.DISTRUSTED and self.again_at is not None and now >= self.again_at:
            self.standing, self.again_at = Feed.TRIAL, None
            self._begin_anew()
        return self.standing in (Feed.TRIAL, Feed.TRUSTED)

    def showed_end(self, now: float) -> bool:
        """An end was in the feed as it should be. True when this makes the feed trusted."""
        self.ends += 1
        return self._judge(now)

    def swept(self, now: float) -> bool:
        """Every job was looked at since the last time, and the feed missed none. True when it becomes trusted."""
        self.sweeps += 1
        return self._judge(now)

    def read(self, *, complete: bool, why: str, now: float) -> bool:
        """A read ended. True when incomplete ones are too many and the feed is distrusted for it (`why`)."""
        self._failures = 0
        self._incomplete = 0 if complete else self._incomplete + 1
        if self._incomplete < _INCOMPLETE:
            return False
        self.distrust(why, now)
        return True

    def failed(self, why: str, now: float, *, for_good: bool) -> bool:
        """A read gave an error while other questions were answered. True when the feed is distrusted for it."""
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
    """How many jobs of a project a list may be asked about; 1 where lists by ids are of no use."""

    def __init__(self, *, on: bool) -> None:
        self.size = FULL_LIST if on else 1
        self.reason: str | None = None if on else "polling.batch is off"
        self.again_at: float | None = None
        self._on = on
        self._empty = 0
        self._failures = 0
        self._size_before: int | None = None
        """The size before an answer lacked many jobs and a cap was guessed from it; None: no such guess."""
        self._no_cap = False
        """The guess was wrong: fewer jobs in a list were lacked just as often."""
        self._good_since: float | None = None
        self._pauses = Pauses()

    def usable(self, now: float) -> int:
        """How many jobs a list may hold now; after a while what was limited gets another trial."""
        if self.again_at is not None and now >= self.again_at:
            self.size, self.again_at = FULL_LIST, None
            self._size_before, self._no_cap = None, False
            self._empty = self._failures = 0
        return self.size

    def answered(
        self, *, asked: int, found: int, missing: int, foreign: int, now: float, stale: int = 0
    ) -> str | None:
        """Note an answer about `asked` jobs that held `found` of them and `foreign` others. `missing` are those of
        the rest that no earlier answer lacked; of `stale` ones it told less than was known. Says what was learned
        against the list, None where nothing was."""
        self._failures = 0
        if stale > max(_FEW, asked * _FEW_SHARE) or stale * 2 > asked:
            return self._limit(1, "lists tell of what was known to be over", now)
        self._empty = self._empty + 1 if found == 0 and asked >= _EMPTY_FROM else 0
        many = missing > max(_FEW, asked * _FEW_SHARE)
        if (many and foreign >= missing) or (missing * 2 > asked and foreign * 2 >= missing):
            return self._limit(1, "lists take no notice of job_ids", now)
        if self._empty >= _EMPTY:
            return self._limit(1, "lists by job_ids come empty", now)
        if found and many and not self._no_cap:
            return self._guess_cap(asked, found, now)
        if self._good_since is None and found == asked:
            self._good_since = now
        if self.again_at is None and self._on:
            self.reason = None
        return None

    def refused(self, asked: int, now: float) -> str:
        """The service would not take a list of so many."""
        return self._limit(asked // 2, f"a list of {asked} job_ids is refused", now)

    def failed(self, why: str, now: float, *, for_good: bool) -> str | None:
        """A list gave an error while single queries work. Says why, when ids are given up for it."""
        self._failures += 1
        if not for_good and self._failures < _FAILURES:
            return None
        return self._limit(1, why, now)

    def _guess_cap(self, asked: int, found: int, now: float) -> str:
        """A list lacked many jobs: it may hold no more than it did. If one of so few lacks many again, they are
        missing for another reason, and lists stay as useful as they are for the others."""
        if self._size_before is None:
            self._size_before = self.size
            return self._limit(found, f"a list held {found} of {asked} jobs asked for", now)
        self.size, self._size_before, self._no_cap = self._size_before, None, True
        self.reason = "lists lack some jobs, however few are asked for"
        return self.reason

    def _limit(self, size: int, why: str, now: float) -> str:
        self.size = max(1, min(size, self.size))
        self.reason = why
        if self.again_at is None:  # a size that is found in steps is one limit
            self.again_at = self._pauses.begin(now, good_since=self._good_since)
        self._good_since = None
        self._empty = self._failures = 0
        return why
