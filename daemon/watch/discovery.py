"""Takes a project's jobs from the service's list, so that nobody has to register ids by hand.

Owns when to look, and how the list is paged; what is wanted is said in `wishes`. Its requests wait for a permit
behind all news. Must never change a job that is known: one that was untracked stays so.

No job is missed between two looks: the first look takes jobs that fit the wanted states; each later one takes what
was created since the one before it began (two minutes earlier, by the service's clock), in whatever state it is by
then. Once an hour, and at the first look, the jobs in the wanted states are read as well. When the looks of a
daemon ended is kept in the store (to ten minutes), so that the next one begins there.
"""

import random
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from daemon.clock import Clock
from daemon.commands import discovered
from daemon.domain import backoff
from daemon.domain.events import Json
from daemon.domain.jobs import JobId, ProjectName, Tracking
from daemon.logs import LogEvent, logger
from daemon.metastudio.budget import Priority
from daemon.metastudio.client import ProjectClient
from daemon.metastudio.errors import ApiError
from daemon.metastudio.listing import ListQuery, Summary
from daemon.store import (
    DiscoveryRow,
    Store,
    StoreBusy,
    StoreClosed,
    StoreError,
    StoreFailed,
    TrackOutcome,
    TrackResult,
    Transaction,
)
from daemon.tasks import Defects, Tasks, where_of
from daemon.watch.wishes import DiscoverySettings, FoundJob, Tally, Wish, read_wish

log = logger(__name__)

OVERLAP = timedelta(minutes=2)
"""How much earlier than the last look began a look begins: what is listed late is found nevertheless."""
MOST_PAGES = 1000
"""Pages of one list; one that has more is read on at the next look."""

_COMMON = 10
"""Entries that a page has in common with the one before: what moves between the two requests is not skipped."""
_STEPS_BACK = 5
"""How often a list is read again from a page before, because two pages had nothing in common."""
_FULL_EVERY = 3600.0
"""Seconds between two looks at all jobs in the wanted states."""
_MARK_EVERY, _MARK_NEWS = 600.0, 60.0
"""Seconds between two notes in the store of how far the looks came: where they find nothing, and where they do."""
_WISHES_EVERY = 2.0
"""Seconds between two looks for wishes of commands."""
_SLOWEST = 600.0
"""Seconds between two looks at most where the list cannot be read."""
_REST = 30.0
"""Seconds of rest after the store refused."""
_LAST_MARKS = 200
"""Discoveries among which the last mark is sought."""


class Cut(Exception):
    """The list was not read to its end. `str()` says why; what was found until then is taken."""


class Looker:
    """Reads the list of one project, and tracks what is wanted. Keeps nothing between two looks."""

    def __init__(self, *, project: ProjectName, client: ProjectClient, store: Store, clock: Clock) -> None:
        self._project = project
        self._client = client
        self._store = store
        self._clock = clock

    async def look(
        self, wish: Wish, *, tally: Tally, created_since: datetime | None = None, any_state: bool = False
    ) -> None:
        """Read the jobs that were created since `created_since` (None: as long ago as the wish says), and track
        those that are wanted and not known. `tally` has what was found, also where this raises.

        Raises ApiError, StoreError, Cut.
        """
        oldest = self._clock.now() - timedelta(seconds=wish.filters.since)
        earliest = oldest if created_since is None else max(oldest, created_since)
        query = ListQuery(
            states=() if any_state else wish.filters.states, kind=wish.filters.kind, created_since=earliest
        )
        async for page in self._pages(query, tally):
            wanted = [each for each in page if wish.filters.wanted(each, earliest=earliest, any_state=any_state)]
            for found in await self._take(wanted, wish):
                tally.add(found)

    async def _pages(self, query: ListQuery, tally: Tally) -> AsyncIterator[list[Summary]]:
        """The entries of the list, page by page, each job once. Raises Cut where it may not be all of them."""
        seen: set[JobId] = set()
        before: set[JobId] = set()  # what the page before held
        offset, reached, steps_back, torn, short = 0, 0, 0, False, False
        for _ in range(MOST_PAGES):
            permit = await self._client.budget.take(Priority.DISCOVERY)
            listed = await self._client.list(replace(query, offset=offset), permit=permit)
            tally.server_time = tally.server_time or listed.server_time
            ids = {each.job_id for each in listed.entries}
            fresh = [each for each in listed.entries if each.job_id not in seen]
            seen |= ids
            if fresh:
                yield fresh
            joined = not before or bool(before & ids) or (short and not ids)
            got = len(listed.entries) + listed.skipped
            if not joined and steps_back < _STEPS_BACK:
                # Jobs left the list between the two requests, and others moved up past the end of the page before.
                reached = max(reached, offset + got)
                steps_back, before, offset = steps_back + 1, set(), max(0, offset - query.limit)
                continue
            torn = torn or not joined
            short = got < query.limit
            over = short and offset + got >= (listed.count or 0)
            if over or not got or (joined and not fresh and offset + got >= reached):
                if torn:
                    raise Cut("its pages do not join")
                return
            reached, before = max(reached, offset + got), ids
            offset += got - _COMMON if got > 2 * _COMMON else got
        raise Cut(f"it has more than {MOST_PAGES} pages")

    async def _take(self, wanted: list[Summary], wish: Wish) -> list[FoundJob]:
        """What becomes of the jobs of a page."""
        if not wanted:
            return []
        kinds = {each.job_id: _kind_of(each) for each in wanted}
        if wish.dry_run:
            known = await self._store.read_async(lambda tx: tx.jobs.known(self._project, kinds))
            told = {job_id: known[job_id].tracking if job_id in known else None for job_id in kinds}
            return [_found(each, told[each.job_id], "new") for each in wanted]
        tracked = await self._store.write(partial(self._track, kinds=kinds, wish=wish))
        return [
            _found(each, None, "added")
            if tracked[each.job_id].result is TrackResult.ADDED
            else _found(each, tracked[each.job_id].tracking, "known")
            for each in wanted
        ]

    def _track(self, tx: Transaction, *, kinds: Mapping[JobId, str], wish: Wish) -> dict[JobId, TrackOutcome]:
        at = self._clock.now()
        return discovered(tx, self._project, kinds, at=at, tags=wish.tags, batch=wish.batch)


def _kind_of(summary: Summary) -> str:
    assert summary.kind is not None, "only known kinds are wanted"
    return summary.kind.name


def _found(summary: Summary, tracking: Tracking | None, fresh: str) -> FoundJob:
    """A job that fits; `tracking` is that of a known one, `fresh` the result of another."""
    return FoundJob(
        job_id=summary.job_id,
        kind=_kind_of(summary),
        state=summary.state,
        name=summary.observation().asset.asset_name,
        result=fresh if tracking is None else "known",
        tracking=tracking,
    )


class Discovery:
    """The looks of one project while the daemon runs, and the wishes of commands. `tick` each second.

    Without `settings` only wishes are served. `may_ask`: whether the project may be asked at all now.
    """

    def __init__(
        self,
        *,
        project: ProjectName,
        client: ProjectClient,
        store: Store,
        clock: Clock,
        rng: random.Random,
        settings: DiscoverySettings | None,
        defects: Defects,
        may_ask: Callable[[], bool] = lambda: True,
    ) -> None:
        self._project = project
        self._defects = defects
        self._tasks = Tasks("discovery", defects)
        self._broken: dict[int, float] = {}
        """Wishes whose end could not be stored for a reason of wrapd's own, and until when the others alone are
        served (monotonic seconds)."""
        self._store = store
        self._clock = clock
        self._rng = rng
        self._settings = settings
        self._may_ask = may_ask
        self._looker = Looker(project=project, client=client, store=store, clock=clock)
        self._runs = False
        self._look_at = self._wishes_at = clock.monotonic()
        self._full_at = clock.monotonic()
        self._marked_at: float | None = None
        self._failures = 0
        self._begun = False
        self._until: datetime | None = None
        """The service's clock when the last look began that came to its end."""
        self._first: datetime | None = None
        """The same of the very first look: what was created before it is taken by its state alone."""
        self._unmarked = Tally()

    def adopt(self, settings: DiscoverySettings | None) -> None:
        """Look by these settings from now on; where they are others, at once, and at all jobs."""
        if settings != self._settings:
            self._settings = settings
            self._look_at = self._full_at = self._clock.monotonic()

    async def tick(self) -> None:
        """Begin what is due, beside everything else; nothing where a look still runs."""
        now = self._clock.monotonic()
        if self._runs or not self._may_ask():
            return
        look = self._settings is not None and now >= self._look_at
        if look or now >= self._wishes_at:
            self._runs = True
            self._tasks.spawn("look", self._work(look), project=self._project)

    async def idle(self) -> None:
        """Wait for the look that runs, if one does."""
        await self._tasks.wait()

    async def stop(self) -> None:
        """Give up what runs: the next start reads the list again, and wishes wait for it."""
        await self._tasks.end(patience=0)

    async def _work(self, look: bool) -> None:
        """Wishes, then the look: what breaks in the one does not keep the other from its turn."""
        now = self._clock.monotonic()
        try:
            rest = await self._rest_after(self._serve_wishes())
            self._wishes_at = max(self._wishes_at, now + rest)
            if look and self._settings is not None:
                rest = await self._rest_after(self._look(self._settings))
                self._look_at = max(self._look_at, now + rest)
        finally:
            self._runs = False

    async def _rest_after(self, work: Coroutine[Any, Any, None]) -> float:
        """Do it; seconds until it may be tried again at the earliest, 0 where nothing went wrong."""
        try:
            await work
        except StoreError as error:
            log.error(LogEvent.DATABASE_FAILED, project=self._project, error=error)
            return _REST
        except Exception as error:  # noqa: BLE001 - it comes back as often as it likes, but no faster than this
            self._defects.note("discovery", error, project=self._project)
            return _SLOWEST
        return 0.0

    async def _look(self, settings: DiscoverySettings) -> None:
        """One look: what was created since the last, and, now and then, all in the wanted states."""
        now = self._clock.monotonic()
        if not self._begun:
            self._until = await self._store.read_async(partial(_last_mark, project=self._project))
            self._begun = True
        wish = Wish(filters=settings.filters, tags=settings.tags, batch=settings.batch)
        tally = Tally()
        try:
            if self._until is not None:
                since = self._until - OVERLAP
                since = since if self._first is None else max(since, self._first)
                await self._looker.look(wish, tally=tally, created_since=since, any_state=True)
            if self._until is None or now >= self._full_at:
                await self._looker.look(wish, tally=tally)
                self._full_at = now + _FULL_EVERY
        except (ApiError, Cut) as error:
            self._failures += 1
            log.warning(LogEvent.LIST_FAILED, project=self._project, error=error, found=tally.found)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - as if the list could not be read: later each time
            self._failures += 1
            self._defects.note("discovery", error, project=self._project)
        else:
            self._failures = 0
            begun = tally.server_time or self._clock.now()
            self._first = self._first if self._until is not None else begun
            self._until = begun
        self._tell(tally)
        self._look_at = now + self._pause(settings.interval)
        await self._mark(now)

    def _pause(self, interval: float) -> float:
        if not self._failures:
            return interval
        slowest = max(interval, _SLOWEST)
        return max(interval, backoff.delay(self._failures, base=interval, cap=slowest, spread=self._rng.random()))

    def _tell(self, tally: Tally) -> None:
        self._unmarked.found += tally.found
        self._unmarked.added += tally.added
        if tally.added:
            log.info(LogEvent.JOBS_FOUND, project=self._project, jobs=tally.added)

    async def _mark(self, now: float) -> None:
        """Note from time to time how far the looks came, for the next start."""
        pause = _MARK_NEWS if self._unmarked.added else _MARK_EVERY
        if self._until is None or (self._marked_at is not None and now < self._marked_at + pause):
            return
        facts: dict[str, Json] = {"until": self._until.isoformat()}
        tally, at = self._unmarked, self._clock.now()
        await self._store.write(partial(_note, project=self._project, facts=facts, tally=tally, at=at))
        self._unmarked, self._marked_at = Tally(), now

    async def _serve_wishes(self) -> None:
        """Do what commands left to be done, one after the other."""
        self._wishes_at = self._clock.monotonic() + _WISHES_EVERY
        for row in await self._store.read_async(lambda tx: tx.discoveries.waiting(self._project)):
            if self._clock.monotonic() >= self._broken.get(row.id, float("-inf")):
                tally = Tally()
                await self._finish(row, tally, await self._serve(row, tally))

    async def _finish(self, row: DiscoveryRow, tally: Tally, error: str | None) -> None:
        """Store how a wish ended. One that cannot even be ended stands in nobody's way."""
        reason = await self._ended(row, tally, error)
        if reason is not None and await self._ended(row, Tally(), _own_error(reason)) is not None:
            self._broken[row.id] = self._clock.monotonic() + _SLOWEST

    async def _ended(self, row: DiscoveryRow, tally: Tally, error: str | None) -> Exception | None:
        """Store it; what of wrapd's own kept it from that."""
        try:
            at = self._clock.now()
            await self._store.write(partial(_finish, row=row.id, tally=tally, error=error, at=at))
        except (StoreBusy, StoreFailed, StoreClosed):
            raise
        except Exception as reason:  # noqa: BLE001 - the others are served
            self._defects.note("discovery", reason, project=self._project)
            return reason
        return None

    async def _serve(self, row: DiscoveryRow, tally: Tally) -> str | None:
        """Do one wish; what went wrong, in words."""
        try:
            wish = read_wish(row.filters)
            await self._looker.look(wish, tally=tally)
        except (ApiError, Cut, ValueError) as error:
            log.warning(LogEvent.LIST_FAILED, project=self._project, error=error, found=tally.found)
            return in_words(error)
        except (StoreBusy, StoreFailed, StoreClosed):  # it is done again when the database takes it
            raise
        except Exception as error:  # noqa: BLE001 - it ends all the same, and the next one has its turn
            self._defects.note("discovery", error, project=self._project)
            return _own_error(error)
        if tally.added:
            log.info(LogEvent.JOBS_FOUND, project=self._project, jobs=tally.added)
        return None


def in_words(error: Exception) -> str:
    """Why a list was not read wholly, for people."""
    return f"the list was not read to its end: {error}" if isinstance(error, Cut) else str(error)


def _own_error(error: Exception) -> str:
    return f"wrapd met an error of its own: {where_of(error)}; the log has more"


def _finish(tx: Transaction, *, row: int, tally: Tally, error: str | None, at: datetime) -> None:
    tx.discoveries.finish(row, at=at, found=tally.found, added=tally.added, error=error, result=tally.facts())


def _note(tx: Transaction, *, project: ProjectName, facts: Mapping[str, Json], tally: Tally, at: datetime) -> None:
    row = tx.discoveries.ask(project, facts, at)
    tx.discoveries.finish(row, at=at, found=tally.found, added=tally.added)


def _last_mark(tx: Transaction, *, project: ProjectName) -> datetime | None:
    """How far the looks of the daemon before came; None where there were none in the last week."""
    for row in tx.discoveries.done(project, limit=_LAST_MARKS):
        until = row.filters.get("until")
        if isinstance(until, str):
            return datetime.fromisoformat(until)
    return None
