"""wrapd's own links to finished videos: anyone with the token may open one until it expires or is revoked.

Owns the links, one for each job. Callers supply the tokens.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, case, func, insert, select, update

from daemon.store import assets
from daemon.store.mapping import TransactionPart, plain_row
from daemon.store.rows import LinkRow
from daemon.store.tables import LINKS

_L = LINKS.c
_MOMENT = _L.created_at.type
_OF_JOB = select(LINKS).where(_L.job == bindparam("of_job"))
_BY_TOKEN = select(LINKS).where(_L.token == bindparam("of_token"))
_MAKE = insert(LINKS)
_RENEW = update(LINKS).where(_L.job == bindparam("of_job"))
_CLICKED = (
    update(LINKS)
    .where(_L.id == bindparam("row"))
    .values(
        clicks=func.max(_L.clicks + bindparam("more"), 0),
        last_click_at=case(
            (_L.clicks + bindparam("more") <= 0, None),
            (bindparam("more") > 0, bindparam("at", type_=_MOMENT)),
            else_=_L.last_click_at,
        ),
    )
)
_JOB = select(_L.job).where(_L.id == bindparam("row"))
_REVOKE = (
    update(LINKS)
    .where(_L.job.in_(bindparam("jobs", expanding=True)), _L.revoked_at.is_(None))
    .values(revoked_at=bindparam("at", type_=_MOMENT))
)
_REVOKED = select(_L.job).where(_L.job.in_(bindparam("jobs", expanding=True)), _L.revoked_at.is_not(None))
_RESTORE = (
    update(LINKS)
    .where(_L.job.in_(bindparam("jobs", expanding=True)), _L.revoked_at.is_not(None))
    .values(revoked_at=None)
)


class Links(TransactionPart):
    """The links, seen through one transaction. A `job` argument is a row id."""

    def of_job(self, job: int, *, token: str, at: datetime, life: float) -> LinkRow | None:
        """Return the job's live link. If there is none or it has expired, make one with `token`, valid for `life`
        seconds. None if it was revoked."""
        row = self._connection.execute(_OF_JOB, {"of_job": job}).one_or_none()
        if row is not None and (row.revoked_at is not None or row.expires_at > at):
            return None if row.revoked_at is not None else plain_row(LinkRow, row)
        values = {"token": token, "created_at": at, "expires_at": at + timedelta(seconds=life)}
        if row is None:
            self._connection.execute(_MAKE, {"job": job, **values})
        else:
            self._connection.execute(_RENEW, {"of_job": job, **values})
        return plain_row(LinkRow, self._connection.execute(_OF_JOB, {"of_job": job}).one())

    def by_token(self, token: str) -> LinkRow | None:
        """Return the link of a token, live or not."""
        row = self._connection.execute(_BY_TOKEN, {"of_token": token}).one_or_none()
        return None if row is None else plain_row(LinkRow, row)

    def get(self, job: int) -> LinkRow | None:
        """Return the job's link, live or not."""
        row = self._connection.execute(_OF_JOB, {"of_job": job}).one_or_none()
        return None if row is None else plain_row(LinkRow, row)

    def list(self, *, limit: int | None = None) -> "list[LinkRow]":
        """Return all links, latest first."""
        query = select(LINKS).order_by(_L.id.desc()).limit(limit)
        return [plain_row(LinkRow, row) for row in self._connection.execute(query)]

    def clicked(self, id: int, at: datetime, *, clicks: int = 1) -> None:  # noqa: A002 - as the row calls it
        """Count clicks made `at`; the first one marks the video as seen. A negative number takes back just counted
        clicks that turned out not to be a person's."""
        if self._connection.execute(_CLICKED, {"row": id, "at": at, "more": clicks}).rowcount != 1:
            return
        job = self._connection.execute(_JOB, {"row": id}).scalar_one()
        if clicks > 0:
            assets.seen(self._connection, job, at=at)
        else:
            assets.unseen(self._connection, job, link=id)

    def revoke(self, job: int, at: datetime) -> bool:
        """Revoke the job's link. False: there is none, or it was revoked before."""
        return revoke(self._connection, [job], at=at) == 1

    def restore(self, job: int) -> bool:
        """Undo the revocation of the job's link. False: it was not revoked."""
        return restore(self._connection, [job]) == 1


def revoke(connection: Connection, jobs: Collection[int], *, at: datetime) -> int:
    """Revoke the links of up to one statement's worth of jobs. Returns how many were live."""
    return connection.execute(_REVOKE, {"jobs": list(jobs), "at": at}).rowcount


def revoked(connection: Connection, jobs: Collection[int]) -> set[int]:
    """Return those of the jobs whose links were revoked."""
    return set(connection.execute(_REVOKED, {"jobs": list(jobs)}).scalars())


def restore(connection: Connection, jobs: Collection[int]) -> int:
    """Undo the revocation of the jobs' links. Returns how many were revoked."""
    return connection.execute(_RESTORE, {"jobs": list(jobs)}).rowcount
