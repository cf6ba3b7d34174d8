"""What may need a person: the jobs, alerts and channels, read for one list.

Owns this reading and its bounds: at most `MOST` rows of each sort, each found by an index. Judges nothing: `views`
says what a row means and in which order they come.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Unpack

from sqlalchemy import bindparam, func, select

from daemon.domain.actions import Action
from daemon.domain.jobs import ChannelName, JobId, ProjectName, Tracking
from daemon.domain.states import State
from daemon.store import assets, lists, paging
from daemon.store.jobs import Jobs
from daemon.store.lists import DeliveryFilter, DeliverySort, JobFilter, JobSort
from daemon.store.looks import JOB_ROWS
from daemon.store.mapping import WATCHED, TransactionPart, chunks, job_row, watch_rows
from daemon.store.memory import Statuses
from daemon.store.mutes import Mutes
from daemon.store.pauses import ProjectPauses
from daemon.store.queue import DeliveryQueue
from daemon.store.rows import DeliveryStatus, JobRow, MuteRow, PauseRow, Refusal, Status
from daemon.store.tables import ACTIONS, DELIVERIES, JOBS
from daemon.store.watch_row import WatchRow

MOST = 200
"""Rows read of each sort."""
MOST_RUNNING = 500
"""Jobs in production that are read, the first tracked ones first, to see which take too long."""
MOST_COUNTED = 1000
"""Alerts of a channel are counted up to this number."""

_A = ACTIONS.c
_WATCHED = select(*WATCHED).where(JOBS.c.id.in_(bindparam("rows", expanding=True)))
_NOTED = (
    select(_A.project, _A.subject, func.max(_A.at).label("at"))
    .where(_A.subject.in_(bindparam("subjects", expanding=True)), _A.what == Action.NOTE.value)
    .group_by(_A.subject, _A.project)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadAlerts:
    """Alerts of a channel that were given up: how many (at most `MOST_COUNTED`), the oldest of them, and why the
    newest was."""

    channel: ChannelName
    count: int
    since: datetime
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What may need a person. `tracked` is how many jobs are tracked, `running` are those in production. `whole`:
    no bound was reached."""

    failed: Sequence[JobRow]
    frozen: Sequence[JobRow]
    lost: Sequence[JobRow]
    expired: Sequence[JobRow]
    running: Sequence[WatchRow]
    links: Sequence[JobRow]
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
        failed = self._jobs(JobSort.CHANGED, tracking=Tracking.FINISHED, state=State.FAILED, since=since)
        frozen = self._jobs(JobSort.OLDEST, tracking=Tracking.ACTIVE, state=State.BLOCK)
        lost, expired = (self._jobs(JobSort.NEWEST, tracking=each) for each in (Tracking.LOST, Tracking.EXPIRED))
        running = self._running()
        links = self._dying(now, links_within) if links_within > 0 else []
        states = Jobs(self._connection).states()
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
            tracked=sum(number for each in states.values() for number in each.values()),
            whole=len(running) < MOST_RUNNING
            and all(len(each) < MOST for each in (failed, frozen, lost, expired, links)),
        )

    def _jobs(self, sort: JobSort, *, limit: int = MOST, **fit: Unpack[JobFilter]) -> list[JobRow]:
        return lists.jobs(self._connection, sort, limit=limit, **fit).rows

    def _running(self) -> list[WatchRow]:
        ids = Jobs(self._connection).ids(limit=MOST_RUNNING, tracking=Tracking.ACTIVE, state=State.PROCESSING)
        found = [
            row for part in chunks(ids) for row in watch_rows(self._connection.execute(_WATCHED, {"rows": part}))
        ]
        return sorted(found, key=lambda row: row.id)

    def whole(self, late: Sequence[tuple[WatchRow, datetime]]) -> list[tuple[JobRow, datetime]]:
        """Return these jobs with all that is known of them, in this order."""
        found = {
            row.id: job_row(row)
            for part in chunks(row.id for row, _ in late)
            for row in self._connection.execute(JOB_ROWS.where(JOBS.c.id.in_(part)))
        }
        return [(found[row.id], since) for row, since in late]

    def _dying(self, now: datetime, within: float) -> list[JobRow]:
        """Videos whose last link dies within `within` seconds and that were not opened, the first to die first,
        whether or not a reminder was written."""
        fresh = assets.expiring(self._connection, now=now, within=within, limit=MOST)
        reminded = assets.expiring(self._connection, now=now, within=within, limit=MOST, reminded=True)
        return sorted([*fresh, *reminded], key=lambda row: (row.link_until or now, row.id))[:MOST]

    def _dead(self) -> list[DeadAlerts]:
        found = []
        for each in paging.combinations(self._connection, (DELIVERIES.c.channel,), {}):
            fit: DeliveryFilter = {"channel": ChannelName(each["channel"]), "status": DeliveryStatus.DEAD}
            newest, oldest = (
                lists.deliveries(self._connection, sort, limit=1, **fit).rows
                for sort in (DeliverySort.NEWEST, DeliverySort.OLDEST)
            )
            if newest and oldest:
                runs = lists.delivery_runs(self._connection, **fit)
                found.append(
                    DeadAlerts(
                        channel=newest[0].channel,
                        count=paging.count(self._connection, runs, most=MOST_COUNTED).rows,
                        since=oldest[0].created_at,
                        reason=newest[0].last_error,
                    )
                )
        return found

    def _noted(self, rows: Iterable[JobRow]) -> dict[tuple[ProjectName, JobId], datetime]:
        found = {}
        for part in chunks(row.job_id for row in rows if row.note is not None):
            for project, subject, at in self._connection.execute(_NOTED, {"subjects": part}):
                found[ProjectName(project), JobId(subject)] = at
        return found
