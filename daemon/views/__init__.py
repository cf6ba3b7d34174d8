"""The representation of every resource: one frozen class each, from which `--json`, the API and docs/cli.md are
made. Converts rows to values and reads nothing itself. Keys may be added, but not removed or changed in meaning.
"""

from collections.abc import Collection
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING

from daemon.late import late

if TYPE_CHECKING:
    from daemon.views.actions import MOST_ACTIONS, Act, JobLog, Token, act, story, token
    from daemon.views.batches import WAYS, Batch, Ending, Share, batch, ending, share
    from daemon.views.channels import ChannelFacts, ListedChannel, channel, quiet_hours
    from daemon.views.deliveries import Attempt, Delivery, attempt, delivery, resent_from
    from daemon.views.figures import Day, Produced, Stats, stats, together
    from daemon.views.following import (
        Conclusion,
        Followed,
        JobEnd,
        ends_of,
        followed,
        followed_of,
        rank,
        status_of,
    )
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
    from daemon.views.needs import Need, Needs, needed
    from daemon.views.outlooks import BatchOutlook, Outlook, in_production, key_of, last_of, outlook, overdue
    from daemon.views.pauses import Paused, paused
    from daemon.views.waiting import Situation, muted, why
else:
    __getattr__ = late(
        __name__,
        {
            "actions": "MOST_ACTIONS Act JobLog Token act story token",
            "batches": "WAYS Batch Ending Share batch ending share",
            "channels": "ChannelFacts ListedChannel channel quiet_hours",
            "deliveries": "Attempt Delivery attempt delivery resent_from",
            "figures": "Day Produced Stats stats together",
            "following": "Conclusion Followed JobEnd ends_of followed followed_of rank status_of",
            "jobs": "Job Remaining Tracked Transition is_orphaned job kept link_end remaining tracked transition",
            "mutes": "Mute mute",
            "needs": "Need Needs needed",
            "outlooks": "BatchOutlook Outlook in_production key_of last_of outlook overdue",
            "pauses": "Paused paused",
            "waiting": "Situation muted why",
        },
    )


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
