"""Mutes alerts for a while, and ends mutes. Asks nothing."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from daemon.domain.actions import Action, Actor
from daemon.domain.jobs import ProjectName
from daemon.domain.mutes import LEAST_MUTE, MOST_COMMENT, MOST_MUTE, MuteEnd, MuteScope
from daemon.domain.text import clean
from daemon.errors import UnknownName, UsageFault
from daemon.store import Ended, MuteRow, Transaction


class MuteWish(Struct, frozen=True, kw_only=True):
    """What to mute: the id of a job, or the name of a batch, tag or channel, in `project` or (None) in any; for
    how long; why; and what becomes of its alerts `then`. Raises UsageFault."""

    scope: MuteScope
    subject: str
    project: ProjectName | None = None
    lasts: timedelta
    comment: str
    then: MuteEnd = MuteEnd.SEND

    def __post_init__(self) -> None:
        if not LEAST_MUTE <= self.lasts <= MOST_MUTE:
            raise UsageFault("nothing was muted: a mute lasts at least 1 minute (1m) and at most 30 days (30d)")
        if not self.said:
            raise UsageFault(
                "nothing was muted: the comment has no visible character; say why, for the others", key="mute_why"
            )
        if len(self.said) > MOST_COMMENT:
            raise UsageFault(
                f"nothing was muted: the comment has {len(self.said)} characters; write at most {MOST_COMMENT}",
                key="mute_long",
            )

    @property
    def said(self) -> str:
        """The comment as it is kept."""
        return clean(self.comment).strip()


def mute(tx: Transaction, wish: MuteWish, *, at: datetime, who: Actor) -> tuple[MuteRow, int]:
    """Keep the alerts of `wish` from now on, and those not sent yet. Returns the mute and how many it keeps."""
    row = tx.mutes.start(
        wish.scope,
        wish.subject,
        project=wish.project,
        at=at,
        until=at + wish.lasts,
        who=who,
        comment=wish.said,
        then=wish.then,
    )
    kept = tx.mutes.kept().get(row.id, 0)
    tx.actions.note(
        Action.MUTE,
        who=who,
        at=at,
        project=row.project,
        subject=row.subject,
        count=kept,
        details={
            "mute": row.id,
            "scope": str(row.scope),
            "until": row.until.isoformat(),
            "then": str(row.then),
        },
    )
    return row, kept


def end_mutes(
    tx: Transaction, numbers: Sequence[int], *, at: datetime, who: Actor, then: MuteEnd | None = None
) -> list[Ended]:
    """End these mutes (row ids): what only they keep is sent or dropped as asked at their start, or as `then`
    says. Those that had ended are left out. Raises UnknownName that lists all unknown ids."""
    wanted = list(dict.fromkeys(numbers))
    known = tx.mutes.get(wanted)
    unknown = [str(each) for each in wanted if each not in known]
    if unknown:
        raise UnknownName(
            f"nothing was changed: there is no mute {', '.join(unknown)}; `wrapd mute list --all` lists all"
        )
    ended = [each for number in wanted if (each := tx.mutes.end(number, at=at, by=who, then=then)) is not None]
    one = known[wanted[0]] if len(wanted) == 1 else None
    tx.actions.note(
        Action.UNMUTE,
        who=who,
        at=at,
        project=None if one is None else one.project,
        subject=None if one is None else one.subject,
        count=sum(each.count for each in ended),
        details={"mutes": list(wanted), "then": None if then is None else str(then)},
    )
    return ended
