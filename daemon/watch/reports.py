"""Operator events of one project: each outbreak is reported once, and so is its end.

Owns the facts of these events. Looks at no answers and stores nothing: `daemon.operators` keeps what was raised
until the store has it.
"""

from daemon.domain.events import Event, Json, OperatorAlert
from daemon.domain.jobs import ProjectName
from daemon.domain.transitions import Moved
from daemon.operators import Operators
from daemon.tasks import where_of
from daemon.watch.job import Watched


class Reports:
    """The operator events of one project."""

    def __init__(self, project: ProjectName, operators: Operators) -> None:
        self._project = project
        self._operators = operators

    def tell(self, event: Event, **facts: Json) -> None:
        """Raise an operator event, unique for the moment at which it happened. `flush` stores it."""
        self._operators.tell(event, f"project/{self._project}", project=self._project, **facts)

    def defect(self, watched: Watched, error: Exception) -> None:
        """Report an internal error that keeps recurring for one job."""
        self._operators.tell(
            Event.DEFECT,
            f"project/{self._project}/job/{watched.job_id}",
            project=self._project,
            part="watch",
            reason=where_of(error),
            job_id=watched.job_id,
        )

    async def flush(self) -> None:
        """Store what was raised. Whatever the store does not take is kept for the next time."""
        await self._operators.flush()

    def unknown_state(self, watched: Watched, move: Moved) -> tuple[OperatorAlert, ...]:
        """Return the operator alert for a move into an undocumented state."""
        if not move.unknown:
            return ()
        return (
            OperatorAlert(
                event=Event.UNKNOWN_STATE,
                key=f"project/{self._project}/state/{move.after}",
                project=self._project,
                facts={"state": move.after, "job_id": watched.job_id, "observed_at": move.observed_at.isoformat()},
            ),
        )
