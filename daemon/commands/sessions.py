"""Begins and ends sessions of the pages, and makes one-time logins."""

from datetime import datetime

from daemon.domain.actions import Action, Actor
from daemon.domain.sessions import LOGIN_WITHIN, LONGEST, Login, WebSession, new_secret, proof_of, secret_digest
from daemon.domain.tokens import CONFIG_TOKEN, ApiScope, KnownToken
from daemon.store import Transaction

_SHOWN = 12
"""Characters of a session's id: the first of its digest."""


def begin_session(
    tx: Transaction,
    by: KnownToken | Login | str,
    *,
    random: bytes,
    who: Actor,
    at: datetime,
) -> tuple[WebSession, str]:
    """Begin a session by a token, a one-time login, or the value of the config's token, from `RANDOM_BYTES` random
    bytes. Returns it with its secret."""
    secret = new_secret(random)
    digest = secret_digest(secret)
    latest = at + LONGEST
    expires = by.expires_at if isinstance(by, KnownToken) else None
    session = WebSession(
        id=digest[:_SHOWN],
        digest=digest,
        name=CONFIG_TOKEN if isinstance(by, str) else by.name,
        scope=ApiScope.ADMIN if isinstance(by, str) else by.scope,
        token=by.id if isinstance(by, KnownToken) else None,
        proof=proof_of(secret, by) if isinstance(by, str) else None,
        created_at=at,
        seen_at=at,
        until=latest if expires is None else min(latest, expires),
    )
    tx.sessions.add(session)
    tx.actions.note(Action.LOGIN, who=who, at=at, subject=session.id, details={"scope": str(session.scope)})
    return session, secret


def end_session(tx: Transaction, session: str, *, who: Actor, at: datetime) -> bool:
    """End a session by its id. False if it had ended."""
    if not tx.sessions.end(session, at=at):
        return False
    tx.actions.note(Action.LOGOUT, who=who, at=at, subject=session)
    return True


def make_login(tx: Transaction, name: str, scope: ApiScope, *, random: bytes, at: datetime) -> str:
    """Make a one-time login from `RANDOM_BYTES` random bytes. Returns its secret."""
    secret = new_secret(random)
    login = Login(digest=secret_digest(secret), name=name, scope=scope, expires_at=at + LOGIN_WITHIN)
    tx.sessions.add_login(login, at=at)
    return secret
