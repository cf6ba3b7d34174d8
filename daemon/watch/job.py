"""One job as the watch holds it in memory, and every change that can happen to it.

The only module that writes a `Watched`: others read its attributes and call its methods. Makes no decisions.
Pure: moments are monotonic seconds, passed in as arguments.
"""

from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import Literal

from msgspec import Struct

from daemon.domain.jobs import JobId
from daemon.domain.planning import Reason
from daemon.domain.states import State
from daemon.metastudio.kinds import Kind

AskedBy = Literal["single", "ids", "feed"]
"""How a job was queried: alone, in a list by ids, or through the feed of ended jobs."""


class Phase(Enum):
    """What is under way for a job: a query, the storing of its move, both, or nothing. The two are independent: a
    read of the feed can show the move of a job that is not being queried."""

    PLANNED = "planned"
    """Nothing: it waits until it is due."""
    ASKED = "asked"
    """A query about it is under way."""
    RECORDING = "recording"
    """Its move is being stored."""
    ASKED_RECORDING = "asked_recording"
    """Both: an answer's move is being stored, or the feed showed one while the job was queried."""


_FIRST, _WAITING = Reason.FIRST, State.WAITING  # looked up once, for the hot path
_UNLISTED, _SINGLY_NEXT, _GUESSED, _SCRIPT_ASKED, _STUCK, _STUCK_REPORTED, _ASKED, _RECORDING = (
    1 << bit for bit in range(8)
)  # no more: Python shares one object for each number up to 256 only
_GONE = 1 << 8  # of jobs that are not watched any more, so that what it costs is of no account
_SINGLY = _UNLISTED | _SINGLY_NEXT
_PHASES = {
    0: Phase.PLANNED,
    _ASKED: Phase.ASKED,
    _RECORDING: Phase.RECORDING,
    _ASKED | _RECORDING: Phase.ASKED_RECORDING,
}


_CUT = 2.0 ** (53 - 8) + 1
"""Veltkamp's factor: leaves 8 of the 53 bits of a number."""
_LENGTHS: dict[float, float] = {}
"""The lengths of all jobs: some thousands at most, by `rounded`."""


def rounded(length: float | None) -> float | None:
    """Return a length to within 0.4 %, one number for all jobs that have it: 32 bytes less for each. Laws are
    coarser."""
    if length is None:
        return None
    cut = length * _CUT
    length = cut - (cut - length)  # the difference loses all but the first 8 bits
    return _LENGTHS.setdefault(length, length) if length == length else None  # noqa: PLR0124 - infinite, or none


@dataclass(slots=True)
class _Rare:
    """What few jobs have. Kept aside, so that the others do not pay a slot for each."""

    episode: int = 1
    failures: int = 0
    hinted: float = -inf
    wanted_at: float = inf
    defects: int = 0
    missed: int = 0
    missing_since: float | None = None
    last_error: str | None = None


_NOTHING_RARE = _Rare()
"""Shared by all jobs without any of it. Never written."""


def flags_of(kind: Kind, *, guessed: bool = False) -> int:
    """The flags of a new job: whether lists hold its kind, and whether that is a guess."""
    return (0 if kind.listed else _UNLISTED) | (_GUESSED if guessed else 0)


class Watched(Struct, eq=False, gc=False):
    """A job that is watched. Kept small, since 100,000 of them and more are held in memory: no references that
    could be looked up, flags in one number, rare values aside, and nothing in it for the cyclic collector, since
    no job is part of a cycle. How it is queried next (`singly` or in a list), when (`due`) and why (`reason`)
    change together with its phase."""

    job: int
    """Row id."""
    job_id: JobId
    kind: Kind
    state: str | None
    since: float
    """When the job entered its state."""
    due: float
    expires: float
    """When wrapd gives up on it."""
    length: float | None = None
    """Expected length: seconds of speech, as `rounded` has it."""
    start: float | None = None
    """When its production began; None while it waits or where that is unknown."""
    reported: float | None = None
    """The service's time of the latest update that was taken (epoch seconds)."""
    _flags: int = 0
    """At first `flags_of` its kind."""
    _rare: _Rare = _NOTHING_RARE
    reason: Reason = _FIRST
    """Why it is due at that time."""
    looked: float | None = None
    """When the last query began whose answer was taken."""
    asked_by: AskedBy | None = None
    """How the last query was made."""
    polls: int = 0
    """Queries since the last checkpoint."""

    def _flag(self, flag: int, on: bool) -> None:
        self._flags = self._flags | flag if on else self._flags & ~flag

    def _aside(self) -> _Rare:
        """Return its own rare values, to be written."""
        if self._rare is _NOTHING_RARE:
            self._rare = _Rare()
        return self._rare

    # Flags and rare values

    @property
    def plain(self) -> bool:
        """Whether it has no rare values: no failures, no defects, no hints, no lists that lack it."""
        return self._rare is _NOTHING_RARE

    @property
    def unlisted(self) -> bool:
        """Whether lists do not hold it, so that it is queried singly."""
        return self._flags & _UNLISTED != 0

    @property
    def singly_next(self) -> bool:
        """Whether its next query must be a single one."""
        return self._flags & _SINGLY_NEXT != 0

    @property
    def guessed(self) -> bool:
        """Whether its kind is a guess that no answer has confirmed."""
        return self._flags & _GUESSED != 0

    @property
    def script_asked(self) -> bool:
        """Whether its script was requested, successfully or not."""
        return self._flags & _SCRIPT_ASKED != 0

    @property
    def stuck(self) -> bool:
        """Whether it has taken much longer than similar jobs."""
        return self._flags & _STUCK != 0

    @property
    def stuck_reported(self) -> bool:
        """Whether people were notified of that."""
        return self._flags & _STUCK_REPORTED != 0

    @property
    def episode(self) -> int:
        """Which tracking of the job this is, counting from 1."""
        return self._rare.episode

    @property
    def failures(self) -> int:
        """Consecutive queries without an answer."""
        return self._rare.failures

    @property
    def hinted(self) -> float:
        """When the latest query requested from outside (a callback) is or was due."""
        return self._rare.hinted

    @property
    def wanted_at(self) -> float:
        """When to query it again whatever the answer now under way says."""
        return self._rare.wanted_at

    @property
    def defects(self) -> int:
        """Consecutive queries that ended in an internal error of wrapd."""
        return self._rare.defects

    @property
    def missed(self) -> int:
        """Consecutive lists that lack it."""
        return self._rare.missed

    @property
    def missing_since(self) -> float | None:
        """The first of the current run of "not found" answers."""
        return self._rare.missing_since

    @property
    def last_error(self) -> str | None:
        """What the last query met."""
        return self._rare.last_error

    # Derived values

    @property
    def phase(self) -> Phase:
        """What is under way for it."""
        return _PHASES[self._flags & (_ASKED | _RECORDING)]

    @property
    def in_flight(self) -> bool:
        """Whether a query about it is under way."""
        return self._flags & _ASKED != 0

    @property
    def recording(self) -> bool:
        """Whether its move is being stored."""
        return self._flags & _RECORDING != 0

    @property
    def gone(self) -> bool:
        """Whether it is not watched any more."""
        return self._flags & _GONE != 0

    @property
    def singly(self) -> bool:
        """Whether its next query is a single one rather than a list."""
        return self._flags & _SINGLY != 0

    def awaits(self, *, singly: bool) -> bool:
        """Whether nothing is under way for it, and its next query is a single one or not as given."""
        flags = self._flags
        return not flags & (_ASKED | _RECORDING) and (flags & _SINGLY != 0) == singly

    @property
    def elapsed(self) -> float:
        """Seconds of production at the last answer; 0 where it had not begun."""
        if self.start is None or self.looked is None:
            return 0.0
        return max(0.0, self.looked - self.start)

    @property
    def waited(self) -> float | None:
        """Seconds it had waited at the last answer; None where it is not waiting."""
        if self.state != _WAITING or self.looked is None:
            return None
        return max(0.0, self.looked - self.since)

    @property
    def unstored(self) -> bool:
        """Whether its last query was answered but the store did not take the answer."""
        return self.failures > 0 and self.last_error is None

    # What is under way

    def ask(self) -> None:
        """A query about it begins."""
        self._flags |= _ASKED

    def release(self) -> None:
        """Its query has ended, or was not sent after all."""
        self._flags &= ~_ASKED

    def begin_recording(self) -> None:
        """Its move is about to be stored. Other answers skip the job until then, so none is stored twice."""
        self._flags |= _RECORDING

    def end_recording(self) -> None:
        """Its move was stored, or failed to be."""
        self._flags &= ~_RECORDING

    def set_gone(self, *, gone: bool) -> None:
        """Set whether it is not watched any more."""
        self._flag(_GONE, gone)

    # When and how it is queried next

    def plan(self, due: float, reason: Reason) -> None:
        """Plan its next query at `due`."""
        self.due, self.reason = due, reason

    def put_off(self, due: float) -> None:
        """Plan its next query at `due`, for the same reason as before."""
        self.due = due

    def bring_forward(self, latest: float) -> None:
        """Make it due at `latest` unless it is due earlier."""
        self.due = min(self.due, latest)

    def rest_until(self, earliest: float) -> None:
        """Make it due no earlier than `earliest`."""
        self.due = max(self.due, earliest)

    def settle(self, due: float) -> None:
        """Make it due at `due`, or earlier where `want` requested that while a query was under way."""
        wanted = self._rare.wanted_at
        if wanted != inf and not self.recording:
            if wanted < due:
                due, self.reason = wanted, Reason.HINT
                self._flag(_SINGLY_NEXT, True)
            self._aside().wanted_at = inf
        self.due = due

    def ask_singly(self, due: float | None = None, reason: Reason | None = None) -> None:
        """Make its next query a single one. `due` and `reason` stay unchanged where none is given."""
        self._flag(_SINGLY_NEXT, True)
        self.plan(self.due if due is None else due, reason or self.reason)

    def ask_in_list(self) -> None:
        """Allow list queries about it again, if lists hold it."""
        self._flag(_SINGLY_NEXT, False)

    def set_unlisted(self, *, unlisted: bool) -> None:
        """Set whether lists do not hold it."""
        self._flag(_UNLISTED, unlisted)

    def hint(self, now: float, *, pace: float) -> bool:
        """Note a hint from outside that it has ended. Returns False while a query for an earlier hint is still to
        come. Otherwise `hinted` becomes the time to query: now, but at least `pace` seconds after the last one."""
        if self.hinted > now:
            return False
        self._aside().hinted = max(now, self.hinted + pace)
        return True

    def want(self, at: float) -> None:
        """Request another query at `at`, once the current one has ended."""
        self._aside().wanted_at = min(self.wanted_at, at)

    def extend(self, seconds: float) -> None:
        """Move the time of giving up on it by so many seconds (negative: earlier)."""
        self.expires += seconds

    def resume(self, paused: float) -> None:
        """Do not count the `paused` seconds in which its project was not asked."""
        self.expires += paused
        if self.missing_since is not None:
            self._rare.missing_since = self.missing_since + paused

    def keep_until_due(self) -> None:
        """Do not give up on it before it is due: the query that broke off or was not stored may carry its end."""
        self.expires = max(self.expires, self.due)

    # What a query returned

    def answered(self, began: float, by: AskedBy) -> None:
        """Note that the answer of a query that began at `began` was taken."""
        self.polls += 1
        self.looked = began
        self.asked_by = by
        self._flags &= ~_SINGLY_NEXT
        if self._rare is not _NOTHING_RARE:
            self._rare.missing_since = self._rare.last_error = None
            if self._rare == _NOTHING_RARE:  # an outage gave every job an error: it does not cost memory for good
                self._rare = _NOTHING_RARE

    def unanswered(self, error: str, by: AskedBy) -> None:
        """Note a query that returned no state."""
        self.polls += 1
        self.asked_by = by
        self._aside().last_error = error

    def count_failure(self, *, failed: bool) -> None:
        """Count a query without an answer, or reset the count after one with an answer."""
        if failed or self._rare.failures:
            self._aside().failures = self._rare.failures + 1 if failed else 0

    def not_stored(self) -> None:
        """Note that the store did not take the answer."""
        self._aside().last_error = None
        self.keep_until_due()

    def count_defect(self) -> None:
        """Count a query that ended in an internal error. From the second in a row on they are failures too."""
        rare = self._aside()
        rare.defects += 1
        rare.failures = max(rare.failures, rare.defects - 1)

    def clear_defects(self) -> None:
        """Note an answer that was taken without an internal error."""
        if self._rare.defects:
            self._rare.defects = 0

    def not_found(self, now: float) -> float:
        """Note that the service does not know it. Returns when the current run of such answers began."""
        rare = self._aside()
        if rare.missing_since is None:
            rare.missing_since = now
        return rare.missing_since

    def lacked(self, now: float, *, doubtful: bool) -> None:
        """Note that a list lacks it. Due now, singly; if the list is `doubtful`, at first in a list once more."""
        self._aside().missed += 1
        self._flag(_SINGLY_NEXT, not doubtful or self.missed > 1)
        self.plan(now, Reason.MISSING)

    def set_missed(self, times: int) -> None:
        """Set the count of consecutive lists that lack it."""
        if times != self._rare.missed:
            self._aside().missed = times

    def checkpointed(self) -> None:
        """Note that its bookkeeping goes to the store."""
        self.polls = 0

    # What is known of it

    def enter(self, state: str, *, now: float, start: float | None) -> None:
        """Enter `state` at `now`. `start` is when production began, as far as the answer says.

        Time during which the job was frozen does not count as production.
        """
        if state == State.PROCESSING:
            if self.state == State.BLOCK and self.start is not None:
                start = self.start + (now - self.since)
            self.start = start
        elif state != State.BLOCK:
            self.start = None
        self._flag(_STUCK, False)
        self.state = state
        self.since = now

    def confirm(self, *, guessed: bool, reported: float | None) -> None:
        """Note that a move was taken: whether its kind is still a guess, and the service's time of the move (epoch
        seconds; None where not given)."""
        self._flag(_GUESSED, guessed)
        self.reported = reported if reported is not None else self.reported

    def note_reported(self, at: float | None) -> None:
        """Keep the later of the known and this time of the service (epoch seconds)."""
        if at is not None and (self.reported is None or at > self.reported):
            self.reported = at

    def set_guessed(self, *, guessed: bool) -> None:
        """Set whether its kind is a guess."""
        self._flag(_GUESSED, guessed)

    def set_episode(self, episode: int) -> None:
        """Set which of its spans of tracking this is, from 1."""
        if episode != self._rare.episode:
            self._aside().episode = episode

    def learn_kind(self, kind: Kind) -> bool:
        """Set the kind that the service reports. Returns whether it differs from the known one."""
        self._flag(_GUESSED, False)
        if kind is self.kind:
            return False
        self.kind = kind
        return True

    def set_length(self, seconds: float) -> None:
        """Set its expected length."""
        self.length = rounded(seconds)

    def set_script_asked(self, *, asked: bool) -> None:
        """Set whether its script was requested, successfully or not."""
        self._flag(_SCRIPT_ASKED, asked)

    def set_stuck(self, *, stuck: bool) -> None:
        """Set whether it has taken much longer than similar jobs."""
        self._flag(_STUCK, stuck)

    def report_stuck(self, *, reported: bool) -> None:
        """Set whether people were notified that it is stuck."""
        self._flag(_STUCK_REPORTED, reported)
