"""Creates and revokes tokens of the API."""

from dataclasses import dataclass, field
from datetime import datetime

from daemon.domain.actions import Action, Actor
from daemon.domain.tokens import ApiScope, KnownToken, name_of, new_token
from daemon.errors import UnknownName, UsageFault
from daemon.store import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """A new token. `text` is not kept, so it cannot be shown again."""

    token: KnownToken
    text: str = field(repr=False)


def create_token(
    tx: Transaction,
    name: str,
    scope: ApiScope,
    *,
    random: bytes,
    who: Actor,
    at: datetime,
    expires_at: datetime | None = None,
) -> Created:
    """Create a token from `RANDOM_BYTES` random bytes. Raises UsageFault for a name that is wrong or in use, or an
    end that is past."""
    try:
        name_of(name)
    except ValueError as error:
        raise UsageFault(str(error)) from None
    if expires_at is not None and expires_at <= at:
        raise UsageFault("the token would have expired already; give a later time")
    if any(each.expires_at is None or each.expires_at > at for each in tx.tokens.named(name)):
        raise UsageFault(f"there is a token {name} already; revoke it, or choose another name")
    made = new_token(random)
    known = tx.tokens.add(made, name, scope, by=who, at=at, expires_at=expires_at)
    tx.actions.note(Action.CREATE_TOKEN, who=who, at=at, subject=name, details={"scope": str(scope)})
    return Created(token=known, text=made.text)


def revoke_token(tx: Transaction, wanted: str, *, who: Actor, at: datetime) -> list[KnownToken]:
    """Revoke the token with this id, or those with this name. Returns them as they were. Raises UnknownName if
    none is left to revoke."""
    found = tx.tokens.get(wanted)
    tokens = tx.tokens.named(wanted) if found is None else [found]
    revoked = [each for each in tokens if tx.tokens.revoke(each.id, at=at)]
    if not revoked:
        raise UnknownName(
            f"nothing was changed: no token {wanted} is in use; `wrapd tokens list` lists all", key="token_over"
        )
    for each in revoked:
        tx.actions.note(Action.REVOKE_TOKEN, who=who, at=at, subject=each.name)
    return revoked
