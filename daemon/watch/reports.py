"""What the operators hear of one project: each outbreak once, and each end of one once.

Owns the operator events of the watch, and keeps them until the store has them. Never looks at a job's answers.
"""

from collections import deque
from collections.abc import Callable, Iterable

from daemon.clock import Clock
from daemon.domain.events import Event, OperatorAlert
from daemon.domain.jobs import ChannelName, ProjectName
from daemon.domain.routing import Routing, Subject, Target
from daemon.domain.transitions import Moved
from daemon.store import Store, StoreError, Transaction
from daemon.watch.agenda import Watched
from daemon.watch.trouble import StoreTrouble

_KEPT = 100
"""Alerts that are kept at most while the store takes none; the oldest go."""


class Reports:
    """The operator events of one project."""

    def __init__(
        self,
        *,
        project: ProjectName,
        store: Store,
        routing: Routing,
        clock: Clock,
        trouble: StoreTrouble,
        wake: Callable[[Iterable[ChannelName]], None],
    ) -> None:
        self._project = project
        self._store = store
        self._routing = routing
        self._clock = clock
        self._trouble = trouble
        self._wake = wake
        self._waiting: deque[OperatorAlert] = deque(maxlen=_KEPT)

    def tell(self, event: Event, **facts: str | float) -> None:
        """Raise an operator event; it is unique for the moment at which it happened. `flush` stores it."""
        at = self._clock.now()
        self._waiting.append(
            OperatorAlert(
                event=event,
                key=f"project/{self._project}/{event}/{int(at.timestamp() * 1000)}",
                project=self._project,
                facts={**facts, "observed_at": at.isoformat()},
            )
        )

    async def flush(self) -> None:
        """Store what was raised. What the store does not take is kept for the next time."""
        while self._waiting:
            alert = self._waiting[0]
            try:
                targets = await self._store.write(_adding(alert, self._routing, self._clock))
            except StoreError as error:
                self._trouble.note(error, project=self._project, told=alert.event)
                return
            if self._waiting and self._waiting[0] is alert:
                self._waiting.popleft()
            self._wake(target.channel for target in targets)

    def unknown_state(self, watched: Watched, move: Moved) -> tuple[OperatorAlert, ...]:
        """What is told together with a move into a state that no document names."""
        if not move.unknown:
            return ()
        return (
            OperatorAlert(
                event=Event.UNKNOWN_STATE,
                key=f"project/{self._project}/state/{move.after}",
                project=self._project,
                facts={
                    "state": move.after,
                    "job_id": watched.job_id,
                    "observed_at": move.observed_at.isoformat(),
                },
            ),
        )


def _adding(alert: OperatorAlert, routing: Routing, clock: Clock) -> Callable[[Transaction], tuple[Target, ...]]:
    def work(tx: Transaction) -> tuple[Target, ...]:
        now = clock.now()
        targets = routing.targets(Subject(event=alert.event, project=alert.project), at=now)
        tx.outbox.add_operator(alert, channels=targets, at=now)
        return targets

    return work
