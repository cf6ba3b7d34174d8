"""Why there is no answer about a job, named by what the caller does next; and the judgement of bad answers.

Owns the reading of error bodies: the service's (`MSS.…`), the gateway's (`APIG.…`, `APIGW.…`), and those of
whatever else answered. It must never raise for an odd body: an error about an error helps nobody. The code decides
first, then the status (source: the API document, status and error codes, and the gateway's public list; the
service's own tables disagree on the status of some codes).
"""

import json
import random
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http import HTTPStatus

from daemon.logs import MASKS
from daemon.transport import Answer, Cause, NotSent, TooLarge, TransportError

WRONG_ENDPOINT = "APIG.0101"
"""The gateway has no such API. About a show: the endpoint is wrong. About an asset or a list: not offered here."""
MAX_WAIT = 300.0
"""Seconds that a Retry-After makes us wait at most. A longer wait is asked about again after these."""
_ABSURD = 86400.0
"""Seconds from which on a Retry-After is a mistake, and is passed over."""
_SECONDS = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?", re.ASCII)
_LONGEST_DATE = 64
_FIRST_YEAR, _LAST_YEAR = 2000, 2100
"""Years of an HTTP date that is believed."""
_SHOWN = 300
"""Characters kept of an error text."""


class ApiError(Exception):
    """No answer about the job. Fields are None where nothing told them; `retry_after` is seconds from now."""

    def __init__(
        self,
        what: str,
        *,
        status: int | None = None,
        error_code: str | None = None,
        error_msg: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.status = status
        self.error_code = error_code
        self.error_msg = error_msg
        self.request_id = request_id
        self.retry_after = retry_after

    def __str__(self) -> str:
        parts = [self.what]
        if self.status is not None:
            parts.append(f"HTTP {self.status}")
        if self.error_code or self.error_msg:
            parts.append(" ".join(filter(None, (self.error_code, self.error_msg))))
        if self.request_id:
            parts.append(f"request {self.request_id}")
        return "; ".join(parts)


class JobNotFound(ApiError):
    """The service does not know the job: ask again until the grace ends."""


class Throttled(ApiError):
    """Too many requests: the whole project waits `retry_after` seconds. The budget is already paused."""


class AuthRefused(ApiError):
    """The service refuses the credentials: a person must fix them."""

    key_works = False
    """It accepted them for a request that was sent later: this is about what was asked for."""

    @property
    def by_service(self) -> bool:
        """Whether the service behind the gateway says so: the gateway has checked the key by then."""
        return (self.error_code or "").startswith("MSS.")


class AuthPaused(ApiError):
    """Nothing was sent: these credentials were refused lately. Try again at `until` (monotonic seconds)."""

    def __init__(self, what: str, *, until: float, retry_after: float) -> None:
        super().__init__(what, retry_after=retry_after)
        self.until = until


class ProjectFault(ApiError):
    """The project's set-up is wrong (endpoint, region, permission, proxy, CA): never the job's fault."""


class Unavailable(ApiError):
    """The service, or the way to it, does not work now: try later."""


class Unusable(Unavailable):
    """The exchange was whole and good, but its answer cannot be used: too big, empty, no JSON, of another
    shape. It says nothing against the way to the service."""


class Refused(ApiError):
    """The service refuses this very request, and would again: nothing about the job's state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorBody:
    """What an error answer says (API document, tables 7 and 29 to 32; the gateway adds `request_id`)."""

    is_json: bool = False
    error_code: str | None = None
    error_msg: str | None = None
    request_id: str | None = None


def is_not_offered(error: ApiError) -> bool:
    """Whether the endpoint does not have the operation at all (about a show it means: a wrong endpoint)."""
    return (error.error_code or "").replace("APIGW.", "APIG.", 1) == WRONG_ENDPOINT


def read_error_body(answer: Answer) -> ErrorBody:
    """The error that `answer` carries, as far as it can be read. Never raises."""
    header_id = _text(answer.headers.get("x-request-id"))
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        return ErrorBody(request_id=header_id)
    if not isinstance(body, dict):
        return ErrorBody(is_json=True, request_id=header_id)
    nested = body.get("error")  # IAM: {"error": {"code": 401, "message": "…", "title": "…"}}
    inner = nested if isinstance(nested, dict) else {}
    return ErrorBody(
        is_json=True,
        error_code=_text(body.get("error_code")) or _text(inner.get("code")),
        error_msg=_text(body.get("error_msg")) or _text(inner.get("message")),
        request_id=_text(body.get("request_id")) or header_id,
    )


def error_of(answer: Answer, *, now: datetime, rng: random.Random) -> ApiError:
    """The error that a bad `answer` (or one without a usable body) means. `now` (UTC) reads a Retry-After date."""
    body = read_error_body(answer)
    kind, what = _judge(answer, body)
    wait = retry_after(answer, now=now)
    if kind is Throttled:  # the gateway's own advice where it gives no time, and a floor where it does
        wait = max(wait or 0.0, rng.uniform(2.0, 5.0))
    return kind(
        what,
        status=answer.status,
        error_code=body.error_code,
        error_msg=body.error_msg,
        request_id=body.request_id,
        retry_after=wait,
    )


def error_of_transport(error: TransportError) -> ApiError:
    """The error that a failed exchange means: a bad certificate or proxy is the project's, all else passes."""
    if isinstance(error, NotSent) and error.cause in (Cause.TLS, Cause.PROXY):
        return ProjectFault(str(error))
    return (Unusable if isinstance(error, TooLarge) else Unavailable)(str(error))


def retry_after(answer: Answer, *, now: datetime) -> float | None:
    """Seconds that the answer asks to wait (a number or an HTTP date), above 0 and at most `MAX_WAIT`. None
    where it does not ask, or for something that cannot be meant."""
    text = answer.headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(text) is not None:
        seconds = float(text)
    else:
        moment = http_date(text)
        if moment is None:
            return None
        seconds = (moment - (http_date(answer.headers.get("date")) or now)).total_seconds()
    return min(seconds, MAX_WAIT) if 0 < seconds < _ABSURD else None


@lru_cache(maxsize=8)
def http_date(text: str | None) -> datetime | None:
    """The moment (UTC) of an HTTP date header; None where there is none, or none of our times. (Many answers
    are of the same second.)"""
    if not text or len(text) > _LONGEST_DATE:
        return None
    try:
        moment = parsedate_to_datetime(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    return moment if _FIRST_YEAR <= moment.year < _LAST_YEAR else None


_Judgement = tuple[type[ApiError], str]


def _judge(answer: Answer, body: ErrorBody) -> _Judgement:
    return _by_code(body.error_code) or _by_status(answer, body)


def _by_code(code: str | None) -> _Judgement | None:
    return None if code is None else _CODES.get(code.replace("APIGW.", "APIG.", 1))


_MISSING = (JobNotFound, "the service does not know the job")
_UNAUTHORIZED = (AuthRefused, "the service refuses the credentials")
_THROTTLED = (Throttled, "too many requests")
_INTERNAL = (Unavailable, "the service has an internal error")
_CODES: dict[str, _Judgement] = {
    WRONG_ENDPOINT: (ProjectFault, "the endpoint does not offer this API; check `region` or `endpoint`"),
    "MSS.00000001": _UNAUTHORIZED,
    "MSS.00000002": _MISSING,  # one official table has it as 400
    "MSS.00000004": _INTERNAL,
    "MSS.00010003": _MISSING,  # this and the next two: not found, or another tenant's; all as 400
    "MSS.00010009": _MISSING,
    "MSS.10001001": _MISSING,
    "APIG.0203": (Unavailable, "the service behind the gateway does not answer"),
    "APIG.0301": _UNAUTHORIZED,
    "APIG.0307": (AuthRefused, "the token must be renewed, or is of another region"),
    "APIG.0308": _THROTTLED,
}


def _by_status(answer: Answer, body: ErrorBody) -> _Judgement:
    status = answer.status
    exact = _EXACT.get(status)
    if exact is not None:
        return exact
    if status == HTTPStatus.NOT_FOUND:
        return _not_found(answer, body)
    if status < 300:
        return _odd_success(answer, body)
    if status < 400:
        return ProjectFault, "the endpoint redirects, which the API never does; check `endpoint` and `proxy`"
    if status < 500:
        return Refused, "the service refuses the request"
    return Unavailable, "the service, or a proxy before it, has an internal error"


_EXACT: dict[int, _Judgement] = {
    401: _UNAUTHORIZED,
    403: (ProjectFault, "access denied; check the permissions, the project id and the region"),
    407: (ProjectFault, "the proxy wants a user and a password; check `proxy` of the project"),
    408: (Unavailable, "the service did not get the request in time"),
    425: (Unavailable, "the service is not ready"),
    429: _THROTTLED,
}


def _not_found(answer: Answer, body: ErrorBody) -> _Judgement:
    """The document's 404 is "No content", so an empty body may be the API's; its X-Request-Id then proves it.
    A page, or a code of the gateway, is not from the API itself: no job may be lost for that."""
    code = body.error_code or ""
    theirs = body.is_json and not code.startswith(("APIG.", "APIGW."))
    proven_empty = not answer.body.strip() and body.request_id is not None
    if theirs or proven_empty:
        return _MISSING
    return ProjectFault, "a 404 that is not the API's; check `region`, `endpoint` and `proxy` of the project"


def _odd_success(answer: Answer, body: ErrorBody) -> _Judgement:
    start = answer.body[:512].lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start == b"<":
        return ProjectFault, "a page instead of an answer (a proxy or a portal?); check `endpoint` and `proxy`"
    if body.is_json and body.error_code:
        return Unusable, "an error with a status of success"
    return Unusable, "the answer is empty" if not answer.body.strip() else "the answer is not usable"


def _text(value: object) -> str | None:
    """A short, one-line text of an error field, or None."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    plain = str(value).encode("utf-8", "replace").decode()  # a lone surrogate cannot be stored
    return MASKS.cut(plain, _SHOWN) or None  # the gateway's texts may name the access key; these go to chats
