"""Everything that is shown: one frozen value for each resource, declared once. `--json`, the API and docs/cli.md
are made from these. Must never read anything: rows come in, values go out.
"""

from daemon.views.batches import WAYS, Batch, batch
from daemon.views.deliveries import Attempt, Delivery, attempt, delivery
from daemon.views.document import document
from daemon.views.jobs import Job, Remaining, Transition, is_orphaned, job, kept, link_end, remaining, transition
from daemon.views.tracked import Tracked, tracked

__all__ = [
    "WAYS",
    "Attempt",
    "Batch",
    "Delivery",
    "Job",
    "Remaining",
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
    "tracked",
    "transition",
]
