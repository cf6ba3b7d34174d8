"""What is answered instead: refusals in HTTP, and the answers that faults of stage INSTEAD give.

Owns one function for each such fault, except `hang`, which answers nothing.
"""

from collections.abc import Callable
from typing import Final

from daemon.sim.faults import ActiveFault
from daemon.sim.refusals import INTERNAL, ErrorAnswer, bad_identity, no_such_api, throttled
from daemon.sim.wire import HTML, Answer

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
