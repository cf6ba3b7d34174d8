"""The view of a job with everything that happened to it. Pure."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from daemon.views.actions import Act, act
from daemon.views.deliveries import Delivery, delivery
from daemon.views.jobs import Transition, transition
from daemon.views.why import Situation, why

if TYPE_CHECKING:  # SQLAlchemy is slow to import
    from collections.abc import Sequence

    from daemon.store import ActionRow, AttemptRow, DeliveryRow, TransitionRow

MOST_ACTIONS = 50
"""The latest actions on a job that are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLog:
    """The additional keys of `show --json` and of a single job in the API."""

    transitions: tuple[Transition, ...]  # every observed change of state, oldest first
    deliveries: tuple[Delivery, ...]  # every alert of the job, oldest first
    actions: tuple[Act, ...]  # the latest 50 actions on the job, oldest first


def story(
    job_id: str,
    transitions: "Sequence[TransitionRow]",
    deliveries: "Sequence[tuple[DeliveryRow, Sequence[AttemptRow]]]",
    actions: "Sequence[ActionRow]",
    at: Situation,
) -> JobLog:
    """The story of a job, of rows in the order of the keys, and of what its alerts wait for."""
    return JobLog(
        transitions=tuple(map(transition, transitions)),
        deliveries=tuple(delivery(row, tries, job_id, why=why(row, at)) for row, tries in deliveries),
        actions=tuple(map(act, actions)),
    )
