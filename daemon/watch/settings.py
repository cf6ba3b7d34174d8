"""Settings of the watch: how jobs are chosen to be queried. Plain values from the config's `[polling]`."""

from msgspec import Struct, field

from daemon.domain.planning import Rails, Strategy


class PollingPlan(Struct, frozen=True, kw_only=True):
    """When to query. `price`: the seconds of undetected delay that a request is worth.

    `feed` and `batch`: whether the feed and lists by ids may be used at all. If so, each has to prove itself.
    """

    rails: Rails = field(default_factory=Rails)
    price: float = 1.0
    strategy: Strategy = Strategy.LEARNED
    feed: bool = True
    batch: bool = True
