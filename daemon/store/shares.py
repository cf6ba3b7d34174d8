"""The shares of batches. Owns them; of each secret only a digest is kept. Callers supply everything random."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from daemon.domain.actions import Actor
from daemon.domain.jobs import ProjectName
from daemon.domain.shares import BatchShare
from daemon.store.access_tables import SHARES
from daemon.store.lists import Page
from daemon.store.mapping import TransactionPart, plain_row
from daemon.store.paging import Place

_S = SHARES.c


class Shares(TransactionPart):
    """The shares, seen through one transaction."""

    def add(
        self, project: ProjectName, batch: str, digest: str, *, by: Actor, at: datetime, expires_at: datetime
    ) -> BatchShare:
        """Keep a new share."""
        row = {"digest": digest, "project": project, "batch": batch, "created_by": by, "created_at": at}
        self._connection.execute(insert(SHARES), {**row, "expires_at": expires_at})
        found = self.find(digest)
        assert found is not None
        return found

    def find(self, digest: str) -> BatchShare | None:
        """Return the share of a secret by its digest, open or not."""
        row = self._connection.execute(select(SHARES).where(_S.digest == digest)).one_or_none()
        return None if row is None else plain_row(BatchShare, row)

    def get(self, number: int) -> BatchShare | None:
        """Return a share, open or not."""
        row = self._connection.execute(select(SHARES).where(_S.id == number)).one_or_none()
        return None if row is None else plain_row(BatchShare, row)

    def open(self, project: ProjectName, batch: str, *, now: datetime) -> Sequence[BatchShare]:
        """Return the shares of a batch that are open, latest first."""
        query = (
            select(SHARES)
            .where(_S.batch == batch, _S.project == project, _S.revoked_at.is_(None), _S.expires_at > now)
            .order_by(_S.id.desc())
        )
        return [plain_row(BatchShare, row) for row in self._connection.execute(query)]

    def page(self, *, limit: int, after: Place | None = None, open_at: datetime | None = None) -> Page[BatchShare]:
        """Return at most `limit` shares beyond `after`, latest first: those open at a time, else all."""
        query = select(SHARES).order_by(_S.id.desc()).limit(limit + 1)
        if open_at is not None:
            query = query.where(_S.revoked_at.is_(None), _S.expires_at > open_at)
        found = self._connection.execute(query if after is None else query.where(_S.id < after.id))
        rows = [plain_row(BatchShare, row) for row in found]
        return Page(rows=rows[:limit], after=Place(0, None, rows[limit - 1].id) if len(rows) > limit else None)

    def revoke(self, number: int, *, at: datetime) -> bool:
        """Revoke a share. False if there is none that is not revoked."""
        query = update(SHARES).where(_S.id == number, _S.revoked_at.is_(None)).values(revoked_at=at)
        return self._connection.execute(query).rowcount > 0

    def used(self, number: int, *, at: datetime) -> None:
        """Note a use."""
        self._connection.execute(update(SHARES).where(_S.id == number).values(used_at=at))


def project_moved(connection: Connection, old: ProjectName, new: ProjectName) -> None:
    """The jobs of `old` belong to `new` now: the shares of its batches follow."""
    connection.execute(update(SHARES).where(_S.project == old).values(project=new))
