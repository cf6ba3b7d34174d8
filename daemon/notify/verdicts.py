"""What an attempt to send came to: judged from the answers on the wire, never from log text. Pure.

Owns the rule of success of each service and what its refusals mean. Must never send, wait or log.
Sources of the vendors' codes: the services' own documents of their group bots, as of 2026; a code that is not
listed is a refusal of this one message.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from math import isfinite
from typing import TypeAlias, assert_never

RATE_WAIT = 60.0
"""Seconds to wait after a vendor's "too fast" code: their windows are one minute."""


class Failure(StrEnum):
    """Why an exchange has no whole answer."""

    NOT_SENT = "not_sent"  # no connection came about: surely not delivered
    TIMED_OUT = "timed_out"  # the request may have arrived
    BROKEN = "broken"  # the connection ended early: the request may have arrived
    REFUSED = "refused"  # the two sides cannot work together, surely not delivered: a certificate, no TLS


class Wire(StrEnum):
    """What was spoken."""

    HTTP = "http"
    SMTP = "smtp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and what came back. `body` is capped; `detail` names the failure in a few words, no secret."""

    wire: Wire = Wire.HTTP
    status: int | None = None
    retry_after: str | None = None
    body: bytes = b""
    whole: bool = True
    """False where the body was cut off by the cap, the deadline or the connection's end."""
    failure: Failure | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """The service took the message."""

    reason: str
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Surely not delivered; `after` is what the service asked to wait (seconds), None: back off."""

    reason: str
    status: int | None = None
    after: float | None = None
    throttled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """It may have arrived: send it again later, marked as a possible repeat."""

    reason: str
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """The service refuses the channel, not the message: nothing will pass until a person mends it."""

    reason: str
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dead:
    """The service refuses this message; sending it again would not help."""

    reason: str
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainOnce:
    """The service refuses this message as it is: try it once more as the plainest text."""

    reason: str
    status: int | None = None


Final: TypeAlias = Sent | Retry | Unknown | Hold | Dead
Verdict: TypeAlias = Final | PlainOnce


def judge(
    scheme: str, exchanges: Sequence[Exchange], *, accepted: bool, error: str | None, now: datetime
) -> Verdict:
    """The verdict on one attempt.

    `accepted` is what the plugin believes; `error` names an exception that left it; `exchanges` is what really
    happened, in order: a plugin may log in before and out after. Where it believes in success, only a refusal in
    the body of a 2xx answer speaks against it; else the last exchange that went wrong decides. `now` is for a
    Retry-After that names a date.
    """
    verdicts = [_single(scheme, exchange, now=now) for exchange in exchanges]
    if accepted:
        answers = [
            verdict for exchange, verdict in zip(exchanges, verdicts, strict=True) if _is_success(exchange.status)
        ]
        refusals = [verdict for verdict in answers if not isinstance(verdict, Sent)]
        return next(reversed(refusals or answers or verdicts), Sent(reason="sent"))
    refusals = [verdict for verdict in verdicts if not isinstance(verdict, Sent)]
    if refusals:
        return refusals[-1]
    if verdicts:
        last = verdicts[-1]
        return Unknown(reason=f"{last.reason}: not the answer that this service gives", status=last.status)
    return Unknown(reason=error or "the service's plugin reported a failure without a reason")


def _is_success(status: int | None) -> bool:
    return status is not None and 200 <= status < 300


def _single(scheme: str, exchange: Exchange, *, now: datetime) -> Verdict:
    """What one exchange says by itself."""
    if exchange.status is None:
        return _unanswered(exchange)
    match exchange.wire:
        case Wire.SMTP:
            return _mail(exchange)
        case Wire.HTTP:
            return _http(scheme, exchange, now=now)
        case _:
            assert_never(exchange.wire)


def settle(verdict: Verdict) -> Final:
    """The verdict on an attempt that was already the plainest: what the service still refuses is dead."""
    if isinstance(verdict, PlainOnce):
        return Dead(reason=verdict.reason, status=verdict.status)
    return verdict


def parse_retry_after(value: str | None, *, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks to wait: it holds seconds or an HTTP date. None where it holds
    neither; never negative."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            at = parsedate_to_datetime(value)
        except ValueError:
            return None
        seconds = ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()
    return max(0.0, seconds) if isfinite(seconds) else None


def _unanswered(exchange: Exchange) -> Verdict:
    match exchange.failure:
        case Failure.NOT_SENT:
            return Retry(reason=exchange.detail)
        case Failure.REFUSED:
            return Hold(reason=exchange.detail)
        case Failure.TIMED_OUT | Failure.BROKEN | None:
            return Unknown(reason=exchange.detail)
        case _:
            assert_never(exchange.failure)


def _http(  # noqa: PLR0911 - one line for each sort of answer
    scheme: str, last: Exchange, *, now: datetime
) -> Verdict:
    status = last.status
    assert status is not None
    if status == 429 or (status == 503 and last.retry_after):
        after = parse_retry_after(last.retry_after, now=now)
        return Retry(reason=_told(status, last.body), status=status, after=after, throttled=True)
    if _is_success(status):
        rule = _BODY_RULES.get(scheme)
        if rule is not None:
            return rule(last)
        return Sent(reason=f"HTTP {status}", status=status)
    if 300 <= status < 400:
        reason = f"HTTP {status}: a redirect, which is not followed; the channel's URL needs the final address"
        return Hold(reason=reason, status=status)
    reason = _told(status, last.body)
    if status >= 500 or status in _PASSING:
        return Retry(reason=reason, status=status)
    if status in _ABOUT_THE_MESSAGE:
        return PlainOnce(reason=reason, status=status)
    return Hold(reason=reason, status=status)


_PASSING = frozenset({408, 421, 425})
_ABOUT_THE_MESSAGE = frozenset({400, 411, 413, 414, 415, 422, 431})
_NAMES = {
    400: "the service does not understand the message",
    401: "the service refuses the channel's token or key",
    403: "the service forbids it",
    404: "the service does not know this address",
    405: "the address takes no messages",
    408: "the service waited too long for the request",
    410: "the address is gone",
    413: "the message is too long",
    429: "too many requests",
    500: "the service has a fault",
    502: "the service cannot be reached behind its gateway",
    503: "the service is overloaded or down",
    504: "the service did not answer its gateway",
}


def _told(status: int, body: bytes) -> str:
    """The status in words, with the service's own short reason where its body has one."""
    name = _NAMES.get(status) or ("the service has a fault" if status >= 500 else "the service refuses it")
    said = _said(body)
    return f"HTTP {status}: {name} ({said})" if said else f"HTTP {status}: {name}"


def _said(body: bytes) -> str:
    """The short reason that a JSON or one-line text body gives; '' where it has none."""
    answer = _object(body)
    if answer is not None:
        for key in ("description", "message", "msg", "errmsg", "error", "error_msg"):
            if isinstance(answer.get(key), str) and answer[key]:
                return str(answer[key])[:160]
        return ""
    text = body[:200].decode("utf-8", "replace").strip()
    return text if text and "<" not in text and "\n" not in text and len(text) <= 120 else ""


def _object(body: bytes) -> dict[str, object] | None:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _unreadable(last: Exchange) -> Unknown:
    what = "the answer broke off" if not last.whole else "the answer is not the one that this service gives"
    return Unknown(reason=f"HTTP {last.status}: {what}", status=last.status)


BodyRule: TypeAlias = Callable[[Exchange], Verdict]


def _by_code(
    names: Sequence[str], *, rate: frozenset[int], hold: frozenset[int], busy: frozenset[int]
) -> BodyRule:
    """The rule of a service that answers 200 to everything and means it by a number in the body: 0 is success."""

    def rule(last: Exchange) -> Verdict:
        answer = _object(last.body) or {}
        code = next((answer[name] for name in names if name in answer), None)
        if isinstance(code, str) and code.lstrip("-").isdecimal():
            code = int(code)
        if not isinstance(code, int) or isinstance(code, bool):
            return _unreadable(last)
        if code == 0:
            return Sent(reason=f"HTTP {last.status}", status=last.status)
        said = _said(last.body)
        reason = f"HTTP {last.status}, code {code}" + (f": {said}" if said else "")
        if code in rate:
            return Retry(reason=reason, status=last.status, after=RATE_WAIT, throttled=True)
        if code in hold:
            return Hold(reason=reason, status=last.status)
        if code in busy:
            return Retry(reason=reason, status=last.status)
        return PlainOnce(reason=reason, status=last.status)

    return rule


def _by_flag(
    flag: str,
    *,
    word: str | None = None,
    needed: bool = True,
    rate: frozenset[str] = frozenset(),
    hold: frozenset[str] = frozenset(),
) -> BodyRule:
    """The rule of a service whose body holds a truth value named `flag`, and a word for the fault. `word` is a
    whole body that also means success; without `needed`, so does an object that lacks the flag."""

    def rule(last: Exchange) -> Verdict:
        answer = _object(last.body)
        fine = Sent(reason=f"HTTP {last.status}", status=last.status)
        if answer is None:
            is_word = word is not None and last.body.strip() == word.encode()
            return fine if is_word else _unreadable(last)
        value = answer.get(flag, None if needed else True)
        if value is True:
            return fine
        if value is not False:
            return _unreadable(last)
        said = _said(last.body)
        reason = f"HTTP {last.status}: refused" + (f" ({said})" if said else "")
        if said in rate:
            return Retry(reason=reason, status=last.status, after=RATE_WAIT, throttled=True)
        if said in hold:
            return Hold(reason=reason, status=last.status)
        return PlainOnce(reason=reason, status=last.status)

    return rule


_LARK = _by_code(
    ("code", "StatusCode"),
    rate=frozenset({11232}),
    hold=frozenset({19001, 19021, 19022, 19024}),  # token, signature, address not allowed, keyword
    busy=frozenset({-1}),
)
_SLACK_HOLDS = frozenset(
    {
        *(
            "account_inactive",
            "channel_not_found",
            "invalid_auth",
            "is_archived",
            "missing_scope",
            "no_permission",
        ),
        *("not_authed", "not_in_channel", "org_login_required", "token_expired", "token_revoked"),
    }
)

_BODY_RULES: Mapping[str, BodyRule] = {
    "feishu": _LARK,
    "lark": _LARK,
    "dingtalk": _by_code(
        ("errcode",), rate=frozenset({130101}), hold=frozenset({300001, 310000}), busy=frozenset({-1})
    ),
    "wecombot": _by_code(("errcode",), rate=frozenset({45009}), hold=frozenset({93000}), busy=frozenset({-1})),
    "slack": _by_flag("ok", word="ok", rate=frozenset({"ratelimited", "rate_limited"}), hold=_SLACK_HOLDS),
    "tgram": _by_flag("ok"),
    "rocket": _by_flag("success", needed=False),  # the answer to a login has no flag
    "rockets": _by_flag("success", needed=False),
}
"""Services whose success stands in the body; for all others the status says it."""

_MAIL_ABOUT_THE_MESSAGE = frozenset({552, 554})
"""SMTP replies that can be about one message (too large, taken for spam); other 5yz are about the account, the
sender or the recipient, and so about the channel (RFC 5321, RFC 4954)."""


def _mail(last: Exchange) -> Verdict:
    status = last.status
    assert status is not None
    reason = f"SMTP {status}: {last.detail}" if last.detail else f"SMTP {status}"
    if status < 400:  # whatever fails after it (the QUIT) does not undo it
        return Sent(reason=reason, status=status)
    if status < 500:
        return Retry(reason=reason, status=status)
    if status in _MAIL_ABOUT_THE_MESSAGE:
        return PlainOnce(reason=reason, status=status)
    return Hold(reason=reason, status=status)
