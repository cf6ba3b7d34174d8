"""The view of a mute. docs/cli.md is generated from the comments. Pure."""

from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from daemon.domain.text import stamp

if TYPE_CHECKING:  # SQLAlchemy is slow to import
    from daemon.store import MuteRow


class Mute(Struct, frozen=True, kw_only=True):
    """Whose alerts are not sent for a while, in `mute list --json`."""

    id: int  # for `mute end`
    scope: str  # what is muted: job, batch (its jobs and its end), tag or channel
    subject: str  # the id of the job, or the name of the batch, tag or channel
    project: str | None  # only in this project; null: in any
    status: str  # muted, ending (it is over, and takes effect as soon as wrapd runs) or ended
    since: str | None  # when it began
    until: str | None  # when it ends by itself
    who: str  # who asked for it: `cli:` and the user, or `token:` and the name of the API's token
    comment: str | None  # why
    then: str  # what becomes of its alerts at its end: send or drop
    alerts: int  # number of alerts that it keeps; one that several mutes cover counts for the last to end
    ended_at: str | None  # when it ended, or null
    ended_by: str | None  # who ended it; `wrapd` if its time was over; or null


def mute(row: "MuteRow", *, kept: int, now: datetime) -> Mute:
    """The view of a mute that keeps `kept` alerts."""
    status = "ended" if row.ended_at is not None else "muted" if row.until > now else "ending"
    return Mute(
        id=row.id,
        scope=str(row.scope),
        subject=row.subject,
        project=row.project,
        status=status,
        since=stamp(row.started_at),
        until=stamp(row.until),
        who=row.who,
        comment=row.comment,
        then=str(row.then),
        alerts=kept,
        ended_at=stamp(row.ended_at),
        ended_by=row.ended_by,
    )
