"""Sessions of the pages, and the one-time logins that begin one: their secrets, and when they are over. Pure.

Of a secret only the SHA-256 is kept. A session ends with the token by which it began.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from daemon.domain.tokens import ApiScope

RANDOM_BYTES = 32
"""Random bytes of a secret: 256 bits."""
IDLE = timedelta(hours=12)
"""A session ends if it is not used for so long."""
LONGEST = timedelta(days=14)
"""A session ends after this time in any case."""
LOGIN_WITHIN = timedelta(minutes=10)
"""How long a one-time login can be used."""
_FORM = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSession:
    """A session as it is kept. `token` is the id of the token by which it began; `proof` stands for that of the
    config (`proof_of`); neither: it began by a one-time login. `id` names it to people."""

    id: str
    name: str
    scope: ApiScope
    created_at: datetime
    seen_at: datetime
    until: datetime
    """Its latest end: `LONGEST` after its beginning, or that of its token."""
    digest: str = field(repr=False)
    token: str | None = None
    proof: str | None = field(default=None, repr=False)
    ended_at: datetime | None = None

    @property
    def ends_at(self) -> datetime:
        """When it ends unless it is used again."""
        return min(self.seen_at + IDLE, self.until)


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A one-time login: who begins which session by it."""

    digest: str = field(repr=False)
    name: str
    scope: ApiScope
    expires_at: datetime


def new_secret(random: bytes) -> str:
    """The secret made of `RANDOM_BYTES` random bytes, of characters that a cookie and an address may have.

    >>> len(new_secret(bytes(32)))
    43
    """
    assert len(random) == RANDOM_BYTES
    return base64.urlsafe_b64encode(random).decode().rstrip("=")


def is_secret(text: str) -> bool:
    """Whether the text has the form of a secret."""
    return _FORM.fullmatch(text) is not None


def secret_digest(secret: str) -> str:
    """The SHA-256 of a secret, in hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()


def proof_of(secret: str, config_token: str) -> str:
    """What is kept of the config's token: it tells whether the token is still the same, and who reads the database
    cannot try guesses of the token on it."""
    return _keyed(secret, f"token {config_token}")


def is_over(session: WebSession, *, now: datetime) -> bool:
    """Whether the session has ended, by itself or otherwise.

    >>> from datetime import UTC
    >>> at = datetime(2026, 3, 1, tzinfo=UTC)
    >>> times = {"created_at": at, "seen_at": at, "until": at + LONGEST}
    >>> one = WebSession(id="a", name="ann", scope=ApiScope.READ, digest="d", **times)
    >>> [is_over(one, now=at + timedelta(hours=hours)) for hours in (11, 12)]
    [False, True]
    """
    return session.ended_at is not None or session.ends_at <= now


def form_token(secret: str, nonce: bytes) -> str:
    """The token of a form in this session. With another `nonce` each time, what compresses the page tells nothing
    about it."""
    shown = nonce.hex()
    return f"{shown}.{_keyed(secret, f'form {shown}')}"


def is_form_token(secret: str, given: str) -> bool:
    """Whether this is the token of a form in this session.

    >>> made = form_token("s", bytes(16))
    >>> [is_form_token(secret, text) for secret, text in (("s", made), ("t", made), ("s", ""), ("s", "a." + "ü"))]
    [True, False, False, False]
    """
    nonce, _, proof = given.partition(".")
    return hmac.compare_digest(proof.encode("utf-8", "replace"), _keyed(secret, f"form {nonce}").encode())


def _keyed(secret: str, text: str) -> str:
    return hmac.new(secret.encode(), text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
