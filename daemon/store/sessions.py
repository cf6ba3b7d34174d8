"""The sessions of the pages, and one-time logins. Owns both. Callers supply everything random."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from daemon.domain.sessions import IDLE, Login, WebSession
from daemon.domain.tokens import ApiScope
from daemon.store.access_tables import LOGINS, SESSIONS
from daemon.store.mapping import TransactionPart

_S, _L = SESSIONS.c, LOGINS.c


class Sessions(TransactionPart):
    """The sessions, seen through one transaction."""

    def add(self, session: WebSession) -> None:
        """Keep a new session, and forget those that are over by their age."""
        self._connection.execute(delete(SESSIONS).where(_S.until <= session.created_at))
        self._connection.execute(insert(SESSIONS), asdict(session))

    def find(self, digest: str) -> WebSession | None:
        """Return the session of a secret by its digest, ended or not."""
        row = self._connection.execute(select(SESSIONS).where(_S.digest == digest)).one_or_none()
        return None if row is None else _session(row)

    def ended(self, ids: Sequence[str]) -> set[str]:
        """Return those of the ids that are ended sessions."""
        query = select(_S.id).where(_S.id.in_(ids), _S.ended_at.is_not(None))
        return set(self._connection.execute(query).scalars())

    def open(self, name: str, *, now: datetime) -> Sequence[WebSession]:
        """Return the sessions of this name that are in use, latest first."""
        query = (
            select(SESSIONS)
            .where(
                _S.name == name,
                _S.ended_at.is_(None),
                _S.seen_at > now - IDLE,
                _S.until > now,
            )
            .order_by(_S.created_at.desc(), _S.id)
        )
        return [_session(row) for row in self._connection.execute(query)]

    def seen(self, id: str, *, at: datetime) -> None:  # noqa: A002 - as the row calls it
        """Note a use."""
        self._connection.execute(update(SESSIONS).where(_S.id == id).values(seen_at=at))

    def end(self, id: str, *, at: datetime) -> bool:  # noqa: A002 - as the row calls it
        """End a session. False if there is none that has not ended."""
        query = update(SESSIONS).where(_S.id == id, _S.ended_at.is_(None)).values(ended_at=at)
        return self._connection.execute(query).rowcount > 0

    def add_login(self, login: Login, *, at: datetime) -> None:
        """Keep a one-time login, and forget those that are over."""
        self._connection.execute(delete(LOGINS).where(_L.expires_at <= at))
        self._connection.execute(insert(LOGINS), asdict(login))

    def take_login(self, digest: str, *, at: datetime) -> Login | None:
        """Use up a one-time login. None if it was used, is over, or never existed."""
        row = self._connection.execute(select(LOGINS).where(_L.digest == digest)).one_or_none()
        self._connection.execute(delete(LOGINS).where(_L.digest == digest))
        return None if row is None or row.expires_at <= at else _login(row)


def _session(row: Row[Any]) -> WebSession:
    return WebSession(**{**row._mapping, "scope": ApiScope(row.scope)})


def _login(row: Row[Any]) -> Login:
    return Login(**{**row._mapping, "scope": ApiScope(row.scope)})
