"""The simulator's one tenant: its key pair, tokens, project and rate limits.

Owns the authentication of requests, the count of failures that locks the key pair, the lifetime of tokens, and the
groups of operations that share a limit.
"""

import base64
import hmac
import random
from collections import deque
from typing import Final

from daemon.sim.calls import Call
from daemon.sim.refusals import ErrorAnswer, bad_identity, denied
from daemon.sim.settings import SettledSettings
from daemon.sim.signing import MAX_AGE, SignatureClaim, expected_signature, parse_authorization, parse_date
from daemon.sim.times import SimTime

GROUPS: Final = {"show": "show", "list": "show", "asset": "asset", "create": "write", "cancel": "write"}
"""Operation to group. Asset queries have a separate limit, as high as that of show and list together."""


class Limiter:
    """Limits requests over a sliding window; a group whose rate is None is not limited."""

    def __init__(self, *, show_rate: float | None, write_rate: float | None) -> None:
        self._rates = {"show": show_rate, "asset": show_rate, "write": write_rate}
        self._seen: dict[str, deque[float]] = {group: deque() for group in self._rates}

    def admit(self, operation: str, now: float) -> bool:
        """Whether a request may pass at `now` (monotonic seconds). A refused request is not counted."""
        group = GROUPS.get(operation)
        rate = self._rates[group] if group is not None else None
        if group is None or rate is None:
            return True
        most, window = (int(rate), 1.0) if rate >= 1 else (1, 1.0 / rate if rate > 0 else float("inf"))
        seen = self._seen[group]
        while seen and seen[0] <= now - window:
            seen.popleft()
        if len(seen) >= most or rate <= 0:
            return False
        seen.append(now)
        return True


LOCK_AFTER = 5
"""Consecutive failures of the key pair without consequence; the next one locks it."""
LOCK_SECONDS = 300.0


class Tenant:
    """Authenticates requests. All refusals are the gateway's."""

    def __init__(self, settings: SettledSettings, time: SimTime, rng: random.Random) -> None:
        self._settings = settings
        self._time = time
        self._rng = rng
        self._failures = 0
        self._locked_until = float("-inf")
        self._tokens: dict[str, float] = {}

    def check(self, call: Call) -> None:
        """Check the request's signature or token. Raises `ErrorAnswer`."""
        authorization = call.headers.get("Authorization")
        if authorization is not None:
            claim = parse_authorization(authorization)
            if claim is None:
                raise bad_identity("Authorization is not a valid SDK-HMAC-SHA256 header")
            self._check_signature(claim, call)
        elif (token := call.headers.get("X-Auth-Token")) is not None:
            self._check_token(token)
        else:
            raise bad_identity("Authorization and X-Auth-Token not found")

    def check_project(self, call: Call) -> None:
        """Check that the path and X-Project-Id, if sent, name the tenant's project. Raises `ErrorAnswer`."""
        if call.project_id != self._settings.project_id:
            raise denied("the project of the path is not one of the caller's")
        if call.headers.get("X-Project-Id", call.project_id) != call.project_id:
            raise denied("X-Project-Id is not the project of the path")

    def _check_signature(self, claim: SignatureClaim, call: Call) -> None:
        if not _same(claim.access_key, self._settings.access_key):
            raise bad_identity(f"Get secretKey failed,ak:{claim.access_key},err:ak not exist")
        if self._time.monotonic() < self._locked_until:
            raise bad_identity("AK access failed to reach the limit,forbidden.")
        try:
            self._verify(claim, call)
        except ErrorAnswer:
            self._count_failure()
            raise
        self._failures = 0

    def _verify(self, claim: SignatureClaim, call: Call) -> None:
        date = call.headers.get("X-Sdk-Date", "")
        signed_at = parse_date(date)
        if signed_at is None:
            raise bad_identity("X-Sdk-Date is missing or is not YYYYMMDD'T'HHMMSS'Z'")
        if abs(self._time.now() - signed_at) > MAX_AGE:
            raise bad_identity("signature expired: X-Sdk-Date is more than 15 minutes off")
        expected = expected_signature(
            self._settings.secret_key,
            method=call.method,
            path=call.path,
            query=call.query,
            headers=call.headers,
            signed_headers=claim.signed_headers,
            date=date,
            body=call.body,
        )
        if expected is None or not hmac.compare_digest(expected, claim.signature):
            raise bad_identity("verify aksk signature fail")
        security_token = self._settings.security_token
        if security_token is not None and not _same(call.headers.get("X-Security-Token", ""), security_token):
            raise bad_identity("X-Security-Token is missing or wrong for these temporary keys")

    def _count_failure(self) -> None:
        self._failures += 1
        if self._failures > LOCK_AFTER:
            self._locked_until = self._time.monotonic() + LOCK_SECONDS
            self._failures = 0

    def _check_token(self, token: str) -> None:
        if _same(token, self._settings.token):
            return
        expires_at = self._tokens.get(token)
        if expires_at is None:
            raise bad_identity("decrypt token fail")
        if self._time.now() >= expires_at:
            del self._tokens[token]
            raise bad_identity("token expires")

    def issue_token(self) -> tuple[str, float, float]:
        """Issue a token; return it with the start and end of its life (epoch seconds)."""
        token = f"MIIF{base64.urlsafe_b64encode(self._rng.randbytes(390)).decode().rstrip('=')}"
        now = self._time.now()
        self._tokens[token] = now + self._settings.token_life
        return token, now, self._tokens[token]

    def revoke_tokens(self) -> int:
        """Revoke every token that IAM issued (not the one of the settings); return how many."""
        count = len(self._tokens)
        self._tokens.clear()
        return count

    def knows(self, *, domain: str, user: str, password: str) -> bool:
        """Whether these are the IAM user's name, domain and password."""
        settings = self._settings
        right = (_same(domain, settings.iam_domain), _same(user, settings.iam_user))
        return all((*right, _same(password, settings.iam_password)))


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())
