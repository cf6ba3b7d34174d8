"""Background work in tests: a part's tasks, with nobody to hear of a defect but its count."""

from daemon.clock import Clock
from daemon.metrics import Metrics
from daemon.tasks import Defects, Tasks


def defects(clock: Clock) -> Defects:
    """Nobody hears of them."""
    return Defects(clock=clock, metrics=Metrics())


def tasks(part: str, clock: Clock) -> Tasks:
    """The tasks of one part."""
    return Tasks(part, defects(clock))
