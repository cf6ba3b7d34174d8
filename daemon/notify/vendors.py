"""What each service means by its answer's body: its own success, and what its refusals are about. Pure.

A rule looks at any answer of its service; None where the body says nothing that the status does not. Sources, as
of 2026: open.feishu.cn "Custom bot usage guide", open.dingtalk.com "Custom robots: error codes",
developer.work.weixin.qq.com "Global error codes", docs.slack.dev "Incoming webhooks: errors", core.telegram.org
"Making requests", discord.com "Webhooks", Mattermost's and ntfy's servers. A code that is not listed is a refusal
of this one message. Must never send, wait or log.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from daemon.notify.exchanges import Exchange, Hold, PlainOnce, Retry, Sent, Unknown, Verdict

RATE_WAIT = 60.0
"""Seconds to wait after a vendor's "too fast" code: their windows are one minute."""

Rule: TypeAlias = Callable[[Exchange], Verdict | None]


def is_success(status: int | None) -> bool:
    """Whether a status says success."""
    return status is not None and 200 <= status < 300


def answer_of(body: bytes) -> dict[str, object] | None:
    """The JSON object that a body is; None where it is none."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def said(body: bytes) -> str:
    """The short reason that a JSON or one-line text body gives; '' where it has none."""
    answer = answer_of(body)
    if answer is not None:
        inner = answer.get("error")
        found = _reason(answer) or (_reason(inner) if isinstance(inner, dict) else "")
        return found[:160]
    text = body[:200].decode("utf-8", "replace").strip()
    return text if text and "<" not in text and "\n" not in text and len(text) <= 120 else ""


def _reason(answer: Mapping[str, object]) -> str:
    for key in ("description", "message", "msg", "errmsg", "error", "error_msg"):
        value = answer.get(key)
        if isinstance(value, str) and value:
            return value
    return ""


def asked_to_wait(body: bytes) -> float | None:
    """Seconds that a body asks to wait, as Discord (`retry_after`) and Telegram (`parameters.retry_after`) do."""
    answer = answer_of(body) or {}
    inner = answer.get("parameters")
    for held in (answer, inner if isinstance(inner, dict) else {}):
        value = held.get("retry_after")
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e6:
            return float(value)
    return None


def _unreadable(last: Exchange) -> Unknown:
    what = "the answer broke off" if not last.whole else "the answer is not the one that this service gives"
    return Unknown(reason=f"HTTP {last.status}: {what}", status=last.status)


def _sent(last: Exchange) -> Sent:
    return Sent(reason=f"HTTP {last.status}", status=last.status)


def _by_code(
    names: Sequence[str],
    *,
    rate: frozenset[int],
    hold: frozenset[int],
    busy: frozenset[int] = frozenset({-1}),
    rate_words: str | None = None,
) -> Rule:
    """The rule of a service that answers 200 to everything and means it by a number in the body: 0 is success.
    `rate_words` in its reason mean "too fast" whatever the number."""

    def rule(last: Exchange) -> Verdict | None:
        answer = answer_of(last.body) or {}
        code = _number(next((answer[name] for name in names if name in answer), None))
        success = is_success(last.status)
        if code is None:
            return _unreadable(last) if success else None
        if code == 0:
            return _sent(last) if success else None
        words = said(last.body)
        reason = f"HTTP {last.status}, code {code}" + (f": {words}" if words else "")
        if code in rate or (rate_words is not None and rate_words in words.lower()):
            return Retry(reason=reason, status=last.status, after=RATE_WAIT, throttled=True)
        if code in hold:
            return Hold(reason=reason, status=last.status)
        if code in busy:
            return Retry(reason=reason, status=last.status)
        return PlainOnce(reason=reason, status=last.status) if success else None

    return rule


def _number(code: object) -> int | None:
    if isinstance(code, str) and code.lstrip("-").isdecimal():
        return int(code)
    return code if isinstance(code, int) and not isinstance(code, bool) else None


def _by_flag(
    flag: str,
    *,
    word: str | None = None,
    needed: bool = True,
    rate: frozenset[str] = frozenset(),
    hold: frozenset[str] = frozenset(),
    busy: frozenset[str] = frozenset(),
    unclear: frozenset[str] = frozenset(),
) -> Rule:
    """The rule of a service whose body holds a truth value named `flag`, and a word for the fault. `word` is a
    whole body that also means success; without `needed`, so does an object that lacks the flag. `unclear` faults
    may have come after the message was posted."""

    def rule(last: Exchange) -> Verdict | None:  # noqa: PLR0911 - one line for each sort of answer
        words = said(last.body)
        success = is_success(last.status)
        answer = answer_of(last.body)
        reason = f"HTTP {last.status}: refused" + (f" ({words})" if words else "")
        if success and answer is None:
            return _sent(last) if word is not None and last.body.strip() == word.encode() else _unreadable(last)
        value = answer.get(flag, None if needed else True) if answer is not None else False
        if success and value is not False:
            return _sent(last) if value is True else _unreadable(last)
        if words in rate:
            return Retry(reason=reason, status=last.status, after=RATE_WAIT, throttled=True)
        if any(part in words.lower() for part in hold):
            return Hold(reason=reason, status=last.status)
        if words in busy:
            return Retry(reason=reason, status=last.status)
        if words in unclear:
            return Unknown(reason=reason, status=last.status)
        return PlainOnce(reason=reason, status=last.status) if success else None

    return rule


def _by_key(
    *keys: str, word: str | None = None, empty: frozenset[int] = frozenset(), hold: frozenset[str] = frozenset()
) -> Rule:
    """The rule of a service that answers success with what it made of the message: an object with one of `keys`,
    or the whole body `word`, or a status of `empty` whatever the body. `hold` are names of faults (`id`) that are
    about the channel."""

    def rule(last: Exchange) -> Verdict | None:
        answer = answer_of(last.body)
        if is_success(last.status):
            fault = answer is not None and any(answer.get(sign) for sign in _FAULTS)
            known = answer is not None and not fault and any(answer.get(key) for key in keys)
            known = known or last.status in empty or (word is not None and last.body.strip() == word.encode())
            return _sent(last) if known else _unreadable(last)
        if answer is not None and answer.get("id") in hold:
            return Hold(reason=f"HTTP {last.status}: refused ({said(last.body)})", status=last.status)
        return None

    return rule


_FAULTS = ("error", "status_code", "code")
"""What these services' answers about a fault hold, behind a gateway that makes 200 of every status too."""


def _teams(last: Exchange) -> Verdict | None:
    """A workflow takes a message with 202 and no body; a page with 200 is somebody else's. What its trigger
    refuses for good it says with 400 and a name."""
    inner = (answer_of(last.body) or {}).get("error")
    if is_success(last.status):
        strange = inner is not None or last.body.lstrip()[:1] == b"<" or not last.whole
        return _unreadable(last) if strange else _sent(last)
    name = inner.get("code") if isinstance(inner, dict) else None
    if isinstance(name, str) and name in _TEAMS_HOLDS:
        return Hold(reason=f"HTTP {last.status}: the workflow takes no messages ({name})", status=last.status)
    return None


def _pushover(last: Exchange) -> Verdict | None:
    answer = answer_of(last.body) or {}
    if is_success(last.status):
        return _sent(last) if answer.get("status") == 1 else _unreadable(last)
    if "invalid" in {answer.get("token"), answer.get("user")}:
        return Hold(reason=f"HTTP {last.status}: the token or the user is invalid", status=last.status)
    return None


_LARK = _by_code(
    ("code", "StatusCode"),
    rate=frozenset({11232, 99991400}),
    hold=frozenset({19001, 19021, 19022, 19024}),  # token, signature or clock, address not allowed, keyword
    rate_words="too many request",  # comes with 9499, which is also "bad request"
)
_DINGTALK = _by_code(
    ("errcode",),
    rate=frozenset({130101, 410100}),
    hold=frozenset(
        {
            *(300001, 300005, 400101),  # no such token
            310000,  # keyword, signature, clock or address
            *(400013, 400102, 400106),  # the group is gone, the robot is off, the robot is gone
        }
    ),
)
_WECOM = _by_code(
    ("errcode",),
    rate=frozenset({45009, 45033}),
    hold=frozenset({93000, 93004, 93008, 60020}),  # key, robot off, robot not in the group, address not allowed
)
_SLACK = _by_flag(
    "ok",
    word="ok",
    rate=frozenset({"ratelimited", "rate_limited"}),
    hold=frozenset(
        {
            *("account_inactive", "action_prohibited", "channel_is_archived", "channel_not_found", "invalid_auth"),
            *("invalid_token", "is_archived", "missing_scope", "no_active_hooks", "no_permission", "no_service"),
            *(
                "no_team",
                "not_authed",
                "not_in_channel",
                "org_login_required",
                "posting_to_general_channel_denied",
            ),
            *("restricted_action", "team_disabled", "token_expired", "token_revoked", "user_not_found"),
        }
    ),
    busy=frozenset({"service_unavailable", "team_added_to_org", "request_timeout"}),
    unclear=frozenset({"fatal_error", "internal_error"}),
)
_TELEGRAM = _by_flag(
    "ok",
    hold=frozenset(
        {
            *(
                "chat not found",
                "upgraded to a supergroup",
                "bot was blocked",
                "bot was kicked",
                "chat_id is empty",
            ),
            *("not enough rights", "have no rights", "need administrator rights", "chat_write_forbidden"),
            *("message thread not found", "topic_closed", "peer_id_invalid", "user is deactivated"),
        }
    ),
)
_ROCKET = _by_flag("success", needed=False)  # the answer to a login has no flag
_MATTERMOST = _by_key(
    "id",  # of a post made by a bot
    word="ok",
    hold=frozenset(
        f"web.incoming_webhook.{fault}.app_error"
        for fault in ("channel", "channel_locked", "disabled", "invalid", "permissions", "user")
    ),
)
_TEAMS_HOLDS = frozenset(
    {
        *("WorkflowTriggerIsNotEnabled", "WorkflowNotFound", "WorkflowTriggerNotFound", "TriggerNotFound"),
        *("DirectApiAuthorizationRequired", "AuthorizationFailed", "InvalidSignature", "ResourceGroupNotFound"),
    }
)

RULES: Mapping[str, Rule] = {
    "feishu": _LARK,
    "lark": _LARK,
    "dingtalk": _DINGTALK,
    "wecombot": _WECOM,
    "slack": _SLACK,
    "tgram": _TELEGRAM,
    "rocket": _ROCKET,
    "rockets": _ROCKET,
    "workflow": _teams,
    "workflows": _teams,
    "discord": _by_key("id", empty=frozenset({204})),
    "mmost": _MATTERMOST,
    "mmosts": _MATTERMOST,
    "gchat": _by_key("name"),
    "ntfy": _by_key("id"),
    "ntfys": _by_key("id"),
    "gotify": _by_key("id"),
    "gotifys": _by_key("id"),
    "pover": _pushover,
}
"""By scheme; for all others the status says it."""
