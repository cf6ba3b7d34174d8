"""Every chat service that uses HTTP, with every kind of answer: the verdict, its number of requests, the wait
before the next try, the operator's alert. No alert is lost, and none is repeated unless its outcome is unknown.

Additional rows cover what a service means by the body of a 200.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from daemon.notify.services import SERVICES as KNOWN
from daemon.notify.services import base
from tests.support.conformance import Post, Sends, check
from tests.support.outcomes import Row, dead, held, retry, sent, unknown
from tests.support.services import SERVICES, Stand, pointed
from tests.support.webhook import Answer, ok_json

_AWAY = "http://127.0.0.1:9/elsewhere"
ANSWERS: Mapping[str, list[Answer]] = {
    "fine": [],
    "400": [Answer(status=400)] * 2,
    "401": [Answer(status=401)],
    "403": [Answer(status=403)],
    "404": [Answer(status=404)],
    "429-after": [Answer(status=429, headers={"Retry-After": "7"})],
    "429": [Answer(status=429)],
    "500": [Answer(status=500)],
    "redirect": [Answer(status=302, headers={"Location": _AWAY})],
    "hang": [Answer(hang=True)],
    "drip-head": [Answer(drip_headers=0.05, headers={"X-Filler": "x" * 20_000})],
    "reset": [Answer(reset=True)],
}
"""The answers programmed for the channel of each case."""
COMMON: Mapping[str, Row] = {
    "fine": sent(),
    "400": dead("HTTP 400"),
    "401": held("HTTP 401: the service refuses the channel's token or key"),
    "403": held("HTTP 403: the service forbids it"),
    "404": held("HTTP 404: the service does not know this address"),
    "429-after": retry("in 7 s", "HTTP 429: too many requests"),
    "429": retry("in 60 s", "HTTP 429: too many requests"),
    "500": retry("soon", "HTTP 500: the service has a fault"),
    "redirect": held("HTTP 302: a redirect, which is not followed"),
    "hang": unknown("no answer within"),
    "drip-head": unknown("no answer within"),
    "reset": unknown("the connection ended before the answer"),
}
OPEN: Mapping[str, Row] = {
    "drip": unknown("HTTP 200: the answer was cut off"),
    "huge": unknown("HTTP 200: the answer"),
    "page": unknown("HTTP 200: this does not look like the service's answer"),
}
"""If the body indicates success, a truncated or different one leaves the outcome unknown."""
BY_STATUS: Mapping[str, Row] = {"drip": sent(), "huge": sent(), "page": sent()}
"""A user's own webhook may answer anything: only its status counts."""


def _answers(service: str) -> dict[str, list[Answer]]:
    accepted = SERVICES[service].accepts.body
    pad = b" " * 20_000
    long = accepted[:-1] + pad + accepted[-1:] if accepted.startswith(b"{") else accepted + pad
    huge = b'{"pad":"' + b"x" * 8_000_000 + b'",' + accepted[1:]
    found = {
        **ANSWERS,
        "drip": [Answer(body=long, drip=0.05)],
        "huge": [Answer(body=huge)],
        "page": [Answer(body=b"<html>sign in to this network</html>")],
    }
    own = {
        case: body if isinstance(body, Answer) else ok_json(body)
        for case, (body, _) in SERVICES[service].means.items()
    }
    return found | {case: [answer] * 2 for case, answer in own.items()}


def table(service: str) -> dict[str, Row]:
    """Return all rows of a service."""
    own = {case: row for case, (_, row) in SERVICES[service].means.items()}
    return {**COMMON, **(OPEN if SERVICES[service].known.rule else BY_STATUS), **own}


QUICK = ("feishu", "slack", "teams", "wecombot", "json")
"""Services with opposite conventions; `make check` tries all."""


@pytest.mark.parametrize(
    "service", [name if name in QUICK else pytest.param(name, marks=pytest.mark.long) for name in SERVICES]
)
async def test_every_answer_of(service: str, tmp_path: Path) -> None:
    with Stand(SERVICES[service]) as stand, pointed([stand]):
        for case, answers in _answers(service).items():
            stand.program(case, *answers)
        urls = {case: stand.url(case) for case in table(service)}
        sends = Sends()
        hangs: dict[str, Callable[[], bool]] = {
            "hang": lambda: bool(stand.of("hang")),
            "drip-head": lambda: bool(stand.of("drip-head")),
            "drip": lambda: bool(stand.of("drip")) and len(set(sends.reading)) == 1,
        }
        post = Post(bodies=lambda case: [each.body for each in stand.of(case)], mend=stand.forget, hangs=hangs)
        await check(tmp_path, urls, table(service), post, sends)
    assert stand.complaints == []
    assert "elsewhere" not in {each.path for each in stand.requests}


def test_every_service_that_claims_it_is_here() -> None:
    claiming = {service for service in KNOWN if service.tested is base.Tested.CONFORMANCE}
    assert {service.known for service in SERVICES.values()} == claiming
    assert len(SERVICES) >= 12, "and mail"
