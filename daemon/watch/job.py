"""One job as the watch holds it in memory, and all that may change of it. Pure: moments come as arguments."""

from math import inf
from typing import TYPE_CHECKING

from daemon.domain.jobs import JobId
from daemon.domain.planning import Reason
from daemon.domain.states import State
from daemon.metastudio.kinds import Kind

if TYPE_CHECKING:
    from daemon.domain.durations import Durations, Law

_NEVER = -inf


class Watched:
    """A job as the poller sees it. Small: 100,000 of them are held in memory. Moments are monotonic seconds."""

    __slots__ = (
        "alone",
        "asked_by",
        "defects",
        "due",
        "episode",
        "expires",
        "failures",
        "guessed",
        "hinted",
        "in_flight",
        "job",
        "job_id",
        "kind",
        "last_error",
        "law",
        "law_of",
        "length",
        "looked",
        "looks",
        "missed",
        "missing_since",
        "once",
        "reason",
        "recording",
        "reported",
        "script_asked",
        "since",
        "start",
        "state",
        "stuck_at",
        "told_stuck",
        "wanted_at",
    )

    def __init__(
        self, *, job: int, job_id: JobId, kind: Kind, state: str | None, since: float, expires: float, due: float
    ) -> None:
        self.job = job
        """Row id."""
        self.job_id = job_id
        self.kind = kind
        self.episode, self.guessed = 1, False
        """How often it was tracked; whether its kind is a guess, under which the service has not answered."""
        self.state = state
        self.since = since
        """When the job came into its state."""
        self.start: float | None = None
        """When its production began; None while it waits or where nobody knows."""
        self.expires = expires
        """When wrapd gives up on the job."""
        self.due = due
        self.reason = Reason.FIRST
        """Why it is due then."""
        self.looked: float | None = None
        """When the last question began whose answer was taken."""
        self.asked_by: str | None = None
        """What that question was: `single`, `ids` or `feed`."""
        self.reported: float | None = None
        """The service's time of the last update that was taken (epoch seconds)."""
        self.length: float | None = None
        """Expected length: seconds of speech."""
        self.law: Law | None = None
        """How long jobs like it take, by `law_of`: what was learned when that was looked up."""
        self.law_of: Durations | None = None
        self.script_asked = False
        self.alone = not kind.listed
        """Lists do not hold it: it is asked singly."""
        self.once = False
        """It is to be asked singly the next time."""
        self.failures = self.defects = self.missed = 0
        """In a row: looks without an answer, those that ended in an error of wrapd's own, lists that lack it."""
        self.missing_since: float | None = None
        """The first "not found" in a row."""
        self.in_flight = False
        """A question about it is under way."""
        self.recording = False
        """Its move is being stored."""
        self.looks = 0
        """Looks since the last checkpoint."""
        self.stuck_at = inf
        """When it will have taken much longer than jobs like it."""
        self.told_stuck = False
        self.last_error: str | None = None
        self.hinted = _NEVER
        """When the latest look is due, or was, that somebody outside asked for."""
        self.wanted_at = inf
        """When it is to be asked again, whatever the answer says that is under way."""

    @property
    def elapsed(self) -> float:
        """Seconds of production at the last look, 0 where it had not begun."""
        if self.start is None or self.looked is None:
            return 0.0
        return max(0.0, self.looked - self.start)

    @property
    def waited(self) -> float | None:
        """Seconds for which it had waited at the last look; None where it does not wait."""
        if self.state != State.WAITING or self.looked is None:
            return None
        return max(0.0, self.looked - self.since)

    @property
    def unstored(self) -> bool:
        """Its last look had an answer, which the store did not take."""
        return self.failures > 0 and self.last_error is None

    def note_reported(self, at: float | None) -> None:
        """Keep the latest of the service's times (epoch seconds)."""
        if at is not None and (self.reported is None or at > self.reported):
            self.reported = at

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
