"""The outbox: one row for each event and channel, from the transaction that caused it until it is sent or dead.

Owns claiming, judging and reviving deliveries, and the order of sending: alerts about one job reach a channel in
the order in which they were written, and so do those of one project that are about no job. Sending is
notify/outbox's.

    pending ──claim──> sending ──sent──────────> sent
       │                  ├────dead────────────> dead ──retry──> pending
       │                  ├────held────────────> held ──release, retry, another one sent──> pending
       │                  └────retry, unknown, recover (after a crash)──> pending
       └──cancel, more jobs for a batch──> canceled <──cancel── held, dead
                                              └──revive──> pending
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, assert_never

from msgspec.structs import replace
from sqlalchemy import (
    ColumnElement,
    FromClause,
    Row,
    Select,
    and_,
    bindparam,
    func,
    insert,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import sqlite

from daemon.domain.digests import Waiting
from daemon.domain.events import OperatorAlert
from daemon.domain.jobs import ChannelName
from daemon.domain.routing import Routing, Target
from daemon.store import (
    alerts,
    claim_many,
    claim_one,
    fallback,
    given_up,
    ownership,
    quiet,
    steps,
)
from daemon.store.delivery_list import DeliveryList
from daemon.store.mapping import chunks, delivery_row, job_row, plain_row
from daemon.store.ordering import (
    CHANNEL,
    FAR,
    MOMENT,
    before,
    due,
    gathers,
    is_,
    merges,
    same_line,
    times,
    too_far,
    unsent,
    waits,
)
from daemon.store.ownership import STOPPED_WHILE_SENDING, Left, Wait
from daemon.store.rows import (
    AttemptOutcome,
    AttemptRow,
    Claimed,
    DeliveryRow,
    DeliveryStatus,
    Outcome,
    TransitionRow,
)
from daemon.store.tables import ATTEMPTS, DELIVERIES, JOBS, SENT_COUNTS, TRANSITIONS

__all__ = ["FAR", "STOPPED_WHILE_SENDING", "Outbox"]

_D = DELIVERIES.c
_Deliveries = list[DeliveryRow]
_Attempts = list[AttemptRow]
_Many = tuple[Claimed, ...]
Ended = tuple[Claimed, Outcome, datetime]
"""An attempt, its outcome, and when it ended."""


def _is_first(table: FromClause) -> ColumnElement[bool]:
    earlier = DELIVERIES.alias("earlier")
    return ~select(1).where(before(earlier, table)).correlate(table).exists()


_BY_TIME = (_D.due_at, _D.id)
_PENDING = (
    select(DELIVERIES)
    .where(_D.channel == CHANNEL, waits(DELIVERIES, DeliveryStatus.PENDING), _is_first(DELIVERIES))
    .order_by(*_BY_TIME)
    .limit(1)
)
_held = DELIVERIES.alias("held_row")
_in_line = DELIVERIES.alias("in_line")
_FIRST_IN_LINE = (
    select(func.min(_in_line.c.id))
    .where(same_line(_in_line, _held), unsent(_in_line), not_(gathers(_in_line)))
    .correlate(_held)
).scalar_subquery()
# The probe is a held delivery or, if a person revived a dead one ahead of it, that one: otherwise each would wait
# for the other forever. Rows are chosen by id only: given the channel, SQLite would scan all that is pending
# there.
_PROBE = (
    select(DELIVERIES)
    .where(
        _D.id.in_(select(_FIRST_IN_LINE).where(_held.c.channel == CHANNEL, waits(_held, DeliveryStatus.HELD))),
        or_(is_(DELIVERIES, DeliveryStatus.HELD), is_(DELIVERIES, DeliveryStatus.PENDING)),
    )
    .order_by(*_BY_TIME)
    .limit(1)
)
_IS_HELD = select(_D.id).where(_D.channel == CHANNEL, waits(DELIVERIES, DeliveryStatus.HELD)).limit(1)
# Operator alerts are never merged, so they need not wait for what is.
_APART = _PENDING.where(~merges(DELIVERIES))
_CLAIM = {
    query: (query.where(due(DELIVERIES)), query.where(too_far(DELIVERIES))) for query in (_PENDING, _PROBE, _APART)
}
_NEW = (
    select(_D.id)
    .where(_D.channel == CHANNEL, waits(DELIVERIES, DeliveryStatus.PENDING), due(DELIVERIES))
    .where(_D.due_at > bindparam("after", type_=MOMENT))
    .limit(1)
)
_TAKE = update(DELIVERIES).where(_D.id == bindparam("row"))
_BEGIN = insert(ATTEMPTS)
_JUDGE = update(DELIVERIES).where(
    _D.id == bindparam("row"), is_(DELIVERIES, DeliveryStatus.SENDING), _D.attempts == bindparam("attempt")
)
_END = update(ATTEMPTS).where(
    ATTEMPTS.c.delivery == bindparam("row"), ATTEMPTS.c.n == bindparam("attempt"), ATTEMPTS.c.ended_at.is_(None)
)
_RELEASE = update(DELIVERIES).where(_D.channel == bindparam("of_channel"), is_(DELIVERIES, DeliveryStatus.HELD))
_RESUME = (
    update(DELIVERIES)
    .where(_D.channel == bindparam("of_channel"), is_(DELIVERIES, DeliveryStatus.PENDING))
    .where(_D.attempts > 0, _D.due_at > _D.created_at)
    .values(due_at=_D.created_at)
)
_ADD_SENT = sqlite.insert(SENT_COUNTS)
_COUNT_SENT = _ADD_SENT.on_conflict_do_update(
    index_elements=[SENT_COUNTS.c.channel], set_={"n": SENT_COUNTS.c.n + _ADD_SENT.excluded.n}
)
_JOB = select(JOBS).where(JOBS.c.id == bindparam("id"))
_MOVE = select(TRANSITIONS).where(TRANSITIONS.c.id == bindparam("id"))


_CANCELABLE = (DeliveryStatus.PENDING, DeliveryStatus.HELD, DeliveryStatus.DEAD)


class Outbox(DeliveryList):
    """The deliveries, seen through one transaction."""

    def add_operator(self, alert: OperatorAlert, *, channels: Iterable[ChannelName | Target], at: datetime) -> int:
        """Write an event about wrapd itself for each channel that has none under its key, due `at` or after the
        quiet hours of a target. Returns how many were written."""
        return len(alerts.add(self._connection, alerts.of_operators(alert, channels), at=at, due_at=at))

    def claim(
        self, channel: ChannelName, *, now: datetime, apart: bool = False, probe: bool = True
    ) -> Claimed | None:
        """Take the earliest due delivery of a channel that may be sent, and open its next attempt.

        It is never one with an unsent delivery ahead of it (see the module). On a held channel it is a held one:
        the probe. A delivery due further ahead than `FAR` counts as due, since the clock was set back. `apart`
        takes only what is never merged: operator alerts. Without `probe`, a held channel is tried with a delivery
        that it has not refused, if there is one.
        """
        if not apart and (claimed := claim_one.take(self._connection, channel, now=now)):
            return claimed[0]
        row = None if probe else self._first(_PENDING, channel, now=now)
        if row is None:
            row = self._first(self._claimable(channel, apart=apart), channel, now=now)
        return None if row is None else self._take(delivery_row(row), now=now)

    def claim_each(self, channel: ChannelName, *, now: datetime, most: int) -> _Many:
        """Take up to `most` deliveries as `claim` does, each for a message of its own, no two about one job. Of
        a held channel one at most."""
        found = claim_one.take(self._connection, channel, now=now, most=most)
        one = None if found else self.claim(channel, now=now)
        return found if one is None else (one,)

    def put_aside(self, channel: ChannelName, *, now: datetime, wait: Wait, reason: str) -> Left | None:
        """Postpone the delivery that `claim` cannot take because of an error of wrapd's own, by `wait` (seconds,
        by its number of such errors); eventually it is dead. None if nothing is due."""
        row = self._first(self._claimable(channel), channel, now=now, columns=ownership.BARE)
        if row is None:
            return None
        return ownership.put_aside(self._connection, row, now=now, wait=wait, reason=reason)

    def rescue(self, owned: Collection[int], *, at: datetime, wait: Wait) -> tuple[Left, ...]:
        """Return to the queue what is being sent but is not in `owned` (row ids): due after `wait` (seconds, by
        its attempts), marked as a possible repeat, eventually dead."""
        return ownership.rescue(self._connection, owned, at=at, wait=wait)

    def is_sending(self) -> frozenset[int]:
        """Return the row ids of what is being sent."""
        return ownership.sending(self._connection)

    def finish(self, claimed: Claimed, outcome: Outcome, *, at: datetime) -> None:
        """Close the attempt and set what becomes of the delivery. A sent one releases the channel's held ones. A
        second call for the same attempt changes nothing. Raises ValueError if `due_at` is missing."""
        self._judge([(claimed, outcome, at)])

    def finish_all(self, ended: Iterable[Ended]) -> None:
        """Do what `finish` does for each in turn, with a few statements for each channel."""
        by_channel = sorted(ended, key=lambda each: each[0].delivery.channel)  # stable: in turn on each channel
        for _, run in groupby(by_channel, key=lambda each: (each[0].delivery.channel, each[1].kind)):
            self._judge(list(run))

    def claim_together(self, channel: ChannelName, *, now: datetime, most: int) -> _Many:
        """Take due alerts about jobs and batches in id order, including several about one job, and open the next
        attempt of each; up to `most` and `claim_many.MOST`. Includes everything ahead of them in their lines. ()
        if there are none, or the channel is held."""
        if self.is_held(channel):
            return ()
        return claim_many.take(self._connection, channel, now=now, most=most)

    def tell_dead(
        self, alert: OperatorAlert, *, about: str, channels: Iterable[Target], at: datetime, due_at: datetime
    ) -> None:
        """Write an operator alert about dead deliveries, due `due_at`. While one whose key begins with `about` is
        untried, that one is updated instead: its `deliveries` grows."""
        given_up.tell(self._connection, alert, channels, about=about, at=at, due_at=due_at)

    def hold_dead(
        self, channel: ChannelName, deliveries: Sequence[int], *, about: str, at: datetime, due_at: datetime
    ) -> None:
        """Hold dead deliveries of a channel that was at fault, until `due_at`. An untried alert about them (its
        key begins with `about`) is withdrawn."""
        given_up.hold(self._connection, channel, deliveries, about=about, at=at, due_at=due_at)

    def copy(self, deliveries: Iterable[int], to: ChannelName, *, at: datetime) -> int:
        """Copy these deliveries (row ids) to the channel `to`, each once, due `at`. Unreadable ones are skipped.
        Returns how many were written."""
        return fallback.copy_readable(self._connection, deliveries, to, at=at)

    def _judge(self, ended: Sequence[Ended]) -> None:
        """Record attempts on one channel that ended in the same way."""
        keys: list[dict[str, Any]] = [{"row": each.delivery.id, "attempt": each.attempt} for each, _, _ in ended]
        rows = [_becomes(*each) | key for each, key in zip(ended, keys, strict=True)]
        judged = self._connection.execute(_JUDGE, rows).rowcount
        if judged < 1:
            return
        ends: list[dict[str, Any]] = [
            {"ended_at": at, "outcome": outcome.kind, "status_code": outcome.status_code, "reason": outcome.reason}
            for _, outcome, at in ended
        ]
        # Only deliveries that are being sent have an open attempt: those not judged above match nothing here.
        self._connection.execute(_END, [end | key for end, key in zip(ends, keys, strict=True)])
        if ended[0][1].kind is AttemptOutcome.SENT:
            channel = ended[0][0].delivery.channel
            self._connection.execute(_COUNT_SENT, {"channel": channel, "n": judged})
            if any(claimed.channel_held for claimed, _, _ in ended):
                self.release(channel, at=ended[-1][2])

    def waiting(self, channel: ChannelName, *, now: datetime, window: float) -> Waiting:
        """Return what may be merged on the channel: alerts about jobs and batches, counted up to
        `claim_many.COUNTED`. Zero while the channel is held, since nothing could be sent."""
        if self.is_held(channel):
            return Waiting(recent=0, due=0, oldest=None, from_quiet=0)
        return claim_many.waiting(self._connection, channel, now=now, window=window)

    def sent_since(self, channel: ChannelName, since: datetime) -> tuple[datetime, ...]:
        """Return when messages to the channel were started since then. A digest counts as one message."""
        return fallback.sent_since(self._connection, channel, since=since)

    def held_since(self, channel: ChannelName) -> datetime | None:
        """Return since when the channel has refused what it still holds; None if it is not held."""
        return fallback.held_since(self._connection, channel)

    def divert(self, channel: ChannelName, to: ChannelName, *, at: datetime) -> int:
        """Copy what waits on the held `channel` to the channel `to`: each delivery once, due `at`, with
        `diverted_from` among its facts. What would wait on a healthy channel too is left. Returns how many were
        written; at `fallback.DIVERTED` there may be more."""
        return fallback.divert(self._connection, channel, to, at=at)

    def recover(self, *, at: datetime, routing: Routing | None = None, longest: timedelta | None = None) -> int:
        """After a crash, make what was being sent due `at` again, marked as a possible repeat. Returns how many.
        Only for the start of the daemon, when nothing is being sent. With `routing`, nothing is held back longer
        than its quiet hours; nothing else waits longer than `longest`."""
        back = steps.set_back_by(self._connection, now=at)
        if back > 0:
            self.move_times(-back, now=at, window=0.0, routing=routing)
        if routing is not None:
            quiet.shorten(self._connection, routing, at=at)
        if longest is not None:
            steps.bound(self._connection, now=at, longest=longest)
        return ownership.recover(self._connection, at=at)

    def shorten_quiet(self, routing: Routing, *, at: datetime) -> int:
        """Shorten what is held back for quiet hours to what `routing` asks for. Returns how many were changed."""
        return quiet.shorten(self._connection, routing, at=at)

    def last_written(self) -> datetime | None:
        """Return when a delivery was last written or tried; None if none was."""
        return steps.last_written(self._connection)

    def move_times(self, step: float, *, now: datetime, window: float, routing: Routing | None = None) -> None:
        """Shift what waits after the wall clock was set by `step` seconds, within the last `window` seconds, to
        `now`: it waits as long as it would have. With `routing`, quiet hours end by the new time."""
        steps.move(self._connection, step, now=now, window=window, routing=routing)

    def next_due(self, channel: ChannelName, *, now: datetime | None = None) -> datetime | None:
        """Return when `claim` can take the next one, as far as known; None if there is none. With `now`, a time
        further ahead than `FAR` counts as now (see `claim`)."""
        query = self._claimable(channel)
        bare = query.with_only_columns(_D.due_at)  # a row that cannot be read in full must not block the others
        first = self._connection.execute(bare, {"channel": channel}).one_or_none()
        if first is None or now is None or first.due_at <= now:
            return None if first is None else first.due_at
        far = _CLAIM[query][1].with_only_columns(_D.id)
        found = self._connection.execute(far, {"channel": channel, **times(now)}).one_or_none()
        return first.due_at if found is None else now

    def became_due(self, channel: ChannelName, *, after: datetime, now: datetime) -> bool:
        """Return whether a pending delivery of the channel became due after `after` and by `now`: it was written,
        released or revived meanwhile."""
        return self._connection.execute(_NEW, {"channel": channel, "after": after, "now": now}).first() is not None

    def release(self, channel: ChannelName, *, at: datetime) -> int:
        """Make the channel's held deliveries due `at`. Returns how many."""
        return self._connection.execute(_RELEASE, {"of_channel": channel, **_again(at)}).rowcount

    def resume(self, channel: ChannelName) -> int:
        """Make deliveries that were put off due at once, in the order in which they were written, because the
        channel had failed and not they. Returns how many."""
        return self._connection.execute(_RESUME, {"of_channel": channel}).rowcount

    def retry(self, *, ids: Sequence[int] | None, channel: ChannelName | None = None, at: datetime) -> int:
        """Make deliveries due `at`: the dead, held and muted ones of `ids`, with those that have been sending for
        too long to have an owner; if None, all dead ones. With `channel`, only its own. Returns how many."""
        fresh = {"tried_for": 0.0, "tried_at": None, "defects": 0, "mute": None}
        revive = update(DELIVERIES).values({**_again(at), **fresh})
        if channel is not None:
            revive = revive.where(_D.channel == channel)
        dead = is_(DELIVERIES, DeliveryStatus.DEAD)
        if ids is None:
            return self._connection.execute(revive.where(dead)).rowcount
        self._leave(ids, at=at)
        muted = and_(is_(DELIVERIES, DeliveryStatus.PENDING), _D.mute.is_not(None))
        revive = revive.where(or_(dead, is_(DELIVERIES, DeliveryStatus.HELD), muted))
        return sum(self._connection.execute(revive.where(_D.id.in_(part))).rowcount for part in chunks(ids))

    def cancel(self, ids: Sequence[int], *, at: datetime) -> int:
        """Cancel those of the deliveries that are pending, held or dead, or have been sending for too long to have
        an owner; `at` becomes their due time. Returns how many."""
        self._leave(ids, at=at)
        open_ = or_(*(is_(DELIVERIES, status) for status in _CANCELABLE))
        cancel = update(DELIVERIES).where(open_).values(status=DeliveryStatus.CANCELED, due_at=at, mute=None)
        return sum(self._connection.execute(cancel.where(_D.id.in_(part))).rowcount for part in chunks(ids))

    def _leave(self, ids: Sequence[int], *, at: datetime) -> None:
        """Mark as dead what has been sending for too long to have an owner."""
        for part in chunks(ids):
            ownership.leave(self._connection, part, at=at)

    def _first(
        self, query: Select[Any], channel: ChannelName, *, now: datetime, columns: Sequence[Any] = ()
    ) -> Row[Any] | None:
        """Return the first row of `query` that is due, or due further ahead than anything is put off for."""
        for each in _CLAIM[query]:
            asked = each.with_only_columns(*columns) if columns else each
            row = self._connection.execute(asked, {"channel": channel, **times(now)}).one_or_none()
            if row is not None:
                return row
        return None

    def is_held(self, channel: ChannelName) -> bool:
        """Return whether the channel holds anything that it refused."""
        return self._connection.execute(_IS_HELD, {"channel": channel}).one_or_none() is not None

    def _claimable(self, channel: ChannelName, *, apart: bool = False) -> Select[Any]:
        if self.is_held(channel):
            return _PROBE
        return _APART if apart else _PENDING

    def _take(self, found: DeliveryRow, *, now: datetime) -> Claimed:
        n = found.attempts + 1
        taken = replace(found, status=DeliveryStatus.SENDING, attempts=n)
        self._connection.execute(_TAKE, {"row": found.id, "status": taken.status, "attempts": n})
        self._connection.execute(_BEGIN, {"delivery": found.id, "n": n, "started_at": now})
        job = None if found.job is None else self._connection.execute(_JOB, {"id": found.job}).one()
        move = (
            None if found.transition is None else self._connection.execute(_MOVE, {"id": found.transition}).one()
        )
        return Claimed(
            delivery=taken,
            job=None if job is None else job_row(job),
            move=None if move is None else plain_row(TransitionRow, move),
            attempt=n,
        )


def _again(at: datetime) -> dict[str, Any]:
    return {"status": DeliveryStatus.PENDING, "due_at": at}


def _becomes(claimed: Claimed, outcome: Outcome, at: datetime) -> dict[str, Any]:
    """Return the columns of the delivery that the outcome sets."""
    match outcome.kind:
        case AttemptOutcome.SENT:
            return {"status": DeliveryStatus.SENT, "sent_at": at, "last_error": None}
        case AttemptOutcome.RETRY:
            values = _put_off(DeliveryStatus.PENDING, outcome)
        case AttemptOutcome.UNKNOWN:
            values = _put_off(DeliveryStatus.PENDING, outcome) | {"possible_repeat": True}
        case AttemptOutcome.HELD:
            values = _put_off(DeliveryStatus.HELD, outcome)
        case AttemptOutcome.DEAD:
            values = {"status": DeliveryStatus.DEAD, "last_error": outcome.reason}
        case _:
            assert_never(outcome.kind)
    return values | {
        "tried_for": claimed.delivery.tried_until(at, uptime=outcome.uptime),
        "tried_at": at,
        "defects": claimed.delivery.defects + outcome.defect,
    }


def _put_off(status: DeliveryStatus, outcome: Outcome) -> dict[str, Any]:
    if outcome.due_at is None:
        raise ValueError(f"the outcome {outcome.kind} needs the time of the next attempt")
    return {"status": status, "due_at": outcome.due_at, "last_error": outcome.reason}
