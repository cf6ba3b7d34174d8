"""What may need a person: the jobs, alerts and channels, read for one list.

Owns this reading and its bounds: at most `MOST` rows of each sort, each found by an index. Judges nothing: `views`
says what a row means and in which order they come. Which states have jobs at all is read off `job_counts`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct
from sqlalchemy import BigInteger, Select, Text, bindparam, func, or_, select, type_coerce

from daemon.domain.actions import Action
from daemon.domain.jobs import ChannelName, JobId, ProjectName, Tracking
from daemon.domain.states import State
from daemon.store import assets, paging
from daemon.store.mapping import PACED, TransactionPart, chunks, plain, unended_jobs
from daemon.store.memory import Statuses
from daemon.store.mutes import Mutes
from daemon.store.pauses import ProjectPauses
from daemon.store.queue import DeliveryQueue
from daemon.store.rows import DeliveryStatus, MuteRow, PauseRow, Refusal, Status, from_stamp, to_stamp
from daemon.store.tables import ACTIONS, DELIVERIES, GIVEN_UP_COUNTS, JOB_COUNTS, JOBS, LINKS

if TYPE_CHECKING:
    from daemon.domain.production import Unended

MOST = 200
"""Rows read of each sort."""
MOST_RUNNING = 500
"""Jobs in production that are read, the first tracked ones first, to see which take too long."""


class _NeedColumns(NamedTuple):
    id: int
    project: ProjectName
    job_id: JobId
    label: str | None
    tags_text: str
    batch: str | None
    state: str | None
    state_since_stamp: int | None
    tracked_stamp: int
    asset_name: str | None
    error_code: str | None
    error_msg: str | None
    last_polled_stamp: int | None
    link_until_stamp: int | None
    note: str | None


class NeedRow(_NeedColumns):
    """What a list of what needs a person shows of a job, as it is stored. Most rows are only counted, so times are
    converted on access. `last_polled_stamp` lacks the looks of a job that is still tracked."""

    __slots__ = ()

    @property
    def tags(self) -> tuple[str, ...]:
        """Its tags."""
        return tuple(json.loads(self.tags_text))

    @property
    def state_since(self) -> datetime | None:
        """When wrapd saw the job come into its state."""
        return _at(self.state_since_stamp)

    @property
    def tracked_at(self) -> datetime:
        """When this span of tracking began."""
        return from_stamp(self.tracked_stamp)

    @property
    def last_polled_at(self) -> datetime | None:
        """When the service was last asked about a job that is no longer tracked."""
        return _at(self.last_polled_stamp)

    @property
    def link_until(self) -> datetime | None:
        """When the last of its links expires."""
        return _at(self.link_until_stamp)


_Count = tuple[str, str, str, int]
_J, _L, _N, _A, _D, _G = JOBS.c, LINKS.c, JOB_COUNTS.c, ACTIONS.c, DELIVERIES.c, GIVEN_UP_COUNTS.c
_COLUMNS = (
    *(_J.id, _J.project, _J.job_id, _J.label, type_coerce(_J.tags, Text), _J.batch, _J.state),
    *(type_coerce(each, BigInteger) for each in (_J.state_since, _J.tracked_at)),
    *(_J.asset_name, _J.error_code, _J.error_msg),
    type_coerce(_J.last_polled_at, BigInteger),
    _LINK_UNTIL := type_coerce(_J.link_until, BigInteger),
    _J.note,
)
"""Those of `NeedRow`, in its order."""
_ROWS = select(*_COLUMNS)
_OWN_END = type_coerce(_L.expires_at, BigInteger)
_OF_OWN_LINK = select(*(_OWN_END if each is _LINK_UNTIL else each for each in _COLUMNS)).join_from(LINKS, JOBS)
"""The same for jobs with a link of wrapd's own, with its end in place of that of the service's links."""
_SINCE = type_coerce(_J.state_since, BigInteger)
_MOST = bindparam("most", type_=BigInteger)
_PROJECT = bindparam("of_project", type_=Text)


def _of_state(rows: Select[Any], tracking: Tracking, state: State) -> Select[Any]:
    """Select the jobs of a project in this state, off an index."""
    return rows.where(_J.project == _PROJECT, _J.tracking == plain(tracking), _J.state == plain(state))


_FAILED = (
    _of_state(_ROWS, Tracking.FINISHED, State.FAILED)
    .where(bindparam("since", type_=BigInteger) <= _SINCE)
    .order_by(_SINCE.desc(), _J.id.desc())
    .limit(_MOST)
)
_FROZEN = _of_state(_ROWS, Tracking.ACTIVE, State.BLOCK).order_by(_J.id).limit(_MOST)
_RUNNING = _of_state(select(_J.id, *PACED), Tracking.ACTIVE, State.PROCESSING).order_by(_J.id).limit(_MOST)
_RUNNING = _RUNNING.where(_J.id <= bindparam("last", type_=BigInteger))
_RUNNING_IDS = _of_state(select(_J.id), Tracking.ACTIVE, State.PROCESSING).order_by(_J.id).limit(_MOST)
_GONE = (
    _ROWS.where(
        _J.project == _PROJECT,
        _J.tracking == bindparam("of_tracking", type_=Text),
        _J.state.is_not_distinct_from(bindparam("of_state", type_=Text)),
    )
    .order_by(_J.id.desc())
    .limit(_MOST)
)
_LAST = bindparam("last", type_=_L.expires_at.type)
_LIVES_ON = select(_L.id).where(_L.job == _J.id, _L.revoked_at.is_(None), _L.expires_at > _LAST).exists()
_EXPIRING, _REMINDED = (assets.dying(_ROWS, reminded=each).where(~_LIVES_ON) for each in (False, True))
_OWN_EXPIRING = (
    _OF_OWN_LINK.where(
        bindparam("now", type_=_L.expires_at.type) < _L.expires_at,
        _L.expires_at <= _LAST,
        _L.revoked_at.is_(None),
        or_(_J.link_until.is_(None), _J.link_until <= bindparam("now", type_=_J.link_until.type)),
        *assets.UNOPENED,
    )
    .order_by(_L.expires_at)
    .limit(_MOST)
)
_DYING = (_EXPIRING, _REMINDED, _OWN_EXPIRING)
_BY_IDS = _ROWS.where(_J.id.in_(bindparam("rows", expanding=True)))
_COUNTS = select(_N.project, _N.tracking, _N.state, _N.n).where(
    _N.n > 0, _N.tracking.in_([each.value for each in Tracking if each is not Tracking.STOPPED])
)
_GIVEN_UP = select(_G.channel, _G.n).where(_G.status == DeliveryStatus.DEAD.value, _G.n > 0).order_by(_G.channel)
_DEAD = select(_D.created_at, _D.last_error).where(
    _D.channel == bindparam("of_channel", type_=Text), _D.status == plain(DeliveryStatus.DEAD)
)
_OLDEST_DEAD = _DEAD.order_by(_D.created_at, _D.id).limit(1)
_NEWEST_DEAD = _DEAD.order_by(_D.created_at.desc(), _D.id.desc()).limit(1)
_NOTED = (
    select(_A.project, _A.subject, func.max(_A.at).label("at"))
    .where(_A.subject.in_(bindparam("subjects", expanding=True)), _A.what == Action.NOTE.value)
    .group_by(_A.subject, _A.project)
)


class DeadAlerts(Struct, frozen=True, kw_only=True):
    """Alerts of a channel that were given up: how many, the oldest of them, and why the newest was."""

    channel: ChannelName
    count: int
    since: datetime
    reason: str | None


class Found(Struct, frozen=True, kw_only=True):
    """What may need a person. `tracked` is how many jobs are tracked, `running` are those in production, the first
    tracked ones first, by row id. `whole`: no bound was reached."""

    failed: Sequence[NeedRow]
    frozen: Sequence[NeedRow]
    lost: Sequence[NeedRow]
    expired: Sequence[NeedRow]
    running: "Mapping[int, Unended]"
    links: Sequence[NeedRow]
    dead: Sequence[DeadAlerts]
    refused: Mapping[ChannelName, Refusal]
    pauses: Mapping[ProjectName, PauseRow]
    statuses: Mapping[ProjectName, Status]
    noted: Mapping[tuple[ProjectName, JobId], datetime]
    """When a person last wrote a note on each of the jobs that failed, were lost or expired."""
    mutes: Sequence[MuteRow]
    tracked: int
    whole: bool


class NeedRows(TransactionPart):
    """What may need a person, seen through one transaction."""

    def read(
        self, *, now: datetime, since: datetime, channels: Iterable[ChannelName], links_within: float
    ) -> Found:
        """Read everything. Failed jobs are those whose state changed since `since`. `channels` are those of the
        config, `links_within` the seconds within which links die (0: they are not read)."""
        counts: list[_Count] = [(*row,) for row in self._connection.execute(_COUNTS)]
        failed, frozen, lost, expired = self._ended(counts, since)
        running = self._running(counts, to_stamp(now))
        links = self._dying(now, links_within) if links_within > 0 else []
        return Found(
            failed=failed,
            frozen=frozen,
            lost=lost,
            expired=expired,
            running=running,
            links=links,
            dead=self._dead(),
            refused=DeliveryQueue(self._connection).refusals(channels),
            pauses=ProjectPauses(self._connection).all(),
            statuses=Statuses(self._connection).all(),
            noted=self._noted([*failed, *lost, *expired]),
            mutes=Mutes(self._connection).list(),
            tracked=sum(number for _, tracking, _, number in counts if tracking == Tracking.ACTIVE),
            whole=len(running) < MOST_RUNNING
            and all(len(each) < MOST for each in (failed, frozen, lost, expired, links)),
        )

    def late(self, jobs: Mapping[int, datetime]) -> list[tuple[NeedRow, datetime]]:
        """Return what a list shows of the jobs of these row ids, each with its time, in this order."""
        found = {
            row.id: row
            for part in chunks(jobs)
            for row in map(_as_row, self._connection.execute(_BY_IDS, {"rows": part}).all())
        }
        return [(found[each], since) for each, since in jobs.items()]

    def _ended(self, counts: Sequence[_Count], since: datetime) -> Iterator[list[NeedRow]]:
        """The jobs that failed, are frozen, lost or expired, each in the order in which they are bounded."""
        first = to_stamp(since)
        failed = self._of(counts, _FAILED, MOST, Tracking.FINISHED, State.FAILED, since=first)
        yield sorted(map(_as_row, failed), key=lambda row: (row.state_since_stamp, row.id), reverse=True)[:MOST]
        frozen = self._of(counts, _FROZEN, MOST, Tracking.ACTIVE, State.BLOCK)
        yield sorted(map(_as_row, frozen), key=attrgetter("id"))[:MOST]
        for gone in (Tracking.LOST, Tracking.EXPIRED):
            rows = map(_as_row, self._of(counts, _GONE, MOST, gone))
            yield sorted(rows, key=attrgetter("id"), reverse=True)[:MOST]

    def _running(self, counts: Sequence[_Count], at: int) -> "dict[int, Unended]":
        """The first `MOST_RUNNING` jobs in production as of `at`, by row id. Of several projects, an
        index tells which those are."""
        state = (Tracking.ACTIVE, State.PROCESSING)
        last = paging.ALL
        if sum((tracking, name) == state for _, tracking, name, _ in counts) > 1:
            ids = sorted(row.id for row in self._of(counts, _RUNNING_IDS, MOST_RUNNING, *state))
            last = ids[MOST_RUNNING - 1] if len(ids) >= MOST_RUNNING else last
        rows = sorted(self._of(counts, _RUNNING, MOST_RUNNING, *state, last=last), key=itemgetter(0))
        return dict(unended_jobs(rows, at))

    def _of(
        self,
        counts: Sequence[_Count],
        query: Select[Any],
        most: int,
        tracking: Tracking,
        *states: str,
        **values: int,
    ) -> list[Any]:
        """The first `most` rows of a statement for each project that has jobs of that tracking, and of one of the
        states if there are any."""
        return [
            row
            for project, owner, state, _ in counts
            if owner == tracking and (not states or state in states)
            for row in self._connection.execute(
                query,
                {"of_project": project, "most": most, **values}
                | ({} if states else {"of_tracking": tracking.value, "of_state": state or None}),
            ).all()
        ]

    def _dying(self, now: datetime, within: float) -> list[NeedRow]:
        """Videos whose last link, wrapd's own included, dies within `within` seconds and that were not opened, the
        first to die first, whether or not a reminder was written."""
        values = {"now": now, "last": now + timedelta(seconds=within), "most": MOST}
        rows = [row for query in _DYING for row in self._connection.execute(query, values).all()]
        return sorted(map(_as_row, rows), key=lambda row: (row.link_until_stamp, row.id))[:MOST]

    def _dead(self) -> list[DeadAlerts]:
        found = []
        for channel, number in self._connection.execute(_GIVEN_UP):
            newest, oldest = (
                self._connection.execute(query, {"of_channel": channel}).first()
                for query in (_NEWEST_DEAD, _OLDEST_DEAD)
            )
            if newest is not None and oldest is not None:
                found.append(
                    DeadAlerts(
                        channel=ChannelName(channel),
                        count=number,
                        since=oldest.created_at,
                        reason=newest.last_error,
                    )
                )
        return found

    def _noted(self, rows: Iterable[NeedRow]) -> dict[tuple[ProjectName, JobId], datetime]:
        found = {}
        for part in chunks(row.job_id for row in rows if row.note is not None):
            for project, subject, at in self._connection.execute(_NOTED, {"subjects": part}):
                found[ProjectName(project), JobId(subject)] = at
        return found


_as_row = partial(tuple.__new__, NeedRow)


def _at(stamp: int | None) -> datetime | None:
    return None if stamp is None else from_stamp(stamp)
