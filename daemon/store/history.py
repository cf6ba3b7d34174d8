"""The transitions of a job, and the answer that caused the last of them.

Owns the answers, one for each job: JSON without secrets or scripts, opaque here.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects import sqlite

from daemon.store.mapping import TransactionPart, plain_row
from daemon.store.rows import TransitionRow
from daemon.store.tables import ANSWERS, TRANSITIONS

_OF_JOB = select(TRANSITIONS).where(TRANSITIONS.c.job == bindparam("job")).order_by(TRANSITIONS.c.seq)
_ANSWER = select(ANSWERS).where(ANSWERS.c.job == bindparam("of_job"))
_ADD = sqlite.insert(ANSWERS)
_KEEP = _ADD.on_conflict_do_update(
    index_elements=[ANSWERS.c.job], set_={name: _ADD.excluded[name] for name in ("at", "body")}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRow:
    """The service's answer that changed a job's state: JSON without secrets or scripts."""

    job: int
    at: datetime
    body: str


class History(TransactionPart):
    """The transitions and answers, seen through one transaction. A `job` argument is a row id."""

    def transitions(self, job: int) -> list[TransitionRow]:
        """Return all transitions of a job in the order in which they were observed."""
        return [plain_row(TransitionRow, row) for row in self._connection.execute(_OF_JOB, {"job": job})]

    def answer(self, job: int) -> AnswerRow | None:
        """Return the answer at the job's last transition that a single query found; None if there was none."""
        row = self._connection.execute(_ANSWER, {"of_job": job}).one_or_none()
        return None if row is None else plain_row(AnswerRow, row)


def keep_answer(connection: Connection, job: int, body: str, *, at: datetime) -> None:
    """Keep the answer at a job's transition, in place of an earlier one."""
    connection.execute(_KEEP, {"job": job, "at": at, "body": body})
