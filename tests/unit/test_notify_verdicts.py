"""The verdict on a service's answer: the table, row by row."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.notify.services import service_for
from daemon.notify.transport.verdicts import (
    Dead,
    Exchange,
    Failure,
    Hold,
    PlainOnce,
    Retry,
    Sent,
    Step,
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
    rule = service_for(scheme, limit=1).rule
    return judge(rule, exchanges, accepted=accepted, error=error, now=NOW)


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
        ("Fri, 31 Dec 9999 23:59:59 -2300", 251630017199.0),
        ("1e400", None),
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
        assert found.after == (600 if scheme == "dingtalk" else 60)


CHANNELS = [  # status, what the service says, what it means, the seconds to wait
    ("feishu", 400, {"code": 99991400, "msg": "request trigger frequency limit"}, Retry, 60),
    ("feishu", 200, {"code": 9499, "msg": "frequency limited"}, Retry, 60),
    ("feishu", 200, {"StatusCode": 0, "code": 19001, "msg": "param invalid"}, Hold, None),
    ("lark", 200, {"code": 11246, "msg": "card error"}, PlainOnce, None),
    ("dingtalk", 200, {"errcode": 410100, "errmsg": "too fast"}, Retry, 600),
    ("dingtalk", 200, {"errcode": 90018, "errmsg": "limit"}, Retry, 300),
    ("dingtalk", 200, {"errcode": 90030, "errmsg": "limit"}, Retry, 300),
    ("dingtalk", 200, {"errcode": 88, "sub_code": "90018", "errmsg": "x"}, Retry, 300),
    ("dingtalk", 200, {"errcode": 88, "errmsg": "ding talk error[subcode=90018,submsg=x]"}, Retry, 300),
    ("dingtalk", 200, {"errcode": 88, "sub_code": "1", "errmsg": "x"}, PlainOnce, None),
    ("dingtalk", 200, {"status": 1111, "wait": 5, "punish": "deny"}, Retry, 300),
    ("dingtalk", 200, {"errcode": 43004, "errmsg": "content type"}, PlainOnce, None),
    *(
        ("dingtalk", 200, {"errcode": code, "errmsg": "no"}, PlainOnce, None)
        for code in (40035, 400105, 430101, 430102, 430103, 430104, 460101)
    ),
    ("wecombot", 200, {"errcode": 6000, "errmsg": "busy"}, Retry, None),
    *(
        ("wecombot", 200, {"errcode": code, "errmsg": "no"}, PlainOnce, None)
        for code in (40008, 40058, 44004, 45002)
    ),
    *(("feishu", 200, {"code": code, "msg": "no"}, Hold, None) for code in (19001, 19021, 19022, 19024)),
    *(("feishu", 200, {"code": code, "msg": "no"}, PlainOnce, None) for code in (9499, 19002)),
    *(
        ("slack", 200, {"ok": False, "error": name}, Retry, None)
        for name in ("team_added_to_org", "service_unavailable")
    ),
    *(
        ("mmost", 400, {"id": f"web.incoming_webhook.{fault}.app_error", "message": "x"}, Hold, None)
        for fault in ("channel", "channel_locked", "disabled", "invalid", "permissions", "user")
    ),
    ("workflows", 400, {"error": {"code": "TriggerInputSchemaMismatch", "message": "x"}}, PlainOnce, None),
    ("wecombot", 200, {"errcode": 60020, "errmsg": "not allow to access from your ip"}, Hold, None),
    *(
        ("slack", 200, {"ok": False, "error": name}, Hold, None)
        for name in (
            *("not_allowed_token_type", "access_denied", "accesslimited", "ekm_access_denied"),
            *("team_access_not_granted", "enterprise_is_restricted", "two_factor_setup_required"),
            *("restricted_action_thread_locked", "channel_not_found", "user_not_found", "no_active_hooks"),
            *("invalid_thread_ts", "thread_not_found", "org_login_required", "missing_scope"),
        )
    ),
    *(
        ("slack", 200, {"ok": False, "error": name}, PlainOnce, None)
        for name in (
            "invalid_blocks",
            "msg_blocks_too_long",
            "no_text",
            "too_many_attachments",
            "invalid_arguments",
        )
    ),
    *(("discord", 429, {"code": code, "message": "slow"}, Retry, 60) for code in (20016, 20028, 20029, 40062)),
    ("discord", 400, {"code": 130000, "message": "overloaded"}, Retry, 60),
    *(
        ("discord", 400, {"code": code, "message": "no"}, Hold, None)
        for code in (10003, 10015, 50013, 50027, 50083, 160005, 220001, 220002, 220003, 220004, 40067)
    ),
    *(
        ("discord", 400, {"code": code, "message": "no"}, PlainOnce, None)
        for code in (50006, 50035, 40005, 200000, 240000)
    ),
    *(
        ("tgram", 400, {"ok": False, "error_code": 400, "description": f"Bad Request: {words}"}, Hold, None)
        for words in (
            *(
                "chat not found",
                "group chat was upgraded to a supergroup chat",
                "CHAT_RESTRICTED",
                "TOPIC_DELETED",
            ),
            *("CHAT_ADMIN_REQUIRED", "CHAT_SEND_PLAIN_FORBIDDEN", "TOPIC_CLOSED", "message thread not found"),
            *("not enough rights to send text messages to the chat", "CHANNEL_PRIVATE", "USER_IS_BLOCKED"),
        )
    ),
    *(
        ("tgram", 400, {"ok": False, "error_code": 400, "description": f"Bad Request: {words}"}, PlainOnce, None)
        for words in (
            *("can't parse entities: x", "message is too long", "PHOTO_INVALID_DIMENSIONS"),
            *("CHAT_SEND_PHOTOS_FORBIDDEN", "not enough rights to send photos to the chat"),
        )
    ),
    ("mmost", 500, {"id": "web.incoming_webhook.channel.app_error", "message": "x"}, Retry, None),
    ("mmost", 404, {"id": "web.incoming_webhook.channel.app_error", "message": "x"}, Hold, None),
    ("mmost", 501, {"id": "something.else", "message": "off"}, Hold, None),
    ("mmost", 400, {"id": "web.incoming_webhook.text.app_error", "message": "x"}, PlainOnce, None),
    ("mmosts", 400, {"id": "api.post.create_post.can_not_post_to_deleted.error", "message": "x"}, Hold, None),
    ("workflows", 400, {"error": {"code": "WorkflowTriggerIsNotEnabled", "message": "x"}}, Hold, None),
    ("workflows", 400, {"error": {"code": "SomethingNotFound", "message": "x"}}, Hold, None),
    ("ntfy", 429, {"code": 42901, "http": 429, "error": "limit reached"}, Retry, 60),
    ("ntfy", 429, {"code": 42908, "http": 429, "error": "limit reached: daily message quota"}, Retry, 3600),
    ("ntfy", 400, {"code": 40009, "http": 400, "error": "invalid topic"}, Hold, None),
    ("gchat", 400, {"error": {"code": 400, "message": "off", "status": "FAILED_PRECONDITION"}}, Hold, None),
    ("rocket", 400, {"success": False, "error": "error-invalid-room"}, Hold, None),
    ("rocket", 400, {"success": False, "error": "error-too-many-requests"}, Retry, 60),
    ("rocket", 400, {"success": False, "error": "Invalid integration id or token provided."}, Hold, None),
    ("pover", 400, {"device": "invalid", "errors": ["x"], "status": 0}, Hold, None),
    ("matrixs", 429, {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 2500}, Retry, 2.5),
]


@pytest.mark.parametrize(("scheme", "status", "body", "kind", "after"), CHANNELS)
def test_what_the_tables_of_codes_say(
    scheme: str, status: int, body: object, kind: type[Verdict], after: float | None
) -> None:
    found = verdict(said(status, body), scheme=scheme, accepted=status < 300)
    assert type(found) is kind, found
    if isinstance(found, Retry):
        assert (found.after, found.throttled) == (after, after is not None)
    if isinstance(found, PlainOnce):
        assert found.code


def test_a_group_that_moved_says_where_to() -> None:
    body = {
        "ok": False,
        "description": "Bad Request: group chat was upgraded",
        "parameters": {"migrate_to_chat_id": -100},
    }
    assert "its number is -100 now" in verdict(said(400, body), scheme="tgram").reason


def test_a_vendors_own_header_says_for_how_long_to_rest() -> None:
    exchange = said(400, {"code": 99991400, "msg": "limited"}, retry_after="11")
    found = verdict(exchange, scheme="feishu")
    assert isinstance(found, Retry)
    assert found.after == 11


@pytest.mark.parametrize(
    ("scheme", "status", "body", "code"),
    [
        ("json", 400, b"", "400"),
        ("json", 400, {"error": {"code": "bad_field", "message": "x"}}, "bad_field"),
        ("json", 422, b"job 17 of <x>", "422"),
        ("json", 422, b"job 17 has no 'name'", "job # has no #"),
        ("feishu", 200, {"code": 9499, "msg": "Bad Request"}, "9499"),
        ("slack", 400, b"invalid_blocks", "invalid_blocks"),
        ("discord", 400, {"code": 50035, "message": "Invalid Form Body"}, "50035"),
        ("gchat", 400, {"error": {"code": 400, "status": "INVALID_ARGUMENT"}}, "INVALID_ARGUMENT"),
        ("mmost", 400, {"id": "x.y.z", "message": "m", "status_code": 400}, "x.y.z"),
        (
            "tgram",
            400,
            {"ok": False, "error_code": 400, "description": "Bad Request: can't parse entities: tag at 5"},
            "bad request: can't parse entities",
        ),
    ],
)
def test_a_refusal_has_a_code_that_is_alike_for_its_kind(
    scheme: str, status: int, body: object, code: str
) -> None:
    found = verdict(said(status, body), scheme=scheme, accepted=status < 300)
    assert isinstance(found, PlainOnce)
    assert found.code == code
    settled = settle(found)
    assert isinstance(settled, Dead)
    assert (settled.status, settled.code) == (status, code)


@pytest.mark.parametrize(("scheme", "body"), [("dingtalk", {"errcode": 430102, "errmsg": "unfit"})])
def test_what_may_be_about_links_says_so(scheme: str, body: object) -> None:
    found = verdict(said(200, body), scheme=scheme, accepted=True)
    assert isinstance(found, PlainOnce)
    assert found.links


READS_BODIES = [
    *("feishu", "lark", "dingtalk", "wecombot", "slack", "tgram", "rocket"),
    *("discord", "mmost", "gchat", "ntfy", "gotify", "pover"),
]


@pytest.mark.parametrize("scheme", READS_BODIES)
@pytest.mark.parametrize("body", [b"", b"<html>portal</html>", b"[1]", b"{", b"[" * 5000, b"\xff\xfe", b"{}"])
def test_a_200_that_cannot_be_read_is_open(scheme: str, body: bytes) -> None:
    found = verdict(said(200, body), scheme=scheme, accepted=True)
    assert isinstance(found, Unknown)


def test_a_page_is_no_answer_of_teams() -> None:
    assert isinstance(verdict(said(202), scheme="workflows", accepted=True), Sent)
    assert isinstance(verdict(said(200, b" <html>portal"), scheme="workflows", accepted=True), Unknown)


def test_an_empty_answer_of_discord_proves_nothing() -> None:
    assert isinstance(verdict(said(204), scheme="discord", accepted=True), Unknown)


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
    refused = said(200, {"success": False, "error": "error-message-size-exceeded"})
    assert isinstance(verdict(login, refused, logout, scheme="rocket", accepted=True), PlainOnce)
    assert isinstance(verdict(login, said(429), logout, scheme="rocket"), Retry)


def test_a_first_try_that_failed_does_not_hide_the_success() -> None:
    assert isinstance(verdict(said(404), said(200), scheme="matrix", accepted=True), Sent)


MAIL = [
    (Step.CONNECT, 554, b"5.7.1 no service for you", Hold, None),
    (Step.CONNECT, 421, b"4.3.2 too busy", Retry, None),
    (Step.EHLO, 550, b"bad name", Hold, None),
    (Step.STARTTLS, 454, b"4.7.0 not now", Retry, None),
    (Step.AUTH, 535, b"5.7.8 no", Hold, None),
    (Step.AUTH, 454, b"4.7.0 later", Retry, None),
    (Step.MAIL, 550, b"5.7.1 not yours", Hold, None),
    (Step.MAIL, 552, b"5.2.2 over quota", Hold, None),
    (Step.MAIL, 552, b"5.3.4 Message size exceeds fixed limit", PlainOnce, True),
    (Step.MAIL, 552, b"Message size exceeds fixed maximum message size", PlainOnce, True),
    (Step.RCPT, 554, b"5.7.1 <a@b>: Relay access denied", Hold, None),
    (Step.RCPT, 454, b"4.7.1 <a@b>: Relay access denied", Hold, None),
    (Step.RCPT, 450, b"4.7.1 <a@b>: Relaying temporarily denied", Retry, None),
    (Step.RCPT, 554, b"5.7.1 Service unavailable; blocked using zen.example", Hold, None),
    (Step.RCPT, 552, b"5.2.2 Mailbox full", Hold, None),
    (Step.RCPT, 552, b"mailbox full", Hold, None),
    (Step.RCPT, 550, b"5.1.1 no such user", Hold, None),
    (Step.RCPT, 452, b"4.2.2 Mailbox full", Retry, None),
    (Step.DATA, 552, b"5.3.4 too large", PlainOnce, False),
    (Step.DATA, 452, b"4.3.1 no room", Retry, None),
    (Step.END, 554, b"5.6.0 strange", PlainOnce, False),
    (Step.END, 550, b"looks like spam", PlainOnce, False),
    (Step.END, 552, b"5.2.3 too long", PlainOnce, False),
    (Step.END, 550, b"5.7.26 Unauthenticated email is not accepted\n5.7.26 from this sender", PlainOnce, True),
    (Step.END, 550, b"5.4.5 Daily user sending limit exceeded", PlainOnce, True),
    (Step.END, 552, b"5.2.2 Mailbox full", PlainOnce, True),
    (Step.END, 451, b"4.3.0 a local error", Retry, None),
]


@pytest.mark.parametrize(("step", "code", "words", "kind", "policy"), MAIL)
def test_a_mail_servers_refusal_is_judged_by_its_step(
    step: Step, code: int, words: bytes, kind: type[Verdict], policy: bool | None
) -> None:
    found = verdict(Exchange(wire=Wire.SMTP, step=step, status=code, body=words), scheme="mailtos")
    assert type(found) is kind
    assert words.split(b"\n")[0].decode() in found.reason, "the operator reads the server's words"
    if isinstance(found, PlainOnce):
        assert found.policy is policy
        assert found.code == (words.split()[0].decode() if words[:1] == b"5" else str(code))
        assert type(settle(found)) is (Hold if policy else Dead), "the plainest is refused too"


def test_mail_that_some_have_got_is_never_to_be_sent_again() -> None:
    some = Exchange(wire=Wire.SMTP, step=Step.RCPT, status=550, body=b"5.1.1 no", partly=True, detail="1 of them")
    found = verdict(some, scheme="mailtos")
    assert found == Hold(reason="SMTP 550: 1 of them (5.1.1 no)", status=550, delivered=True)


def test_the_words_of_a_reply_of_many_lines_are_one_line() -> None:
    words = b"5.7.1 first\n5.7.1   second\n\xff third"
    found = verdict(Exchange(wire=Wire.SMTP, step=Step.RCPT, status=550, body=words), scheme="mailtos")
    assert found.reason == "SMTP 550 (5.7.1 first second \ufffd third)"


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


_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-10, 10**12),
    st.floats(),
    st.text(max_size=12),
    st.just("88"),
    st.just(0),
)
_KEYS = st.sampled_from(
    [
        *("code", "errcode", "StatusCode", "error", "error_code", "id", "ok", "success", "status", "sub_code"),
        *("punish", "parameters", "migrate_to_chat_id", "retry_after", "retry_after_ms", "message", "description"),
        *("errmsg", "name", "token", "user", "device", "status_code"),
    ]
)
_VALUES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_KEYS, inner, max_size=3)
)


@given(
    st.dictionaries(_KEYS, _VALUES, max_size=5),
    st.sampled_from([200, 204, 400, 403, 404, 429, 500, 501, 503]),
    st.sampled_from(["json", "workflows", "matrixs", *READS_BODIES]),
)
def test_any_json_has_a_verdict_and_a_refusal_a_code(body: dict[str, object], status: int, scheme: str) -> None:
    found = verdict(said(status, body), scheme=scheme, accepted=status < 300)
    assert found.reason
    if isinstance(found, PlainOnce):
        assert found.code
        assert len(found.code) <= 80
    if isinstance(found, Retry) and found.after is not None:
        assert found.after >= 0
