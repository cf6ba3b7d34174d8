"""The verdict on an answer: did the job move? Pure; the store checks the result again by its schema."""

from dataclasses import dataclass
from datetime import datetime

from daemon.domain.jobs import Observation
from daemon.domain.states import is_known, is_terminal


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """The job's state is not what it was. `before` is None for the first answer."""

    before: str | None
    after: str
    observed_at: datetime
    reported_at: datetime | None

    @property
    def ends(self) -> bool:
        """Whether tracking ends with this transition."""
        return is_terminal(self.after)

    @property
    def unknown(self) -> bool:
        """Whether the new state is none that the document names."""
        return not is_known(self.after)


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The job is where it was."""


UNCHANGED = Unchanged()
Verdict = Moved | Unchanged


def judge(before: str | None, observation: Observation, *, at: datetime) -> Verdict:
    """Compare the state that is known (None: never asked) with an answer observed `at` (UTC).

    Every change is a move, a step back (requeue) and an unknown state included: the record is what the service
    said. What a move means to people is decided in `events`.
    """
    if observation.state == before:
        return UNCHANGED
    return Moved(before=before, after=observation.state, observed_at=at, reported_at=observation.reported_at)
