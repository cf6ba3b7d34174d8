"""What happened: the transitions of a job, the answer that caused the last of them, and who did what to what.

Owns the answers, one for each job: JSON without secrets or scripts, opaque here. Owns the actions, which are only
added and read, and are deleted with age. They name their subjects in words, so they outlive them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, insert, select
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


_A = ACTIONS.c
SEARCHED = 2000
"""Actions among which those of a project are searched for at once."""


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
        `project` those in it. Those of a project alone are searched for among `SEARCHED` actions at a time, so
        such a page may be short although more follow."""
        query = select(ACTIONS).order_by(_A.id.desc())
        if subject is not None:
            query = query.where(_A.subject == subject)
            if project is not None:
                query = query.where(_A.project == project)
        if after is not None:
            query = query.where(_A.id < after.id)
        if subject is None and project is not None:
            return self._search(query.limit(SEARCHED), project, limit)
        rows = [plain_row(ActionRow, row) for row in self._connection.execute(query.limit(limit))]
        return Page(rows=rows, after=None if len(rows) < limit else Place(0, None, rows[-1].id))

    def _search(self, among: Select[Any], project: ProjectName, limit: int) -> Page[ActionRow]:
        some = among.subquery()
        query = select(some).where(some.c.project == project).order_by(some.c.id.desc()).limit(limit)
        rows = [plain_row(ActionRow, row) for row in self._connection.execute(query)]
        if len(rows) == limit:
            return Page(rows=rows, after=Place(0, None, rows[-1].id))
        number, last = self._connection.execute(select(func.count(), func.min(some.c.id))).one()
        return Page(rows=rows, after=Place(0, None, last) if number == SEARCHED else None)
