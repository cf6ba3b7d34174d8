"""What the watch is told: how jobs are chosen to be asked about. Plain values, from the config's `[polling]`."""

from dataclasses import dataclass, field

from daemon.domain.planning import Rails, Strategy


@dataclass(frozen=True, slots=True, kw_only=True)
class PollingPlan:
    """When to ask. `price` is how many seconds of undetected delay a request is worth.

    `feed` and `batch` say whether lists may be used at all; where they may, each is proven while it runs.
    """

    rails: Rails = field(default_factory=Rails)
    price: float = 1.0
    strategy: Strategy = Strategy.LEARNED
    feed: bool = True
    batch: bool = True
