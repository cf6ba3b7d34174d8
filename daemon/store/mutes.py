"""Mutes: which alerts are kept for a while because a person asked for it, and their release.

Owns these statements. An alert belongs to the mute that covers it now, of several to the one that ends last: from
when it is written (`covering`) or, still unsent, from the start of the mute, or from when its job got the batch or
tag, until the job loses it. Its status, due time and place in line stay as they are: claims pass over it, and it
blocks nothing. As its mute ends, another one that covers it takes it over; otherwise it is sent or dropped.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    ScalarSelect,
    and_,
    bindparam,
    case,
    exists,
    func,
    insert,
    null,
    or_,
    select,
    update,
)

from daemon.domain.actions import Actor
from daemon.domain.events import Event
from daemon.domain.jobs import ProjectName
from daemon.domain.mutes import MuteEnd, MuteScope
from daemon.store.lists import Page
from daemon.store.mapping import TransactionPart, chunks, named, plain
from daemon.store.ordering import MOMENT, is_, open_
from daemon.store.paging import Place
from daemon.store.rows import DeliveryStatus, MuteRow, from_stamp, to_stamp
from daemon.store.tables import DELIVERIES, JOB_TAGS, JOBS, MUTES

BY_ITSELF = Actor("wrapd")
"""Who ended a mute whose time was over."""
MUTED = "muted"
"""The `last_error` of a delivery that was dropped at the end of a mute."""

_Mutes = list[MuteRow]
_D, _M = DELIVERIES.c, MUTES.c
_other = MUTES.alias("other")
_mine = MUTES.alias("mine")
_ROW, _AT = bindparam("mute_id", type_=BigInteger), bindparam("at", type_=MOMENT)
_RUNS = _M.ended_at.is_(None)


class About(Struct, frozen=True, kw_only=True):
    """What a mute may cover, as columns or parameters. `batch` is that of a batch's end."""

    channel: ColumnElement[Any]
    project: ColumnElement[Any] | ScalarSelect[Any]
    job: ColumnElement[Any]
    batch: ColumnElement[Any]


def covers(mute: FromClause, it: About) -> ColumnElement[bool]:
    """The mute covers the alert: by its channel, its job, or a batch or tag of its job now."""
    scope, subject = mute.c.scope, mute.c.subject
    of_job = select(1).where(JOBS.c.id == it.job)
    tags = select(1).where(JOB_TAGS.c.job == it.job, JOB_TAGS.c.tag == subject)
    return and_(
        or_(mute.c.project.is_(None), mute.c.project == it.project),
        or_(
            and_(scope == plain(MuteScope.CHANNEL), subject == it.channel),
            and_(
                scope == plain(MuteScope.JOB),
                of_job.where(JOBS.c.job_id == subject).correlate(mute, DELIVERIES).exists(),
            ),
            and_(
                scope == plain(MuteScope.BATCH),
                of_job.where(JOBS.c.batch == subject).correlate(mute, DELIVERIES).exists(),
            ),
            and_(scope == plain(MuteScope.BATCH), subject == it.batch),
            and_(scope == plain(MuteScope.TAG), tags.correlate(mute, DELIVERIES).exists()),
        ),
    )


def covering(it: About) -> ScalarSelect[Any]:
    """The row id of the mute to which an alert belongs; null if none covers it. A mute counts until what it kept
    is released, so that nothing overtakes that."""
    return (
        select(_other.c.id)
        .where(_other.c.ended_at.is_(None), covers(_other, it))
        .order_by(_other.c.until.desc(), _other.c.id)
        .limit(1)
        .scalar_subquery()
    )


_STORED = About(
    channel=_D.channel,
    project=_D.project,
    job=_D.job,
    batch=case(
        (
            and_(_D.event == plain(Event.BATCH_FINISHED), func.json_valid(_D.facts) == 1),
            func.json_extract(_D.facts, "$.batch"),
        )
    ),
)
_until = select(_mine.c.until).where(_mine.c.id == _D.mute).correlate(DELIVERIES).scalar_subquery()
_CAPTURE = (
    update(DELIVERIES)
    .where(
        open_(DELIVERIES),
        or_(_D.mute.is_(None), _until < bindparam("until", type_=MOMENT)),
        exists(select(1).where(_other.c.id == _ROW, covers(_other, _STORED)).correlate(DELIVERIES)),
    )
    .values(mute=_ROW)
)
_KEPT = _D.mute == _ROW
_WAITS = or_(is_(DELIVERIES, DeliveryStatus.PENDING), is_(DELIVERIES, DeliveryStatus.HELD))
_HAND_OVER = update(DELIVERIES).where(_KEPT, covering(_STORED).is_not(None)).values(mute=covering(_STORED))
_LET_GO = (
    update(DELIVERIES)
    .where(_KEPT, _WAITS)
    .values(
        status=plain(DeliveryStatus.PENDING),
        mute=null(),
        unmuted_at=_AT,
        # What waits for something else, such as the end of quiet hours, goes on waiting for it.
        due_at=case((_D.due_at > _AT, _D.due_at), else_=_AT),
    )
)
_DROP = (
    update(DELIVERIES)
    .where(_KEPT, _WAITS)
    .values(status=plain(DeliveryStatus.CANCELED), mute=null(), due_at=_AT, last_error=MUTED)
)
_FORGET = update(DELIVERIES).where(_KEPT).values(mute=null())
# An alert that was moved to another channel is not kept by the mute of its old one.
_elsewhere = exists(
    select(1)
    .where(_mine.c.id == _D.mute, _mine.c.scope == plain(MuteScope.CHANNEL), _mine.c.subject != _D.channel)
    .correlate(DELIVERIES)
)
_FREE_MOVED = update(DELIVERIES).where(_D.mute.is_not(None), _elsewhere).values(mute=covering(_STORED))
_OF_SOME = _D.job.in_(bindparam("jobs", expanding=True))
_BY_WORD = select(_M.id).where(_RUNS, _M.scope.in_([plain(MuteScope.BATCH), plain(MuteScope.TAG)])).limit(1)
_freed = and_(_D.mute.is_not(None), covering(_STORED).is_(None))
# No value changes, but the daemon learns of it, and sends what is free.
_NOTICE_FREED = (
    update(MUTES)
    .where(_M.id.in_(select(_D.mute).where(open_(DELIVERIES), _OF_SOME, _freed)))
    .values(until=_M.until)
)
_FIT = (
    update(DELIVERIES)
    .where(open_(DELIVERIES), _OF_SOME, _D.mute.is_distinct_from(covering(_STORED)))
    .values(mute=covering(_STORED), unmuted_at=case((_freed, _AT), else_=_D.unmuted_at))
)
_END = (
    update(MUTES)
    .where(_M.id == _ROW, _RUNS)
    .values(ended_at=_AT, ended_by=bindparam("by"), then=bindparam("as_asked"))
)
_JOB = bindparam("of_job", type_=BigInteger)
_PROJECT = select(JOBS.c.project).where(JOBS.c.id == _JOB).scalar_subquery()
_OF_JOB = (
    select(MUTES)
    .where(_RUNS, covers(MUTES, About(channel=null(), project=_PROJECT, job=_JOB, batch=null())))
    .order_by(_M.until.desc(), _M.id)
)
_OF_BATCH = (
    select(MUTES)
    .where(
        _RUNS,
        _M.scope == plain(MuteScope.BATCH),
        _M.subject == bindparam("of_batch"),
        or_(_M.project.is_(None), _M.project == bindparam("of_project")),
    )
    .order_by(_M.until.desc(), _M.id)
)
_BY_END = select(MUTES).where(_RUNS).order_by(_M.until, _M.id)
_NEXT_END = select(_M.until).where(_RUNS).order_by(_M.until).limit(1)
_OVER = select(_M.id).where(_RUNS, _M.until <= _AT).order_by(_M.until, _M.id)
_COUNT = select(_D.mute, func.count().label("n")).where(_D.mute.is_not(None), _WAITS).group_by(_D.mute)
_RENAME = update(MUTES).where(_M.project == bindparam("old"), _RUNS).values(project=bindparam("new"))


class Ended(Struct, frozen=True, kw_only=True):
    """A mute that ended now, and how many alerts were sent or dropped because of it."""

    mute: MuteRow
    count: int


class Mutes(TransactionPart):
    """The mutes, seen through one transaction."""

    def start(
        self,
        scope: MuteScope,
        subject: str,
        *,
        project: ProjectName | None,
        at: datetime,
        until: datetime,
        who: Actor,
        comment: str | None,
        then: MuteEnd,
    ) -> MuteRow:
        """Mute the alerts of `subject`, in `project` or in any: those to come, and those not sent yet. One that is
        being sent is not sent again."""
        row: dict[str, Any] = {"scope": scope, "subject": subject, "project": project, "who": who, "then": then}
        row |= {"started_at": at, "until": until, "comment": comment}
        [number] = self._connection.execute(insert(MUTES), row).inserted_primary_key or (0,)
        self._connection.execute(_CAPTURE, {"mute_id": number, "until": until})
        return self._row(number)

    def end(self, number: int, *, at: datetime, by: Actor, then: MuteEnd | None = None) -> Ended | None:
        """End a mute: what only it keeps is sent or dropped as asked, or as `then` says. None if it has ended or
        does not exist."""
        found = self.get([number]).get(number)
        if found is None or found.ended_at is not None:
            return None
        end = then or found.then
        self._connection.execute(_END, {"mute_id": number, "at": at, "by": by, "as_asked": str(end)})
        self._connection.execute(_HAND_OVER, {"mute_id": number})
        free = _DROP if end is MuteEnd.DROP else _LET_GO
        count = self._connection.execute(free, {"mute_id": number, "at": at}).rowcount
        self._connection.execute(_FORGET, {"mute_id": number})
        return Ended(mute=self._row(number), count=count)

    def end_due(self, *, at: datetime) -> tuple[Ended, ...]:
        """End the mutes whose time is over, in that order."""
        over = self._connection.execute(_OVER, {"at": at}).scalars().all()
        ends = [self.end(number, at=at, by=BY_ITSELF) for number in over]
        return tuple(each for each in ends if each is not None)

    def next_end(self) -> datetime | None:
        """Return when the first of the mutes ends; None if there is none."""
        moment: datetime | None = self._connection.execute(_NEXT_END).scalar_one_or_none()
        return moment

    def get(self, numbers: Collection[int]) -> dict[int, MuteRow]:
        """Return those of the mutes that exist, by row id."""
        if not numbers:
            return {}
        rows = self._connection.execute(select(MUTES).where(_M.id.in_(sorted(numbers))))
        return {row.id: _row(row) for row in rows}

    def list(self, *, ended: bool = False) -> _Mutes:
        """Return the mutes that have not ended, the first to end first; with `ended` all, latest first."""
        query = select(MUTES).order_by(_M.id.desc()) if ended else _BY_END
        return [_row(row) for row in self._connection.execute(query).all()]

    def page(self, *, ended: bool, limit: int, after: Place | None = None) -> Page[MuteRow]:
        """Return at most `limit` mutes beyond `after`, in the order of `list`."""
        query = select(MUTES).order_by(_M.id.desc()) if ended else _BY_END
        if after is not None and ended:
            query = query.where(_M.id < after.id)
        elif after is not None:
            at = from_stamp(after.at or 0)
            query = query.where(or_(_M.until > at, and_(_M.until == at, _M.id > after.id)))
        rows = [_row(row) for row in self._connection.execute(query.limit(limit + 1))]
        last = rows[limit - 1] if len(rows) > limit else None
        place = None if last is None else Place(0, None if ended else to_stamp(last.until), last.id)
        return Page(rows=rows[:limit], after=place)

    def of_job(self, job: int) -> _Mutes:
        """Return the mutes that cover all alerts about a job (row id) from now on, the last to end first."""
        return [_row(row) for row in self._connection.execute(_OF_JOB, {"of_job": job})]

    def of_batch(self, project: ProjectName, batch: str) -> _Mutes:
        """Return the mutes of a batch itself, the last to end first."""
        found = self._connection.execute(_OF_BATCH, {"of_project": project, "of_batch": batch})
        return [_row(row) for row in found]

    def kept(self) -> dict[int, int]:
        """Return how many alerts each mute keeps, by its row id; none are left out."""
        return {row.mute: row.n for row in self._connection.execute(_COUNT)}

    def _row(self, number: int) -> MuteRow:
        return self.get([number])[number]


def words_changed(connection: Connection, jobs: Iterable[int], *, at: datetime) -> None:
    """The tags or the batch of these jobs (row ids) changed: mutes keep what they cover now, and let go of the
    rest."""
    if connection.execute(_BY_WORD).first() is not None:
        for part in chunks(jobs):
            connection.execute(_NOTICE_FREED, {"jobs": part})
            connection.execute(_FIT, {"jobs": part, "at": at})


def project_moved(connection: Connection, old: ProjectName, new: ProjectName) -> None:
    """The jobs of `old` belong to `new` now: its mutes follow, and those of `new` cover them too."""
    connection.execute(_RENAME, {"old": old, "new": new})
    _cover(connection)


def channel_moved(connection: Connection) -> None:
    """Alerts were moved to another channel: its mutes keep them, those of the old channel do not."""
    connection.execute(_FREE_MOVED)
    _cover(connection)


def _cover(connection: Connection) -> None:
    """Let each mute keep what it covers."""
    for number, until in connection.execute(select(_M.id, _M.until).where(_RUNS)).all():
        connection.execute(_CAPTURE, {"mute_id": number, "until": until})


def _row(row: Any) -> MuteRow:
    values = dict(row._mapping)
    values["scope"], values["then"] = named(MuteScope, values["scope"]), named(MuteEnd, values["then"])
    return MuteRow(**values)
