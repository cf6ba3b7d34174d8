"""The representation of every resource: one frozen class each, from which `--json`, the API and docs/cli.md are
made. Converts rows to values and reads nothing itself. Keys may be added, but not removed or changed in meaning.
"""

from collections.abc import Collection
from dataclasses import fields, is_dataclass

from daemon.views.actions import Act, act
from daemon.views.batches import WAYS, Batch, batch
from daemon.views.channels import ChannelFacts, ListedChannel, channel, quiet_hours
from daemon.views.deliveries import Attempt, Delivery, attempt, delivery, resent_from
from daemon.views.followed import Conclusion, Followed, JobEnd, ends_of, followed, followed_of, rank, status_of
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
from daemon.views.mutes import Mute, mute
from daemon.views.needs import Need, Needs, needs
from daemon.views.outlook import BatchOutlook, Outlook, in_production, key_of, last_of, outlook, overdue
from daemon.views.pauses import Paused, paused
from daemon.views.stats import Day, Produced, Stats, stats
from daemon.views.story import MOST_ACTIONS, JobLog, story
from daemon.views.tokens import Token, token
from daemon.views.why import Situation, muted, why

__all__ = [
    "MOST_ACTIONS",
    "WAYS",
    "Act",
    "Attempt",
    "Batch",
    "BatchOutlook",
    "ChannelFacts",
    "Conclusion",
    "Day",
    "Delivery",
    "Followed",
    "Job",
    "JobEnd",
    "JobLog",
    "ListedChannel",
    "Mute",
    "Need",
    "Needs",
    "Outlook",
    "Paused",
    "Produced",
    "Remaining",
    "Situation",
    "Stats",
    "Token",
    "Tracked",
    "Transition",
    "act",
    "attempt",
    "batch",
    "channel",
    "delivery",
    "document",
    "ends_of",
    "followed",
    "followed_of",
    "in_production",
    "is_orphaned",
    "job",
    "kept",
    "key_of",
    "last_of",
    "link_end",
    "mute",
    "muted",
    "needs",
    "outlook",
    "overdue",
    "paused",
    "quiet_hours",
    "rank",
    "remaining",
    "resent_from",
    "stats",
    "status_of",
    "story",
    "token",
    "tracked",
    "transition",
    "why",
]


def document(view: object, *, without: Collection[str] = ()) -> dict[str, object]:
    """The keys and values of a view in order, including nested views. A trailing underscore of a field name, for
    keys that are reserved in Python, is removed."""
    assert is_dataclass(view)
    return {
        field.name.rstrip("_"): _plain(getattr(view, field.name))
        for field in fields(view)
        if field.name not in without
    }


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return document(value) if is_dataclass(value) else value
