"""What each service means by its answer's body: its own success, and what its refusals are about. Pure.

A rule looks at any answer of its service; None where the body says nothing that the status does not. Sources, as
of 2026: open.feishu.cn "Custom bot usage guide", open.dingtalk.com "Custom robots: error codes",
developer.work.weixin.qq.com "Global error codes", docs.slack.dev "Incoming webhooks: errors", core.telegram.org
"Making requests", discord.com "Webhooks", Mattermost's and ntfy's servers. No list is ever whole: a code that is
not listed is a refusal of this one message, and says its code, so that the same one again can be the channel's.
Must never send, wait or log.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from daemon.notify.transport.exchanges import Exchange, Hold, PlainOnce, Retry, Sent, Unknown, Verdict

RATE_WAIT = 60.0
"""Seconds to wait after a vendor's "too fast" code, where nothing else is known: most windows are one minute."""
_SHUT_OUT = 600.0
"""Seconds for which DingTalk takes nothing of a robot that was too fast."""
_TENANT_SHUT_OUT = 300.0
"""Seconds for which DingTalk takes nothing of an address, or of an organisation, that was too fast."""
_DAY_WAIT = 3600.0
"""Seconds between two looks at whether a day's limit is over."""

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
    """The short reason that a JSON or one-line text body gives, '' where it has none. Whole: it may hold secrets,
    and is cut only once they are masked."""
    answer = answer_of(body)
    if answer is not None:
        return _reason(answer) or _reason(_inner(answer))
    text = body[:200].decode("utf-8", "replace").strip()
    return text if text and "<" not in text and "\n" not in text and len(text) <= 120 else ""


def _reason(answer: Mapping[str, object]) -> str:
    for key in ("description", "message", "msg", "errmsg", "error", "error_msg"):
        value = answer.get(key)
        if isinstance(value, str) and value:
            return value
    return ""


def _inner(answer: Mapping[str, object]) -> Mapping[str, object]:
    inner = answer.get("error")
    return inner if isinstance(inner, dict) else {}


_CODES = ("errcode", "StatusCode", "error_code", "id", "code")
_INNER_CODES = ("status", "code")
"""Where answers hold the code of a fault, and where an object `error` in them does; the most telling ones first.
"""


def code_of(last: Exchange) -> str:
    """The code of a refusal, alike for all refusals of the same kind: the service's own, else its words without
    what changes from one to the next (numbers, names), else the status."""
    answer = answer_of(last.body) or {}
    for held, keys in ((_inner(answer), _INNER_CODES), (answer, _CODES)):
        for key in keys:
            value = held.get(key)
            if isinstance(value, int | str) and value not in {"", False, True, last.status}:
                return str(value)[:_LONGEST_CODE]
    words = _CHANGES.sub("#", said(last.body).lower())
    return ": ".join(words.split(": ")[:2])[:_LONGEST_CODE] or str(last.status)


_CHANGES = re.compile(r"\d+|['\"`“][^'\"`”]*['\"`”]|\S*://\S+|\S+@\S+")
_LONGEST_CODE = 80


def asked_to_wait(body: bytes) -> float | None:
    """Seconds that a body asks to wait, as Discord (`retry_after`), Telegram (`parameters.retry_after`) and Matrix
    (`retry_after_ms`) do."""
    answer = answer_of(body) or {}
    inner = answer.get("parameters")
    for held in (answer, inner if isinstance(inner, dict) else {}):
        for name, unit in (("retry_after", 1.0), ("retry_after_ms", 0.001)):
            value = held.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9:
                return value * unit
    return None


def _unreadable(last: Exchange) -> Unknown:
    what = "the answer broke off" if not last.whole else "the answer is not the one that this service gives"
    return Unknown(reason=f"HTTP {last.status}: {what}", status=last.status)


def _sent(last: Exchange) -> Sent:
    return Sent(reason=f"HTTP {last.status}", status=last.status)


def _refused(last: Exchange, words: str) -> str:
    return f"HTTP {last.status}: refused" + (f" ({words})" if words else "")


def _too_fast(last: Exchange, reason: str, after: float = RATE_WAIT) -> Retry:
    return Retry(reason=reason, status=last.status, after=after, throttled=True)


def _message(last: Exchange, reason: str, *, links: bool = False) -> PlainOnce:
    return PlainOnce(reason=reason, status=last.status, code=code_of(last), links=links)


def _by_code(
    names: Sequence[str],
    *,
    rate: Mapping[int, float],
    hold: frozenset[int],
    busy: frozenset[int] = frozenset({-1}),
    links: frozenset[int] = frozenset(),
    rate_words: tuple[str, ...] = (),
) -> Rule:
    """The rule of a service that answers 200 to everything and means it by a number in the body: 0 is success.
    `rate` are the codes for "too fast", with the seconds to wait; `rate_words` in its reason mean that whatever
    the number; `links` may be about the message's links."""

    def rule(last: Exchange) -> Verdict | None:
        answer = answer_of(last.body) or {}
        code = next((found for name in names if (found := _number(answer.get(name))) not in {None, 0}), None)
        success = is_success(last.status)
        if code is None:
            known = success and any(_number(answer.get(name)) == 0 for name in names)
            return _sent(last) if known else _unreadable(last) if success else None
        words = said(last.body)
        reason = f"HTTP {last.status}, code {code}" + (f": {words}" if words else "")
        if code in rate or any(each in words.lower() for each in rate_words):
            return _too_fast(last, reason, rate.get(code, RATE_WAIT))
        if code in hold:
            return Hold(reason=reason, status=last.status)
        if code in busy:
            return Retry(reason=reason, status=last.status)
        return _message(last, reason, links=code in links) if success else None

    return rule


def _number(code: object) -> int | None:
    if isinstance(code, str) and re.fullmatch(r"-?[0-9]{1,12}", code):
        return int(code)
    return code if isinstance(code, int) and not isinstance(code, bool) else None


def _dingtalk(last: Exchange) -> Verdict | None:
    """DingTalk's gateway has answers of its own: shut out by its guard, and code 88, which wraps another one."""
    answer = answer_of(last.body) or {}
    if answer.get("punish") == "deny" or _number(answer.get("status")) == _GUARD:
        return _too_fast(last, _refused(last, "shut out for a while"), _TENANT_SHUT_OUT)
    wrapped = re.search(r"sub_?code\W{0,4}(\d+)", f"subcode={answer.get('sub_code')} {said(last.body)}")
    inner = int(wrapped[1][:9]) if wrapped is not None else 0
    if _number(answer.get("errcode")) == _WRAPPED and inner in _DINGTALK_RATES:
        reason = f"HTTP {last.status}, code {_WRAPPED}/{inner}: {said(last.body)}"
        return _too_fast(last, reason, _DINGTALK_RATES[inner])
    return _DINGTALK(last)


_GUARD, _WRAPPED = 1111, 88


def _by_flag(
    flag: str,
    *,
    word: str | None = None,
    needed: bool = True,
    rate: frozenset[str] = frozenset(),
    hold: re.Pattern[str] | None = None,
    message: re.Pattern[str] | None = None,
    busy: frozenset[str] = frozenset(),
    unclear: frozenset[str] = frozenset(),
) -> Rule:
    """The rule of a service whose body holds a truth value named `flag`, and a word for the fault. `word` is a
    whole body that also means success; without `needed`, so does an object that lacks the flag. `hold` is found in
    faults that are about the channel, unless `message` is found in them too; `unclear` faults may have come after
    the message was posted."""

    def rule(last: Exchange) -> Verdict | None:  # noqa: PLR0911 - one line for each sort of answer
        words = said(last.body)
        success = is_success(last.status)
        answer = answer_of(last.body)
        reason = _refused(last, words)
        if success and answer is None:
            return _sent(last) if word is not None and last.body.strip() == word.encode() else _unreadable(last)
        value = answer.get(flag, None if needed else True) if answer is not None else False
        if success and value is not False:
            return _sent(last) if value is True else _unreadable(last)
        if words in rate:
            return _too_fast(last, reason)
        if message is not None and message.search(words):
            return _message(last, reason)
        if hold is not None and hold.search(words):
            return Hold(reason=reason + _moved(answer), status=last.status)
        if words in busy:
            return Retry(reason=reason, status=last.status)
        if words in unclear:
            return Unknown(reason=reason, status=last.status)
        return _message(last, reason) if success else None

    return rule


def _moved(answer: Mapping[str, object] | None) -> str:
    """The group's new number, where Telegram says that it has one."""
    held = (answer or {}).get("parameters")
    found = held.get("migrate_to_chat_id") if isinstance(held, dict) else None
    return f"; its number is {found} now" if isinstance(found, int) else ""


def _by_key(
    *keys: str,
    word: str | None = None,
    name: str = "code",
    rate: Mapping[object, float] | None = None,
    hold: frozenset[object] = frozenset(),
    links: frozenset[object] = frozenset(),
) -> Rule:
    """The rule of a service that answers success with what it made of the message: an object with one of `keys`,
    or the whole body `word`. `hold` are faults, by what stands under `name`, that are about the channel; `rate`
    those that say "too fast", with the seconds to wait; `links` those that may be about the message's links."""
    rates = rate or {}

    def rule(last: Exchange) -> Verdict | None:
        answer = answer_of(last.body) or {}
        if is_success(last.status):
            fault = any(answer.get(sign) for sign in _FAULTS)
            known = not fault and any(answer.get(key) for key in keys)
            known = known or (word is not None and last.body.strip() == word.encode())
            return _sent(last) if known else _unreadable(last)
        found = _inner(answer).get(name, answer.get(name))
        if not isinstance(found, int | str):
            return None
        reason = _refused(last, said(last.body) or str(found))
        if found in rates:
            return _too_fast(last, reason, rates[found])
        if found in hold:
            return Hold(reason=reason, status=last.status)
        return _message(last, reason, links=True) if found in links else None

    return rule


_FAULTS = ("error", "status_code", "code")
"""What these services' answers about a fault hold, behind a gateway that makes 200 of every status too."""


def _mattermost(last: Exchange) -> Verdict | None:
    """A channel that cannot be looked up is gone, or the server's database is: the status tells."""
    fault = (answer_of(last.body) or {}).get("id")
    if last.status == 500 and fault == _CHANNEL_LOOKUP:
        return Retry(reason=_refused(last, said(last.body)), status=last.status)
    if last.status == 501:
        return Hold(reason=_refused(last, said(last.body)), status=last.status)
    return _MATTERMOST(last)


_CHANNEL_LOOKUP = "web.incoming_webhook.channel.app_error"


def _teams(last: Exchange) -> Verdict | None:
    """A workflow takes a message with 202 and no body; a page with 200 is somebody else's. What its trigger
    refuses for good it says with 400 and a name."""
    inner = (answer_of(last.body) or {}).get("error")
    if is_success(last.status):
        strange = inner is not None or last.body.lstrip()[:1] == b"<" or not last.whole
        return _unreadable(last) if strange else _sent(last)
    name = inner.get("code") if isinstance(inner, dict) else None
    if isinstance(name, str) and (name in _TEAMS_HOLDS or _TEAMS_HOLD.search(name)):
        return Hold(reason=f"HTTP {last.status}: the workflow takes no messages ({name})", status=last.status)
    return None


def _pushover(last: Exchange) -> Verdict | None:
    answer = answer_of(last.body) or {}
    if is_success(last.status):
        return _sent(last) if answer.get("status") == 1 else _unreadable(last)
    wrong = next((name for name in ("token", "user", "device") if answer.get(name) == "invalid"), None)
    if wrong is not None:
        return Hold(reason=f"HTTP {last.status}: the {wrong} is invalid", status=last.status)
    return None


_LARK = _by_code(
    ("code", "StatusCode"),
    rate={11232: RATE_WAIT, 99991400: RATE_WAIT},
    hold=frozenset({19001, 19021, 19022, 19024}),  # token, signature or clock, address not allowed, keyword
    rate_words=("too many request", "frequency limit"),  # come with 9499, which is also "bad request"
)
_DINGTALK_RATES = {130101: _SHUT_OUT, 410100: _SHUT_OUT, 90018: _TENANT_SHUT_OUT, 90030: _TENANT_SHUT_OUT}
_DINGTALK = _by_code(
    ("errcode",),
    rate=_DINGTALK_RATES,
    hold=frozenset(
        {
            *(300001, 300005, 400101),  # no such token
            310000,  # keyword, signature, clock or address
            *(400013, 400102, 400106),  # the group is gone, the robot is off, the robot is gone
        }
    ),
    links=frozenset({430101, 430102, 430103, 430104}),  # unsafe link, unfit text, unfit picture, unfit content
)
_WECOM = _by_code(
    ("errcode",),
    rate={45009: RATE_WAIT, 45033: RATE_WAIT},
    hold=frozenset({93000, 93004, 93008, 60020}),  # key, robot off, robot not in the group, address not allowed
    busy=frozenset({-1, 6000}),
)
_SLACK = _by_flag(
    "ok",
    word="ok",
    rate=frozenset({"ratelimited", "rate_limited", "message_limit_exceeded"}),
    # What is named so is about a token, a workspace, a channel, a thread or a policy, in names not known here too.
    hold=re.compile(
        r"_auth|_token|token_|not_authed|_scope|permission|access|login_required|two_factor"
        r"|prohibited|restricted|denied|disabled|deprecated|migrating|inactive|archived|locked"
        r"|no_active_hooks|no_service|invalid_channel|no_team|not_in_channel|not_visible|is_bot|thread_ts|reply_to"
        r"|(?:channel|user|team|app|bot|org|enterprise|thread|workflow|trigger|hook)s?_(?:not_found|not_published)"
    ),
    busy=frozenset({"service_unavailable", "team_added_to_org", "request_timeout"}),
    unclear=frozenset({"fatal_error", "internal_error"}),
)
_TELEGRAM = _by_flag(
    "ok",
    # Capitals are the names of its inner faults; those about a photo are the message's.
    hold=re.compile(
        r"\b(?:CHAT|CHANNEL|TOPIC|PEER|USER|BOT|INPUT_USER)_[A-Z_]+"
        r"|(?i:chat not found|chat_id is empty|upgraded|migrated|kicked|blocked|deactivated|not a member|rights"
        r"|thread not found|topic|chat_write_forbidden|peer_id_invalid|to bots|initiate conversation)"
    ),
    message=re.compile(r"(?i)photo|media|wrong file"),
)
_ROCKET = _by_flag(
    "success",
    needed=False,  # the answer to a login has no flag
    rate=frozenset({"error-too-many-requests"}),
    hold=re.compile(
        r"(?i)(?:invalid|no-such)-(?:room|channel|user)|room-not-found|not-allowed|not-authorized|unauthorized"
        r"|archived|read-?only|does not match any (?:group|channel|room)|not-in-room|muted"
    ),
)
_DISCORD = _by_key(
    "id",
    rate=dict.fromkeys((20016, 20028, 20029, 40062, 130000), RATE_WAIT),
    hold=frozenset(
        {
            *(10003, 10004, 10015, 40001, 40002),  # channel, server or webhook is gone; account
            *(50001, 50008, 50013, 50024, 50027),  # access, sort of channel, rights, token
            *(50083, 160005),  # the thread is archived, or locked
            *(220001, 220002, 220003, 220004, 40067),  # a forum wants a thread, or a tag; no forum takes one
        }
    ),
    links=frozenset({200000, 240000}),  # kept back by the server's rules, or for a harmful link
)
_MATTERMOST = _by_key(
    "id",  # of a post made by a bot
    word="ok",
    name="id",
    hold=frozenset(
        {
            *(
                f"web.incoming_webhook.{fault}.app_error"
                for fault in ("channel", "channel_locked", "disabled", "invalid", "permissions", "user")
            ),
            "api.post.create_post.can_not_post_to_deleted.error",
            "api.post.create_post.town_square_read_only",
            "api.context.permissions.app_error",
            "api.context.session_expired.app_error",
        }
    ),
)
_TEAMS_HOLDS = frozenset(
    {
        *("WorkflowTriggerIsNotEnabled", "WorkflowNotFound", "WorkflowTriggerNotFound", "TriggerNotFound"),
        *("DirectApiAuthorizationRequired", "AuthorizationFailed", "InvalidSignature", "ResourceGroupNotFound"),
    }
)
_TEAMS_HOLD = re.compile(r"NotFound$|NotEnabled$|Disabled|Suspended|Authori[sz]|Authentication|Forbidden|Expired")
_GOOGLE = _by_key(
    "name",
    name="status",
    rate={"RESOURCE_EXHAUSTED": RATE_WAIT},
    hold=frozenset({"PERMISSION_DENIED", "UNAUTHENTICATED", "NOT_FOUND", "FAILED_PRECONDITION"}),
)
_NTFY = _by_key(
    "id",
    rate={42901: RATE_WAIT, 42908: _DAY_WAIT},  # too fast; the day's messages are used up
    hold=frozenset({40009, 40010}),  # no name of a topic
)

RULES: Mapping[str, Rule] = {
    "feishu": _LARK,
    "lark": _LARK,
    "dingtalk": _dingtalk,
    "wecombot": _WECOM,
    "slack": _SLACK,
    "tgram": _TELEGRAM,
    "rocket": _ROCKET,
    "rockets": _ROCKET,
    "workflow": _teams,
    "workflows": _teams,
    "discord": _DISCORD,
    "mmost": _mattermost,
    "mmosts": _mattermost,
    "gchat": _GOOGLE,
    "ntfy": _NTFY,
    "ntfys": _NTFY,
    "gotify": _by_key("id"),
    "gotifys": _by_key("id"),
    "pover": _pushover,
}
"""By scheme; for all others the status says it."""
