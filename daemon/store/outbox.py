"""The outbox: one row for each event and channel, from the transaction that caused it until it is sent or dead.

Owns claiming, judging and reviving deliveries, and the order of sending: alerts about one job reach a channel in
the order in which they were written (those about no job: in the order of their project's). Must never send.

    pending ──claim──> sending ──sent──────────> sent
       │                  ├────dead────────────> dead ──retry──> pending
       │                  ├────held────────────> held ──release, retry, another one sent──> pending
       │                  └────retry, unknown, recover (after a crash)──> pending
       └──(later releases)──> canceled
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, assert_never

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    Text,
    and_,
    bindparam,
    func,
    insert,
    or_,
    select,
    update,
)

from daemon.domain.events import OperatorAlert
from daemon.domain.jobs import ChannelName
from daemon.store import alerts
from daemon.store.mapping import attempt_row, delivery_row, job_row, plain, transition_row
from daemon.store.rows import AttemptOutcome, AttemptRow, Claimed, DeliveryRow, DeliveryStatus, Outcome
from daemon.store.tables import ATTEMPTS, DELIVERIES, JOBS, TRANSITIONS

FAR = timedelta(hours=2)
"""No delivery is put off for longer: one due later than this shows that the clock was set back."""
STOPPED_WHILE_SENDING = "wrapd stopped while it was being sent"

_D = DELIVERIES.c
_CHUNK = 500
_Deliveries = list[DeliveryRow]
_Attempts = list[AttemptRow]


def _is(table: FromClause, status: DeliveryStatus) -> ColumnElement[bool]:
    return table.c.status == plain(status)


def _same_line(one: FromClause, other: FromClause) -> ColumnElement[bool]:
    """Two deliveries that arrive in order: on one channel, about one job, or about no job but one project."""
    return and_(
        one.c.channel == other.c.channel,
        one.c.job.is_not_distinct_from(other.c.job),
        or_(other.c.job.is_not(None), one.c.project.is_not_distinct_from(other.c.project)),
    )


def _unsent(table: FromClause) -> ColumnElement[bool]:
    # Written as the partial indexes have it, or SQLite does not see that they fit.
    return or_(
        _is(table, DeliveryStatus.PENDING), _is(table, DeliveryStatus.SENDING), _is(table, DeliveryStatus.HELD)
    )


def _is_first(table: FromClause) -> ColumnElement[bool]:
    earlier = DELIVERIES.alias("earlier")
    before = select(1).where(_same_line(earlier, table), earlier.c.id < table.c.id, _unsent(earlier))
    return ~before.correlate(table).exists()


_CHANNEL = bindparam("channel", type_=Text)
_BY_TIME = (_D.due_at, _D.id)
_PENDING = (
    select(DELIVERIES)
    .where(_D.channel == _CHANNEL, _is(DELIVERIES, DeliveryStatus.PENDING), _is_first(DELIVERIES))
    .order_by(*_BY_TIME)
    .limit(1)
)
_held = DELIVERIES.alias("held_row")
_in_line = DELIVERIES.alias("in_line")
_FIRST_IN_LINE = (
    select(func.min(_in_line.c.id)).where(_same_line(_in_line, _held), _unsent(_in_line)).correlate(_held)
).scalar_subquery()
# The probe is a held one or, where a person revived a dead one before it, that one: else both wait for ever.
# Only the ids choose the rows here: led by the channel SQLite would look at all its pending ones.
_PROBE = (
    select(DELIVERIES)
    .where(
        _D.id.in_(select(_FIRST_IN_LINE).where(_held.c.channel == _CHANNEL, _is(_held, DeliveryStatus.HELD))),
        or_(_is(DELIVERIES, DeliveryStatus.HELD), _is(DELIVERIES, DeliveryStatus.PENDING)),
    )
    .order_by(*_BY_TIME)
    .limit(1)
)
_IS_HELD = select(_D.id).where(_D.channel == _CHANNEL, _is(DELIVERIES, DeliveryStatus.HELD)).limit(1)
_MOMENT = _D.due_at.type
_DUE = _D.due_at <= bindparam("now", type_=_MOMENT)
_TOO_FAR = _D.due_at > bindparam("far", type_=_MOMENT)
_CLAIM = {query: (query.where(_DUE), query.where(_TOO_FAR)) for query in (_PENDING, _PROBE)}
_NEW = (
    select(_D.id)
    .where(_D.channel == _CHANNEL, _is(DELIVERIES, DeliveryStatus.PENDING), _DUE)
    .where(_D.due_at > bindparam("after", type_=_MOMENT))
    .limit(1)
)
_TAKE = update(DELIVERIES).where(_D.id == bindparam("row"))
_BEGIN = insert(ATTEMPTS)
_JUDGE = update(DELIVERIES).where(
    _D.id == bindparam("row"), _is(DELIVERIES, DeliveryStatus.SENDING), _D.attempts == bindparam("attempt")
)
_END = update(ATTEMPTS).where(
    ATTEMPTS.c.delivery == bindparam("row"), ATTEMPTS.c.n == bindparam("attempt"), ATTEMPTS.c.ended_at.is_(None)
)
_RELEASE = update(DELIVERIES).where(_D.channel == bindparam("of_channel"), _is(DELIVERIES, DeliveryStatus.HELD))
_JOB = select(JOBS).where(JOBS.c.id == bindparam("id"))
_MOVE = select(TRANSITIONS).where(TRANSITIONS.c.id == bindparam("id"))


class Outbox:
    """The deliveries, seen through one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add_operator(self, alert: OperatorAlert, *, channels: Iterable[ChannelName], at: datetime) -> int:
        """Write an event about wrapd itself, due `at`, for each of the channels that was not told under its key.
        Returns how many were written."""
        return len(alerts.add(self._connection, alerts.of_operators(alert, channels), at=at, due_at=at))

    def claim(self, channel: ChannelName, *, now: datetime) -> Claimed | None:
        """Take the earliest due delivery of a channel that may be sent, and open its next attempt.

        Never one with an unsent one before it (module docstring). While the channel is held, only a held one: the
        probe. Due is also what lies further ahead than `FAR`: the clock was set back.
        """
        for query in _CLAIM[self._claimable(channel)]:
            found = self._connection.execute(query, {"channel": channel, "now": now, "far": now + FAR})
            if (row := found.one_or_none()) is not None:
                return self._take(delivery_row(row), now=now)
        return None

    def finish(self, claimed: Claimed, outcome: Outcome, *, at: datetime) -> None:
        """Close the attempt and say what becomes of the delivery. One that was sent frees the channel's held
        ones. A second call for one attempt changes nothing. Raises ValueError where `due_at` is missing."""
        values = _becomes(outcome, at=at)
        key = {"row": claimed.delivery.id, "attempt": claimed.attempt}
        if self._connection.execute(_JUDGE, {**values, **key}).rowcount != 1:
            return
        end = {
            "ended_at": at,
            "outcome": outcome.kind,
            "status_code": outcome.status_code,
            "reason": outcome.reason,
        }
        self._connection.execute(_END, {**end, **key})
        if outcome.kind is AttemptOutcome.SENT:
            self.release(claimed.delivery.channel, at=at)

    def recover(self, *, at: datetime) -> int:
        """After a crash: whatever was being sent is due `at` again, marked as a possible repeat. Returns how
        many. Only for the start of the daemon: nothing may be sending."""
        sending = select(_D.id).where(_unsent(DELIVERIES), _is(DELIVERIES, DeliveryStatus.SENDING))
        unknown = {"ended_at": at, "outcome": AttemptOutcome.UNKNOWN, "reason": STOPPED_WHILE_SENDING}
        self._connection.execute(
            update(ATTEMPTS).where(ATTEMPTS.c.delivery.in_(sending), ATTEMPTS.c.ended_at.is_(None)).values(unknown)
        )
        again = {**_again(at), "possible_repeat": True, "last_error": STOPPED_WHILE_SENDING}
        where = and_(_unsent(DELIVERIES), _is(DELIVERIES, DeliveryStatus.SENDING))
        return self._connection.execute(update(DELIVERIES).where(where).values(again)).rowcount

    def next_due(self, channel: ChannelName, *, now: datetime | None = None) -> datetime | None:
        """When `claim` can take the next one, as far as is known; None where there is none. With `now`, a moment
        further ahead than `FAR` counts as now (see `claim`)."""
        query = self._claimable(channel)
        first = self._connection.execute(query, {"channel": channel}).one_or_none()
        if first is None or now is None or first.due_at <= now:
            return None if first is None else first.due_at
        far = self._connection.execute(_CLAIM[query][1], {"channel": channel, "far": now + FAR})
        return first.due_at if far.one_or_none() is None else now

    def became_due(self, channel: ChannelName, *, after: datetime, now: datetime) -> bool:
        """Whether a pending delivery of the channel fell due later than `after` and is due `now`: it was written,
        released or revived meanwhile."""
        return self._connection.execute(_NEW, {"channel": channel, "after": after, "now": now}).first() is not None

    def release(self, channel: ChannelName, *, at: datetime) -> int:
        """Make the channel's held deliveries due `at`. Returns how many."""
        return self._connection.execute(_RELEASE, {"of_channel": channel, **_again(at)}).rowcount

    def retry(self, *, ids: Sequence[int] | None, channel: ChannelName | None = None, at: datetime) -> int:
        """Make deliveries due `at`: of `ids` the dead and held ones; where that is None, all dead ones. With
        `channel`, only its own. Returns how many."""
        revive = update(DELIVERIES).values(_again(at))
        if channel is not None:
            revive = revive.where(_D.channel == channel)
        dead = _is(DELIVERIES, DeliveryStatus.DEAD)
        if ids is None:
            return self._connection.execute(revive.where(dead)).rowcount
        revive = revive.where(or_(dead, _is(DELIVERIES, DeliveryStatus.HELD)))
        parts = [ids[start : start + _CHUNK] for start in range(0, len(ids), _CHUNK)]
        return sum(self._connection.execute(revive.where(_D.id.in_(part))).rowcount for part in parts)

    def attempts(self, delivery: int) -> _Attempts:
        """The attempts of a delivery, the first one first."""
        query = select(ATTEMPTS).where(ATTEMPTS.c.delivery == delivery).order_by(ATTEMPTS.c.n)
        return [attempt_row(row) for row in self._connection.execute(query)]

    def counts(self) -> dict[tuple[ChannelName, DeliveryStatus], int]:
        """How many deliveries each channel has, by status; pairs without any are left out."""
        query = select(_D.channel, _D.status, func.count()).group_by(_D.channel, _D.status)
        return {
            (ChannelName(channel), DeliveryStatus(status)): count
            for channel, status, count in self._connection.execute(query)
        }

    def list(
        self,
        *,
        status: DeliveryStatus | None = None,
        channel: ChannelName | None = None,
        job: int | None = None,
        limit: int | None = None,
    ) -> _Deliveries:
        """The deliveries that fit all that is given, the latest first."""
        query = select(DELIVERIES).order_by(_D.id.desc())
        if status is not None:
            query = query.where(_is(DELIVERIES, status))
        if channel is not None:
            query = query.where(_D.channel == channel)
        if job is not None:
            query = query.where(_D.job == job)
        return [
            delivery_row(row) for row in self._connection.execute(query if limit is None else query.limit(limit))
        ]

    def _claimable(self, channel: ChannelName) -> Select[Any]:
        held = self._connection.execute(_IS_HELD, {"channel": channel}).one_or_none()
        return _PENDING if held is None else _PROBE

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
            move=None if move is None else transition_row(move),
            attempt=n,
        )


def _again(at: datetime) -> dict[str, Any]:
    return {"status": DeliveryStatus.PENDING, "due_at": at}


def _becomes(outcome: Outcome, *, at: datetime) -> dict[str, Any]:
    match outcome.kind:
        case AttemptOutcome.SENT:
            return {"status": DeliveryStatus.SENT, "sent_at": at, "last_error": None}
        case AttemptOutcome.RETRY:
            return _put_off(DeliveryStatus.PENDING, outcome)
        case AttemptOutcome.UNKNOWN:
            return _put_off(DeliveryStatus.PENDING, outcome) | {"possible_repeat": True}
        case AttemptOutcome.HELD:
            return _put_off(DeliveryStatus.HELD, outcome)
        case AttemptOutcome.DEAD:
            return {"status": DeliveryStatus.DEAD, "last_error": outcome.reason}
        case _:
            assert_never(outcome.kind)


def _put_off(status: DeliveryStatus, outcome: Outcome) -> dict[str, Any]:
    if outcome.due_at is None:
        raise ValueError(f"the outcome {outcome.kind} needs the time of the next attempt")
    return {"status": status, "due_at": outcome.due_at, "last_error": outcome.reason}
