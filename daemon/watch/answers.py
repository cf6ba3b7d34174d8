"""What an answer means for a job: the verdict, the one transaction that stores it, the plan of the next question.

Owns everything that changes a job's state in memory, and only after the store has it. Never asks whether the job
moved (the poller, the lists and the feed do), and never lets an error of the store become a job's state.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from daemon.domain.durations import eta
from daemon.domain.events import Event, Json, events_of
from daemon.domain.jobs import Asset, Observation, Tracking
from daemon.domain.states import State, is_known, is_terminal
from daemon.domain.transitions import Moved, judge
from daemon.logs import LogEvent, logger
from daemon.metastudio.budget import Priority
from daemon.metastudio.errors import ApiError
from daemon.metastudio.kinds import Kind
from daemon.store import Recorded, StoreError, Transaction
from daemon.watch.context import ProjectContext
from daemon.watch.job import AskedBy, Watched
from daemon.watch.learning import production_began, started_before
from daemon.watch.links import links_now
from daemon.watch.reports import Reports

log = logger(__name__)

LINK_PATIENCE = 3.0
"""Seconds that an alert waits at most for the download link of a finished avatar video."""
LINK_RETRIES = (3.0, 4.0)
"""Seconds until a finished video of which no link came is looked at again, and then once more."""
_LINKS_BY = 8.0
"""Seconds that its alert waits for these at most."""
NOT_IN_TIME = "it did not end in time"
DEFECTS = 3
"""Errors of wrapd's own in a row after which a job is asked at the slowest pace, and reported by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The question that an answer belongs to: how it was asked and when it began (monotonic seconds)."""

    by: AskedBy
    began: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EndFound:
    """An end that was found: how, the service's times of it and of the job's creation (epoch seconds), and when
    the job had been looked at before (monotonic seconds)."""

    watched: Watched
    by: AskedBy
    reported: float | None
    looked: float | None
    created: float | None


class Answers:
    """Takes what answers say of one project's jobs."""

    def __init__(self, context: ProjectContext, reports: Reports) -> None:
        self._context = context
        self._reports = reports
        self.touched: dict[int, Watched] = {}
        """Jobs looked at since the last checkpoint."""
        self.moved: dict[int, Watched] = {}
        """Jobs whose state changed since the last flush."""
        self.on_end: Callable[[EndFound], None] | None = None
        """Told of every end that was found."""
        self.on_finished: Callable[[int], None] | None = None
        """Told of every video that is finished, by its job's row id, as soon as that is stored."""

    # An answer that tells a state

    def unchanged(self, watched: Watched, asked: Asked, now: float) -> None:
        """The service says what was known. Hot: lists bring a hundred of these at once."""
        self._looked(watched, asked)
        self._context.planner.plan_next(watched, now)
        if now >= watched.stuck_at and not watched.stuck_reported:
            self._tell_stuck(watched)
        watched.clear_defects()

    async def take(self, watched: Watched, seen: Observation, asked: Asked) -> None:
        """Store a move, or note that there is none, and plan the next question. Puts nothing into the agenda."""
        verdict = judge(watched.state, seen, at=self._context.clock.now())
        if isinstance(verdict, Moved):
            await self._record(watched, verdict, seen, asked)
        elif is_terminal(watched.state):  # it ended before, and what should have followed broke off
            self._context.agenda.discard(watched)
        elif (now := self._context.clock.monotonic()) >= watched.expires and asked.by == "single":
            self._looked(watched, asked)
            await self.end(watched, Event.EXPIRED, reason=NOT_IN_TIME)
        else:
            self.unchanged(watched, asked, now)
            watched.note_reported(_epoch(seen.reported_at))
        watched.clear_defects()

    async def _record(self, watched: Watched, move: Moved, seen: Observation, asked: Asked) -> None:
        context = self._context
        asset_id = _asset_to_complete(move, seen)
        linkless = watched.kind.listed and Event.SUCCEEDED in events_of(move) and _linkless(seen.asset)
        wait = _LINKS_BY if linkless else LINK_PATIENCE if asset_id else 0.0
        start = self._start(watched, move, seen)
        facts = self._started_facts(watched, move, start)
        # There was an answer under its kind, or a list named that.
        kind = watched.kind.name if asked.by == "single" or not watched.guessed else None
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
                )
            )
        except StoreError as error:
            self.store_failed(watched, error)
            return
        finally:
            watched.end_recording()
        reported, created = _epoch(seen.reported_at), _epoch(seen.created_at)
        found = EndFound(watched=watched, by=asked.by, reported=reported, looked=watched.looked, created=created)
        self._looked(watched, asked)
        watched.confirm(guessed=kind is None, reported=reported)
        if recorded is None:
            await self._follow_store(watched)
            return
        self._note_move(watched, move, start)
        self._wake(watched, seen.asset, recorded, asset_id=asset_id, linkless=linkless)
        if move.ends:
            self._tell_end(found, succeeded=Event.SUCCEEDED in events_of(move))

    def _wake(
        self, watched: Watched, asset: Asset, recorded: Recorded, *, asset_id: str | None, linkless: bool
    ) -> None:
        """Have the move's alert sent, or completed first: by the link of `asset_id`, or by those that were not
        there yet (`linkless`)."""
        if asset_id is None:
            self._context.wake(recorded.channels)
        else:
            completing = self._complete(watched, asset_id, recorded, last=not linkless)
            self._context.tasks.spawn("complete", completing, job=watched.job_id)
        if linkless:
            self._look_for_links(watched, asset.asset_id, recorded, LINK_RETRIES)

    def _tell_end(self, found: EndFound, *, succeeded: bool) -> None:
        """What the store has is so, whatever those who hear of it make of it."""
        self._context.metrics.ends.labels(self._context.project, found.by).inc()
        try:
            if self.on_end is not None:
                self.on_end(found)
            if succeeded and self.on_finished is not None:
                self.on_finished(found.watched.job)
        except Exception as error:  # noqa: BLE001
            self._context.defects.note("watch", error, project=self._context.project, job=found.watched.job_id)

    async def _follow_store(self, watched: Watched) -> None:
        """The store did not take a move: a person stopped the job or moved it to another project meanwhile, or
        it holds another state than was known here (an answer beside this one was faster, or a commit was taken
        for failed)."""
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
        """When production began (monotonic seconds), where the answer says that it did."""
        if move.after != State.PROCESSING:
            return None
        believed = production_began(started_at=seen.started_at, created_at=seen.created_at, by=move.observed_at)
        now = self._context.clock.monotonic()
        return started_before(watched, believed, now=now, wall=move.observed_at)

    def _started_facts(self, watched: Watched, move: Moved, start: float | None) -> Mapping[str, Json]:
        """What `started` tells of how long it will take."""
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
            self.touched.pop(watched.job, None)
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

    async def _complete(self, watched: Watched, asset_id: str, recorded: Recorded, *, last: bool) -> None:
        """Add the download link of a finished video that has no preview; its alert waits for this, briefly, and
        longer where this is not the `last` try."""
        context = self._context
        url: str | None = None
        try:
            url = await self._download_url(asset_id)
        except (ApiError, TimeoutError) as error:
            log.info(
                LogEvent.POLL_FAILED, project=context.project, job=watched.job_id, asset=asset_id, error=error
            )
        if url is None and not last:
            return
        try:
            await context.store.write(
                lambda tx: tx.jobs.set_download_url(watched.job, url, at=context.clock.now())
            )
        except StoreError as error:  # the alert goes out without the link when its time comes
            context.store_errors.note(error, project=context.project, job=watched.job_id)
        context.wake(recorded.channels)

    def _look_for_links(
        self, watched: Watched, asset_id: str | None, recorded: Recorded, pauses: Sequence[float]
    ) -> None:
        """A video was said to be finished before anything of it could be had: look again a little later."""
        if pauses:
            self._context.tasks.spawn_later(
                pauses[0],
                "links",
                lambda: self._add_links(watched, asset_id, recorded, pauses[1:]),
                job=watched.job_id,
            )

    async def _add_links(
        self, watched: Watched, asset_id: str | None, recorded: Recorded, pauses: Sequence[float]
    ) -> None:
        context = self._context
        try:
            asset = await links_now(
                context.client, watched.kind, watched.job_id, asset_id=asset_id, priority=Priority.DETAIL
            )
        except ApiError as error:
            log.info(LogEvent.LINK_NOT_RENEWED, project=context.project, job=watched.job_id, error=error)
            asset = None
        if asset is None:
            self._look_for_links(watched, asset_id, recorded, pauses)
            return
        at = context.clock.now()

        def work(tx: Transaction) -> None:
            tx.jobs.set_links(watched.job, asset, at=at)
            tx.jobs.set_download_url(watched.job, asset.download_url, at=at)  # the alert need not wait any more

        try:
            await context.store.write(work)
        except StoreError as error:  # whoever asks for the link has it looked up again
            context.store_errors.note(error, project=context.project, job=watched.job_id)
        context.wake(recorded.channels)

    # What is known beside the state

    def learn_kind(self, watched: Watched, kind: Kind | None) -> None:
        """A list says of what kind the job is, and knows better than who named it. The store hears of it with the
        job's next move."""
        if kind is None or not watched.learn_kind(kind):
            return
        log.info(LogEvent.KIND_FOUND, project=self._context.project, job=watched.job_id, kind=kind.name)
        self._context.agenda.set_unlisted(watched, unlisted=not kind.listed)

    async def set_length(self, watched: Watched, seconds: float) -> None:
        """Keep what a job's script foretells of its length. Losing it costs nothing but foresight."""
        watched.set_length(seconds)
        try:
            await self._context.store.write(lambda tx: tx.jobs.set_expected_length(watched.job, seconds))
        except StoreError as error:
            self._context.store_errors.note(error, project=self._context.project, job=watched.job_id)

    def _tell_stuck(self, watched: Watched) -> None:
        """Tell once that a job takes much longer than those like it."""
        law = self._context.planner.law(watched)
        watched.report_stuck(reported=True)
        # The law knows what runs as well, jobs that hang among it; `stuck_after` knows the ends alone. What is
        # called normal must not lie beyond that.
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
        except StoreError as error:  # the next question tells it
            watched.report_stuck(reported=False)
            context.store_errors.note(error, project=context.project, job=watched.job_id)
            return
        if recorded is not None and recorded.deliveries:
            log.warning(LogEvent.JOB_STUCK, project=context.project, job=watched.job_id, **facts)
            context.wake(recorded.channels)

    # Ends without a terminal state

    async def end(self, watched: Watched, event: Event, *, reason: str) -> None:
        """End tracking: the service does not know the job (`lost`), or time is up (`expired`)."""
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
        self.touched.pop(watched.job, None)
        if recorded is not None:
            name = LogEvent.JOB_LOST if event is Event.LOST else LogEvent.JOB_EXPIRED
            log.warning(name, project=context.project, job=watched.job_id, reason=reason)
            context.wake(recorded.channels)

    def without_answer(self, watched: Watched, error: ApiError, asked: Asked) -> None:
        """A question about the job gave no state: the next question comes later each time."""
        watched.unanswered(str(error), asked.by)
        self.touched[watched.job] = watched
        now = self._context.clock.monotonic()
        self._context.planner.plan_next(watched, now, failed=True, floor=error.retry_after or 0.0)

    def store_failed(self, watched: Watched, error: StoreError) -> None:
        """Nothing is known to be stored: the job keeps its state and is asked again, soon and then more slowly."""
        context = self._context
        context.store_errors.note(error, project=context.project, job=watched.job_id)
        context.planner.plan_next(watched, context.clock.monotonic(), failed=True)
        watched.not_stored()

    def ready(self, watched: Watched, now: float) -> bool:
        """Whether a request for this job alone is worth its price now. Where the plan breaks: when it is due."""
        if watched.due <= now:
            return True
        try:
            return self._context.planner.ready(watched, now)
        except Exception as error:  # noqa: BLE001 - it costs an early question
            self._context.defects.note("watch", error, project=self._context.project, job=watched.job_id)
            return False

    def defect(self, watched: Watched, error: Exception) -> None:
        """An error of wrapd's own about this job: it is asked again later each time, and from the third time
        in a row on at `max_interval`; then the operators hear of it by name."""
        context = self._context
        now, longest = context.clock.monotonic(), context.planner.plan.rails.max_interval
        context.defects.note("watch", error, project=context.project, job=watched.job_id)
        watched.count_defect()
        watched.put_off(now + longest)
        try:
            context.planner.plan_next(watched, now, failed=True)
        except Exception as another:  # noqa: BLE001 - the plan itself may be what is wrong
            context.defects.note("watch", another, project=context.project, job=watched.job_id)
        if watched.defects >= DEFECTS:
            watched.put_off(now + longest)
        watched.keep_until_due()
        if watched.defects == DEFECTS:
            self._reports.defect(watched, error)

    async def _download_url(self, asset_id: str) -> str | None:
        budget = self._context.client.budget
        async with asyncio.timeout(LINK_PATIENCE):
            permit = await budget.take(Priority.NEWS)
            return await self._context.client.download_url(asset_id, permit=permit, timeout=LINK_PATIENCE)

    def _looked(self, watched: Watched, asked: Asked) -> None:
        watched.answered(asked.began, asked.by)
        self.touched[watched.job] = watched


def complete_enough(seen: Observation) -> bool:
    """Whether an answer of a list carries what the alert needs: a link or the way to one, or why it failed."""
    if seen.state in (State.SUCCEED, State.PARTIAL_SUCCEED):
        return seen.asset.preview_url is not None or seen.asset.asset_id is not None
    if seen.state == State.FAILED:
        return seen.error_code is not None or seen.error_msg is not None
    return not is_terminal(seen.state) or seen.state == State.CANCELED


def _asset_to_complete(move: Moved, seen: Observation) -> str | None:
    """The asset to ask for a download link: that of a finished video without a preview link."""
    if move.after in (State.SUCCEED, State.PARTIAL_SUCCEED) and seen.asset.preview_url is None:
        return seen.asset.asset_id
    return None


def _linkless(asset: Asset) -> bool:
    return asset.preview_url is None and asset.download_url is None and asset.cover_url is None


def _epoch(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
