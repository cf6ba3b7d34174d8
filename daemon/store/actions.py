"""Who did what to what.

Owns the actions, which are only added and read, and are deleted with age. They name their subjects in words, so
they outlive them.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, insert, select

from daemon.domain.actions import Action, Actor
from daemon.domain.events import Json
from daemon.domain.jobs import ProjectName
from daemon.store.lists import Page
from daemon.store.mapping import TransactionPart, plain_row
from daemon.store.paging import Place
from daemon.store.rows import ActionRow
from daemon.store.tables import ACTIONS

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
