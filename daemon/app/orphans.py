"""Detects jobs and alerts whose project or channel is not in the config, and notifies the operators.

Checks after a start, after each reload, and periodically, since commands with another config may write such rows.
The rows themselves stay untouched: moving them or giving them up is a person's decision.
"""

from collections.abc import Iterable, Mapping

from daemon.clock import Clock
from daemon.domain.jobs import ChannelName
from daemon.domain.orphans import Orphaned, What
from daemon.logs import LogEvent, logger
from daemon.metrics import Metrics
from daemon.spec import Spec
from daemon.store import Store, StoreError, Transaction
from daemon.store_errors import StoreErrors

log = logger(__name__)

_PACE = 600.0
"""Seconds between two checks while the config stays the same."""


class OrphanWatch:
    """Checks against the current spec."""

    def __init__(
        self,
        spec: Spec,
        *,
        store: Store,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._clock = clock
        self._errors = StoreErrors(clock=clock, metrics=metrics)
        self._logged: frozenset[tuple[What, str]] = frozenset()
        self._had: set[tuple[What, str]] = set()
        """All names that were in the config at any time since the last check."""
        self.adopt(spec)

    def adopt(self, spec: Spec) -> None:
        """Use this spec from now on, and check soon."""
        self._plan = spec
        self._known: Mapping[What, tuple[str, ...]] = {
            "project": tuple(each.name for each in spec.projects),
            "channel": tuple(spec.channels),
        }
        self._had.update((what, name) for what, names in self._known.items() for name in names)
        self._next_at = float("-inf")

    async def tick(self) -> None:
        """Check if it is time. After an error of the store, the next tick checks again."""
        now = self._clock.monotonic()
        if now < self._next_at:
            return
        self._next_at = now + _PACE
        had, self._had = self._had, set()
        try:
            await self._check(had)
        except StoreError as error:
            self._had |= had
            self._next_at = float("-inf")
            self._errors.note(error)
        except BaseException:  # a defect, or canceled: retrying every second would not help
            self._had |= had
            raise

    async def _check(self, had: set[tuple[What, str]]) -> None:
        known, routing = self._known, self._plan.routing
        found, reported = await self._store.read_async(lambda tx: (tx.orphans.count(known), tx.orphans.are_told()))
        self._log(found)
        if not (found or reported):
            return

        def report(tx: Transaction) -> list[ChannelName]:
            return tx.orphans.tell(found, known, back=had, routing=routing, at=self._clock.now())

        await self._store.write(report)

    def _log(self, found: Iterable[Orphaned]) -> None:
        """Log each once for as long as it keeps being found."""
        before, self._logged = self._logged, frozenset((each.what, each.name) for each in found)
        for each in found:
            if (each.what, each.name) not in before:
                log.warning(LogEvent.CONFIG_ORPHANED, **{each.what: each.name}, rows=each.count)
