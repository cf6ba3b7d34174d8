"""The transitions of a job, for reading."""

from sqlalchemy import Connection, bindparam, select

from daemon.store.mapping import transition_row
from daemon.store.rows import TransitionRow
from daemon.store.tables import TRANSITIONS

_OF_JOB = select(TRANSITIONS).where(TRANSITIONS.c.job == bindparam("job")).order_by(TRANSITIONS.c.seq)


class History:
    """The transitions, seen through one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def transitions(self, job: int) -> list[TransitionRow]:
        """Return all transitions of a job (its row id) in the order in which they were observed."""
        return [transition_row(row) for row in self._connection.execute(_OF_JOB, {"job": job})]
