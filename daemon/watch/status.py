"""The state of a project's watch, as stored for commands and shown as metrics. Makes no decisions."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from daemon.domain.events import Json
from daemon.watch.poller import Poller


def status_of(poller: Poller, *, now: float, wall: datetime) -> Mapping[str, Json]:
    """Return the facts of one project as of `now` (monotonic seconds) and `wall` (UTC). Also sets its gauges."""
    feed, id_lists, planner = poller.feed.trust, poller.id_lists.trust, poller.planner
    budget, metrics = poller.context.client.budget, poller.context.metrics
    metrics.feed_trusted.labels(poller.project).set(feed.trusted)
    metrics.batch_size.labels(poller.project).set(planner.list_size)
    metrics.price.labels(poller.project).set(planner.price)
    metrics.request_rate.labels(poller.project).set(budget.current_rate(now))
    again = None if feed.again_at is None else wall + timedelta(seconds=feed.again_at - now)
    return {
        "feed": feed.standing,
        "feed_reason": feed.reason,
        "feed_again_at": None if again is None else again.isoformat(),
        "feed_carries_news": poller.feed.carries_news,
        "batch": "auto" if planner.plan.batch else "off",
        "batch_size": planner.list_size,
        "batch_reason": id_lists.reason,
        "price": planner.plan.price,
        "pressure": round(planner.pressure, 3),
        "net_interval": planner.net_interval,
        "rate": round(budget.current_rate(now), 3),
        "usage": round(budget.usage(now), 3),
        "jobs": len(poller.agenda),
        "late_seconds": round(poller.late, 1),
        "up": not poller.health.down,
    }
