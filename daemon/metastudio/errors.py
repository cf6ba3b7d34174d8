"""Errors of the API, named by what the caller does next, and the classification of bad answers.

Owns the parsing of error bodies from the service (`MSS.…`), the gateway (`APIG.…`, `APIGW.…`) and anything else
that answers. Never raises for a malformed body. The error code takes precedence over the status, because the
service's own tables disagree on the status of some codes. Sources: the API document (status and error codes) and
the gateway's public list.
"""

import json
import random
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http import HTTPStatus

from msgspec import Struct

from daemon.logs import MASKS
from daemon.transport import Answer, Cause, NotSent, TooLarge, TransportError

WRONG_ENDPOINT = "APIG.0101"
"""The gateway has no such API: for a show, the endpoint is wrong; assets and lists may be missing elsewhere."""
MAX_WAIT = 300.0
"""Maximum wait for a Retry-After in seconds. After a longer one, the service is queried again early."""
_ABSURD = 86400.0
"""A Retry-After of this many seconds or more is a mistake and ignored."""
_SECONDS = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?", re.ASCII)
_LONGEST_DATE = 64
_FIRST_YEAR, _LAST_YEAR = 2000, 2100
"""Plausible years of an HTTP date (the last one excluded)."""
_SHOWN = 300
"""Maximum length of an error text in characters."""


class ApiError(Exception):
    """There is no answer about the job. Unknown fields are None; `retry_after` is in seconds from now."""

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
    """The service does not know the job: query it again until the grace period ends."""


class Throttled(ApiError):
    """Too many requests: the project waits `retry_after` seconds. Its budget is already paused."""


class AuthRefused(ApiError):
    """The service refuses the credentials: a person must fix them."""

    key_works = False
    """Whether a request that was sent later was accepted, so that the refusal is about this request only."""

    @property
    def by_service(self) -> bool:
        """Whether the refusal is from the service behind the gateway, which has accepted the key by then."""
        return (self.error_code or "").startswith("MSS.")


class AuthPaused(ApiError):
    """Nothing was sent: the credentials were refused recently. Try again at `until` (monotonic seconds)."""

    def __init__(self, what: str, *, until: float, retry_after: float) -> None:
        super().__init__(what, retry_after=retry_after)
        self.until = until


class ProjectPaused(AuthPaused):
    """Nothing was sent: a person has paused the project."""


class ProjectFault(ApiError):
    """The project's setup is wrong (endpoint, region, permission, proxy, CA), whatever the job."""


class Unavailable(ApiError):
    """The service, or the connection to it, does not work now: try later."""


class Unusable(Unavailable):
    """The connection works, but the answer is unusable: too big, empty, not JSON, or of another shape."""


class Refused(ApiError):
    """The service refuses this request and would refuse it again. Says nothing about the job's state."""


class ErrorBody(Struct, frozen=True, kw_only=True):
    """The body of an error answer (API document, tables 7 and 29 to 32; the gateway adds `request_id`)."""

    is_json: bool = False
    error_code: str | None = None
    error_msg: str | None = None
    request_id: str | None = None


def is_not_offered(error: ApiError) -> bool:
    """Whether the endpoint lacks the operation. For a show this means a wrong endpoint."""
    return (error.error_code or "").replace("APIGW.", "APIG.", 1) == WRONG_ENDPOINT


def read_error_body(answer: Answer) -> ErrorBody:
    """Parse the error in `answer`, as far as possible. Never raises."""
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
    """The error for a bad `answer` or an unusable body. `now` (UTC) is needed for a Retry-After date."""
    body = read_error_body(answer)
    kind, what = _judge(answer, body)
    wait = retry_after(answer, now=now)
    if kind is Throttled:  # 2 to 5 s is the gateway's own advice; never wait less
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
    """The error for a failed exchange: a bad certificate or proxy is the project's fault, all else is
    temporary."""
    if isinstance(error, NotSent) and error.cause in (Cause.TLS, Cause.PROXY):
        return ProjectFault(str(error))
    return (Unusable if isinstance(error, TooLarge) else Unavailable)(str(error))


def retry_after(answer: Answer, *, now: datetime) -> float | None:
    """The answer's Retry-After (a number or an HTTP date) in seconds, above 0 and at most `MAX_WAIT`. None if it
    is absent or implausible."""
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
    """The time (UTC) of an HTTP date; None if absent or implausible. Cached: many answers have the same second."""
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
_CODES: dict[str, _Judgement] = {
    WRONG_ENDPOINT: (ProjectFault, "the endpoint does not offer this API; check `region` or `endpoint`"),
    "MSS.00000001": _UNAUTHORIZED,
    "MSS.00000002": _MISSING,  # 400 in one official table
    "MSS.00000004": (Unavailable, "the service has an internal error"),
    "MSS.00010003": _MISSING,  # this and the next two, all 400: not found, or another tenant's
    "MSS.00010009": _MISSING,
    "MSS.10001001": _MISSING,
    "APIG.0203": (Unavailable, "the service behind the gateway does not answer"),
    "APIG.0301": _UNAUTHORIZED,
    "APIG.0307": (AuthRefused, "the token must be renewed, or belongs to another region"),
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
    return Unavailable, "the service, or a proxy in front of it, has an internal error"


_EXACT: dict[int, _Judgement] = {
    401: _UNAUTHORIZED,
    403: (ProjectFault, "access denied; check the permissions, the project id and the region"),
    407: (ProjectFault, "the proxy requires a user and a password; check `proxy` of the project"),
    408: (Unavailable, "the service did not get the request in time"),
    425: (Unavailable, "the service is not ready"),
    429: _THROTTLED,
}


def _not_found(answer: Answer, body: ErrorBody) -> _Judgement:
    """Tell the API's 404 from others: a job must not count as lost for a web page or a code of the gateway.

    The document's 404 is "No content", so an empty body may be the API's; its X-Request-Id then proves it.
    """
    code = body.error_code or ""
    theirs = body.is_json and not code.startswith(("APIG.", "APIGW."))
    proven_empty = not answer.body.strip() and body.request_id is not None
    if theirs or proven_empty:
        return _MISSING
    return ProjectFault, "a 404 that is not from the API; check `region`, `endpoint` and `proxy` of the project"


def _odd_success(answer: Answer, body: ErrorBody) -> _Judgement:
    start = answer.body[:512].lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start == b"<":
        return ProjectFault, "a web page instead of an answer (a proxy or portal?); check `endpoint` and `proxy`"
    if body.is_json and body.error_code:
        return Unusable, "an error with a success status"
    return Unusable, "the answer is empty" if not answer.body.strip() else "the answer is not usable"


def _text(value: object) -> str | None:
    """Return an error field as a short single line, or None."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    plain = str(value).encode("utf-8", "replace").decode()  # a lone surrogate cannot be stored
    return MASKS.cut(plain, _SHOWN) or None  # gateway texts may contain the access key, and alerts go to chats
