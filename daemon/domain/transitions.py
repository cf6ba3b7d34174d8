"""Detection of state changes in answers. The store's schema checks the result again."""

from dataclasses import dataclass
from datetime import datetime

from daemon.domain.jobs import Observation
from daemon.domain.states import is_known, is_terminal


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """The job's state changed. `before` is None for the first answer."""

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
        """Whether the new state is undocumented."""
        return not is_known(self.after)


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The job's state did not change."""


UNCHANGED = Unchanged()
Verdict = Moved | Unchanged


def judge(before: str | None, observation: Observation, *, at: datetime) -> Verdict:
    """Compare the known state (None: no answer yet) with an answer observed `at` (UTC).

    Every change counts, including a step back (requeue) and an unknown state: the record follows the service.
    `events` decides what a move means to people.
    """
    if observation.state == before:
        return UNCHANGED
    return Moved(before=before, after=observation.state, observed_at=at, reported_at=observation.reported_at)
