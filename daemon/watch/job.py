"""One job as the watch holds it in memory, and every change that can happen to it.

The only module that writes a `Watched`: others read its attributes and call its methods. Makes no decisions.
Pure: moments are monotonic seconds, passed in as arguments.
"""

from dataclasses import dataclass, field
from enum import Enum
from math import inf
from typing import Literal

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


_PLANNED, _ASKED = Phase.PLANNED, Phase.ASKED  # looked up once, for the hot path
_RECORDING, _ASKED_RECORDING = Phase.RECORDING, Phase.ASKED_RECORDING


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Watched:
    """A job that is watched. Kept small, since 100,000 of them and more are held in memory. How it is queried next
    (`singly` or in a list), when (`due`) and why (`reason`) change together with its phase."""

    job: int
    """Row id."""
    job_id: JobId
    episode: int = 1
    """Which tracking of the job this is, counting from 1."""
    kind: Kind
    guessed: bool = False
    """Whether its kind is a guess that no answer has confirmed."""
    unlisted: bool = field(init=False)
    """Whether lists do not hold it, so that it is queried singly."""
    script_asked: bool = False
    length: float | None = None
    """Expected length: seconds of speech."""

    state: str | None
    since: float
    """When the job entered its state."""
    start: float | None = None
    """When its production began; None while it waits or where that is unknown."""
    reported: float | None = None
    """The service's time of the latest update that was taken (epoch seconds)."""
    stuck_at: float = inf
    """When it will have taken much longer than similar jobs."""
    stuck_reported: bool = False

    phase: Phase = Phase.PLANNED
    due: float
    reason: Reason = Reason.FIRST
    """Why it is due at that time."""
    singly_next: bool = False
    """Whether its next query must be a single one."""
    expires: float
    """When wrapd gives up on it."""
    hinted: float = -inf
    """When the latest query requested from outside (a callback) is or was due."""
    wanted_at: float = inf
    """When to query it again whatever the answer now under way says."""

    looked: float | None = None
    """When the last query began whose answer was taken."""
    asked_by: AskedBy | None = None
    """How the last query was made."""
    polls: int = 0
    """Queries since the last checkpoint."""
    failures: int = 0
    """Consecutive queries without an answer."""
    defects: int = 0
    """Consecutive queries that ended in an internal error of wrapd."""
    missed: int = 0
    """Consecutive lists that lack it."""
    missing_since: float | None = None
    """The first of the current run of "not found" answers."""
    last_error: str | None = None

    def __post_init__(self) -> None:
        self.unlisted = not self.kind.listed

    # Derived from the fields

    @property
    def in_flight(self) -> bool:
        """Whether a query about it is under way."""
        return self.phase is _ASKED or self.phase is _ASKED_RECORDING

    @property
    def recording(self) -> bool:
        """Whether its move is being stored."""
        return self.phase is _RECORDING or self.phase is _ASKED_RECORDING

    @property
    def singly(self) -> bool:
        """Whether its next query is a single one rather than a list."""
        return self.unlisted or self.singly_next

    @property
    def elapsed(self) -> float:
        """Seconds of production at the last answer; 0 where it had not begun."""
        if self.start is None or self.looked is None:
            return 0.0
        return max(0.0, self.looked - self.start)

    @property
    def waited(self) -> float | None:
        """Seconds it had waited at the last answer; None where it is not waiting."""
        if self.state != State.WAITING or self.looked is None:
            return None
        return max(0.0, self.looked - self.since)

    @property
    def unstored(self) -> bool:
        """Whether its last query was answered but the store did not take the answer."""
        return self.failures > 0 and self.last_error is None

    # What is under way

    def ask(self) -> None:
        """A query about it begins."""
        self.phase = _ASKED_RECORDING if self.recording else _ASKED

    def release(self) -> None:
        """Its query has ended, or was not sent after all."""
        self.phase = _RECORDING if self.recording else _PLANNED

    def begin_recording(self) -> None:
        """Its move is about to be stored. Other answers skip the job until then, so none is stored twice."""
        self.phase = _ASKED_RECORDING if self.in_flight else _RECORDING

    def end_recording(self) -> None:
        """Its move was stored, or failed to be."""
        self.phase = _ASKED if self.in_flight else _PLANNED

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
        if self.wanted_at != inf and not self.recording:
            if self.wanted_at < due:
                due, self.reason, self.singly_next = self.wanted_at, Reason.HINT, True
            self.wanted_at = inf
        self.due = due

    def ask_singly(self, due: float | None = None, reason: Reason | None = None) -> None:
        """Make its next query a single one. `due` and `reason` stay unchanged where none is given."""
        self.singly_next = True
        self.plan(self.due if due is None else due, reason or self.reason)

    def ask_in_list(self) -> None:
        """Allow list queries about it again, if lists hold it."""
        self.singly_next = False

    def set_unlisted(self, *, unlisted: bool) -> None:
        """Set whether lists do not hold it."""
        self.unlisted = unlisted

    def hint(self, now: float, *, pace: float) -> bool:
        """Note a hint from outside that it has ended. Returns False while a query for an earlier hint is still to
        come. Otherwise `hinted` becomes the time to query: now, but at least `pace` seconds after the last one."""
        if self.hinted > now:
            return False
        self.hinted = max(now, self.hinted + pace)
        return True

    def want(self, at: float) -> None:
        """Request another query at `at`, once the current one has ended."""
        self.wanted_at = min(self.wanted_at, at)

    def extend(self, seconds: float) -> None:
        """Move the time of giving up on it by so many seconds (negative: earlier)."""
        self.expires += seconds

    def keep_until_due(self) -> None:
        """Do not give up on it before it is due: the query that broke off or was not stored may carry its end."""
        self.expires = max(self.expires, self.due)

    # What a query returned

    def answered(self, began: float, by: AskedBy) -> None:
        """Note that the answer of a query that began at `began` was taken."""
        self.polls += 1
        self.looked = began
        self.asked_by = by
        self.singly_next = False
        self.missing_since = None
        self.last_error = None

    def unanswered(self, error: str, by: AskedBy) -> None:
        """Note a query that returned no state."""
        self.polls += 1
        self.asked_by = by
        self.last_error = error

    def count_failure(self, *, failed: bool) -> None:
        """Count a query without an answer, or reset the count after one with an answer."""
        self.failures = self.failures + 1 if failed else 0

    def not_stored(self) -> None:
        """Note that the store did not take the answer."""
        self.last_error = None
        self.keep_until_due()

    def count_defect(self) -> None:
        """Count a query that ended in an internal error. From the second in a row on they are failures too."""
        self.defects += 1
        self.failures = max(self.failures, self.defects - 1)

    def clear_defects(self) -> None:
        """Note an answer that was taken without an internal error."""
        self.defects = 0

    def not_found(self, now: float) -> float:
        """Note that the service does not know it. Returns when the current run of such answers began."""
        if self.missing_since is None:
            self.missing_since = now
        return self.missing_since

    def lacked(self, now: float, *, doubtful: bool) -> None:
        """Note that a list lacks it. Due now, singly; if the list is `doubtful`, at first in a list once more."""
        self.missed += 1
        self.singly_next = not doubtful or self.missed > 1
        self.plan(now, Reason.MISSING)

    def set_missed(self, times: int) -> None:
        """Set the count of consecutive lists that lack it."""
        self.missed = times

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
        self.stuck_at = inf
        self.state = state
        self.since = now

    def confirm(self, *, guessed: bool, reported: float | None) -> None:
        """Note that a move was taken: whether its kind is still a guess, and the service's time of the move (epoch
        seconds; None where not given)."""
        self.guessed = guessed
        self.reported = reported if reported is not None else self.reported

    def note_reported(self, at: float | None) -> None:
        """Keep the later of the known and this time of the service (epoch seconds)."""
        if at is not None and (self.reported is None or at > self.reported):
            self.reported = at

    def set_guessed(self, *, guessed: bool) -> None:
        """Set whether its kind is a guess."""
        self.guessed = guessed

    def learn_kind(self, kind: Kind) -> bool:
        """Set the kind that the service reports. Returns whether it differs from the known one."""
        self.guessed = False
        if kind is self.kind:
            return False
        self.kind = kind
        return True

    def set_length(self, seconds: float) -> None:
        """Set its expected length."""
        self.length = seconds

    def set_script_asked(self, *, asked: bool) -> None:
        """Set whether its script was requested, successfully or not."""
        self.script_asked = asked

    def foresee_stuck(self, at: float) -> None:
        """Set when it will have taken much longer than similar jobs."""
        self.stuck_at = at

    def report_stuck(self, *, reported: bool) -> None:
        """Set whether people were notified that it is stuck."""
        self.stuck_reported = reported
