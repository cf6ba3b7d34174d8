"""Checks SDK-HMAC-SHA256 signatures like the gateway, from the request as received.

Owns the canonical form of a request on the receiving side. Honours SignedHeaders as sent, and hashes the body
itself instead of trusting the client's hash. `tenant` decides the consequences of a failure.
Source: Huawei Cloud's API Request Signing Guide, and what its SDK puts on the wire.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote, unquote, unquote_plus

ALGORITHM = "SDK-HMAC-SHA256"
MAX_AGE = 900.0
"""Maximum difference in seconds, either way, between a signature's X-Sdk-Date and the service's clock."""
EMPTY_HASH = hashlib.sha256(b"").hexdigest()

_AUTHORIZATION = re.compile(
    rf"{ALGORITHM} +Access=(?P<access>[^,\s]+) *, *SignedHeaders=(?P<headers>[^,\s]+) *, *"
    r"Signature=(?P<signature>[0-9a-f]+)"
)
_PLAIN = re.compile(r"[A-Za-z0-9_.~-]*")
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/_.~-]*")
_DATE = re.compile(r"\d{8}T\d{6}Z", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureClaim:
    """The contents of an Authorization header: the signer's access key, the signed headers, the hex signature."""

    access_key: str
    signed_headers: str
    signature: str


def parse_authorization(header: str) -> SignatureClaim | None:
    """Parse an Authorization header; return None for another scheme or a malformed header."""
    found = _AUTHORIZATION.fullmatch(header.strip())
    if found is None:
        return None
    return SignatureClaim(
        access_key=found["access"], signed_headers=found["headers"], signature=found["signature"]
    )


@lru_cache(maxsize=256)
def parse_date(text: str) -> float | None:
    """Return the epoch seconds of an X-Sdk-Date (`YYYYMMDD'T'HHMMSS'Z'`); None if it is malformed."""
    if _DATE.fullmatch(text) is None:
        return None
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


@lru_cache(maxsize=16)  # each request parses its query several times, and a list by ids has a hundred pairs
def parse_query(query: str) -> tuple[tuple[str, str], ...]:
    """Return the decoded pairs of a raw query in the order sent; a name without `=` has an empty value."""
    pairs = (part.partition("=") for part in query.split("&") if part)
    if "%" not in query and "+" not in query:
        return tuple((name, value) for name, _, value in pairs)
    return tuple((unquote_plus(name), unquote_plus(value)) for name, _, value in pairs)


def canonical_path(path: str) -> str:
    """Return the canonical URI: each part decoded and quoted once, with a slash at the end."""
    if _PLAIN_PATH.fullmatch(path) is None:
        path = "/".join(quote(part, safe="~") for part in unquote(path).split("/"))
    return path if path.endswith("/") else f"{path}/"


def canonical_query(pairs: Iterable[tuple[str, str]]) -> str:
    """Return the canonical query: sorted by decoded name and value, then quoted; repeated names are kept."""
    return "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in sorted(pairs))


def _quoted(text: str) -> str:
    return text if _PLAIN.fullmatch(text) is not None else quote(text, safe="~")


def expected_signature(
    secret_key: str,
    *,
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    signed_headers: str,
    date: str,
    body: bytes,
) -> str | None:
    """Return the signature (hex) that the request must carry; None if it lacks one of the signed headers.

    `path` and `query` are undecoded; lookups in `headers` ignore case.
    """
    lines = []
    for name in signed_headers.split(";"):
        value = headers.get(name)
        if value is None:
            return None
        lines.append(f"{name}:{value.strip()}\n")
    canonical = "\n".join(
        (
            method,
            canonical_path(path),
            canonical_query(parse_query(query)) if query else "",
            "".join(lines),
            signed_headers,
            hashlib.sha256(body).hexdigest() if body else EMPTY_HASH,
        )
    )
    digest = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
    to_sign = f"{ALGORITHM}\n{date}\n{digest}"
    return hmac.digest(secret_key.encode(), to_sign.encode(), "sha256").hex()
