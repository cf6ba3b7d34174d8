"""Errors in the shapes of the service and of the gateway in front of it, and what faults of stage INSTEAD answer.

Owns the codes and texts of both, and one function for each such fault, except `hang`, which answers nothing. A
refusal is an exception so that any depth of an operation can give up with it.
Sources: the API document (Tables 29 to 32), the gateway's error code pages and its page on authentication errors.
"""

import json
from collections.abc import Callable
from typing import Final

from daemon.sim.faults import ActiveFault
from daemon.sim.wire import HTML, Answer


class ErrorAnswer(Exception):
    """The request ends with this error answer. `gateway` tells whose shape it has."""

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
        """The JSON body; the gateway's carries the request id too."""
        if self.gateway:
            shape = {"error_msg": self.message, "error_code": self.code, "request_id": request_id}
        else:
            shape = {"error_code": self.code, "error_msg": self.message}
        return json.dumps(shape, ensure_ascii=False).encode()


INVALID: Final = "MSS.00000003"
NOT_FOUND: Final = "MSS.00000002"
INTERNAL: Final = "MSS.00000004"


def invalid(what: str) -> ErrorAnswer:
    """The service does not take this parameter."""
    return ErrorAnswer(400, INVALID, f"Invalid parameter: {what}")


def not_found() -> ErrorAnswer:
    """The service knows no such job or asset."""
    return ErrorAnswer(404, NOT_FOUND, "Not Found")


def no_such_api() -> ErrorAnswer:
    """The gateway knows no such operation: a wrong path, method or endpoint."""
    return ErrorAnswer(
        404, "APIG.0101", "The API does not exist or has not been published in the environment", gateway=True
    )


def bad_identity(why: str) -> ErrorAnswer:
    """The gateway does not accept who is asking."""
    return ErrorAnswer(401, "APIG.0301", f"Incorrect IAM authentication information: {why}", gateway=True)


def denied(why: str) -> ErrorAnswer:
    """The gateway knows who is asking and says no."""
    return ErrorAnswer(403, "APIG.0306", f"API access denied: {why}", gateway=True)


def throttled(retry_after: float | None = None) -> ErrorAnswer:
    """The gateway has let in as many as it may."""
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
    """A refusal as an answer."""
    extra = () if refusal.retry_after is None else (("Retry-After", f"{refusal.retry_after:g}"),)
    return Answer(status=refusal.status, body=refusal.body(request_id), extra=extra)


def substitute(fault: ActiveFault, request_id: str) -> Answer:
    """What is answered instead of looking at the request."""
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
