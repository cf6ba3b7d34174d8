"""Verification and parsing of MetaStudio's callbacks.

A callback only triggers a query and is never trusted by itself, because its body is not signed. Source: the
official SDK's CallBackConfig (`secret=hmac_sha256(key, callback_url + time_stamp)` and `time_stamp=hex(timestamp)`
are added to the URL's query; the body is JSON with result, asset_id and job_id). It does not specify seconds or
milliseconds, nor the encodings of timestamp and digest, so all variants are accepted.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from datetime import datetime
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from daemon.domain.jobs import JobId, parse_job_id

MAX_AGE = 900.0
"""Maximum deviation of a timestamp in seconds, in both directions."""
MAX_BODY = 64 * 1024

_HEX = re.compile(r"(?:0x)?([0-9a-f]{1,16})", re.ASCII | re.IGNORECASE)
_DECIMAL = re.compile(r"[0-9]{1,16}", re.ASCII)
_HEX_DIGEST = re.compile(r"(?:0x)?([0-9a-f]{64})", re.ASCII | re.IGNORECASE)
_BASE64_DIGEST = re.compile(r"[A-Za-z0-9+/_-]{43}=?", re.ASCII)
_MAX_QUERY = 2048


class Callback(Struct, frozen=True, kw_only=True):
    """A callback's body. `result` is SUCCEED or FAILED, verbatim, or None if absent."""

    job_id: JobId
    result: str | None = None
    asset_id: str | None = None


def is_genuine(query: str, *, callback_url: str, key: str, now: datetime) -> bool:
    """Whether a request with this raw `query` to `callback_url` was signed with `key` within `MAX_AGE`.

    The signature may cover the URL or only its path, with a timestamp in decimal or hex, seconds or milliseconds.
    Each candidate is compared in constant time.
    """
    given = _parameters(query)
    digest, time_stamp = _digest(given.get("secret", "")), given.get("time_stamp", "")
    if digest is None:
        return False
    found = False
    for message in _messages(callback_url, time_stamp, now.timestamp()):
        expected = hmac.new(key.encode(), message.encode(), hashlib.sha256).digest()
        found |= hmac.compare_digest(expected, digest)
    return found


def signature_of(query: str) -> str | None:
    """The signature of a raw query, in a canonical encoding; None if it has none."""
    digest = _digest(_parameters(query).get("secret", ""))
    return None if digest is None else digest.hex()


def read_callback(body: bytes) -> Callback | None:
    """Parse the body; None if it names no job. Ignores other keys and unusable values."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    try:
        job_id = parse_job_id(_text(value.get("job_id")) or "")
    except ValueError:
        return None
    return Callback(job_id=job_id, result=_text(value.get("result")), asset_id=_text(value.get("asset_id")))


def _text(value: object) -> str | None:
    return value.strip() if isinstance(value, str) else None


def _parameters(query: str) -> dict[str, str]:
    """The first value of each query parameter. A `+` stays a plus, because base64 uses it."""
    found: dict[str, str] = {}
    for pair in query[:_MAX_QUERY].split("&"):
        name, _, value = pair.partition("=")
        found.setdefault(unquote(name), unquote(value))
    return found


def _digest(secret: str) -> bytes | None:
    """Decode a 32-byte digest from hex or base64."""
    if (digits := _HEX_DIGEST.fullmatch(secret)) is not None:
        return bytes.fromhex(digits[1])
    if _BASE64_DIGEST.fullmatch(secret) is None:
        return None
    try:
        return base64.b64decode(secret.rstrip("=").translate(_PLAIN) + "=", validate=True)
    except binascii.Error:
        return None


_PLAIN = str.maketrans("-_", "+/")


def _messages(url: str, time_stamp: str, now: float) -> Iterator[str]:
    """All candidate messages for the signature; none if the time is off in every interpretation."""
    stamps: dict[str, None] = {}
    for number in _numbers(time_stamp):
        for unit in (1, 1000):  # seconds, milliseconds
            if abs(now - number / unit) <= MAX_AGE:
                others = (number, number * 1000) if unit == 1 else (number, number // 1000)
                stamps |= dict.fromkeys([time_stamp, *(form for each in others for form in _forms(each))])
    for base in (url, urlsplit(url).path):
        for stamp in stamps:
            yield base + stamp


def _numbers(time_stamp: str) -> Iterator[int]:
    if (digits := _HEX.fullmatch(time_stamp)) is not None:
        yield int(digits[1], 16)
    if _DECIMAL.fullmatch(time_stamp) is not None:
        yield int(time_stamp)


def _forms(number: int) -> tuple[str, ...]:
    return (str(number), f"{number:x}", f"{number:X}", f"0x{number:x}")
