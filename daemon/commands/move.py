"""Moves jobs to another project and alerts to another channel, after one was renamed in or removed from the
config. Callers ensure that the target is in the config."""

from datetime import datetime

from daemon.domain.actions import Action, Actor
from daemon.domain.jobs import ChannelName, ProjectName
from daemon.domain.routing import Routing
from daemon.errors import UsageFault
from daemon.store import MovedDeliveries, MovedJobs, Transaction


def movable_jobs(tx: Transaction, old: ProjectName, new: ProjectName) -> MovedJobs:
    """The jobs that `move_jobs` would move. Raises UsageFault if both projects are the same."""
    _require_two(old, new)
    return tx.moves.jobs_of(old, new)


def move_jobs(
    tx: Transaction, old: ProjectName, new: ProjectName, *, at: datetime, routing: Routing, who: Actor
) -> MovedJobs:
    """Move the jobs of `old` to `new`, except those whose id `new` has. `routing` applies to the end of a batch
    caused by this. Raises UsageFault if both projects are the same."""
    _require_two(old, new)
    moved = tx.moves.jobs(old, new, at=at, routing=routing)
    tx.actions.note(Action.MOVE, who=who, at=at, project=old, count=moved.moved, details={"to": new})
    return moved


def movable_deliveries(tx: Transaction, old: ChannelName, new: ChannelName) -> MovedDeliveries:
    """The alerts that `move_deliveries` would move. Raises UsageFault if both channels are the same."""
    _require_two(old, new)
    return tx.moves.deliveries_of(old, new)


def move_deliveries(
    tx: Transaction, old: ChannelName, new: ChannelName, *, at: datetime, routing: Routing, who: Actor
) -> MovedDeliveries:
    """Move the unsent alerts of `old` to `new`, except those that `new` has too. They wait for the end of `new`'s
    own quiet hours in `routing`. Raises UsageFault if both channels are the same."""
    _require_two(old, new)
    moved = tx.moves.deliveries(old, new, at=at, routing=routing)
    tx.actions.note(Action.MOVE, who=who, at=at, subject=old, count=moved.moved, details={"to": new})
    return moved


def _require_two(old: str, new: str) -> None:
    if old == new:
        raise UsageFault("OLD and NEW are the same; give two different names")
