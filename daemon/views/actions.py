"""The views of what people and tools do: an action, a job with everything that happened to it, and a token, by
which a tool acts. docs/cli.md is generated from the comments. Pure.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from daemon.domain.events import Json
from daemon.domain.text import stamp
from daemon.views.deliveries import Delivery, delivery
from daemon.views.jobs import Transition, transition
from daemon.views.waiting import Situation, why

if TYPE_CHECKING:  # SQLAlchemy is slow to import, and digests are
    from daemon.domain.tokens import KnownToken
    from daemon.store import ActionRow, AttemptRow, DeliveryRow, TransitionRow


class Act(Struct, frozen=True, kw_only=True):
    """What a person or tool did, in `show --json` and the API under `actions`."""

    at: str | None  # when
    who: str  # `cli:` and the user of the machine, or `token:` and the name of the API's token
    what: str  # track, untrack, label, tag, retry, cancel, revive, resend, revoke_link, mute, unmute, …
    project: str | None  # the project, or null if it is about several or none
    subject: str | None  # the job's id, or a batch, tag or channel; null if it is about several
    count: int  # number of jobs or deliveries changed
    details: Mapping[str, Json] | None  # more about it, such as the new label, or null


def act(row: "ActionRow") -> Act:
    """The view of an action."""
    return Act(
        at=stamp(row.at),
        who=row.who,
        what=row.what,
        project=row.project,
        subject=row.subject,
        count=row.count,
        details=row.details,
    )


MOST_ACTIONS = 50
"""The latest actions on a job that are told."""


class JobLog(Struct, frozen=True, kw_only=True):
    """The additional keys of `show --json` and of a single job in the API."""

    transitions: tuple[Transition, ...]  # every observed change of state, oldest first
    deliveries: tuple[Delivery, ...]  # every alert of the job, oldest first
    actions: tuple[Act, ...]  # the latest 50 actions on the job, oldest first


def story(
    job_id: str,
    transitions: "Sequence[TransitionRow]",
    deliveries: "Sequence[tuple[DeliveryRow, Sequence[AttemptRow]]]",
    actions: "Sequence[ActionRow]",
    at: Situation,
) -> JobLog:
    """The story of a job, of rows in the order of the keys, and of what its alerts wait for."""
    return JobLog(
        transitions=tuple(map(transition, transitions)),
        deliveries=tuple(delivery(row, tries, job_id, why=why(row, at)) for row, tries in deliveries),
        actions=tuple(map(act, actions)),
    )


class Token(Struct, frozen=True, kw_only=True):
    """A token of the API, in `tokens list --json` and the API."""

    id: str  # the 8 characters after `wrapd_`
    name: str  # the name given by `tokens create`
    scope: str  # read, write or admin; each includes those before it
    status: str  # open, expired or revoked
    created_at: str | None  # when it was created
    created_by: str  # by whom: `cli:USER` or `token:NAME`
    expires_at: str | None  # when it expires, or null
    revoked_at: str | None  # when it was revoked, or null
    used_at: str | None  # when it was last used, to the minute, or null


def token(known: "KnownToken", *, now: datetime) -> Token:
    """The view of a token as of `now`."""
    expired = known.expires_at is not None and known.expires_at <= now
    return Token(
        id=known.id,
        name=known.name,
        scope=str(known.scope),
        status="revoked" if known.revoked_at is not None else "expired" if expired else "open",
        created_at=stamp(known.created_at),
        created_by=known.created_by,
        expires_at=stamp(known.expires_at),
        revoked_at=stamp(known.revoked_at),
        used_at=stamp(known.used_at),
    )
