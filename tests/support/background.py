"""Background work in tests: the tasks of a part, whose defects are only counted."""

from daemon.clock import Clock
from daemon.metrics import Metrics
from daemon.tasks import Defects, Tasks


def defects(clock: Clock) -> Defects:
    """Return a registry of defects without listeners."""
    return Defects(clock=clock, metrics=Metrics())


def tasks(part: str, clock: Clock) -> Tasks:
    """Return the tasks of one part."""
    return Tasks(part, defects(clock))
