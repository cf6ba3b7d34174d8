"""Tokens of the API: their form, what each scope permits, and why one is refused. Pure.

A token is `wrapd_`, 8 characters that identify it, and 32 random ones. Only its SHA-256 is kept: random characters
need no slow hash, which would let strangers occupy the processor.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

RANDOM_BYTES = 25
"""Random bytes of a token: 5 become its 8 characters of id, 20 the other 32, which are 160 bits."""
MOST_NAME = 64
"""Maximum characters of a token's name."""
CONFIG_TOKEN = "web.token"  # noqa: S105 - the name of a key
"""The name under which the config's own token acts; no other token may have it."""
_FORM = re.compile(r"wrapd_([a-z2-7]{8})[a-z2-7]{32}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)


class ApiScope(StrEnum):
    """What a token permits; each scope includes those before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"

    def includes(self, other: "ApiScope") -> bool:
        """Whether it permits what `other` does.

        >>> ApiScope.WRITE.includes(ApiScope.READ), ApiScope.WRITE.includes(ApiScope.ADMIN)
        (True, False)
        """
        order = list(ApiScope)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """A token as it is shown once, with its id and what is kept of it."""

    text: str = field(repr=False)
    id: str
    digest: str


def new_token(random: bytes) -> NewToken:
    """The token made of `RANDOM_BYTES` random bytes.

    >>> new_token(bytes(25)).text
    'wrapd_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'
    """
    assert len(random) == RANDOM_BYTES
    text = "wrapd_" + base64.b32encode(random).decode().lower()
    return NewToken(text=text, id=text[6:14], digest=digest_of(text))


def id_of(text: str) -> str | None:
    """The id within a token; None if the text does not have a token's form."""
    found = _FORM.fullmatch(text)
    return None if found is None else found.group(1)


def digest_of(text: str) -> str:
    """The SHA-256 of a token, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def name_of(text: str) -> str:
    """Check the name of a new token. Raises ValueError that says what is wrong with it."""
    if len(text) > MOST_NAME or _NAME.fullmatch(text) is None:
        raise ValueError(f"a name has 1 to {MOST_NAME} letters, digits, `.`, `_` or `-`, and no other characters")
    if text == CONFIG_TOKEN:
        raise ValueError(f"{CONFIG_TOKEN} is the token of the config; choose another name")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownToken:
    """A token as it is kept."""

    id: str
    name: str
    scope: ApiScope
    created_at: datetime
    created_by: str
    digest: str = field(repr=False)
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    used_at: datetime | None = None


def refusal(token: KnownToken, text: str, *, now: datetime) -> str | None:
    """Why a request with the token `text` is refused, None if it is not. Expiry and revocation are told only to
    who has the whole token."""
    if not hmac.compare_digest(token.digest, digest_of(text)):
        return "it is wrong"
    if token.revoked_at is not None:
        return "it was revoked"
    if token.expires_at is not None and token.expires_at <= now:
        return "it has expired"
    return None
