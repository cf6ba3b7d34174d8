"""Every chat service that speaks HTTP, every way to answer: the verdict, the requests it took, the wait before the
next, what the operator is told; and that no alert is lost, and none repeated but where nobody could know.

Lines beside the common ones are what a service means by the body of a 200.
"""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.conformance import Post, Row, check, dead, held, retry, sent, unknown
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
    "drip-head": [Answer(drip_headers=0.05, headers={"X-Filler": "x" * 200})],
    "reset": [Answer(reset=True)],
}
"""What is programmed for the channel of each case."""
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
    "drip": unknown("HTTP 200: the answer broke off"),
    "huge": unknown("HTTP 200: the answer"),
    "page": unknown("HTTP 200: the answer is not the one that this service gives"),
}
"""Where success stands in the body, one that does not come whole, or says something else, leaves it open."""
BY_STATUS: Mapping[str, Row] = {"drip": sent(), "huge": sent(), "page": sent()}
"""A webhook of one's own may answer what it likes: its status alone counts."""
_NOT_ITS_ANSWER = unknown("HTTP 200: the answer is not the one that this service gives")


def _refusal(status: int, **body: object) -> Answer:
    return ok_json(body, status=status)


_LARK: Mapping[str, tuple[dict[str, object] | Answer, Row]] = {
    "too-fast": ({"code": 11232, "msg": "frequency limited"}, retry("in 60 s", "code 11232: frequency limited")),
    "signature": ({"code": 19021, "msg": "sign match fail"}, held("code 19021: sign match fail")),
    "keyword": ({"code": 19024, "msg": "Key Words Not Found"}, held("code 19024: Key Words Not Found")),
    "refused": ({"code": 9499, "msg": "Bad Request"}, dead("code 9499: Bad Request")),
    "busy": ({"code": -1, "msg": "system busy"}, retry("soon", "code -1: system busy")),
    "gateway": (
        Answer(
            status=400,
            body=b'{"code": 99991400, "msg": "request trigger frequency limit"}',
            headers={"x-ogw-ratelimit-reset": "7"},
        ),
        retry("in 7 s", "code 99991400"),
    ),
}
BODIES: Mapping[str, Mapping[str, tuple[dict[str, object] | Answer, Row]]] = {
    "feishu": _LARK,
    "lark": _LARK,
    "dingtalk": {
        "too-fast": ({"errcode": 130101, "errmsg": "send too fast"}, retry("in 10 min", "code 130101")),
        "guard": ({"status": 1111, "wait": 5, "punish": "deny"}, retry("in 5 min", "shut out for a while")),
        "wrapped": ({"errcode": 88, "sub_code": "90018", "errmsg": "limit"}, retry("in 5 min", "code 88/90018")),
        "links": ({"errcode": 430101, "errmsg": "unsafe link"}, sent(requests=3)),
        "token": ({"errcode": 300001, "errmsg": "token is not exist"}, held("code 300001: token is not exist")),
        "keyword": ({"errcode": 310000, "errmsg": "keywords not in content"}, held("code 310000: keywords")),
        "refused": ({"errcode": 40035, "errmsg": "param error"}, dead("code 40035: param error")),
        "busy": ({"errcode": -1, "errmsg": "busy"}, retry("soon", "code -1: busy")),
    },
    "wecombot": {
        "too-fast": ({"errcode": 45009, "errmsg": "freq out of limit"}, retry("in 60 s", "code 45009")),
        "key": ({"errcode": 93000, "errmsg": "invalid webhook url"}, held("code 93000: invalid webhook url")),
        "refused": ({"errcode": 40058, "errmsg": "invalid Parameter"}, dead("code 40058: invalid Parameter")),
        "busy": ({"errcode": -1, "errmsg": "system busy"}, retry("soon", "code -1: system busy")),
    },
    "slack": {
        "token": ({"ok": False, "error": "token_revoked"}, held("refused (token_revoked)")),
        "too-fast": ({"ok": False, "error": "ratelimited"}, retry("in 60 s", "refused (ratelimited)")),
        "refused": ({"ok": False, "error": "msg_too_long"}, dead("refused (msg_too_long)")),
        "policy": ({"ok": False, "error": "ekm_access_denied"}, held("refused (ekm_access_denied)")),
    },
    "telegram": {
        "refused": ({"ok": False, "description": "Bad Request: something"}, dead("refused (Bad Request: some")),
        "chat": ({"ok": False, "description": "Bad Request: chat not found"}, held("refused (Bad Request: chat")),
        "topic": (_refusal(400, ok=False, description="Bad Request: TOPIC_DELETED"), held("TOPIC_DELETED")),
        "moved": (
            _refusal(400, ok=False, description="Bad Request: upgraded", parameters={"migrate_to_chat_id": -100}),
            held("its number is -100 now"),
        ),
    },
    "teams": {
        "refused": ({"error": {"code": "BadRequest", "message": "x"}}, _NOT_ITS_ANSWER),
        "off": (_refusal(400, error={"code": "WorkflowTriggerIsNotEnabled"}), held("WorkflowTriggerIsNotEnabled")),
    },
    "discord": {
        "refused": ({"code": 50006, "message": "Cannot send an empty message"}, _NOT_ITS_ANSWER),
        "silent": (Answer(status=204), unknown("HTTP 204: the answer is not the one that this service gives")),
        "thread": (
            _refusal(400, code=220001, message="needs a thread"),
            held("HTTP 400: refused (needs a thread)"),
        ),
        "form": (_refusal(400, code=50035, message="Invalid Form Body"), dead("Invalid Form Body")),
        "harmful": (_refusal(400, code=240000, message="harmful link"), sent(requests=3)),
    },
    "mattermost": {
        "refused": ({"id": "web.incoming_webhook.x.app_error", "status_code": 400}, _NOT_ITS_ANSWER),
        "lookup": (
            _refusal(500, id="web.incoming_webhook.channel.app_error", message="x"),
            retry("soon", "refused"),
        ),
        "locked": (
            _refusal(400, id="web.incoming_webhook.channel_locked.app_error", message="x"),
            held("refused"),
        ),
    },
    "ntfy": {
        "refused": ({"code": 40301, "http": 403, "error": "forbidden"}, _NOT_ITS_ANSWER),
        "day": (_refusal(429, code=42908, http=429, error="daily quota"), retry("in 1 h", "HTTP 429")),
    },
    "json": {"refused": ({"ok": False}, sent())},
}
"""What is answered beside the common cases: bodies that come with status 200, or whole answers."""


def _answers(service: str) -> dict[str, list[Answer]]:
    accepted = SERVICES[service].accepts.body
    long = accepted[:-1] + b" " * 200 + accepted[-1:] if accepted.startswith(b"{") else accepted + b" " * 200
    huge = b'{"pad":"' + b"x" * 8_000_000 + b'",' + accepted[1:]
    found = {
        **ANSWERS,
        "drip": [Answer(body=long, drip=0.05)],
        "huge": [Answer(body=huge)],
        "page": [Answer(body=b"<html>sign in to this network</html>")],
    }
    own = {
        case: body if isinstance(body, Answer) else ok_json(body) for case, (body, _) in BODIES[service].items()
    }
    return found | {case: [answer] * 2 for case, answer in own.items()}


def table(service: str) -> dict[str, Row]:
    """All lines of a service."""
    own = {case: row for case, (_, row) in BODIES[service].items()}
    return {**COMMON, **(BY_STATUS if service == "json" else OPEN), **own}


QUICK = ("feishu", "slack", "teams", "wecombot", "json")
"""Those whose kinds of answers are each other's opposites; all are tried by `make check`."""


@pytest.mark.parametrize(
    "service", [name if name in QUICK else pytest.param(name, marks=pytest.mark.long) for name in SERVICES]
)
async def test_every_answer_of(service: str, tmp_path: Path) -> None:
    with Stand(SERVICES[service]) as stand, pointed([stand]):
        for case, answers in _answers(service).items():
            stand.program(case, *answers)
        urls = {case: stand.url(case) for case in table(service)}
        post = Post(bodies=lambda case: [each.body for each in stand.of(case)], mend=stand.forget)
        await check(tmp_path, urls, table(service), post)
    assert stand.complaints == []
    assert "elsewhere" not in {each.path for each in stand.requests}


def test_all_twelve_are_here() -> None:
    assert len(SERVICES) == 11, "and mail"
    assert set(BODIES) == set(SERVICES)
