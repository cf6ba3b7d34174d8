"""The verdict on what a service answered: the table, row by row."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.notify.verdicts import (
    Dead,
    Exchange,
    Failure,
    Hold,
    PlainOnce,
    Retry,
    Sent,
    Unknown,
    Verdict,
    Wire,
    judge,
    parse_retry_after,
    settle,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def verdict(
    *exchanges: Exchange, scheme: str = "json", accepted: bool = False, error: str | None = None
) -> Verdict:
    return judge(scheme, exchanges, accepted=accepted, error=error, now=NOW)


def said(status: int, body: object = None, **more: object) -> Exchange:
    raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    return Exchange(status=status, body=raw, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, Hold),
        (400, PlainOnce),
        (401, Hold),
        (402, Hold),
        (403, Hold),
        (404, Hold),
        (405, Hold),
        (408, Retry),
        (410, Hold),
        (413, PlainOnce),
        (422, PlainOnce),
        (429, Retry),
        (500, Retry),
        (502, Retry),
        (503, Retry),
        (504, Retry),
    ],
)
def test_a_refusal_by_status(status: int, kind: type[Verdict]) -> None:
    found = verdict(said(status))
    assert type(found) is kind
    assert found.status == status
    assert found.reason.startswith(f"HTTP {status}")


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_success_by_status(status: int) -> None:
    assert isinstance(verdict(said(status), accepted=True), Sent)


def test_a_plugin_that_disbelieves_a_success_leaves_it_open() -> None:
    assert isinstance(verdict(said(200)), Unknown)


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (Failure.NOT_SENT, Retry),
        (Failure.TIMED_OUT, Unknown),
        (Failure.BROKEN, Unknown),
        (Failure.REFUSED, Hold),
    ],
)
def test_no_answer(failure: Failure, kind: type[Verdict]) -> None:
    assert type(verdict(Exchange(failure=failure, detail="so"))) is kind


def test_nothing_on_the_wire_goes_by_the_plugin() -> None:
    assert isinstance(verdict(accepted=True), Sent)
    assert verdict(error="it broke") == Unknown(reason="it broke")


def test_a_throttled_channel_waits_as_told() -> None:
    found = verdict(said(429, retry_after="17"))
    assert isinstance(found, Retry)
    assert (found.after, found.throttled) == (17, True)
    silent = verdict(said(429))
    assert isinstance(silent, Retry)
    assert (silent.after, silent.throttled) == (None, True)
    busy = verdict(said(503, retry_after="5"))
    assert isinstance(busy, Retry)
    assert (busy.after, busy.throttled) == (5, True)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30", 30),
        ("0.5", 0.5),
        ("-4", 0),
        ("Sun, 01 Mar 2026 12:02:00 GMT", 120),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, now=NOW) == seconds


@given(st.text(max_size=60))
def test_retry_after_may_hold_anything(value: str) -> None:
    found = parse_retry_after(value, now=NOW)
    assert found is None or found >= 0


CODES = [
    ("feishu", {"code": 0, "msg": "success"}, Sent),
    ("feishu", {"StatusCode": 0, "StatusMessage": "success"}, Sent),
    ("lark", {"code": "0"}, Sent),
    ("feishu", {"code": 11232, "msg": "too fast"}, Retry),
    ("feishu", {"code": 19021, "msg": "sign match fail"}, Hold),
    ("lark", {"code": 19024, "msg": "Key Words Not Found"}, Hold),
    ("lark", {"code": 19001, "msg": "param invalid: incoming webhook access token invalid"}, Hold),
    ("feishu", {"code": 9499, "msg": "Bad Request"}, PlainOnce),
    ("feishu", {"code": 9499, "msg": "too many request"}, Retry),
    ("feishu", {"code": 99991400, "msg": "request trigger frequency limit"}, Retry),
    ("lark", {"code": 19022, "msg": "Ip Not Allowed"}, Hold),
    ("lark", {"code": 19036, "msg": "too large"}, PlainOnce),
    ("dingtalk", {"errcode": 0, "errmsg": "ok"}, Sent),
    ("dingtalk", {"errcode": 130101, "errmsg": "send too fast"}, Retry),
    ("dingtalk", {"errcode": 310000, "errmsg": "keywords not in content"}, Hold),
    ("dingtalk", {"errcode": 300001, "errmsg": "token is not exist"}, Hold),
    ("dingtalk", {"errcode": 300005, "errmsg": "token is not exist"}, Hold),
    ("dingtalk", {"errcode": 400013, "errmsg": "the group is gone"}, Hold),
    ("dingtalk", {"errcode": 400101, "errmsg": "no such token"}, Hold),
    ("dingtalk", {"errcode": 400102, "errmsg": "the robot is off"}, Hold),
    ("dingtalk", {"errcode": 400106, "errmsg": "no such robot"}, Hold),
    ("dingtalk", {"errcode": 410100, "errmsg": "too fast"}, Retry),
    ("dingtalk", {"errcode": 430102, "errmsg": "unfit text"}, PlainOnce),
    ("dingtalk", {"errcode": 460101, "errmsg": "message too long"}, PlainOnce),
    ("dingtalk", {"errcode": -1, "errmsg": "busy"}, Retry),
    ("wecombot", {"errcode": 0, "errmsg": "ok"}, Sent),
    ("wecombot", {"errcode": 45009, "errmsg": "api freq out of limit"}, Retry),
    ("wecombot", {"errcode": 93000, "errmsg": "invalid webhook url"}, Hold),
    ("wecombot", {"errcode": 45033, "errmsg": "too many at once"}, Retry),
    ("wecombot", {"errcode": 93004, "errmsg": "the robot is off"}, Hold),
    ("wecombot", {"errcode": 93008, "errmsg": "not in the group"}, Hold),
    ("wecombot", {"errcode": -1, "errmsg": "system busy"}, Retry),
    ("wecombot", {"errcode": 40058, "errmsg": "content too long"}, PlainOnce),
    ("slack", {"ok": True}, Sent),
    ("slack", {"ok": False, "error": "ratelimited"}, Retry),
    ("slack", {"ok": False, "error": "invalid_auth"}, Hold),
    ("slack", {"ok": False, "error": "msg_too_long"}, PlainOnce),
    ("slack", {"ok": False, "error": "internal_error"}, Unknown),
    ("slack", {"ok": False, "error": "service_unavailable"}, Retry),
    ("tgram", {"ok": True, "result": {}}, Sent),
    ("tgram", {"ok": False, "description": "x"}, PlainOnce),
    ("discord", {"id": "1"}, Sent),
    ("mmost", {"id": "p1"}, Sent),
    ("gchat", {"name": "spaces/x/messages/y"}, Sent),
    ("ntfy", {"id": "x", "event": "message"}, Sent),
    ("gotify", {"id": 4}, Sent),
    ("pover", {"status": 1}, Sent),
    ("pover", {"status": 0}, Unknown),
    ("rockets", {"status": "success", "data": {}}, Sent),
    ("rocket", {"success": False, "error": "x"}, PlainOnce),
]


@pytest.mark.parametrize(("scheme", "body", "kind"), CODES)
def test_a_refusal_in_a_200_body(scheme: str, body: object, kind: type[Verdict]) -> None:
    found = verdict(said(200, body), scheme=scheme, accepted=True)
    assert type(found) is kind
    if isinstance(found, Retry) and found.throttled:
        assert found.after == 60


READS_BODIES = [
    *("feishu", "lark", "dingtalk", "wecombot", "slack", "tgram", "rocket"),
    *("discord", "mmost", "gchat", "ntfy", "gotify", "pover"),
]


@pytest.mark.parametrize("scheme", READS_BODIES)
@pytest.mark.parametrize("body", [b"", b"<html>portal</html>", b"[1]", b"{", b"[" * 5000, b"\xff\xfe", b"{}"])
def test_a_200_that_cannot_be_read_is_open(scheme: str, body: bytes) -> None:
    found = verdict(said(200, body), scheme=scheme, accepted=True)
    assert isinstance(found, Sent if scheme == "rocket" and body == b"{}" else Unknown)


def test_a_page_is_no_answer_of_teams() -> None:
    assert isinstance(verdict(said(202), scheme="workflows", accepted=True), Sent)
    assert isinstance(verdict(said(200, b" <html>portal"), scheme="workflows", accepted=True), Unknown)


def test_discord_answers_nothing_to_a_success() -> None:
    assert isinstance(verdict(said(204), scheme="discord", accepted=True), Sent)


def test_mattermosts_own_word_for_success() -> None:
    assert isinstance(verdict(said(200, b"ok"), scheme="mmosts", accepted=True), Sent)


ABOUT_THE_CHANNEL = [
    ("feishu", 400, {"code": 19001, "msg": "token invalid"}, Hold),
    ("feishu", 400, {"code": 9499, "msg": "Bad Request"}, PlainOnce),
    ("feishu", 400, {"code": 0}, PlainOnce),
    ("slack", 400, b"invalid_payload", PlainOnce),
    ("slack", 400, b"user_not_found", Hold),
    ("slack", 403, b"action_prohibited", Hold),
    ("slack", 410, b"channel_is_archived", Hold),
    ("tgram", 400, {"ok": False, "description": "Bad Request: chat not found"}, Hold),
    ("tgram", 400, {"ok": False, "description": "Bad Request: can't parse entities"}, PlainOnce),
    ("tgram", 403, {"ok": False, "description": "Forbidden: bot was kicked from the group chat"}, Hold),
    ("mmost", 400, {"id": "web.incoming_webhook.invalid.app_error", "message": "Invalid webhook"}, Hold),
    ("mmost", 400, {"id": "web.incoming_webhook.parse.app_error", "message": "Unable to parse"}, PlainOnce),
    ("mmost", 501, {"id": "web.incoming_webhook.disabled.app_error", "message": "disabled"}, Hold),
    ("workflows", 400, {"error": {"code": "WorkflowTriggerIsNotEnabled", "message": "off"}}, Hold),
    ("workflows", 400, {"error": {"code": "TriggerInputSchemaMismatch", "message": "schema"}}, PlainOnce),
    ("pover", 400, {"token": "invalid", "errors": ["x"], "status": 0}, Hold),
    ("pover", 400, {"message": "cannot be blank", "status": 0}, PlainOnce),
    ("discord", 400, {"message": "Invalid Form Body", "code": 50035}, PlainOnce),
    ("discord", 404, {"message": "Unknown Webhook", "code": 10015}, Hold),
    ("gchat", 400, {"error": {"code": 400, "message": "Invalid JSON", "status": "INVALID_ARGUMENT"}}, PlainOnce),
]


@pytest.mark.parametrize(("scheme", "status", "body", "kind"), ABOUT_THE_CHANNEL)
def test_a_refusal_of_the_channel_is_told_from_one_of_the_message(
    scheme: str, status: int, body: object, kind: type[Verdict]
) -> None:
    found = verdict(said(status, body), scheme=scheme)
    assert type(found) is kind
    assert found.status == status


@pytest.mark.parametrize(
    ("scheme", "body", "header", "seconds"),
    [
        ("discord", {"message": "You are being rate limited.", "retry_after": 0.35, "global": False}, None, 0.35),
        ("discord", {"retry_after": 3}, "9", 9),
        ("tgram", {"ok": False, "error_code": 429, "parameters": {"retry_after": 17}}, None, 17),
        ("tgram", {"ok": False, "parameters": {"retry_after": "soon"}}, None, None),
        ("discord", {"retry_after": True}, None, None),
        ("discord", {"retry_after": -4}, None, None),
        ("json", b"[]", None, None),
    ],
)
def test_a_body_may_say_how_long_to_wait(
    scheme: str, body: object, header: str | None, seconds: float | None
) -> None:
    found = verdict(said(429, body, retry_after=header), scheme=scheme)
    assert isinstance(found, Retry)
    assert (found.after, found.throttled) == (seconds, True)


def test_the_reason_is_found_inside_an_error() -> None:
    found = verdict(said(404, {"error": {"code": 404, "message": "no such space"}}), scheme="gchat")
    assert found.reason == "HTTP 404: the service does not know this address (no such space)"


def test_slacks_own_word_for_success() -> None:
    assert isinstance(verdict(said(200, b"ok"), scheme="slack", accepted=True), Sent)
    assert isinstance(verdict(said(200, b"no"), scheme="slack", accepted=True), Unknown)


def test_a_log_out_after_a_refusal_does_not_hide_it() -> None:
    login, logout = said(200, {"status": "success"}), said(200, {"status": "success"})
    refused = said(200, {"success": False, "error": "not-allowed"})
    assert isinstance(verdict(login, refused, logout, scheme="rocket", accepted=True), PlainOnce)
    assert isinstance(verdict(login, said(429), logout, scheme="rocket"), Retry)


def test_a_first_try_that_failed_does_not_hide_the_success() -> None:
    assert isinstance(verdict(said(404), said(200), scheme="matrix", accepted=True), Sent)


@pytest.mark.parametrize(
    ("code", "kind"), [(250, Sent), (421, Retry), (450, Retry), (535, Hold), (550, Hold), (552, PlainOnce)]
)
def test_mail_replies(code: int, kind: type[Verdict]) -> None:
    assert type(verdict(Exchange(wire=Wire.SMTP, status=code), scheme="mailtos", accepted=code == 250)) is kind


def test_what_is_refused_in_its_plainest_form_is_dead() -> None:
    assert settle(PlainOnce(reason="HTTP 400", status=400)) == Dead(reason="HTTP 400", status=400)
    assert settle(Sent(reason="ok")) == Sent(reason="ok")


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ({"description": "chat not found"}, "chat not found"),
        (b"no_service", "no_service"),
        (b"<html>x</html>", None),
    ],
)
def test_the_reason_holds_the_services_short_word(body: object, part: str | None) -> None:
    reason = verdict(said(404, body)).reason
    assert reason == "HTTP 404: the service does not know this address" + (f" ({part})" if part else "")


@given(
    st.binary(max_size=300),
    st.integers(min_value=100, max_value=599),
    st.sampled_from(["json", "workflows", *READS_BODIES]),
)
def test_any_answer_has_a_verdict(body: bytes, status: int, scheme: str) -> None:
    assert verdict(Exchange(status=status, body=body), scheme=scheme, accepted=status < 300).reason
