"""The tokens of the API. Owns the tokens; of each only a digest is kept. Callers supply everything random."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select, update

from daemon.domain.actions import Actor
from daemon.domain.tokens import ApiScope, KnownToken, NewToken
from daemon.store.access_tables import SESSIONS, TOKENS
from daemon.store.mapping import TransactionPart

_T = TOKENS.c


class Tokens(TransactionPart):
    """The tokens, seen through one transaction."""

    def add(
        self,
        token: NewToken,
        name: str,
        scope: ApiScope,
        *,
        by: Actor,
        at: datetime,
        expires_at: datetime | None,
    ) -> KnownToken:
        """Keep a new token."""
        row = {"id": token.id, "name": name, "digest": token.digest, "scope": str(scope), "created_by": by}
        self._connection.execute(insert(TOKENS), {**row, "created_at": at, "expires_at": expires_at})
        found = self.get(token.id)
        assert found is not None
        return found

    def get(self, id: str) -> KnownToken | None:  # noqa: A002 - as the row calls it
        """Return a token, live or not."""
        row = self._connection.execute(select(TOKENS).where(_T.id == id)).one_or_none()
        return None if row is None else _token(row)

    def list(self) -> Sequence[KnownToken]:
        """Return all tokens, in the order of their creation."""
        query = select(TOKENS).order_by(_T.created_at, _T.id)
        return [_token(row) for row in self._connection.execute(query)]

    def named(self, name: str) -> Sequence[KnownToken]:
        """Return the tokens with this name that are not revoked."""
        query = select(TOKENS).where(_T.name == name, _T.revoked_at.is_(None)).order_by(_T.created_at, _T.id)
        return [_token(row) for row in self._connection.execute(query)]

    def revoke(self, id: str, *, at: datetime) -> bool:  # noqa: A002 - as the row calls it
        """Revoke a token, and end the sessions that began by it. False if there is none that is not revoked."""
        query = update(TOKENS).where(_T.id == id, _T.revoked_at.is_(None)).values(revoked_at=at)
        of_it = update(SESSIONS).where(SESSIONS.c.token == id, SESSIONS.c.ended_at.is_(None)).values(ended_at=at)
        self._connection.execute(of_it)
        return self._connection.execute(query).rowcount > 0

    def used(self, id: str, *, at: datetime) -> None:  # noqa: A002 - as the row calls it
        """Note a use."""
        self._connection.execute(update(TOKENS).where(_T.id == id).values(used_at=at))


def _token(row: Row[Any]) -> KnownToken:
    return KnownToken(**{**row._mapping, "scope": ApiScope(row.scope)})
