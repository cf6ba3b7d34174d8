"""User commands on alerts in the outbox: retry, cancel, revive, resend and release, and on links.

Owns the selection of the alerts. Alerts requested this way are sent at once, even in quiet hours and
despite mutes.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

from msgspec import Struct

from daemon.commands.noting import MOST_NAMED, note_deliveries, note_jobs
from daemon.domain.actions import Action, Actor
from daemon.domain.jobs import ChannelName, ProjectName
from daemon.errors import UnknownName, UsageFault
from daemon.store import DeliveryRow, DeliveryStatus, JobRow, Transaction

MOST_RESENT = 500
"""Maximum number of alerts to send again at once, so that a mistyped time does not flood a chat."""
_CANCELABLE = (DeliveryStatus.PENDING, DeliveryStatus.HELD, DeliveryStatus.DEAD)
_INSTEAD = {
    DeliveryStatus.DEAD: "it was given up; `wrapd deliveries retry {id}` sends it",
    DeliveryStatus.HELD: "its channel is refused; `wrapd deliveries retry {id}` tries it now",
    DeliveryStatus.CANCELED: "it was canceled; `wrapd deliveries revive {id}` restores it",
}
_SOON = "it is not sent yet; wrapd will send it"


class Revived(Struct, frozen=True, kw_only=True):
    """The number of alerts that are pending again, and of those not restored because they were canceled
    earlier."""

    count: int
    older: int = 0


class SentFilter(Struct, frozen=True, kw_only=True):
    """Selects sent alerts by every criterion given: a job (row id), a batch and its jobs, a project, a start time,
    a channel."""

    job: int | None = None
    batch: str | None = None
    project: ProjectName | None = None
    since: datetime | None = None
    channel: ChannelName | None = None


def retry(
    tx: Transaction,
    ids: Sequence[int],
    *,
    dead: bool = False,
    channel: ChannelName | None = None,
    at: datetime,
    who: Actor,
) -> int:
    """Make alerts due `at`: the dead, held and muted ones of `ids`; without ids all dead ones, and unless `dead`,
    also the held ones of `channel`. Returns their number. Raises UnknownName if one of `ids` does not exist."""
    if ids:
        rows, again = require(tx, ids), tx.outbox.retry(ids=ids, channel=channel, at=at)
        note_deliveries(tx, Action.RETRY, rows, who=who, at=at, count=again)
        return again
    released = 0 if dead or channel is None else tx.outbox.release(channel, at=at)
    again = released + tx.outbox.retry(ids=None, channel=channel, at=at)
    note_deliveries(tx, Action.RETRY, (), who=who, at=at, count=again, subject=channel)
    return again


def cancelable(
    tx: Transaction, ids: Sequence[int], *, dead: bool = False, channel: ChannelName | None = None
) -> list[int]:
    """The row ids that `cancel` would give up: of `ids`, of a channel, or all dead ones. Raises UnknownName if one
    of `ids` does not exist."""
    if ids:
        rows = require(tx, ids)
        return [row.id for row in rows if row.status not in (DeliveryStatus.SENT, DeliveryStatus.CANCELED)]
    statuses = (DeliveryStatus.DEAD,) if dead else _CANCELABLE
    return [row.id for status in statuses for row in tx.deliveries.list(status=status, channel=channel)]


def cancel(
    tx: Transaction, ids: Sequence[int], *, at: datetime, who: Actor, channel: ChannelName | None = None
) -> int:
    """Give up these alerts, chosen by `channel` if given, unless they are sent. Returns their number."""
    rows = [row for each in ids if (row := tx.deliveries.get(each)) is not None] if len(ids) <= MOST_NAMED else []
    canceled = tx.outbox.cancel(ids, at=at)
    note_deliveries(tx, Action.CANCEL, rows, who=who, at=at, count=canceled, subject=channel)
    return canceled


def revive(
    tx: Transaction,
    ids: Sequence[int],
    *,
    since: datetime | None = None,
    channel: ChannelName | None = None,
    at: datetime,
    who: Actor,
) -> Revived:
    """Restore canceled alerts, due `at`: those of `ids`, or all canceled by users since `since`, of `channel` if
    given. Raises UnknownName if one of `ids` does not exist."""
    if since is None:
        rows, count = require(tx, ids), tx.again.revive(ids, at=at)
        note_deliveries(tx, Action.REVIVE, rows, who=who, at=at, count=count)
        return Revived(count=count)
    count = tx.again.revive(tx.again.canceled(since=since, channel=channel), at=at)
    note_deliveries(tx, Action.REVIVE, (), who=who, at=at, count=count, subject=channel)
    return Revived(count=count, older=tx.again.canceled_before(since, channel=channel))


def resendable(tx: Transaction, wanted: Sequence[int] | SentFilter) -> list[DeliveryRow]:
    """The selected alerts in the order in which they were written. Raises UnknownName if a row id does not exist,
    UsageFault if one was not sent or if there are more than `MOST_RESENT`."""
    if isinstance(wanted, SentFilter):
        rows = tx.again.sent(
            most=MOST_RESENT + 1,
            job=wanted.job,
            batch=wanted.batch,
            project=wanted.project,
            since=wanted.since,
            channel=wanted.channel,
        )
    else:
        rows = sorted(require(tx, wanted), key=lambda row: row.id)
        _require_sent(rows)
    if len(rows) > MOST_RESENT:
        raise UsageFault(
            f"nothing was changed: more than {MOST_RESENT} alerts match; narrow the selection", key="too_many"
        )
    return rows


def resend(
    tx: Transaction,
    rows: Sequence[DeliveryRow],
    *,
    channels: Collection[str],
    to: ChannelName | None = None,
    at: datetime,
    who: Actor,
) -> int:
    """Send these alerts again, marked as requested, to their own channels or to channel `to`; each event once per
    channel. Returns their number. Raises UnknownName for a channel that is not among the config's `channels`."""
    gone = sorted({row.channel for row in rows if to is None and row.channel not in channels})
    if gone:
        raise UnknownName(
            f"nothing was changed: the config no longer has channel {', '.join(gone)}; use --channel NAME to send "
            "to another",
            key="no_channel",
        )
    count = tx.again.resend(rows, to=to, at=at)
    details = None if to is None else {"to": to}
    note_deliveries(tx, Action.RESEND, rows, who=who, at=at, count=count, details=details)
    return count


def release(tx: Transaction, channel: ChannelName, *, at: datetime, who: Actor, tested: bool = False) -> int:
    """Send what the channel holds, due `at`, for example because a test message arrived (`tested`). Returns how
    many alerts are due on it then; 0 if none was held."""
    released = tx.outbox.release(channel, at=at)
    tx.actions.note(Action.TEST if tested else Action.RELEASE, who=who, at=at, subject=channel, count=released)
    return tx.queue.waiting(channel, now=at) if released else 0


def revoke_link(tx: Transaction, job: JobRow, *, at: datetime, who: Actor) -> bool | None:
    """Revoke wrapd's own link to the job's video. Returns whether it was valid; None if there is no link."""
    if tx.links.get(job.id) is None:
        return None
    revoked = tx.links.revoke(job.id, at)
    note_jobs(tx, Action.REVOKE_LINK, [(job.project, job.job_id)], who=who, at=at, count=int(revoked))
    return revoked


def require(tx: Transaction, ids: Sequence[int]) -> list[DeliveryRow]:
    """The deliveries with these ids, without duplicates. Raises UnknownName that lists all unknown ids."""
    found = {each: tx.deliveries.get(each) for each in dict.fromkeys(ids)}
    unknown = [str(each) for each, row in found.items() if row is None]
    if unknown:
        raise UnknownName(
            f"nothing was changed: there is no delivery {', '.join(unknown)}; `wrapd deliveries` lists all",
            key="no_alert",
        )
    return [row for row in found.values() if row is not None]


def _require_sent(rows: Sequence[DeliveryRow]) -> None:
    faults = [
        f"{row.id}: {_INSTEAD.get(row.status, _SOON).format(id=row.id)}"
        for row in rows
        if row.status is not DeliveryStatus.SENT
    ]
    if faults:
        listed = f" {faults[0]}" if len(faults) == 1 else "".join(f"\n  {fault}" for fault in faults)
        raise UsageFault(f"nothing was changed:{listed}", key="unsent")
