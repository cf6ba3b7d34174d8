"""Shares a batch with people who have no login, and ends shares."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from daemon.domain.actions import Action, Actor
from daemon.domain.jobs import ProjectName
from daemon.domain.sessions import new_secret, secret_digest
from daemon.domain.shares import LEAST_SHARE, MOST_OPEN, MOST_SHARE, BatchShare
from daemon.errors import UnknownName, UsageFault
from daemon.store import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedBatch:
    """A new share. The secret is not kept, so it cannot be shown again."""

    share: BatchShare
    secret: str = field(repr=False)


def share_batch(
    tx: Transaction,
    project: ProjectName,
    batch: str,
    *,
    lasts: timedelta,
    random: bytes,
    who: Actor,
    at: datetime,
) -> SharedBatch:
    """Share a batch for so long, by `domain.sessions.RANDOM_BYTES` random bytes. Raises UnknownName if there is
    none, UsageFault for a time that is too short or too long, or if too many of its shares are open."""
    if not LEAST_SHARE <= lasts <= MOST_SHARE:
        raise UsageFault("nothing was shared: a share lasts at least 1 minute and at most 90 days")
    if tx.batches.get(project, batch) is None:
        raise UnknownName("no job of the project belongs to such a batch", key="no_batch")
    if len(tx.shares.open(project, batch, now=at)) >= MOST_OPEN:
        raise UsageFault(f"nothing was shared: {MOST_OPEN} shares of the batch are open; revoke one", key="shares")
    secret = new_secret(random)
    share = tx.shares.add(project, batch, secret_digest(secret), by=who, at=at, expires_at=at + lasts)
    tx.actions.note(
        Action.SHARE,
        who=who,
        at=at,
        project=project,
        subject=batch,
        details={"share": share.id, "until": share.expires_at.isoformat()},
    )
    return SharedBatch(share=share, secret=secret)


def revoke_share(tx: Transaction, number: int, *, who: Actor, at: datetime) -> BatchShare:
    """Revoke a share. Raises UnknownName if there is none that is not revoked."""
    share = tx.shares.get(number)
    if share is None or not tx.shares.revoke(number, at=at):
        raise UnknownName(f"nothing was changed: no share {number} is in use; `wrapd share list` lists all")
    tx.actions.note(
        Action.UNSHARE,
        who=who,
        at=at,
        project=share.project,
        subject=share.batch,
        details={"share": share.id},
    )
    found = tx.shares.get(number)
    assert found is not None
    return found
