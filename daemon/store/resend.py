"""What a person sends again: canceled deliveries are revived, sent ones are written anew.

Owns these statements. A sent delivery is never changed: sending it again creates another one.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, null, or_, select, update

from daemon.domain.events import Event, Json, resent_key
from daemon.domain.jobs import ChannelName, ProjectName
from daemon.store.alerts import Alert, add_again
from daemon.store.mapping import TransactionPart, chunks, delivery_row, plain
from daemon.store.ordering import is_, known
from daemon.store.rows import REPLACED, DeliveryRow, DeliveryStatus
from daemon.store.tables import DELIVERIES, JOBS

_D, _J = DELIVERIES.c, JOBS.c
_BY_PERSON = and_(is_(DELIVERIES, DeliveryStatus.CANCELED), _D.last_error.is_distinct_from(REPLACED))
_REVIVE = (
    update(DELIVERIES)
    .where(is_(DELIVERIES, DeliveryStatus.CANCELED))
    .values(
        status=plain(DeliveryStatus.PENDING),
        tried_for=0.0,
        tried_at=None,
        defects=0,
        mute=null(),
        # The only error of a delivery that was never tried is the reason why it was canceled.
        last_error=case((_D.attempts == 0, null()), else_=_D.last_error),
    )
)
_SENT = select(DELIVERIES).where(is_(DELIVERIES, DeliveryStatus.SENT), known(DELIVERIES))
_BATCH_ENDS = _D.key.between("batch/", "batch/~")
_LAST = select(func.coalesce(func.max(_D.id), 0))


class Again(TransactionPart):
    """Reviving and resending, seen through one transaction."""

    def canceled(self, *, since: datetime, channel: ChannelName | None = None) -> list[int]:
        """Return the row ids of what people canceled since then, without what a later alert replaced."""
        query = select(_D.id).where(_BY_PERSON, _D.due_at >= since).order_by(_D.id)
        return list(self._connection.execute(_of(query, channel)).scalars())

    def canceled_before(self, since: datetime, *, channel: ChannelName | None = None) -> int:
        """Return how many deliveries people canceled before then."""
        query = select(func.count()).select_from(DELIVERIES).where(_BY_PERSON, _D.due_at < since)
        return int(self._connection.execute(_of(query, channel)).scalar_one())

    def revive(self, deliveries: Sequence[int], *, at: datetime) -> int:
        """Make those of the deliveries that are canceled pending, due `at`. Returns how many."""
        return sum(
            self._connection.execute(_REVIVE.values(due_at=at).where(_D.id.in_(part))).rowcount
            for part in chunks(deliveries)
        )

    def sent(
        self,
        *,
        most: int,
        project: ProjectName | None = None,
        job: int | None = None,
        batch: str | None = None,
        since: datetime | None = None,
        channel: ChannelName | None = None,
    ) -> list[DeliveryRow]:
        """Return sent deliveries by job (row id), batch with its jobs, time and channel, as far as given: the
        first `most`, in the order in which they were written."""
        query = _of(_SENT, channel)
        if project is not None:
            query = query.where(_D.project == project)
        if job is not None:
            query = query.where(_D.job == job)
        if batch is not None:
            query = query.where(or_(_D.job.in_(select(_J.id).where(_J.batch == batch)), _ends_of(batch)))
        if since is not None:
            query = query.where(_D.sent_at >= since)
        return [delivery_row(row) for row in self._connection.execute(query.order_by(_D.id).limit(most))]

    def resend(self, rows: Iterable[DeliveryRow], *, to: ChannelName | None, at: datetime) -> int:
        """Write these again, each event once for each channel, due `at` regardless of quiet hours and mutes: on
        `to`, or on their own channels. Returns how many were written."""
        after = self._connection.execute(_LAST).scalar_one()
        alerts: dict[tuple[str, ChannelName], Alert] = {}
        for row in rows:
            alert = _resent(row, to or row.channel, after=after)
            alerts.setdefault((alert.key, alert.channel), alert)
        return sum(add_again(self._connection, alert, at=at) for alert in alerts.values())


def _of(query: Any, channel: ChannelName | None) -> Any:
    return query if channel is None else query.where(_D.channel == channel)


def _ends_of(batch: str) -> ColumnElement[bool]:
    """It announces the end of a batch of this name."""
    name = func.json_extract(_D.facts, "$.batch")
    return and_(_D.event == plain(Event.BATCH_FINISHED), _BATCH_ENDS, name == batch)


def _resent(row: DeliveryRow, channel: ChannelName, *, after: int) -> Alert:
    facts: dict[str, Json] = {
        # Messages take the event's time from this fact, or else from when the row was written.
        "observed_at": row.created_at.isoformat(),
        **row.facts,
        "resent_from": row.facts.get("resent_from", row.id),
        "first_sent_at": row.facts.get("first_sent_at", None if row.sent_at is None else row.sent_at.isoformat()),
    }
    if channel != row.channel:
        facts.pop("diverted_from", None)
    return Alert(
        key=resent_key(row.key, after=after),
        channel=channel,
        event=row.event,
        project=row.project,
        facts=facts,
        job=row.job,
        transition=row.transition,
        overtakes=True,
        by_hand=True,
    )
