"""One job as the watch holds it in memory, and every change that may come over it.

The only module that writes a `Watched`: others read its attributes and call its methods. Never decides anything.
Pure: moments are monotonic seconds and come as arguments.
"""

from dataclasses import dataclass, field
from enum import Enum
from math import inf
from typing import TYPE_CHECKING, Literal

from daemon.domain.jobs import JobId
from daemon.domain.planning import Reason
from daemon.domain.states import State
from daemon.metastudio.kinds import Kind

if TYPE_CHECKING:
    from daemon.domain.durations import Durations, Law

AskedBy = Literal["single", "ids", "feed"]
"""How a question is asked: about one job, about chosen ones, or for whatever ended."""


class Phase(Enum):
    """What is under way about a job: a question, the storing of its move, both, or nothing. Either begins and ends
    without the other: a read of the feed may show the move of a job that nobody asks about."""

    PLANNED = "planned"
    """It waits until it is due."""
    ASKED = "asked"
    """A question about it is under way."""
    RECORDING = "recording"
    """Its move is being stored."""
    ASKED_RECORDING = "asked_recording"
    """Both: the move that an answer tells of is being stored, or the feed showed it while the job was asked."""


_PLANNED, _ASKED = Phase.PLANNED, Phase.ASKED  # looked up once: this is hot
_RECORDING, _ASKED_RECORDING = Phase.RECORDING, Phase.ASKED_RECORDING


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Watched:
    """A job that is watched. Small, since 100,000 of them are held in memory. How it is asked about next (`singly`
    or in a list) and when (`due`, for a `reason`) go with its phase."""

    job: int
    """Row id."""
    job_id: JobId
    episode: int = 1
    """How often it was tracked."""
    kind: Kind
    guessed: bool = False
    """Whether its kind is a guess, under which the service has not answered."""
    unlisted: bool = field(init=False)
    """Lists do not hold it: it is asked singly."""
    script_asked: bool = False
    length: float | None = None
    """Expected length: seconds of speech."""
    law: "Law | None" = None
    """How long jobs like it take, by `law_of`: what was learned when that was looked up."""
    law_of: "Durations | None" = None

    state: str | None
    since: float
    """When the job came into its state."""
    start: float | None = None
    """When its production began; None while it waits or where nobody knows."""
    reported: float | None = None
    """The service's time of the last update that was taken (epoch seconds)."""
    stuck_at: float = inf
    """When it will have taken much longer than jobs like it."""
    stuck_reported: bool = False

    phase: Phase = Phase.PLANNED
    due: float
    reason: Reason = Reason.FIRST
    """Why it is due then."""
    singly_next: bool = False
    """It is to be asked singly the next time."""
    expires: float
    """When wrapd gives up on the job."""
    hinted: float = -inf
    """When the latest question is due, or was, that somebody outside asked for."""
    wanted_at: float = inf
    """When it is to be asked again, whatever the answer says that is under way."""

    looked: float | None = None
    """When the last question began whose answer was taken."""
    asked_by: AskedBy | None = None
    """How the last question was asked."""
    polls: int = 0
    """Questions since the last checkpoint."""
    failures: int = 0
    """Questions in a row without an answer."""
    defects: int = 0
    """Questions in a row that ended in an error of wrapd's own."""
    missed: int = 0
    """Lists in a row that lack it."""
    missing_since: float | None = None
    """The first "not found" in a row."""
    last_error: str | None = None

    def __post_init__(self) -> None:
        self.unlisted = not self.kind.listed

    # What follows from it

    @property
    def in_flight(self) -> bool:
        """Whether a question about it is under way."""
        return self.phase is _ASKED or self.phase is _ASKED_RECORDING

    @property
    def recording(self) -> bool:
        """Whether its move is being stored."""
        return self.phase is _RECORDING or self.phase is _ASKED_RECORDING

    @property
    def singly(self) -> bool:
        """Whether it is asked about singly the next time, and not in a list."""
        return self.unlisted or self.singly_next

    @property
    def elapsed(self) -> float:
        """Seconds of production at the last answer, 0 where it had not begun."""
        if self.start is None or self.looked is None:
            return 0.0
        return max(0.0, self.looked - self.start)

    @property
    def waited(self) -> float | None:
        """Seconds for which it had waited at the last answer; None where it does not wait."""
        if self.state != State.WAITING or self.looked is None:
            return None
        return max(0.0, self.looked - self.since)

    @property
    def unstored(self) -> bool:
        """Its last question had an answer, which the store did not take."""
        return self.failures > 0 and self.last_error is None

    # What is under way

    def ask(self) -> None:
        """A question about it begins."""
        self.phase = _ASKED_RECORDING if self.recording else _ASKED

    def release(self) -> None:
        """The question is over, or was not asked after all."""
        self.phase = _RECORDING if self.recording else _PLANNED

    def begin_recording(self) -> None:
        """Its move is about to be stored: no other answer takes that a second time."""
        self.phase = _ASKED_RECORDING if self.in_flight else _RECORDING

    def end_recording(self) -> None:
        """Its move is stored, or could not be."""
        self.phase = _ASKED if self.in_flight else _PLANNED

    # When and how it is asked about next

    def plan(self, due: float, reason: Reason) -> None:
        """Have it asked about at `due`."""
        self.due, self.reason = due, reason

    def put_off(self, due: float) -> None:
        """Have it asked about at `due`, for the reason that stands."""
        self.due = due

    def bring_forward(self, latest: float) -> None:
        """Have it asked about by `latest`, if it is not due before."""
        self.due = min(self.due, latest)

    def rest_until(self, earliest: float) -> None:
        """Have it asked about no sooner than `earliest`."""
        self.due = max(self.due, earliest)

    def settle(self, due: float) -> None:
        """Be due at `due`, or sooner where somebody asked for that while it was under way."""
        if self.wanted_at != inf and not self.recording:
            if self.wanted_at < due:
                due, self.reason, self.singly_next = self.wanted_at, Reason.HINT, True
            self.wanted_at = inf
        self.due = due

    def ask_singly(self, due: float | None = None, reason: Reason | None = None) -> None:
        """Have it asked about singly the next time; `due` and `reason` stay where none is given."""
        self.singly_next = True
        self.plan(self.due if due is None else due, reason or self.reason)

    def ask_in_list(self) -> None:
        """Let lists tell of it again, where they hold it."""
        self.singly_next = False

    def set_unlisted(self, *, unlisted: bool) -> None:
        """Lists do not hold it, or do after all."""
        self.unlisted = unlisted

    def hint(self, now: float, *, pace: float) -> bool:
        """Somebody outside says that it ended. False where a question for that is still to come; else `hinted` is
        when to ask: `pace` seconds after the last one, or now."""
        if self.hinted > now:
            return False
        self.hinted = max(now, self.hinted + pace)
        return True

    def want(self, at: float) -> None:
        """Have it asked about again at `at`, once what is under way has ended."""
        self.wanted_at = min(self.wanted_at, at)

    def extend(self, seconds: float) -> None:
        """Give up on it that much later (less than 0: sooner)."""
        self.expires += seconds

    def keep_until_due(self) -> None:
        """Give up on it no sooner than it is due: what broke off, or could not be stored, may be its end."""
        self.expires = max(self.expires, self.due)

    # What came of a question

    def answered(self, began: float, by: AskedBy) -> None:
        """The answer of a question that `began` then is taken."""
        self.polls += 1
        self.looked = began
        self.asked_by = by
        self.singly_next = False
        self.missing_since = None
        self.last_error = None

    def unanswered(self, error: str, by: AskedBy) -> None:
        """A question gave no state."""
        self.polls += 1
        self.asked_by = by
        self.last_error = error

    def count_failure(self, *, failed: bool) -> None:
        """Count a question without an answer, or begin anew after one that had one."""
        self.failures = self.failures + 1 if failed else 0

    def not_stored(self) -> None:
        """The store did not take the answer."""
        self.last_error = None
        self.keep_until_due()

    def count_defect(self) -> None:
        """A question ended in an error of wrapd's own: from the second one on each is a failure."""
        self.defects += 1
        self.failures = max(self.failures, self.defects - 1)

    def clear_defects(self) -> None:
        """An answer was taken without an error of wrapd's own."""
        self.defects = 0

    def not_found(self, now: float) -> float:
        """The service does not know it. Returns since when."""
        if self.missing_since is None:
            self.missing_since = now
        return self.missing_since

    def lacked(self, now: float, *, doubtful: bool) -> None:
        """A list lacks it. It is asked singly at once; where the list is `doubtful`, in a list once more."""
        self.missed += 1
        self.singly_next = not doubtful or self.missed > 1
        self.plan(now, Reason.MISSING)

    def set_missed(self, times: int) -> None:
        """Count the lists that lack it from there on."""
        self.missed = times

    def checkpointed(self) -> None:
        """Its bookkeeping goes to the store."""
        self.polls = 0

    # What is known of it

    def enter(self, state: str, *, now: float, start: float | None) -> None:
        """Come into `state` at `now`. `start` is when production began, as far as the answer tells.

        Time for which the job was frozen is no production.
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
        """A move was taken: whether its kind is still a guess, and the service's time of it (epoch seconds; None
        where it does not tell)."""
        self.guessed = guessed
        self.reported = reported if reported is not None else self.reported

    def note_reported(self, at: float | None) -> None:
        """Keep the latest of the service's times (epoch seconds)."""
        if at is not None and (self.reported is None or at > self.reported):
            self.reported = at

    def set_guessed(self, *, guessed: bool) -> None:
        """Whether its kind is a guess."""
        self.guessed = guessed

    def learn_kind(self, kind: Kind) -> bool:
        """The service says of what kind it is. True where that is another one than was known."""
        self.guessed = False
        if kind is self.kind:
            return False
        self.kind, self.law = kind, None
        return True

    def set_length(self, seconds: float) -> None:
        """Keep its expected length."""
        self.length, self.law = seconds, None

    def keep_law(self, law: "Law", of: "Durations") -> None:
        """Keep how long jobs like it take, by what was learned."""
        self.law, self.law_of = law, of

    def set_script_asked(self, *, asked: bool) -> None:
        """Whether its script was asked for, for good or ill."""
        self.script_asked = asked

    def foresee_stuck(self, at: float) -> None:
        """When it will have taken much longer than jobs like it."""
        self.stuck_at = at

    def report_stuck(self, *, reported: bool) -> None:
        """Whether people heard that it is stuck."""
        self.stuck_reported = reported
