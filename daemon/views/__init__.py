"""The representation of every resource: one frozen class each, from which `--json`, the API and docs/cli.md are
made. Converts rows to values and reads nothing itself. Keys may be added, but not removed or changed in meaning.
"""

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

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
    from daemon.views.outlooks import (
        BatchOutlook,
        NoEnd,
        Outlook,
        in_production,
        key_of,
        last_of,
        not_begun,
        outlook,
        overdue,
    )
    from daemon.views.pauses import Paused, paused
    from daemon.views.waiting import WHY, Situation, Telling, muted, why
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
            "outlooks": "BatchOutlook NoEnd Outlook in_production key_of last_of not_begun outlook overdue",
            "pauses": "Paused paused",
            "waiting": "WHY Situation Telling muted why",
        },
    )


def document(view: Any, *, without: Collection[str] = ()) -> dict[str, object]:
    """The keys and values of a view in order, including nested views. A trailing underscore of a field name, for
    keys that are reserved in Python, is removed."""
    names: tuple[str, ...] = view.__struct_fields__
    return {
        key: value if type(value) in _AS_THEY_ARE else _plain(value)
        for name, key in _keys(names, tuple(without))
        for value in (getattr(view, name),)
    }


_AS_THEY_ARE = frozenset({str, int, float, bool, type(None)})


@lru_cache(maxsize=100)  # a list has 50 views of one class
def _keys(names: tuple[str, ...], without: Collection[str]) -> Sequence[tuple[str, str]]:
    """The names of a view's fields, each with its key."""
    return [(name, name.rstrip("_")) for name in names if name not in without]


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    is_view = hasattr(value, "__struct_fields__")  # rather than isinstance: msgspec comes with the first view
    return document(value) if is_view else value
