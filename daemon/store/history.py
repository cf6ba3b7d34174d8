"""The transitions of a job, for reading."""

from sqlalchemy import bindparam, select

from daemon.store.mapping import TransactionPart, plain_row
from daemon.store.rows import TransitionRow
from daemon.store.tables import TRANSITIONS

_OF_JOB = select(TRANSITIONS).where(TRANSITIONS.c.job == bindparam("job")).order_by(TRANSITIONS.c.seq)


class History(TransactionPart):
    """The transitions, seen through one transaction."""

    def transitions(self, job: int) -> list[TransitionRow]:
        """Return all transitions of a job (its row id) in the order in which they were observed."""
        return [plain_row(TransitionRow, row) for row in self._connection.execute(_OF_JOB, {"job": job})]
