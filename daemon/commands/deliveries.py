"""What people do with alerts that stand in the outbox: send again what failed, give up, bring back, repeat.

Owns which of them a request means. What is asked for goes out at once, in quiet hours too.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from daemon.domain.jobs import ChannelName, ProjectName
from daemon.errors import UnknownName, UsageFault
from daemon.store import DeliveryRow, DeliveryStatus, Transaction

MOST_RESENT = 500
"""Alerts that are sent again at once at most: who mistypes a time must not flood a chat."""
_CANCELABLE = (DeliveryStatus.PENDING, DeliveryStatus.HELD, DeliveryStatus.DEAD)
_INSTEAD = {
    DeliveryStatus.DEAD: "it was given up; `wrapd deliveries retry {id}` sends it",
    DeliveryStatus.HELD: "its channel is refused; `wrapd deliveries retry {id}` tries it now",
    DeliveryStatus.CANCELED: "it was canceled; `wrapd deliveries revive {id}` brings it back",
}
_SOON = "it is not sent yet; wrapd sends it by itself"


@dataclass(frozen=True, slots=True, kw_only=True)
class Revived:
    """How many alerts are pending again, and how many stay canceled because they were so earlier."""

    count: int
    older: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SentFilter:
    """Which of the alerts that were sent are meant, as far as each is given: those of a job (row id), of a batch
    and its jobs, of a project, sent since then, sent to that channel."""

    job: int | None = None
    batch: str | None = None
    project: ProjectName | None = None
    since: datetime | None = None
    channel: ChannelName | None = None


def retry(
    tx: Transaction, ids: Sequence[int], *, dead: bool = False, channel: ChannelName | None = None, at: datetime
) -> int:
    """Make alerts due `at`: of `ids` the dead and held ones; without, all dead ones, and of a channel, unless
    `dead`, its held ones. Returns how many. Raises UnknownName where one of `ids` is none."""
    if ids:
        again = tx.outbox.retry(ids=ids, channel=channel, at=at)
        if again < len(set(ids)):
            require(tx, ids)
        return again
    released = 0 if dead or channel is None else tx.outbox.release(channel, at=at)
    return released + tx.outbox.retry(ids=None, channel=channel, at=at)


def cancelable(
    tx: Transaction, ids: Sequence[int], *, dead: bool = False, channel: ChannelName | None = None
) -> list[int]:
    """The row ids of what `cancel` would give up: of `ids`, or of a channel, or all that is dead. Raises
    UnknownName where one of `ids` is none."""
    if ids:
        rows = require(tx, ids)
        return [row.id for row in rows if row.status not in (DeliveryStatus.SENT, DeliveryStatus.CANCELED)]
    statuses = (DeliveryStatus.DEAD,) if dead else _CANCELABLE
    return [row.id for status in statuses for row in tx.outbox.list(status=status, channel=channel)]


def cancel(tx: Transaction, ids: Sequence[int], *, at: datetime) -> int:
    """Give up these, as far as they are not sent. Returns how many."""
    return tx.outbox.cancel(ids, at=at)


def revive(
    tx: Transaction,
    ids: Sequence[int],
    *,
    since: datetime | None = None,
    channel: ChannelName | None = None,
    at: datetime,
) -> Revived:
    """Bring canceled alerts back, due `at`: of `ids`, or all that people have canceled `since` then (of a
    channel). Raises UnknownName where one of `ids` is none."""
    if since is None:
        require(tx, ids)
        return Revived(count=tx.again.revive(ids, at=at))
    chosen = tx.again.canceled(since=since, channel=channel)
    return Revived(count=tx.again.revive(chosen, at=at), older=tx.again.canceled_before(since, channel=channel))


def resendable(tx: Transaction, wanted: Sequence[int] | SentFilter) -> list[DeliveryRow]:
    """The alerts that are meant, in the order in which they were written. Raises UnknownName where one of the row
    ids is none; UsageFault where one of them was not sent, or where more than `MOST_RESENT` fit."""
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
            f"nothing was changed: more than {MOST_RESENT} alerts fit, too many to send again at once"
        )
    return rows


def resend(
    tx: Transaction,
    rows: Sequence[DeliveryRow],
    *,
    channels: Collection[str],
    to: ChannelName | None = None,
    at: datetime,
) -> int:
    """Tell again what these told, marked as asked for: where each was told, or `to` that channel; each event once
    on a channel. Returns how many. `channels` are those of the config: raises UnknownName for any other."""
    gone = sorted({row.channel for row in rows if to is None and row.channel not in channels})
    if gone:
        raise UnknownName(
            f"nothing was changed: the config has no channel {', '.join(gone)} any more; --channel NAME sends it "
            f"elsewhere"
        )
    return tx.again.resend(rows, to=to, at=at)


def require(tx: Transaction, ids: Sequence[int]) -> list[DeliveryRow]:
    """The deliveries of these ids, each once. Raises UnknownName that names every one that there is not."""
    found = {each: tx.outbox.get(each) for each in dict.fromkeys(ids)}
    unknown = [str(each) for each, row in found.items() if row is None]
    if unknown:
        raise UnknownName(
            f"nothing was changed: there is no delivery {', '.join(unknown)}; `wrapd deliveries` lists all"
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
        raise UsageFault(f"nothing was changed:{listed}")
