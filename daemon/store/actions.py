"""Who did what to what.

Owns the actions, which are only added and read, and are deleted with age. They name their subjects in words, so
they outlive them.
"""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import insert, select

from daemon.domain.actions import Action, Actor
from daemon.domain.events import Json
from daemon.domain.jobs import ProjectName
from daemon.store.lists import Page
from daemon.store.mapping import TransactionPart, plain_row
from daemon.store.paging import Place
from daemon.store.rows import ActionRow
from daemon.store.tables import ACTIONS

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
        """Return at most `limit` actions beyond `after`, latest first; with `subject` only those on it."""
        query = select(ACTIONS).order_by(_A.id.desc()).limit(limit)
        if subject is not None:
            query = query.where(_A.subject == subject)
            if project is not None:
                query = query.where(_A.project == project)
        if after is not None:
            query = query.where(_A.id < after.id)
        rows = [plain_row(ActionRow, row) for row in self._connection.execute(query)]
        return Page(rows=rows, after=None if len(rows) < limit else Place(0, None, rows[-1].id))
