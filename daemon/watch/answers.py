"""What an answer means for a job: the verdict, the one transaction that stores it, and the plan of the next query.

Owns every change of a job's state in memory, made only once the store has it. Does not look for moves (the poller,
the lists and the feed do), and never lets an error of the store become a job's state.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from daemon.domain.durations import eta
from daemon.domain.events import Event, Json, events_of
from daemon.domain.jobs import Observation, Tracking
from daemon.domain.production import production_began
from daemon.domain.states import State, is_known, is_terminal
from daemon.domain.transitions import Moved, judge
from daemon.logs import LogEvent, logger
from daemon.metastudio.budget import Priority
from daemon.metastudio.errors import ApiError
from daemon.metastudio.kinds import Kind
from daemon.store import StoreError, Transaction
from daemon.watch.context import ProjectContext
from daemon.watch.job import AskedBy, Watched
from daemon.watch.learning import started_before
from daemon.watch.links import download_url, linkless, links_now
from daemon.watch.planner import FOLLOWED, Announced
from daemon.watch.reports import Reports

log = logger(__name__)

LINK_PATIENCE = 3.0
"""Most seconds that an alert waits for the download link of a finished avatar video. It does not wait if as many
others wait as the budget completes in that time."""
_KNOWN_BY = 600.0
"""Most seconds that a request for a link waits for its turn, so that they do not pile up for lack of budget."""
LINK_RETRIES = (3.0, 4.0)
"""Seconds until a finished video that came without any link is queried again, and then once more."""
_LINKS_BY = 8.0
"""Most seconds that its alert waits for these."""
NOT_IN_TIME = "it did not end in time"
DEFECTS = 3
"""Consecutive internal errors after which a job is queried at the slowest pace and reported by name."""


class Asked(Struct, frozen=True, kw_only=True):
    """The query that an answer belongs to: how it was made and when it began (monotonic seconds). `kept` returns
    the answer in the form that is kept with a move; None for one of a list."""

    by: AskedBy
    began: float
    kept: Callable[[], str] | None = None


class EndFound(Struct, frozen=True, kw_only=True):
    """An end that was found: how, the service's times of it and of the job's creation (epoch seconds), and when
    the job's previous answered query began (monotonic seconds)."""

    watched: Watched
    by: AskedBy
    reported: float | None
    looked: float | None
    created: float | None


class Answers:
    """Processes what answers say about one project's jobs."""

    def __init__(self, context: ProjectContext, reports: Reports) -> None:
        self._context = context
        self._reports = reports
        self.touched: list[Watched] = []
        """Jobs queried since the last checkpoint: those with `polls`. Some may be gone by now."""
        self._awaited: set[int] = set()
        """Jobs (row ids) whose alerts wait for a download link."""
        self.announced = Announced()
        """How far callbacks announce ends."""
        self.moved: dict[int, Watched] = {}
        """Jobs whose state changed since the last flush, by row id."""
        self.on_end: Callable[[EndFound], None] | None = None
        """Called for every end that is found."""
        self.on_finished: Callable[[int], None] | None = None
        """Called with a job's row id for every finished video, as soon as the end is stored."""

    def take_touched(self) -> list[Watched]:
        """Hand over the jobs queried since the last call."""
        jobs, self.touched = self.touched, []
        return [watched for watched in jobs if not watched.gone]

    def take_moved(self) -> list[Watched]:
        """Hand over the jobs whose state changed since the last call."""
        jobs, self.moved = self.moved, {}
        return list(jobs.values())

    # Answers with a state

    def unchanged(self, watched: Watched, asked: Asked, now: float) -> None:
        """Take an answer with the known state. Hot: lists bring a hundred of these at once."""
        self._note_answer(watched, asked)
        self._context.planner.plan_next(watched, now)
        if watched.stuck and not watched.stuck_reported:
            self._report_stuck(watched)
        if not watched.plain:
            watched.clear_defects()

    async def take(self, watched: Watched, seen: Observation, asked: Asked) -> None:
        """Store a move, or note that there is none, and plan the next query. Puts nothing into the agenda."""
        verdict = judge(watched.state, seen, at=self._context.clock.now())
        if isinstance(verdict, Moved):
            await self._record(watched, verdict, seen, asked)
        elif is_terminal(watched.state):  # it ended before, and what should have followed was interrupted
            self._context.agenda.discard(watched)
        elif (now := self._context.clock.monotonic()) >= watched.expires and asked.by == "single":
            self._note_answer(watched, asked)
            await self.end(watched, Event.EXPIRED, reason=NOT_IN_TIME)
        else:
            self.unchanged(watched, asked, now)
            watched.note_reported(_epoch(seen.reported_at))
        watched.clear_defects()

    async def _record(self, watched: Watched, move: Moved, seen: Observation, asked: Asked) -> None:
        context = self._context
        asset_id = _asset_to_complete(move, seen)
        no_links = watched.kind.listed and Event.SUCCEEDED in events_of(move) and linkless(seen.asset)
        awaited = asset_id is not None and self._await_link(watched)
        wait = _LINKS_BY if no_links else LINK_PATIENCE if awaited else 0.0
        start = self._start(watched, move, seen)
        facts = self._started_facts(watched, move, start)
        # The kind is confirmed where a single query was answered under it or a list named it.
        kind = watched.kind.name if asked.by == "single" or not watched.guessed else None
        answer = self._kept(watched, asked)
        watched.begin_recording()
        try:
            recorded = await context.store.write(
                lambda tx: tx.jobs.record_move(
                    watched.job,
                    move,
                    seen,
                    routing=context.routing,
                    due_at=move.observed_at + timedelta(seconds=wait),
                    operator_alerts=self._reports.unknown_state(watched, move),
                    facts=facts,
                    kind=kind,
                    project=context.project,
                    answer=answer,
                )
            )
        except StoreError as error:
            self.store_failed(watched, error)
            return
        finally:
            watched.end_recording()
            self._awaited.discard(watched.job)
        reported, created = _epoch(seen.reported_at), _epoch(seen.created_at)
        found = EndFound(watched=watched, by=asked.by, reported=reported, looked=watched.looked, created=created)
        self._note_answer(watched, asked)
        watched.confirm(guessed=kind is None, reported=reported)
        if recorded is None:
            await self._follow_store(watched)
            return
        self._note_move(watched, move, start)
        self._add_what_lacks(watched, asset_id, awaited=awaited, no_links=no_links, of=seen.asset.asset_id)
        if move.ends:
            self._report_end(found, succeeded=Event.SUCCEEDED in events_of(move))

    def _kept(self, watched: Watched, asked: Asked) -> str | None:
        try:
            return None if asked.kept is None else asked.kept()
        except Exception as error:  # noqa: BLE001 - whatever the answer holds must not cost the move
            self._context.defects.note("watch", error, project=self._context.project, job=watched.job_id)
            return None

    def _add_what_lacks(
        self, watched: Watched, asset_id: str | None, *, awaited: bool, no_links: bool, of: str | None
    ) -> None:
        """Complete the end: with the download link of `asset_id`, which its alert may await, or, where the answer
        had no link at all, with those that a later query finds, about the asset `of` the answer."""
        if asset_id is not None:
            completing = self._complete(watched, asset_id, awaited=awaited, last=not no_links)
            self._context.tasks.spawn("complete", completing, job=watched.job_id)
        if no_links:
            self._look_for_links(watched, of, LINK_RETRIES)

    @property
    def awaited(self) -> int:
        """How many alerts wait for a download link."""
        return len(self._awaited)

    def _await_link(self, watched: Watched) -> bool:
        """Whether the job's alert waits for its link: those that wait already leave it a turn in time."""
        client, now = self._context.client, self._context.clock.monotonic()
        if len(self._awaited) >= LINK_PATIENCE * client.budget.current_rate(now):
            return False
        self._awaited.add(watched.job)
        return True

    def _report_end(self, found: EndFound, *, succeeded: bool) -> None:
        """Count an end and report it. The store has it already, so an error in a callback must not undo it."""
        self._context.metrics.ends.labels(self._context.project, found.by).inc()
        now = self._context.clock.monotonic()
        self.announced.ended(now, announced=now - found.watched.hinted < FOLLOWED)
        try:
            if self.on_end is not None:
                self.on_end(found)
            if succeeded and self.on_finished is not None:
                self.on_finished(found.watched.job)
        except Exception as error:  # noqa: BLE001
            self._context.defects.note("watch", error, project=self._context.project, job=found.watched.job_id)

    async def _follow_store(self, watched: Watched) -> None:
        """Adopt the stored state after the store refused a move. Either a person stopped the job or moved it to
        another project meanwhile, or the store holds another state than the one known here: a concurrent answer
        was faster, or a commit that seemed to fail went through."""
        context = self._context
        try:
            row = await context.store.read_async(lambda tx: tx.jobs.get(watched.job))
        except StoreError as error:
            self.store_failed(watched, error)
            return
        if not context.agenda.holds(watched):
            return
        if row is None or row.tracking is not Tracking.ACTIVE or row.project != context.project:
            context.agenda.discard(watched)
            return
        now = context.clock.monotonic()
        if row.state is not None and row.state != watched.state:
            watched.enter(row.state, now=now, start=None)
        context.planner.plan_next(watched, now)

    def _start(self, watched: Watched, move: Moved, seen: Observation) -> float | None:
        """Return when production began (monotonic seconds) if the answer says that it did, else None."""
        if move.after != State.PROCESSING:
            return None
        believed = production_began(started_at=seen.started_at, created_at=seen.created_at, by=move.observed_at)
        now = self._context.clock.monotonic()
        return started_before(watched, believed, now=now, wall=move.observed_at)

    def _started_facts(self, watched: Watched, move: Moved, start: float | None) -> Mapping[str, Json]:
        """Return the expected remaining time, for the `started` event."""
        if start is None:
            return {}
        context = self._context
        elapsed = context.clock.monotonic() - start
        left = eta(context.learning.durations, context.planner.key(watched.kind), watched.length, elapsed)
        if left is None:
            return {}
        return {"eta": {"median": left.median, "low": left.low, "high": left.high}}

    def _note_move(self, watched: Watched, move: Moved, start: float | None) -> None:
        context = self._context
        now = context.clock.monotonic()
        watched.enter(move.after, now=now, start=start)
        if move.ends:
            context.agenda.discard(watched)
        label = move.after if is_known(move.after) else "other"
        context.metrics.transitions.labels(context.project, label).inc()
        log.info(
            LogEvent.JOB_MOVED,
            project=context.project,
            job=watched.job_id,
            before=move.before,
            after=move.after,
            by=watched.asked_by,
        )
        if move.unknown:
            log.warning(LogEvent.STATE_UNKNOWN, project=context.project, job=watched.job_id, state=move.after)
        if move.ends:
            context.learning.ended(context.planner.key(watched.kind))
        else:
            self.moved[watched.job] = watched
            context.planner.plan_next(watched, now)

    async def _complete(self, watched: Watched, asset_id: str, *, awaited: bool, last: bool) -> None:
        """Add the download link of a finished video that has no preview link. Its alert waits briefly for this if
        it is `awaited`, and longer where this is not the `last` try; the others come after all that is news."""
        context = self._context
        url: str | None = None
        if awaited:
            self._awaited.add(watched.job)
        try:
            priority = Priority.URGENT if awaited else Priority.DETAIL
            url = await download_url(context.client, asset_id, priority=priority, patience=_KNOWN_BY)
        except (ApiError, TimeoutError) as error:
            log.info(
                LogEvent.POLL_FAILED, project=context.project, job=watched.job_id, asset=asset_id, error=error
            )
        finally:
            self._awaited.discard(watched.job)
        if url is None and not last:
            return
        try:
            await context.store.write(
                lambda tx: tx.jobs.set_download_url(watched.job, url, at=context.clock.now())
            )
        except StoreError as error:  # the alert is sent without the link when its wait is over
            context.store_errors.note(error, project=context.project, job=watched.job_id)

    def _look_for_links(self, watched: Watched, asset_id: str | None, pauses: Sequence[float]) -> None:
        """Schedule another query for links: the video was reported finished before any of its files were there."""
        if pauses:
            self._context.tasks.spawn_later(
                pauses[0],
                "links",
                lambda: self._add_links(watched, asset_id, pauses[1:]),
                job=watched.job_id,
            )

    async def _add_links(self, watched: Watched, asset_id: str | None, pauses: Sequence[float]) -> None:
        context = self._context
        try:
            asset = await links_now(
                context.client, watched.kind, watched.job_id, asset_id=asset_id, priority=Priority.DETAIL
            )
        except ApiError as error:
            log.info(LogEvent.LINK_NOT_RENEWED, project=context.project, job=watched.job_id, error=error)
            asset = None
        if asset is None:
            self._look_for_links(watched, asset_id, pauses)
            return
        at = context.clock.now()

        def work(tx: Transaction) -> None:
            tx.jobs.set_links(watched.job, asset, at=at)
            tx.jobs.set_download_url(watched.job, asset.download_url, at=at)  # also ends the alert's wait

        try:
            await context.store.write(work)
        except StoreError as error:  # the links are looked up again when someone opens them
            context.store_errors.note(error, project=context.project, job=watched.job_id)

    # What is known besides the state

    def learn_kind(self, watched: Watched, kind: Kind | None) -> None:
        """Take the kind that a list reports; lists know best. The store learns of it with the job's next move."""
        if kind is None or not watched.learn_kind(kind):
            return
        log.info(LogEvent.KIND_FOUND, project=self._context.project, job=watched.job_id, kind=kind.name)
        self._context.agenda.set_unlisted(watched, unlisted=not kind.listed)

    async def set_length(self, watched: Watched, seconds: float) -> None:
        """Keep the length that a job's script implies. Failing to store it costs only foresight."""
        watched.set_length(seconds)
        try:
            await self._context.store.write(lambda tx: tx.jobs.set_expected_length(watched.job, seconds))
        except StoreError as error:
            self._context.store_errors.note(error, project=self._context.project, job=watched.job_id)

    def _report_stuck(self, watched: Watched) -> None:
        """Report, once, that a job takes much longer than similar ones."""
        law = self._context.planner.law(watched)
        watched.report_stuck(reported=True)
        # The law includes running jobs, hung ones among them, while `stuck_after` comes from ends alone. The times
        # reported as normal must not exceed it.
        facts: dict[str, Json] = {
            "elapsed": watched.elapsed,
            "normal_median": min(law.quantile(0.5), law.stuck_after / 2),
            "normal_high": min(law.quantile(0.99), law.stuck_after),
        }
        self._context.tasks.spawn("stuck", self._record_stuck(watched, facts), job=watched.job_id)

    async def _record_stuck(self, watched: Watched, facts: Mapping[str, Json]) -> None:
        context = self._context
        try:
            recorded = await context.store.write(
                lambda tx: tx.jobs.record_stuck(
                    watched.job,
                    at=context.clock.now(),
                    routing=context.routing,
                    facts=facts,
                    project=context.project,
                )
            )
        except StoreError as error:  # reported after the next query instead
            watched.report_stuck(reported=False)
            context.store_errors.note(error, project=context.project, job=watched.job_id)
            return
        if recorded is not None and recorded.deliveries:
            log.warning(LogEvent.JOB_STUCK, project=context.project, job=watched.job_id, **facts)

    # Ends without a terminal state

    async def end(self, watched: Watched, event: Event, *, reason: str) -> None:
        """End tracking: the service does not know the job (`lost`), or its time is up (`expired`)."""
        context = self._context
        try:
            recorded = await context.store.write(
                lambda tx: tx.jobs.record_end(
                    watched.job,
                    event,
                    at=context.clock.now(),
                    routing=context.routing,
                    reason=reason,
                    episode=watched.episode,
                    project=context.project,
                )
            )
        except StoreError as error:
            self.store_failed(watched, error)
            return
        context.agenda.discard(watched)
        if recorded is not None:
            name = LogEvent.JOB_LOST if event is Event.LOST else LogEvent.JOB_EXPIRED
            log.warning(name, project=context.project, job=watched.job_id, reason=reason)

    def without_answer(self, watched: Watched, error: ApiError, asked: Asked) -> None:
        """Take a query that returned no state: the next one comes later each time."""
        self._touch(watched)
        watched.unanswered(str(error), asked.by)
        now = self._context.clock.monotonic()
        self._context.planner.plan_next(watched, now, failed=True, floor=error.retry_after or 0.0)

    def store_failed(self, watched: Watched, error: StoreError) -> None:
        """Take an answer that may not be stored: the job keeps its state and is queried soon, then slower."""
        context = self._context
        context.store_errors.note(error, project=context.project, job=watched.job_id)
        context.planner.plan_next(watched, context.clock.monotonic(), failed=True)
        watched.not_stored()

    def ready(self, watched: Watched, now: float) -> bool:
        """Whether a request for this job alone is worth its price now. If the plan breaks: whether it is due."""
        if watched.due <= now:
            return True
        try:
            return self._context.planner.ready(watched, now)
        except Exception as error:  # noqa: BLE001 - costs an early query only
            self._context.defects.note("watch", error, project=self._context.project, job=watched.job_id)
            return False

    def defect(self, watched: Watched, error: Exception) -> None:
        """Take an internal error about this job: it is queried later each time, and from the `DEFECTS`-th in a row
        on at `max_interval`. At that point the operators are notified of it by name."""
        context = self._context
        now, longest = context.clock.monotonic(), context.planner.plan.rails.max_interval
        context.defects.note("watch", error, project=context.project, job=watched.job_id)
        watched.count_defect()
        watched.put_off(now + longest)
        try:
            context.planner.plan_next(watched, now, failed=True)
        except Exception as another:  # noqa: BLE001 - planning itself may be what fails
            context.defects.note("watch", another, project=context.project, job=watched.job_id)
        if watched.defects >= DEFECTS:
            watched.put_off(now + longest)
        watched.keep_until_due()
        if watched.defects == DEFECTS:
            self._reports.defect(watched, error)

    def _note_answer(self, watched: Watched, asked: Asked) -> None:
        self._touch(watched)
        watched.answered(asked.began, asked.by)

    def _touch(self, watched: Watched) -> None:
        if not watched.polls:
            self.touched.append(watched)


def complete_enough(seen: Observation) -> bool:
    """Whether a list's entry carries what the alert needs: a link or the way to one, or why the job failed."""
    if seen.state in (State.SUCCEED, State.PARTIAL_SUCCEED):
        return seen.asset.preview_url is not None or seen.asset.asset_id is not None
    if seen.state == State.FAILED:
        return seen.error_code is not None or seen.error_msg is not None
    return not is_terminal(seen.state) or seen.state == State.CANCELED


def _asset_to_complete(move: Moved, seen: Observation) -> str | None:
    """Return the asset to query for a download link: that of a finished video without a preview link."""
    if move.after in (State.SUCCEED, State.PARTIAL_SUCCEED) and seen.asset.preview_url is None:
        return seen.asset.asset_id
    return None


def _epoch(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
