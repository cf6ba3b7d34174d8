"""Everything that is shown: one frozen value for each resource, declared once. `--json`, the API and docs/cli.md
are made from these. Must never read anything: rows come in, values go out.
"""

from daemon.views.batches import WAYS, Batch, batch
from daemon.views.deliveries import Attempt, Delivery, attempt, delivery, resent_from
from daemon.views.document import document
from daemon.views.jobs import (
    Job,
    Remaining,
    Tracked,
    Transition,
    is_orphaned,
    job,
    kept,
    link_end,
    remaining,
    tracked,
    transition,
)
from daemon.views.why import Situation, why

__all__ = [
    "WAYS",
    "Attempt",
    "Batch",
    "Delivery",
    "Job",
    "Remaining",
    "Situation",
    "Tracked",
    "Transition",
    "attempt",
    "batch",
    "delivery",
    "document",
    "is_orphaned",
    "job",
    "kept",
    "link_end",
    "remaining",
    "resent_from",
    "tracked",
    "transition",
    "why",
]
