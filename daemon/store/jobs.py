"""The jobs: tracking them, recording that one moved or ended, and the bookkeeping of the watch.

Owns, with `assets`, `batches`, `tracking` and `learned`, every statement that writes jobs and transitions. A
transition is written together with the alerts that it causes. What a state means is decided in domain/.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Unpack, cast

from sqlalchemy import (
    Select,
    Text,
    bindparam,
    case,
    func,
    insert,
    literal_column,
    select,
    update,
)

from daemon.domain.events import Event, Json, OperatorAlert, events_of, job_occurrence
from daemon.domain.jobs import Asset, ChannelName, JobId, KindSource, Observation, ProjectName, Tracking
from daemon.domain.routing import Routing, Subject
from daemon.domain.states import TERMINAL, State
from daemon.domain.transitions import Moved
from daemon.store import alerts, assets, batches, history, learned, lists, looks, paging
from daemon.store.lists import JobFilter, JobSort
from daemon.store.looks import JOB_ROWS
from daemon.store.mapping import WATCHED, TransactionPart, chunks, job_row, plain, watch_rows
from daemon.store.rows import (
    Bookkeeping,
    FinishedRow,
    JobName,
    JobRow,
    Known,
    Recorded,
    TrackOutcome,
    TrackRequest,
    TrackResult,
    TrackRule,
)
from daemon.store.tables import JOB_COUNTS, JOBS, TRANSITIONS
from daemon.store.tallies import Tallies, tallies
from daemon.store.tracking import found_kinds, known_of, stop_many, track_many, tried_kinds
from daemon.store.watch_row import WatchRow

if TYPE_CHECKING:
    from daemon.store.active import ActivePage

_C = JOBS.c
_Jobs = list[JobRow]
_Watched = list[WatchRow]
_Channels = list[ChannelName]
_Results = list[TrackResult]
_Tracked = list[TrackOutcome]

_ENDS = {Event.LOST: Tracking.LOST, Event.EXPIRED: Tracking.EXPIRED}
_NO_FACTS: Mapping[str, Json] = MappingProxyType({})
_NO_MORE_POLLS = {"next_poll_at": None, "next_reason": None}

_ACTIVE = _C.tracking == plain(Tracking.ACTIVE)
_CHANGED = select(*WATCHED).where(_C.changed == literal_column("1")).order_by(_C.id).limit(bindparam("most"))
_TAKEN = update(JOBS).where(_C.id == bindparam("row")).values(changed=False)
_BY_ID = JOB_ROWS.where(_C.id == bindparam("id"))
_NAMES = select(_C.id, _C.job_id, func.coalesce(_C.label, _C.asset_name)).where(
    _C.id.in_(bindparam("rows", expanding=True))
)
# A range of the index: unlike in a LIKE pattern, no character of an id is special.
_BEGINNING = JOB_ROWS.where(_C.job_id >= bindparam("prefix"), _C.job_id < bindparam("beyond")).order_by(
    _C.job_id, _C.project
)
_COUNTS = select(JOB_COUNTS).where(JOB_COUNTS.c.n > 0)
_MOVE = update(JOBS).where(_C.id == bindparam("row"), _C.state.is_not_distinct_from(bindparam("was")), _ACTIVE)
_NEXT_SEQ = select(func.coalesce(func.max(TRANSITIONS.c.seq), 0) + 1).where(
    TRANSITIONS.c.job == bindparam("of_job")
)
_LAST_OF = (
    select(TRANSITIONS.c.after)
    .where(TRANSITIONS.c.job == bindparam("of_job"))
    .order_by(TRANSITIONS.c.seq.desc())
    .limit(1)
)
_LAST_END = (
    select(TRANSITIONS.c.after)
    .where(TRANSITIONS.c.job == bindparam("of_job"), TRANSITIONS.c.after.in_(sorted(TERMINAL)))
    .order_by(TRANSITIONS.c.seq.desc())
    .limit(1)
)
_LAST = _LAST_OF.scalar_subquery()
_ADD_MOVE = insert(TRANSITIONS).values(
    seq=_NEXT_SEQ.scalar_subquery(),
    # A job that was asked about again has no state, but its history has one: that becomes `before`. If it ended
    # again in the same way, it was run again without being seen waiting.
    before=func.coalesce(
        bindparam("was"), case((bindparam("then", type_=Text) == _LAST, plain(State.WAITING)), else_=_LAST)
    ),
)


class Jobs(TransactionPart):
    """The jobs, seen through one transaction. A `job` argument is a row id."""

    def track(self, request: TrackRequest, *, at: datetime, routing: Routing | None = None) -> TrackResult:
        """Track a job from `at` on, whether it is known or not. A lost, expired or stopped job is taken up again
        in its last state. Added and taken-up jobs are changes for `take_changes`. If the job leaves a batch of
        which it was the last active one, that batch's end is announced by `routing`."""
        [tracked] = self.take([request], at=at, routing=routing)
        assert tracked.result is not None, "by the usual rule none is left as it is"
        return tracked.result

    def track_many(
        self, requests: Iterable[TrackRequest], *, at: datetime, routing: Routing | None = None
    ) -> _Results:
        """Do what `track` does for each in turn, with a few statements for hundreds of them."""
        return [each.result for each in self.take(requests, at=at, routing=routing) if each.result is not None]

    def take(
        self,
        requests: Iterable[TrackRequest],
        *,
        at: datetime,
        routing: Routing | None = None,
        rule: TrackRule | None = None,
    ) -> _Tracked:
        """Do the same by a rule (None: the usual one). Returns the outcome of each, in order."""
        return track_many(self._connection, requests, at=at, routing=routing, rule=rule)

    def kinds_found(self, found: Mapping[int, str]) -> None:
        """Store the kinds that the service reported, by row id, for jobs whose kind was guessed."""
        found_kinds(self._connection, found)

    def kinds_tried(self, tries: Mapping[int, int]) -> None:
        """Store how many rounds of asking for the kinds of jobs failed, by row id."""
        tried_kinds(self._connection, tries)

    def known(self, project: ProjectName, job_ids: Iterable[JobId]) -> dict[JobId, Known]:
        """Return those of the jobs that the project has."""
        found = known_of(self._connection, job_ids)
        return {JobId(job_id): job for (owner, job_id), job in found.items() if owner == project}

    def names(self, jobs: Iterable[int]) -> dict[int, JobName]:
        """Return the names of jobs by row id; missing rows are left out."""
        return {
            row: JobName(JobId(job_id), name)
            for part in chunks(jobs)
            for row, job_id, name in self._connection.execute(_NAMES, {"rows": part}).all()
        }

    def untrack(
        self, project: ProjectName | None, job_id: JobId, *, at: datetime, routing: Routing | None = None
    ) -> int:
        """Stop tracking the job as `stop` does; in every project if `project` is None. Returns how many were
        stopped."""
        return len(self.stop((row.id for row in self.find(job_id, project)), at=at, routing=routing))

    def stop(self, jobs: Iterable[int], *, at: datetime, routing: Routing | None = None) -> set[int]:
        """Stop tracking the jobs, and revoke wrapd's own links to them. If they were the last active ones of a
        batch, its end is announced by `routing`. Returns those that were active."""
        return stop_many(self._connection, jobs, at=at, routing=routing)

    def ids(self, *, limit: int = paging.ALL, **fit: Unpack[JobFilter]) -> list[int]:
        """Return the row ids of the jobs that match all filters, at most `limit`, first tracked first."""
        runs = lists.job_runs(self._connection, JobSort.OLDEST, **fit)
        with paging.walk(self._connection, runs, rising=True, after=None, most=paging.ALL) as rows:
            return list(islice((place.id for place, text in rows if text is not None), limit))

    def batch_subject(self, project: ProjectName, batch: str) -> Subject | None:
        """Return the routing subject of a batch's end; None if the batch has no jobs."""
        return batches.subject(self._connection, project, batch)

    def active(self, *, after: int, limit: int, ahead: float, usual: str) -> "ActivePage":
        """Return a page of the active jobs: up to `limit` with row ids above `after`, in id order. Epoch time is
        `ahead` seconds ahead of the caller's clock. Rows of the group `usual` do not name it."""
        from daemon.store.active import active_page  # noqa: PLC0415 - only the watch pays for it

        return active_page(self._connection, after=after, limit=limit, ahead=ahead, usual=usual)

    def take_changes(self, *, limit: int = 1000) -> _Watched:
        """Return the jobs tracked, taken up or stopped since the last call, by row id, each once. Writes nothing
        if there are none."""
        rows = watch_rows(self._connection.execute(_CHANGED, {"most": limit}))
        if rows:
            self._connection.execute(_TAKEN, [{"row": row.id} for row in rows])
        return rows

    def record_move(
        self,
        job: int,
        move: Moved,
        seen: Observation,
        *,
        routing: Routing,
        due_at: datetime,
        operator_alerts: Sequence[OperatorAlert] = (),
        facts: Mapping[str, Json] = _NO_FACTS,
        kind: str | None = None,
        project: ProjectName | None = None,
        answer: str | None = None,
    ) -> Recorded | None:
        """Write a transition, the details of the answer, and the alerts that it causes (due at `due_at`; operator
        alerts at once), which carry `facts` next to their own. A terminal state ends tracking. Fields that the
        answer lacks erase nothing. `kind` is that under which the service answered; `answer` is kept for people.

        If a person had an ended job asked about again and its end is unchanged, there is no transition and no
        alert.

        Returns None and writes nothing if the job is not active, not in the state before `move`, or not of
        `project`.
        """
        known = self.get(job, project)
        if known is None:
            return None
        if kind is not None:
            known = known._replace(kind=kind, kind_source=KindSource.FOUND)
        values = assets.observed(known, seen, at=move.observed_at)
        values |= {"kind": known.kind, "kind_source": known.kind_source}
        values |= {"state": move.after, "state_since": move.observed_at}
        values |= {"tracking": Tracking.FINISHED, **_NO_MORE_POLLS} if move.ends else {}
        # Columns to set are passed as parameters: building a statement for each call is the greatest cost.
        if self._connection.execute(_MOVE, {**values, "row": job, "was": move.before}).rowcount != 1:
            return None
        if (last := self._last_end(known, move)) == move.after and _same_end(known, seen):
            transition, alerted = None, []
        else:
            transition = self._add_transition(job, move)
            if answer is not None:
                history.keep_answer(self._connection, job, answer, at=move.observed_at)
            alerted = self._alert_move(
                known, move, transition, routing=routing, due_at=due_at, facts=facts, rerun=last is not None
            )
        for alert in operator_alerts:
            alerted += self._alert_operators(alert, routing=routing, at=move.observed_at)
        if move.ends and known.batch is not None:
            at = move.observed_at
            alerted += batches.finish(self._connection, known.project, known.batch, at=at, routing=routing)
        return _recorded(transition, alerted)

    def record_end(
        self,
        job: int,
        event: Event,
        *,
        at: datetime,
        routing: Routing,
        reason: str,
        episode: int | None = None,
        project: ProjectName | None = None,
    ) -> Recorded | None:
        """End tracking because the service does not know the job (`lost`) or time is up (`expired`), with the
        alerts, due `at`. A job named only by a callback and never confirmed by the service causes no alert: it may
        not exist.

        Returns None if the job is not active, not of `project`, or was taken up again after `episode`. Raises
        ValueError for other events.
        """
        tracking = _ENDS.get(event)
        if tracking is None:
            raise ValueError(f"{event} does not end tracking")
        known = self.get(job, project)
        if known is None or known.tracking is not Tracking.ACTIVE or episode not in (None, known.episode):
            return None
        self._connection.execute(update(JOBS).where(_C.id == job).values(tracking=tracking, **_NO_MORE_POLLS))
        if known.unconfirmed:
            return _recorded(None, [])
        facts = _facts(state=known.state, before=None, observed_at=at, reported_at=None)
        occurrence = job_occurrence(job, event, episode=known.episode)
        rows = alerts.of_job(occurrence, known, routing=routing, at=at, facts={**facts, "reason": reason})
        alerted = alerts.add(self._connection, rows, at=at, due_at=at)
        if known.batch is not None:
            alerted += batches.finish(self._connection, known.project, known.batch, at=at, routing=routing)
        return _recorded(None, alerted)

    def record_stuck(
        self,
        job: int,
        *,
        at: datetime,
        routing: Routing,
        facts: Mapping[str, Json] = _NO_FACTS,
        project: ProjectName | None = None,
    ) -> Recorded | None:
        """Write the alerts that the job's production takes too long, due `at`, with `facts` next to the usual
        ones. Returns None and writes nothing if the job is not active, not of `project`, or was reported stuck
        before."""
        known = self.get(job, project)
        occurrence = job_occurrence(job, Event.STUCK)
        if known is None or known.tracking is not Tracking.ACTIVE or alerts.exists(self._connection, occurrence):
            return None
        own = _facts(state=known.state, before=None, observed_at=at, reported_at=known.reported_at)
        rows = alerts.of_job(occurrence, known, routing=routing, at=at, facts={**facts, **own})
        return _recorded(None, alerts.add(self._connection, rows, at=at, due_at=at))

    def expiring(self, *, now: datetime, within: float, limit: int = 100) -> _Jobs:
        """Return finished videos whose last link expires within `within` seconds from `now`, that were neither
        opened through wrapd's own link nor reminded of; the first to expire first."""
        return assets.expiring(self._connection, now=now, within=within, limit=limit)

    def record_link_expiring(self, job: int, *, at: datetime, routing: Routing) -> Recorded | None:
        """Write the alerts that the job's links expire unseen, due `at`; `expiring` no longer returns it then.
        Returns None and writes nothing if that was done before, the video was opened, or it has no live link."""
        known = self.get(job)
        if known is None or known.link_until is None or not assets.remind(self._connection, job, at=at):
            return None
        own = _facts(state=known.state, before=None, observed_at=at, reported_at=known.reported_at)
        occurrence = job_occurrence(job, Event.LINK_EXPIRING)
        facts = {**own, "link_until": known.link_until.isoformat()}
        rows = alerts.of_job(occurrence, known, routing=routing, at=at, facts=facts)
        return _recorded(None, alerts.add(self._connection, rows, at=at, due_at=at))

    def set_expected_length(self, job: int, seconds: float) -> None:
        """Store how many seconds of speech the job's script amounts to."""
        self.set_expected_lengths({job: seconds})

    def set_expected_lengths(self, lengths: Mapping[int, float]) -> None:
        """Do the same for many jobs, by row id."""
        learned.expect(self._connection, lengths)

    def finished(self, project: ProjectName | None = None, *, limit: int = 200) -> learned.Finished:
        """Return the last `limit` ended jobs of each project and kind, newest first, of one project or of all.
        Classes without any are left out."""
        return learned.finished(self._connection, project, limit=limit)

    def last_finished(self, project: ProjectName, kind: str, *, limit: int) -> list[FinishedRow]:
        """Return the last `limit` ended jobs of one project and kind, newest first."""
        return learned.last_finished(self._connection, project, kind, limit=limit)

    def oldest_created(self, project: ProjectName) -> datetime | None:
        """Return when the service created the project's oldest active job; None if no creation time is known."""
        return learned.oldest_created(self._connection, project)

    def set_download_url(self, job: int, url: str | None, *, at: datetime) -> None:
        """Store the finished file's link (None: there is none; a known one stays), and make the job's alerts that
        wait for it due `at`."""
        if url is not None:
            assets.keep_download(self._connection, job, url, at=at)
        alerts.hasten(self._connection, job, at=at)

    def set_links(self, job: int, asset: Asset, *, at: datetime) -> None:
        """Replace links by those of `asset`, fetched `at`; links that it lacks stay."""
        known = self.get(job)
        if known is not None:
            assets.renew(self._connection, known, asset, at=at)

    def checkpoint(self, rows: Iterable[Bookkeeping]) -> None:
        """Write bookkeeping. Pass a few thousand rows at a time, so that urgent work gets its turn with the
        writer."""
        looks.write(self._connection, rows)

    def find(self, job_id: JobId, project: ProjectName | None = None) -> _Jobs:
        """Return the job, in every project if `project` is None."""
        query = JOB_ROWS.where(_C.job_id == job_id).order_by(_C.id)
        return self._rows(query if project is None else query.where(_C.project == project))

    def beginning(self, prefix: str, project: ProjectName | None = None, *, limit: int) -> _Jobs:
        """Return up to `limit` jobs whose ids begin with `prefix`, in the order of their ids."""
        query = _BEGINNING.params(prefix=prefix, beyond=prefix[:-1] + chr(ord(prefix[-1]) + 1)).limit(limit)
        return self._rows(query if project is None else query.where(_C.project == project))

    def get(self, job: int, project: ProjectName | None = None) -> JobRow | None:
        """Return a job by its row id; with `project`, only if it belongs to it."""
        row = self._connection.execute(_BY_ID, {"id": job}).one_or_none()
        return None if row is None or project not in (None, row.project) else job_row(row)

    def counts(self) -> dict[tuple[ProjectName, Tracking], int]:
        """Return how many jobs each project has, by tracking; pairs without any are left out. They are kept, not
        counted, so that this takes no longer for more of them."""
        found: Counter[tuple[ProjectName, Tracking]] = Counter()
        for project, tracking, _, number in self._connection.execute(_COUNTS):
            found[ProjectName(project), Tracking(tracking)] += number
        return dict(found)

    def states(self) -> dict[ProjectName, dict[str | None, int]]:
        """Return the same for active jobs, by state (None: not answered yet)."""
        found: dict[ProjectName, dict[str | None, int]] = {}
        for project, tracking, state, number in self._connection.execute(_COUNTS):
            if tracking == Tracking.ACTIVE.value:
                found.setdefault(ProjectName(project), {})[state or None] = number
        return found

    def page(
        self,
        *,
        limit: int,
        after: paging.Place | None = None,
        sort: JobSort = JobSort.NEWEST,
        search: str | None = None,
        **fit: Unpack[JobFilter],
    ) -> lists.Page[JobRow]:
        """Return the first `limit` matching jobs beyond `after`. A page examines a bounded number of rows, so with
        `search` or `kind`, or with `tag` and another filter or order, it may be short or empty although more
        follow."""
        return lists.jobs(self._connection, sort, limit=limit, after=after, search=search, **fit)

    def list(self, *, limit: int = paging.ALL, **fit: Unpack[JobFilter]) -> _Jobs:
        """Return the matching jobs, latest tracked first."""
        return lists.jobs(self._connection, JobSort.NEWEST, limit=limit, whole=True, **fit).rows

    def count(self, *, most: int, **fit: Unpack[JobFilter]) -> paging.RowCount:
        """Count the matching jobs, up to `most`; see `paging.count`."""
        return paging.count(self._connection, lists.job_runs(self._connection, **fit), most=most)

    def tallies(
        self, *, project: ProjectName | None = None, batch: str | None = None, tag: str | None = None
    ) -> Tallies:
        """Count the jobs by tracking and state; see `tallies`."""
        return tallies(self._connection, project=project, batch=batch, tag=tag)

    def _alert_move(
        self,
        known: JobRow,
        move: Moved,
        transition: int,
        *,
        routing: Routing,
        due_at: datetime,
        facts: Mapping[str, Json],
        rerun: bool,
    ) -> _Channels:
        own = _facts(
            state=move.after, before=move.before, observed_at=move.observed_at, reported_at=move.reported_at
        )
        alerted: _Channels = []
        for event in events_of(move):
            occurrence = job_occurrence(known.id, event, transition=transition, episode=known.episode, rerun=rerun)
            rows = alerts.of_job(
                occurrence,
                known,
                routing=routing,
                at=move.observed_at,
                facts={**facts, **own},
                transition=transition,
            )
            alerted += alerts.add(self._connection, rows, at=move.observed_at, due_at=due_at)
        return alerted

    def _alert_operators(self, alert: OperatorAlert, *, routing: Routing, at: datetime) -> _Channels:
        targets = routing.targets(Subject(event=alert.event, project=alert.project), at=at)
        return alerts.add(self._connection, alerts.of_operators(alert, targets), at=at, due_at=at)

    def _last_end(self, known: JobRow, move: Moved) -> str | None:
        """Return the job's end before `move`, if a person had an ended job asked about again."""
        if not move.ends or known.episode == 1:
            return None
        return self._connection.execute(_LAST_END, {"of_job": known.id}).scalar_one_or_none()

    def _add_transition(self, job: int, move: Moved) -> int:
        row = {
            "job": job,
            "of_job": job,
            "was": move.before,
            "after": move.after,
            "then": move.after,
            "observed_at": move.observed_at,
            "reported_at": move.reported_at,
        }
        key = self._connection.execute(_ADD_MOVE, row).inserted_primary_key
        return cast("tuple[int]", key)[0]

    def _rows(self, query: Select[Any]) -> _Jobs:
        return [job_row(row) for row in self._connection.execute(query)]


def _facts(
    *, state: str | None, before: str | None, observed_at: datetime, reported_at: datetime | None
) -> dict[str, Json]:
    """Return the facts of an alert; times in ISO 8601, UTC."""
    return {
        "state": state,
        "before": before,
        "observed_at": observed_at.isoformat(),
        "reported_at": None if reported_at is None else reported_at.isoformat(),
    }


def _same_end(known: JobRow, seen: Observation) -> bool:
    """Return whether an answer describes the end known before the job was asked about again, by the service's own
    times."""
    times = ((known.reported_at, seen.reported_at), (known.ended_at, seen.ended_at))
    return all(before == now for before, now in times)


def _recorded(transition: int | None, alerted: Sequence[ChannelName]) -> Recorded:
    return Recorded(transition=transition, deliveries=len(alerted), channels=tuple(dict.fromkeys(alerted)))
