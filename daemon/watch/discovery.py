"""Takes a project's jobs from the service's list, so that no one has to register ids by hand.

Owns when the list is read and how it is paged; `wishes` says what is wanted. Its requests wait for a permit behind
all news. Does not change a known job: one that was untracked stays untracked.

No job is missed between two reads. The first read takes jobs in the wanted states. Each later one takes whatever
was created since the previous one began (less two minutes, by the service's clock), whatever its state is by then.
The jobs in the wanted states are read again once an hour. The store keeps when the last read began (to within ten
minutes), and the next daemon continues from there.
"""

import random
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from msgspec.structs import replace

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
    TrackResult,
    Transaction,
)
from daemon.tasks import Defects, Tasks, where_of
from daemon.watch.wishes import DiscoverySettings, FoundJob, Tally, Wish, read_wish

log = logger(__name__)

OVERLAP = timedelta(minutes=2)
"""How far before the start of the previous read a read goes back: entries may be listed late."""
MOST_PAGES = 1000
"""Most pages of one list. A longer one is continued at the next read."""

_COMMON = 10
"""Entries by which each page overlaps the one before: entries that move between two requests are not skipped."""
_STEPS_BACK = 5
"""How often one list steps back a page because two pages did not overlap."""
_FULL_EVERY = 3600.0
"""Seconds between two reads of all jobs in the wanted states."""
_MARK_EVERY, _MARK_NEWS = 600.0, 60.0
"""Seconds between two records in the store of how far the reads came: without and with jobs found."""
_WISHES_EVERY = 60.0
"""Seconds between two checks for requests of commands; `notice` has one made at once."""
_SLOWEST = 600.0
"""Most seconds between two reads while the list cannot be read."""
_REST = 30.0
"""Seconds of rest after the store failed."""
_LAST_MARKS = 200
"""Discoveries among which the last such record is searched."""


class Cut(Exception):
    """The list was not read to its end. `str()` says why; what was found until then is taken."""


class Looker:
    """Reads the list of one project and tracks what is wanted. Keeps nothing between two reads."""

    def __init__(self, *, project: ProjectName, client: ProjectClient, store: Store, clock: Clock) -> None:
        self._project = project
        self._client = client
        self._store = store
        self._clock = clock

    async def look(
        self, wish: Wish, *, tally: Tally, created_since: datetime | None = None, any_state: bool = False
    ) -> None:
        """Read jobs created since `created_since` (None: as far back as the wish says), and track those that are
        wanted and not known. `tally` has what was found even if this raises.

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
        """Yield the list page by page, each job once. Raises Cut if some jobs may be missing."""
        seen: set[JobId] = set()
        before: set[JobId] = set()  # the ids of the previous page
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
                # Jobs left the list between the two requests, and others moved up past the end of the previous
                # page: read that page again. `reached` keeps the list from ending before what was seen already.
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
        """Track the wanted jobs of a page (dry run: only look them up) and return what became of each."""
        if not wanted:
            return []
        kinds = {each.job_id: _kind_of(each) for each in wanted}
        if wish.dry_run:
            known = await self._store.read_async(lambda tx: tx.jobs.known(self._project, kinds))
            tracking = {job_id: known[job_id].tracking if job_id in known else None for job_id in kinds}
            return [_found(each, tracking[each.job_id], "new") for each in wanted]
        at = self._clock.now()
        tracked = await self._store.write(
            lambda tx: discovered(tx, self._project, kinds, at=at, tags=wish.tags, batch=wish.batch)
        )
        return [
            _found(each, None, "added")
            if tracked[each.job_id].result is TrackResult.ADDED
            else _found(each, tracked[each.job_id].tracking, "known")
            for each in wanted
        ]


def _kind_of(summary: Summary) -> str:
    assert summary.kind is not None, "only known kinds are wanted"
    return summary.kind.name


def _found(summary: Summary, tracking: Tracking | None, fresh: str) -> FoundJob:
    """Describe a matching job. `tracking` is that of a known job; `fresh` is the result for any other."""
    return FoundJob(
        job_id=summary.job_id,
        kind=_kind_of(summary),
        state=summary.state,
        name=summary.observation().asset.asset_name,
        result=fresh if tracking is None else "known",
        tracking=tracking,
    )


class Discovery:
    """One project's discovery while the daemon runs, and requests of commands for one. Call `tick` each second.

    Without `settings` only requests are served. `may_ask`: whether the project may be queried at all now.
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
        """Requests whose end an internal error kept from being stored, and until when they are skipped
        (monotonic)."""
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
        """The service's clock when the last complete read began."""
        self._first: datetime | None = None
        """The same for the very first read. Jobs created before it were selected by their state alone, so later
        reads do not go back behind it."""
        self._unmarked = Tally()

    def adopt(self, settings: DiscoverySettings | None) -> None:
        """Use these settings from now on. If they differ, read at once and in full."""
        if settings != self._settings:
            self._settings = settings
            self._look_at = self._full_at = self._clock.monotonic()

    def notice(self) -> None:
        """Look for requests soon: another program has written to the store."""
        self._wishes_at = self._clock.monotonic()

    async def tick(self) -> None:
        """Begin what is due, in the background; nothing while a read is under way."""
        now = self._clock.monotonic()
        if self._runs or not self._may_ask():
            return
        look = self._settings is not None and now >= self._look_at
        if look or now >= self._wishes_at:
            self._runs = True
            self._tasks.spawn("look", self._work(look), project=self._project)

    async def idle(self) -> None:
        """Wait for the read under way, if any."""
        await self._tasks.wait()

    async def stop(self) -> None:
        """Cancel what is under way. The next start reads the list again, and requests wait for it."""
        await self._tasks.end(patience=0)

    async def _work(self, look: bool) -> None:
        """Serve requests, then read the list. An error in one does not cost the other its turn."""
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
        """Run `work`. Returns the seconds until it may be tried again at the earliest: 0 without an error."""
        try:
            await work
        except StoreError as error:
            log.error(LogEvent.DATABASE_FAILED, project=self._project, error=error)
            return _REST
        except Exception as error:  # noqa: BLE001 - it may recur, but no faster than this
            self._defects.note("discovery", error, project=self._project)
            return _SLOWEST
        return 0.0

    async def _look(self, settings: DiscoverySettings) -> None:
        """Read what was created since the last read and, now and then, all jobs in the wanted states."""
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
        except Exception as error:  # noqa: BLE001 - back off as if the list could not be read
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
        """Record from time to time how far the reads came, for the next start."""
        pause = _MARK_NEWS if self._unmarked.added else _MARK_EVERY
        if self._until is None or (self._marked_at is not None and now < self._marked_at + pause):
            return
        facts: dict[str, Json] = {"until": self._until.isoformat()}
        tally, at = self._unmarked, self._clock.now()
        await self._store.write(partial(_note, project=self._project, facts=facts, tally=tally, at=at))
        self._unmarked, self._marked_at = Tally(), now

    async def _serve_wishes(self) -> None:
        """Serve the requests that commands left in the store, one after another."""
        self._wishes_at = self._clock.monotonic() + _WISHES_EVERY
        for row in await self._store.read_async(lambda tx: tx.discoveries.waiting(self._project)):
            if self._clock.monotonic() >= self._broken.get(row.id, float("-inf")):
                tally = Tally()
                error = await self._serve(row, tally)
                await self._finish(row, tally, error)

    async def _finish(self, row: DiscoveryRow, tally: Tally, error: str | None) -> None:
        """Store how a request ended. One that cannot be ended is skipped for a while and blocks no other."""
        reason = await self._ended(row, tally, error)
        if reason is not None and await self._ended(row, Tally(), _own_error(reason)) is not None:
            self._broken[row.id] = self._clock.monotonic() + _SLOWEST

    async def _ended(self, row: DiscoveryRow, tally: Tally, error: str | None) -> Exception | None:
        """Store how a request ended. Returns the internal error that prevented it, if any."""
        try:
            at = self._clock.now()
            await self._store.write(partial(_finish, row=row.id, tally=tally, error=error, at=at))
        except (StoreBusy, StoreFailed, StoreClosed):
            raise
        except Exception as reason:  # noqa: BLE001 - other requests are served
            self._defects.note("discovery", reason, project=self._project)
            return reason
        return None

    async def _serve(self, row: DiscoveryRow, tally: Tally) -> str | None:
        """Serve one request. Returns what went wrong, in words, or None."""
        try:
            wish = read_wish(row.filters)
            await self._looker.look(wish, tally=tally)
        except (ApiError, Cut, ValueError) as error:
            log.warning(LogEvent.LIST_FAILED, project=self._project, error=error, found=tally.found)
            return in_words(error)
        except (StoreBusy, StoreFailed, StoreClosed):  # served again once the database works
            raise
        except Exception as error:  # noqa: BLE001 - the request ends with this error, and the next one is served
            self._defects.note("discovery", error, project=self._project)
            return _own_error(error)
        if tally.added:
            log.info(LogEvent.JOBS_FOUND, project=self._project, jobs=tally.added)
        return None


def in_words(error: Exception) -> str:
    """Say for people why a list was not read completely."""
    return f"the list was not read to its end: {error}" if isinstance(error, Cut) else str(error)


def _own_error(error: Exception) -> str:
    return f"internal error: {where_of(error)}; see the log for details"


def _finish(tx: Transaction, *, row: int, tally: Tally, error: str | None, at: datetime) -> None:
    tx.discoveries.finish(row, at=at, found=tally.found, added=tally.added, error=error, result=tally.facts())


def _note(tx: Transaction, *, project: ProjectName, facts: Mapping[str, Json], tally: Tally, at: datetime) -> None:
    row = tx.discoveries.ask(project, facts, at)
    tx.discoveries.finish(row, at=at, found=tally.found, added=tally.added)


def _last_mark(tx: Transaction, *, project: ProjectName) -> datetime | None:
    """Return how far the previous daemon's reads came; None if there were none in the last week."""
    for row in tx.discoveries.done(project, limit=_LAST_MARKS):
        until = row.filters.get("until")
        if isinstance(until, str):
            return datetime.fromisoformat(until)
    return None
