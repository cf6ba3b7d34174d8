"""Looks for jobs and alerts of projects and channels that the config does not have, and has the operators told.

Owns when to look: after a start, after each reload, and now and then, for what commands with another config write.
Must never touch such a row: moving it, or giving it up, is a person's decision.
"""

from collections.abc import Callable, Iterable, Mapping

from daemon.clock import Clock
from daemon.domain.jobs import ChannelName
from daemon.domain.orphans import Orphaned, What
from daemon.logs import LogEvent, logger
from daemon.metrics import Metrics
from daemon.plan import Plan
from daemon.store import Store, StoreError, Transaction
from daemon.store_errors import StoreErrors

log = logger(__name__)

_PACE = 600.0
"""Seconds from one look to the next where the config stays as it is."""


class OrphanWatch:
    """Looks by the present plan. `wake` is told which channels got an alert."""

    def __init__(
        self,
        plan: Plan,
        *,
        store: Store,
        clock: Clock,
        metrics: Metrics,
        wake: Callable[[Iterable[ChannelName]], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._errors = StoreErrors(clock=clock, metrics=metrics)
        self._wake = wake
        self._logged: frozenset[tuple[What, str]] = frozenset()
        self._had: set[tuple[What, str]] = set()
        """The names that the config had at any time since the last look."""
        self.adopt(plan)

    def adopt(self, plan: Plan) -> None:
        """Look by this plan from now on, and soon."""
        self._plan = plan
        self._known: Mapping[What, tuple[str, ...]] = {
            "project": tuple(each.name for each in plan.projects),
            "channel": tuple(plan.channels),
        }
        self._had.update((what, name) for what, names in self._known.items() for name in names)
        self._next_at = float("-inf")

    async def tick(self) -> None:
        """Look, if it is time. What the store does not take is done again at the next tick."""
        now = self._clock.monotonic()
        if now < self._next_at:
            return
        self._next_at = now + _PACE
        had, self._had = self._had, set()
        try:
            await self._look(had)
        except StoreError as error:
            self._had |= had
            self._next_at = float("-inf")
            self._errors.note(error)
        except BaseException:  # an error of wrapd's own, or the end: it would be the same in a second
            self._had |= had
            raise

    async def _look(self, had: set[tuple[What, str]]) -> None:
        known, routing = self._known, self._plan.routing
        found, told = await self._store.read_async(lambda tx: (tx.orphans.count(known), tx.orphans.are_told()))
        self._log(found)
        if not (found or told):
            return

        def tell(tx: Transaction) -> list[ChannelName]:
            return tx.orphans.tell(found, known, back=had, routing=routing, at=self._clock.now())

        self._wake(await self._store.write(tell))

    def _log(self, found: Iterable[Orphaned]) -> None:
        """Each once, as long as it is found again and again."""
        before, self._logged = self._logged, frozenset((each.what, each.name) for each in found)
        for each in found:
            if (each.what, each.name) not in before:
                log.warning(LogEvent.CONFIG_ORPHANED, **{each.what: each.name}, rows=each.count)
