"""Finds the kind of those jobs of a project that were named without one. A query needs the kind, and under a wrong
one the service does not know the job.

Owns the queries for this: a small share of the project's budget, and a limit to them. Also holds jobs that only a
callback named until the service confirms that they exist, since they may be made up. Does not judge a job's state.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from daemon.domain.events import Event
from daemon.domain.jobs import JobId, KindSource, NamedBy
from daemon.logs import LogEvent, logger
from daemon.metastudio.budget import Priority
from daemon.metastudio.errors import ApiError, JobNotFound, ProjectFault, Refused, Unavailable
from daemon.metastudio.kinds import KINDS, Kind
from daemon.metastudio.listing import MAX_LIMIT, ListQuery
from daemon.store import StoreError, WatchRow
from daemon.watch.context import ProjectContext
from daemon.watch.job import Watched
from daemon.watch.reports import Reports

log = logger(__name__)

SHARE = 0.08
"""Share of the rate used to find kinds: including the burst it stays below a tenth."""
_BURST = 4
"""Requests that may follow each other at once: as many as one job takes."""
_FIRST_PAUSE, _LONGER = 5.0, 3.0
"""Seconds from the first round of queries about a job to the second, and the factor by which each pause grows."""
_PAUSE, _LONGEST_PAUSE = 2.0, 60.0
"""Seconds of rest after an answer without information: at first, doubled each time, and at most."""
_PATIENCE = 3
"""Useless answers about one job and kind after which the next kind is tried; and useless lists after which kinds
are looked for singly."""
_UNLISTED_FOR = 600.0
"""Seconds for which kinds are looked for singly after the list was refused."""
_GATHER, _REPORT_EVERY = 600.0, 3600.0
"""Seconds for which unknown jobs are gathered into one report while others are still looked for, and between two
reports."""


@dataclass(slots=True, kw_only=True, eq=False)
class KindCase:
    """A job whose kind is to be found. Moments are monotonic seconds."""

    job: int
    """Row id."""
    job_id: JobId
    episode: int
    since: float
    """Since when its kind is looked for. The grace period counts from here."""
    rounds: int
    """How often all kinds were tried."""
    due: float
    """When the next round begins."""
    watched: Watched | None = None
    """The job in the agenda, under its guessed kind; None for one that is held here."""
    listed: bool = False
    """Whether the list was read in this round."""
    alone: bool = False
    """Whether a list that named it among others caused an internal error. A single query shows the culprit."""
    defects: int = 0
    """Internal errors while it alone was queried."""
    left: list[Kind] | None = None
    """The kinds still to be tried singly in this round."""
    denied: bool = False
    """Whether an answer of this round said that there is no such job; otherwise the round does not count."""
    useless: int = 0
    """Consecutive answers without information."""
    over: bool = False
    """Whether the service knows it under no kind."""


class Kinds:
    """The jobs of one project whose kind is to be found. `tick` sends what is due."""

    def __init__(self, context: ProjectContext, reports: Reports) -> None:
        self._context = context
        self._reports = reports
        self._cases: dict[JobId, KindCase] = {}
        self._busy = False
        self._next_at = float("-inf")
        """When a query may be due at all."""
        self._rest_until = self._paced_until = float("-inf")
        self._pause = 0.0
        self._unlisted_until, self._useless_lists = float("-inf"), 0
        self._unknown, self._first_unknown = 0, ""
        self._report_at = self._gather_until = float("-inf")

    def __len__(self) -> int:
        return len(self._cases)

    def next_due(self) -> float:
        """Return when a query may be due; at the latest, as far as the pace allows."""
        return max(self._next_at, self._rest_until) if self._cases and not self._busy else float("inf")

    @staticmethod
    def are_for(row: WatchRow) -> bool:
        """Whether a job is to be held here: only a callback named it, and the service has not confirmed it."""
        return row.named_by is NamedBy.CALLBACK and row.kind_source is KindSource.GUESSED

    def holds(self, job_id: JobId) -> bool:
        """Whether the job is held here rather than in the agenda."""
        case = self._cases.get(job_id)
        return case is not None and case.watched is None

    def hold(self, row: WatchRow) -> None:
        """Find the kind of a job before it is watched."""
        now = self._context.clock.monotonic()
        known = self._cases.get(row.job_id)
        if known is not None and known.watched is None and known.episode == row.episode:
            return
        # Derive its age from its rounds: the grace period stood still while nothing was queried.
        asked = _FIRST_PAUSE * sum(_LONGER**number for number in range(min(row.kind_tries, 20)))
        age = min(asked, max(0.0, (self._context.clock.now() - row.tracked_at).total_seconds()))
        self._add(
            KindCase(
                job=row.id, job_id=row.job_id, episode=row.episode, since=now - age, rounds=row.kind_tries, due=now
            )
        )

    def unknown_as(self, watched: Watched) -> bool:
        """Whether the service knows a job under no kind, after it was not found under the guessed one. Starts
        trying all other kinds, and returns False until that is done."""
        case = self._cases.get(watched.job_id)
        if case is None or case.watched is not watched:
            now = self._context.clock.monotonic()
            case = KindCase(
                job=watched.job,
                job_id=watched.job_id,
                episode=watched.episode,
                since=now if watched.missing_since is None else watched.missing_since,
                rounds=0,
                due=now,
                watched=watched,
            )
            self._add(case)
        return case.over

    def drop(self, job_id: JobId, *, row: int | None = None) -> bool:
        """Stop looking for its kind (with `row`: only if it has this row id). Returns False if there was no
        case."""
        case = self._cases.get(job_id)
        if case is None or row not in (None, case.job):
            return False
        del self._cases[job_id]
        return True

    def tick(self) -> None:
        """Send what is due unless a query is under way; report what there is to report."""
        now = self._context.clock.monotonic()
        held = now < self._gather_until and any(case.watched is None for case in self._cases.values())
        if self._unknown and now >= self._report_at and not held:
            self._report(now)
        if self._busy or now < max(self._next_at, self._rest_until) or not self._cases:
            return
        gap = 1 / (SHARE * self._context.client.budget.current_rate(now))
        if self._paced_until > now + (_BURST - 1) * gap:
            return
        chosen = self._chosen(now)
        if not chosen:
            return
        self._paced_until = max(self._paced_until, now) + gap
        self._busy = True
        self._context.tasks.spawn("kind", self._ask(chosen), project=self._context.project)

    def resume(self, paused: float) -> None:
        """Do not count the `paused` seconds in which nothing was asked."""
        for case in self._cases.values():
            case.since += paused

    async def stop(self) -> None:
        """Report what is left to report."""
        if self._unknown:
            self._report(self._context.clock.monotonic())
            await self._reports.flush()

    def _add(self, case: KindCase) -> None:
        self._cases[case.job_id] = case
        self._next_at = float("-inf")

    # Which question is next

    def _chosen(self, now: float) -> list[KindCase]:
        """Return the jobs to query next: several with one list, or one singly."""
        for case in [case for case in self._cases.values() if self._is_settled(case.watched)]:
            del self._cases[case.job_id]
        open_cases = [case for case in self._cases.values() if not case.over]
        due = [case for case in open_cases if case.due <= now]
        if not due:
            self._next_at = min((case.due for case in open_cases), default=float("inf"))
            return []
        # Jobs that a person named come first, then the newest: made-up ones must not keep others from being found.
        due.sort(key=lambda case: (case.watched is None, -case.job))
        unlisted = [case for case in due if not (case.listed or case.alone)]
        if unlisted and now >= self._unlisted_until:
            return unlisted[:MAX_LIMIT]
        return [min(due, key=lambda case: (case.rounds, -len(self._left(case)), case.watched is None))]

    def _is_settled(self, watched: Watched | None) -> bool:
        """Whether a job of the agenda was meanwhile answered under its kind, or is no longer watched."""
        return watched is not None and not (watched.guessed and self._context.agenda.holds(watched))

    def _left(self, case: KindCase) -> list[Kind]:
        """Return the kinds still to be tried singly in this round."""
        if case.left is None:
            own = None if case.watched is None else case.watched.kind
            case.left = [kind for kind in KINDS.values() if not (kind.listed and case.listed) and kind is not own]
        return case.left

    # Querying

    async def _ask(self, cases: Sequence[KindCase]) -> None:
        now = self._context.clock.monotonic()
        try:
            if not (cases[0].listed or cases[0].alone) and now >= self._unlisted_until:
                await self._ask_list(cases)
            else:
                await self._ask_singly(cases[0])
            await self._end_rounds(cases)
        except ApiError as error:
            self._rest(error)
        except StoreError as error:
            self._context.store_errors.note(error, project=self._context.project)
            self._rest(None)
        except BaseException:
            self._rest(None)
            for case in cases:
                if len(cases) > 1:
                    case.alone = True
                else:  # let others have their turn before it breaks again
                    case.due = now + min(_LONGEST_PAUSE, _FIRST_PAUSE * _LONGER ** min(case.defects, 20))
                    case.defects += 1
            raise
        finally:
            self._busy = False

    async def _ask_list(self, cases: Sequence[KindCase]) -> None:
        context = self._context
        query = ListQuery(job_ids=tuple(case.job_id for case in cases), created_since=context.created_since())
        try:
            listed = await context.client.list(query, permit=await context.client.budget.take(Priority.NEWS))
        except (Refused, JobNotFound, ProjectFault):
            self._unlisted_until = context.clock.monotonic() + _UNLISTED_FOR
            return
        except Unavailable:
            self._useless_lists += 1
            if self._useless_lists >= _PATIENCE:  # single queries may work better
                self._useless_lists, self._unlisted_until = 0, context.clock.monotonic() + _UNLISTED_FOR
            raise
        self._pause, self._useless_lists = 0.0, 0
        kinds = {entry.job_id: entry.kind for entry in listed.entries}
        found = []
        for case in cases:
            kind = kinds.get(case.job_id)
            if kind is not None:  # queried again if the store does not take it
                found.append((case, kind))
                continue
            case.listed, case.left = True, None
            case.denied = case.job_id not in kinds
            if not case.denied:  # it exists, but the list does not say of what kind
                case.left = list(KINDS.values())
        await self._found(found)

    async def _ask_singly(self, case: KindCase) -> None:
        context = self._context
        left = self._left(case)
        if not left:
            return
        try:
            await context.client.show(left[0], case.job_id, permit=await context.client.budget.take(Priority.NEWS))
        except (JobNotFound, Refused):
            case.denied = True
            case.useless = 0
        except ProjectFault:  # this endpoint may not offer that kind
            case.useless = 0
        except Unavailable:
            case.useless += 1
            if case.useless >= _PATIENCE:
                left.pop(0)
            raise
        else:
            await self._found([(case, left[0])])
        self._pause = 0.0
        left.pop(0)

    async def _found(self, found: Sequence[tuple[KindCase, Kind]]) -> None:
        """Store the kinds found. Raises StoreError: they are then looked for once more."""
        if not found:
            return
        kinds = {case.job: kind.name for case, kind in found}
        await self._context.store.write(lambda tx: tx.jobs.kinds_found(kinds))
        for case, kind in found:
            log.info(LogEvent.KIND_FOUND, project=self._context.project, job=case.job_id, kind=kind.name)
            if self._cases.get(case.job_id) is case:
                del self._cases[case.job_id]

    async def _end_rounds(self, cases: Sequence[KindCase]) -> None:
        """Plan the next round of the jobs for which all kinds were tried, or give them up. If the store fails, the
        round has not ended and this is done again."""
        now = self._context.clock.monotonic()
        done = [c for c in cases if self._cases.get(c.job_id) is c and c.left is not None and not c.left]
        if done:
            tries = {case.job: case.rounds + case.denied for case in done}
            await self._context.store.write(lambda tx: tx.jobs.kinds_tried(tries))
        over = [case for case in done if case.watched is None and self._is_over(case, now)]
        for case in done:
            if case not in over:
                self._next_round(case, now)
        for case in over:
            await self._give_up(case)

    def _is_over(self, case: KindCase, now: float) -> bool:
        return case.denied and now - case.since >= self._context.limits.not_found_grace

    def _next_round(self, case: KindCase, now: float) -> None:
        grace = self._context.limits.not_found_grace
        case.over = self._is_over(case, now)
        case.rounds += case.denied
        first = min(_FIRST_PAUSE, grace / 4)
        pause = first * _LONGER ** min(case.rounds, 20)
        case.due = min(now + pause, max(case.since + grace, now + first))  # the last round is when the grace ends
        case.listed, case.left, case.denied = False, None, False

    async def _give_up(self, case: KindCase) -> None:
        """End a job that only a callback named. Only the operators are notified. Raises StoreError."""
        context = self._context
        reason = "a callback named it, and the service does not know it"
        await context.store.write(
            lambda tx: tx.jobs.record_end(
                case.job,
                Event.LOST,
                at=context.clock.now(),
                routing=context.routing,
                reason=reason,
                episode=case.episode,
                project=context.project,
            )
        )
        if self._cases.get(case.job_id) is case:
            del self._cases[case.job_id]
        log.info(LogEvent.JOB_LOST, project=context.project, job=case.job_id, reason=reason)
        if not self._unknown:
            self._gather_until = context.clock.monotonic() + _GATHER
            self._first_unknown = case.job_id
        self._unknown += 1

    def _report(self, now: float) -> None:
        self._reports.tell(Event.UNCONFIRMED, jobs=self._unknown, job_id=self._first_unknown)
        self._unknown = 0
        self._report_at = now + _REPORT_EVERY

    def _rest(self, error: ApiError | None) -> None:
        """Pause after a query from which nothing was learned: longer each time."""
        self._pause = min(max(_PAUSE, 2 * self._pause), _LONGEST_PAUSE)
        floor = (error.retry_after or 0.0) if error is not None else 0.0
        self._rest_until = self._context.clock.monotonic() + max(self._pause, min(floor, 10 * _LONGEST_PAUSE))
        log.debug(LogEvent.POLL_FAILED, project=self._context.project, error=error)
