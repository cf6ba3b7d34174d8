"""The view of a token of the API. docs/cli.md is generated from the comments. Pure."""

from dataclasses import dataclass
from datetime import datetime

from daemon.domain.text import stamp
from daemon.domain.tokens import KnownToken


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token of the API, in `tokens list --json` and the API."""

    id: str  # the 8 characters after `wrapd_`
    name: str  # the name given by `tokens create`
    scope: str  # read, write or admin; each includes those before it
    status: str  # open, expired or revoked
    created_at: str | None  # when it was created
    created_by: str  # by whom: `cli:USER` or `token:NAME`
    expires_at: str | None  # when it expires, or null
    revoked_at: str | None  # when it was revoked, or null
    used_at: str | None  # when it was last used, to the minute, or null


def token(known: KnownToken, *, now: datetime) -> Token:
    """The view of a token as of `now`."""
    expired = known.expires_at is not None and known.expires_at <= now
    return Token(
        id=known.id,
        name=known.name,
        scope=str(known.scope),
        status="revoked" if known.revoked_at is not None else "expired" if expired else "open",
        created_at=stamp(known.created_at),
        created_by=known.created_by,
        expires_at=stamp(known.expires_at),
        revoked_at=stamp(known.revoked_at),
        used_at=stamp(known.used_at),
    )
