"""Moving what belongs to a project or channel to another one: it was renamed, or taken out of the config.

The target is one that the config has; who calls has seen to that.
"""

from datetime import datetime

from daemon.domain.jobs import ChannelName, ProjectName
from daemon.domain.routing import Routing
from daemon.errors import UsageFault
from daemon.store import MovedDeliveries, MovedJobs, Transaction


def movable_jobs(tx: Transaction, old: ProjectName, new: ProjectName) -> MovedJobs:
    """Which jobs `move_jobs` would move. Raises UsageFault where both are the same."""
    _require_two(old, new)
    return tx.moves.jobs_of(old, new)


def move_jobs(tx: Transaction, old: ProjectName, new: ProjectName, *, at: datetime, routing: Routing) -> MovedJobs:
    """Make the jobs of `old` jobs of `new`, but for those whose id `new` has; what became of them. The end of a
    batch that comes by it is told by `routing`. Raises UsageFault where both are the same."""
    _require_two(old, new)
    return tx.moves.jobs(old, new, at=at, routing=routing)


def movable_deliveries(tx: Transaction, old: ChannelName, new: ChannelName) -> MovedDeliveries:
    """Which alerts `move_deliveries` would move. Raises UsageFault where both are the same."""
    _require_two(old, new)
    return tx.moves.deliveries_of(old, new)


def move_deliveries(
    tx: Transaction, old: ChannelName, new: ChannelName, *, at: datetime, routing: Routing
) -> MovedDeliveries:
    """Have `new` send what `old` has not sent, but for what `new` has as well; what became of it. It waits for the
    end of `new`'s own quiet hours by `routing`. Raises UsageFault where both are the same."""
    _require_two(old, new)
    return tx.moves.deliveries(old, new, at=at, routing=routing)


def _require_two(old: str, new: str) -> None:
    if old == new:
        raise UsageFault("OLD and NEW are the same; name two")
