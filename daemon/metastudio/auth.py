"""Authentication of requests: a signature, a given token, or a token fetched with a password.

Owns credential headers and the lifetime of fetched tokens. Sending is left to the client, within its budget. No
text made here contains a secret.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, unquote

from daemon.clock import Clock
from daemon.logs import LogEvent, logger
from daemon.metastudio.errors import ApiError, Unavailable, http_date
from daemon.metastudio.gate import SKEW, AuthGate
from daemon.transport import Answer, Transport

log = logger(__name__)

Pairs = Sequence[tuple[str, str]]

_ALGORITHM = "SDK-HMAC-SHA256"
_EMPTY_HASH = hashlib.sha256(b"").hexdigest()
_BLOCK = 64
"""Block size of SHA-256 in bytes."""
_RENEW_BEFORE = 300.0
"""Seconds before its expiry at which a token is renewed; below 10 minutes, half the token's lifetime."""
_RENEW_AGAIN = 60.0
"""Seconds between attempts to renew a token that still works."""


def canonical_path(path: str) -> str:
    """The path for signing: each segment decoded and quoted again, with a trailing `/`."""
    quoted = "/".join(quote(part, safe="~") for part in unquote(path).split("/"))
    return quoted if quoted.endswith("/") else quoted + "/"


def canonical_query(query: Pairs) -> str:
    """The query for signing and sending: sorted by key and raw value, then quoted, with repeated keys."""
    return "&".join(f"{quote(key, safe='~')}={quote(value, safe='~')}" for key, value in sorted(query))


class Signer:
    """Signs with an access key pair (SDK-HMAC-SHA256; source: the official SDK's signer; tests compare both)."""

    def __init__(self, access_key: str, secret_key: str) -> None:
        self.access_key = access_key
        key = secret_key.encode()
        if len(key) > _BLOCK:
            key = hashlib.sha256(key).digest()
        key = key.ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in key))

    def sign(self, method: str, path: str, query: str, headers: Pairs, body: bytes = b"") -> str:
        """The Authorization header's value. `query` is canonical (`canonical_query`); `headers` are the ones to
        sign, including X-Sdk-Date (`sdk_date`).

        Names with `_` are not signed, because gateways drop such headers. Raises KeyError without X-Sdk-Date.
        """
        values = {name.lower(): value.strip() for name, value in headers if "_" not in name}
        names = ";".join(sorted(values))
        block = "".join(f"{name}:{values[name]}\n" for name in sorted(values))
        digest = hashlib.sha256(body).hexdigest() if body else _EMPTY_HASH
        canonical = "\n".join((method.upper(), canonical_path(path), query, block, names, digest))
        return self._authorization(canonical.encode(), values["x-sdk-date"], names)

    def template(self, headers: Pairs) -> "GetTemplate":
        """A template for GETs that differ only in path, query and time; `headers` without X-Sdk-Date."""
        return GetTemplate(self, headers)

    def _authorization(self, canonical: bytes, date: str, names: str) -> str:
        text = f"{_ALGORITHM}\n{date}\n{hashlib.sha256(canonical).hexdigest()}"
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(text.encode())
        outer.update(inner.digest())
        return f"{_ALGORITHM} Access={self.access_key}, SignedHeaders={names}, Signature={outer.hexdigest()}"


class GetTemplate:
    """The precomputed parts of signed GETs. Paths must need no quoting."""

    __slots__ = ("_after_date", "_before_date", "_names", "_signer")

    def __init__(self, signer: Signer, headers: Pairs) -> None:
        values = {name.lower(): value.strip() for name, value in headers if "_" not in name}
        names = sorted([*values, "x-sdk-date"])
        self._signer = signer
        self._names = ";".join(names)
        before = "".join(f"{name}:{values[name]}\n" for name in names if name < "x-sdk-date")
        after = "".join(f"{name}:{values[name]}\n" for name in names if name > "x-sdk-date")
        self._before_date = f"{before}x-sdk-date:"
        self._after_date = f"\n{after}\n{self._names}\n{_EMPTY_HASH}"

    def sign(self, path: str, date: str, query: str = "") -> str:
        """The Authorization header's value for a GET of `path` (without trailing `/`) with a canonical `query`."""
        canonical = f"GET\n{path}/\n{query}\n{self._before_date}{date}{self._after_date}"
        return self._signer._authorization(canonical.encode(), date, self._names)


def sdk_date(moment: datetime) -> str:
    """Format `moment` (UTC) for X-Sdk-Date: 20260101T000000Z."""
    return (
        f"{moment.year:04}{moment.month:02}{moment.day:02}T{moment.hour:02}{moment.minute:02}{moment.second:02}Z"
    )


class Site:
    """One server of the API: its transport and the headers of every request.

    A signature covers the `signed` headers, Host among them, and not the `plain` ones.
    """

    def __init__(self, transport: Transport, *, signed: Pairs, plain: Pairs) -> None:
        self.transport = transport
        self.signed = tuple(signed)
        self.plain = tuple(plain)
        self.template: GetTemplate | None = None


class Authenticator:
    """Makes the headers of requests and decides whether to retry a refused one."""

    counts_recovered = True
    """Whether a refusal counts at the gate even if `recover` fixed its cause."""

    @property
    def ready(self) -> bool:
        """Whether `headers` can be called at once; otherwise call `prepare` first."""
        return True

    async def prepare(self) -> None:
        """Get missing credentials. Raises ApiError."""

    def headers(self, site: Site, method: str, path: str, query: str, body: bytes) -> list[tuple[str, str]]:
        """All headers of the request, including those of `site`. `query` is canonical."""
        raise NotImplementedError

    def recover(self, answer: Answer, sent: Pairs, *, proven: bool) -> bool:
        """After a refusal: fix its cause if possible, and say whether the same request may now succeed.

        `sent` are the headers of the refused request; `proven`: the credentials were known to work at that time.
        """
        return False

    async def aclose(self) -> None:
        """Cancel what is in progress."""


class SignatureAuth(Authenticator):
    """An access key pair. A refusal is retried if it shows that this machine's clock is wrong."""

    def __init__(self, signer: Signer, clock: Clock, gate: AuthGate) -> None:
        self._signer = signer
        self._clock = clock
        self._gate = gate

    def headers(self, site: Site, method: str, path: str, query: str, body: bytes) -> list[tuple[str, str]]:
        date = sdk_date(self._clock.now() + self._gate.skew)
        if method == "GET":
            template = site.template
            if template is None:
                template = site.template = self._signer.template(site.signed)
            proof = template.sign(path, date, query)
        else:
            proof = self._signer.sign(method, path, query, [*site.signed, ("X-Sdk-Date", date)], body)
        return [*site.signed, *site.plain, ("X-Sdk-Date", date), ("Authorization", proof)]

    def recover(self, answer: Answer, sent: Pairs, *, proven: bool) -> bool:
        self._gate.learn_skew(http_date(answer.headers.get("date")))
        signed_at = datetime.strptime(dict(sent)["X-Sdk-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        return abs(signed_at - (self._clock.now() + self._gate.skew)) > SKEW


class TokenAuth(Authenticator):
    """A given token. wrapd cannot recover from a refusal."""

    def __init__(self, token: str) -> None:
        self._token = token

    def headers(self, site: Site, method: str, path: str, query: str, body: bytes) -> list[tuple[str, str]]:
        return [*site.signed, *site.plain, ("X-Auth-Token", self._token)]


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedToken:
    """A token from IAM; `life` is its remaining lifetime in seconds."""

    token: str = field(repr=False)
    life: float
    project_id: str | None = None


class PasswordAuth(Authenticator):
    """Tokens fetched with a password, renewed 5 minutes before they expire and once after a refusal.

    `fetch` queries IAM and raises ApiError; all callers share one fetch. A token that cannot be renewed in time is
    used until it expires, with a new attempt each minute.
    """

    counts_recovered = False

    def __init__(self, fetch: Callable[[], Awaitable[FetchedToken]], clock: Clock, gate: AuthGate) -> None:
        self._fetch = fetch
        self._clock = clock
        self._gate = gate
        self._token: str | None = None
        self._renew_at = 0.0
        self._ends_at = 0.0
        self._fetching: asyncio.Task[None] | None = None
        self._rest_until = 0.0
        self.project_id: str | None = None

    @property
    def ready(self) -> bool:
        return self._token is not None and self._clock.monotonic() < self._renew_at

    async def prepare(self) -> None:
        if (left := self._rest_until - self._clock.monotonic()) > 0:
            raise Unavailable("an internal error while reading IAM's last answer: see the log", retry_after=left)
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._renew(), name="token")
            self._fetching.add_done_callback(self._fetched)
        await asyncio.shield(self._fetching)  # a cancelled caller must not cancel the fetch for the others

    def headers(self, site: Site, method: str, path: str, query: str, body: bytes) -> list[tuple[str, str]]:
        assert self._token is not None
        return [*site.signed, *site.plain, ("X-Auth-Token", self._token)]

    def recover(self, answer: Answer, sent: Pairs, *, proven: bool) -> bool:
        token = dict(sent)["X-Auth-Token"]
        if token != self._token:
            return True  # another caller has replaced it
        if not proven:  # a token that never worked: another one would not work either
            return False
        self._token = None
        self._gate.doubt()
        return True

    async def aclose(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    async def _renew(self) -> None:
        try:
            got = await self._fetch()
        except ApiError:
            now = self._clock.monotonic()
            if self._token is None or now >= self._ends_at:
                raise
            self._renew_at = min(now + _RENEW_AGAIN, self._ends_at)
            return
        except Exception:
            now = self._clock.monotonic()
            if self._token is not None and now < self._ends_at:
                self._renew_at = min(now + _RENEW_AGAIN, self._ends_at)
            else:  # otherwise every waiting caller would query IAM again at once
                self._rest_until = now + _RENEW_AGAIN
            raise
        now = self._clock.monotonic()
        self._token = got.token
        self._ends_at = now + got.life
        self._renew_at = now + max(got.life - _RENEW_BEFORE, got.life / 2)
        self.project_id = got.project_id or self.project_id
        self._gate.doubt()
        log.info(LogEvent.TOKEN_RENEWED, key=self._gate.name, seconds=round(got.life))

    def _fetched(self, task: asyncio.Task[None]) -> None:
        self._fetching = None
        if not task.cancelled():
            task.exception()  # mark it as retrieved: the callers raise it
