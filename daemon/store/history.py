"""What happened: the transitions of a job, the answer that caused the last of them, and who did what to what.

Owns the answers, one for each job: JSON without secrets or scripts, opaque here. Owns the actions, which are only
added and read, and are deleted with age. They name their subjects in words, so they outlive them.
"""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct
from sqlalchemy import Connection, bindparam, func, insert, select
from sqlalchemy.dialects import sqlite

from daemon.domain.actions import Action, Actor
from daemon.domain.events import Json
from daemon.domain.jobs import ProjectName
from daemon.store.lists import Page
from daemon.store.mapping import TransactionPart, plain_row
from daemon.store.paging import Place
from daemon.store.rows import ActionRow, TransitionRow
from daemon.store.tables import ACTIONS, ANSWERS, TRANSITIONS

_OF_JOB = select(TRANSITIONS).where(TRANSITIONS.c.job == bindparam("job")).order_by(TRANSITIONS.c.seq)
_ANSWER = select(ANSWERS).where(ANSWERS.c.job == bindparam("of_job"))
_ADD = sqlite.insert(ANSWERS)
_KEEP = _ADD.on_conflict_do_update(
    index_elements=[ANSWERS.c.job], set_={name: _ADD.excluded[name] for name in ("at", "body")}
)


class AnswerRow(Struct, frozen=True, kw_only=True):
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


_A = ACTIONS.c


class Actions(TransactionPart):
    """The actions, seen through one transaction."""

    def note(
        self,
        what: Action,
        *,
        who: Actor,
        at: datetime,
        project: ProjectName | None = None,
        subject: str | None = None,
        count: int = 1,
        details: Mapping[str, Json] | None = None,
    ) -> None:
        """Record an action. `subject` is a job's id, or the name of a batch, tag, channel or token; `count` is how
        many jobs or deliveries it changed. `details` must hold no secrets."""
        row = {"at": at, "who": who, "what": str(what), "project": project, "subject": subject, "count": count}
        self._connection.execute(insert(ACTIONS), {**row, "details": details})

    def page(
        self,
        *,
        limit: int,
        project: ProjectName | None = None,
        subject: str | None = None,
        after: Place | None = None,
    ) -> Page[ActionRow]:
        """Return at most `limit` actions beyond `after`, latest first; with `subject` only those on it, with
        `project` those in it."""
        query = select(ACTIONS).order_by(_A.id.desc()).limit(limit)
        if subject is not None:
            query = query.where(_A.subject == subject)
        if project is not None:
            # With a subject, its index serves: it has few.
            query = query.where((_A.project if subject is None else func.coalesce(_A.project, "")) == project)
        if after is not None:
            query = query.where(_A.id < after.id)
        rows = [plain_row(ActionRow, row) for row in self._connection.execute(query)]
        return Page(rows=rows, after=None if len(rows) < limit else Place(0, None, rows[-1].id))
