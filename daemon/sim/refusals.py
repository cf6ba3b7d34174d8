"""Error answers of the service and of the gateway in front of it, and the answers of faults of stage INSTEAD.

Owns the codes and texts of both, and one function for each such fault except `hang`, which does not answer. A
refusal is an exception, so that an operation can raise it at any depth.
Sources: the API document (Tables 29 to 32), the gateway's error code pages and its page on authentication errors.
"""

import json
from collections.abc import Callable
from typing import Final

from daemon.sim.faults import ActiveFault
from daemon.sim.wire import HTML, Answer


class ErrorAnswer(Exception):
    """Ends a request with this error answer, in the gateway's format if `gateway` is set, else in the service's.
    `retry_after` is in seconds."""

    def __init__(
        self, status: int, code: str, message: str, *, gateway: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(f"{status} {code} {message}")
        self.status = status
        self.code = code
        self.message = message
        self.gateway = gateway
        self.retry_after = retry_after

    def body(self, request_id: str) -> bytes:
        """Return the JSON body; the gateway's includes the request id."""
        if self.gateway:
            shape = {"error_msg": self.message, "error_code": self.code, "request_id": request_id}
        else:
            shape = {"error_code": self.code, "error_msg": self.message}
        return json.dumps(shape, ensure_ascii=False).encode()


INVALID: Final = "MSS.00000003"
NOT_FOUND: Final = "MSS.00000002"
INTERNAL: Final = "MSS.00000004"


def invalid(what: str) -> ErrorAnswer:
    """Return the service's refusal of a parameter."""
    return ErrorAnswer(400, INVALID, f"Invalid parameter: {what}")


def not_found() -> ErrorAnswer:
    """Return the service's answer about an unknown job or asset."""
    return ErrorAnswer(404, NOT_FOUND, "Not Found")


def no_such_api() -> ErrorAnswer:
    """Return the gateway's answer to an unknown operation: a wrong path, method or endpoint."""
    return ErrorAnswer(
        404, "APIG.0101", "The API does not exist or has not been published in the environment", gateway=True
    )


def bad_identity(why: str) -> ErrorAnswer:
    """Return the gateway's refusal of the caller's credentials."""
    return ErrorAnswer(401, "APIG.0301", f"Incorrect IAM authentication information: {why}", gateway=True)


def denied(why: str) -> ErrorAnswer:
    """Return the gateway's refusal of an authenticated caller."""
    return ErrorAnswer(403, "APIG.0306", f"API access denied: {why}", gateway=True)


def throttled(retry_after: float | None = None) -> ErrorAnswer:
    """Return the gateway's refusal of a request above the rate limit."""
    return ErrorAnswer(
        429,
        "APIG.0308",
        "The throttling threshold has been reached: policy user over ratelimit",
        gateway=True,
        retry_after=retry_after,
    )


_PORTAL: Final = (
    b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><h1>Sign in to the network</h1></body></html>"
)


def refused(refusal: ErrorAnswer, request_id: str) -> Answer:
    """Turn a refusal into an answer."""
    extra = () if refusal.retry_after is None else (("Retry-After", f"{refusal.retry_after:g}"),)
    return Answer(status=refusal.status, body=refusal.body(request_id), extra=extra)


def substitute(fault: ActiveFault, request_id: str) -> Answer:
    """Return the answer of a fault of stage INSTEAD."""
    given = _SUBSTITUTES[fault.name](fault)
    return refused(given, request_id) if isinstance(given, ErrorAnswer) else given


def _redirect(fault: ActiveFault) -> Answer:
    location = fault.text_of("location")
    return Answer(status=302, body=_PORTAL, content_type=HTML, extra=(("Location", location),))


_SUBSTITUTES: Final[dict[str, Callable[[ActiveFault], ErrorAnswer | Answer]]] = {
    "throttled": lambda _: throttled(),
    "throttled_retry_after": lambda fault: throttled(fault.number_of("retry_after")),
    "server_error": lambda fault: ErrorAnswer(int(fault.number_of("status")), INTERNAL, "Internal Error"),
    "gateway_error": lambda fault: ErrorAnswer(
        int(fault.number_of("status")), "APIG.0203", "Backend timeout", gateway=True
    ),
    "unauthorized": lambda _: bad_identity("verify aksk signature fail"),
    "not_offered": lambda _: no_such_api(),
    "html_200": lambda _: Answer(status=200, body=_PORTAL, content_type=HTML),
    "redirect": _redirect,
    "empty_body": lambda _: Answer(status=200),
}
