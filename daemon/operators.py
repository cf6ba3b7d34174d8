"""Operator events: what operators are told about wrapd itself and its surroundings.

Owns the operator events that no transaction of a job or channel carries, and keeps them until they are stored. The
routing decides who the operators are.
"""

from collections import deque
from collections.abc import Callable

from daemon.clock import Clock
from daemon.domain.events import Event, Json, OperatorAlert
from daemon.domain.jobs import ProjectName
from daemon.domain.routing import Routing, Subject
from daemon.store import Store, StoreError, Transaction
from daemon.store_errors import StoreErrors
from daemon.tasks import Defect

_KEPT = 1000
"""Maximum number of alerts kept while the store is failing; the oldest are dropped."""


class Operators:
    """Raises operator events."""

    def __init__(
        self,
        *,
        store: Store,
        routing: Routing,
        clock: Clock,
        errors: StoreErrors,
    ) -> None:
        self._store = store
        self.routing = routing
        self._clock = clock
        self._errors = errors
        self._waiting: deque[OperatorAlert] = deque(maxlen=_KEPT)
        self._moved_at = 0.0

    def tell(self, event: Event, about: str, *, project: ProjectName | None = None, **facts: Json) -> None:
        """Raise an operator event, identified by subject (`about`) and time; `flush` stores it. Thread-safe."""
        at = self._clock.now()
        if not self._waiting:
            self._moved_at = self._clock.monotonic()
        self._waiting.append(
            OperatorAlert(
                event=event,
                key=f"{about}/{event}/{int(at.timestamp() * 1000)}",
                project=project,
                facts={**facts, "observed_at": at.isoformat()},
            )
        )

    def defect(self, defect: Defect) -> None:
        """Report an error in wrapd itself."""
        project, job = (defect.fields.get(name) for name in ("project", "job"))
        self.tell(
            Event.DEFECT,
            f"defect/{defect.part}/{defect.where}",
            project=None if project is None else ProjectName(str(project)),
            part=defect.part,
            reason=defect.where,
            job_id=None if job is None else str(job),
        )

    def progress(self, now: float) -> float:
        """When an alert was last stored while others waited (monotonic seconds); `now` if none is waiting."""
        return self._moved_at if self._waiting else now

    async def flush(self) -> None:
        """Store the raised events. Those that the store does not accept are kept for the next call."""
        while self._waiting:
            alert = self._waiting[0]
            try:
                await self._store.write(self._adding(alert))
            except StoreError as error:
                self._errors.note(error, project=alert.project, told=alert.event)
                return
            except Exception:  # the others must not wait for it; the calling tick reports the defect
                self._waiting.rotate(-1)
                raise
            if self._waiting and self._waiting[0] is alert:
                self._waiting.popleft()
                self._moved_at = self._clock.monotonic()

    def _adding(self, alert: OperatorAlert) -> Callable[[Transaction], None]:
        def work(tx: Transaction) -> None:
            now = self._clock.now()
            targets = self.routing.targets(Subject(event=alert.event, project=alert.project), at=now)
            tx.outbox.add_operator(alert, channels=targets, at=now)

        return work
