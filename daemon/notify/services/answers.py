"""Observed exchanges, the verdicts they lead to, and the rules that read services' answers. Pure: sends, waits
and logs nothing.

A rule gets any answer of its service and returns None if the body adds nothing to the status. No list of codes
is complete: an unlisted code is a refusal of this message and is reported with the code, so that a repetition
can be recognised as a refusal of the channel.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import TypeAlias

from msgspec import Struct


class Failure(StrEnum):
    """Why an exchange has no complete answer."""

    NOT_SENT = "not_sent"  # no connection: certainly not delivered
    TIMED_OUT = "timed_out"  # the request may have arrived
    BROKEN = "broken"  # the connection ended early: the request may have arrived
    REFUSED = "refused"  # incompatible (a certificate, no TLS): certainly not delivered


class Wire(StrEnum):
    """The protocol."""

    HTTP = "http"
    SMTP = "smtp"


class Step(StrEnum):
    """How far a conversation with a mail server got."""

    CONNECT = "connect"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    END = "end"  # the message is being sent, or was sent completely


class Exchange(Struct, frozen=True, kw_only=True):
    """One request and its answer. `body` is capped; `detail` names the failure in a few words, without secrets.

    For mail, `step` is where the outcome was decided, `body` holds the server's words, and `partly` means that
    the message was accepted for other recipients.
    """

    wire: Wire = Wire.HTTP
    step: Step = Step.CONNECT
    partly: bool = False
    status: int | None = None
    retry_after: str | None = None
    body: bytes = b""
    whole: bool = True
    """False if the body was cut off by the cap, the deadline or the end of the connection."""
    failure: Failure | None = None
    detail: str = ""


class Sent(Struct, frozen=True, kw_only=True):
    """The service accepted the message."""

    reason: str
    status: int | None = None


class Retry(Struct, frozen=True, kw_only=True):
    """Certainly not delivered. `after` is the wait that the service asked for (seconds); None: back off."""

    reason: str
    status: int | None = None
    after: float | None = None
    throttled: bool = False


class Unknown(Struct, frozen=True, kw_only=True):
    """Possibly delivered: send it again later, marked as a possible repeat."""

    reason: str
    status: int | None = None


class Hold(Struct, frozen=True, kw_only=True):
    """The service refuses the channel, not the message: nothing gets through until a person fixes it.
    `delivered`: this message reached some recipients and is not sent again."""

    reason: str
    status: int | None = None
    delivered: bool = False


class Dead(Struct, frozen=True, kw_only=True):
    """The service refuses this message, and sending it again would not help."""

    reason: str
    status: int | None = None
    code: str | None = None
    """The service's own code of the refusal, if any. The same code twice in a row concerns the channel."""


class PlainOnce(Struct, frozen=True, kw_only=True):
    """The service refuses this message as it is: try once more as the plainest text. `links`: its links may be
    the cause. `policy`: if the plainest text is refused too, the channel is the problem."""

    reason: str
    status: int | None = None
    code: str | None = None
    links: bool = False
    policy: bool = False


Final: TypeAlias = Sent | Retry | Unknown | Hold | Dead
Verdict: TypeAlias = Final | PlainOnce


RATE_WAIT = 60.0
"""Seconds to wait after a service's "too fast" code if nothing else is known: most windows are one minute."""
Rule: TypeAlias = Callable[[Exchange], Verdict | None]


def is_success(status: int | None) -> bool:
    """Whether an HTTP status is a success."""
    return status is not None and 200 <= status < 300


def answer_of(body: bytes) -> dict[str, object] | None:
    """The body as a JSON object; None if it is not one."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def said(body: bytes) -> str:
    """The short reason given by a JSON or one-line text body, '' if none. Not shortened: it may contain
    secrets, and is only cut once they are masked."""
    answer = answer_of(body)
    if answer is not None:
        return _reason(answer) or _reason(inner(answer))
    text = body[:200].decode("utf-8", "replace").strip()
    return text if text and "<" not in text and "\n" not in text and len(text) <= 120 else ""


def _reason(answer: Mapping[str, object]) -> str:
    for key in ("description", "message", "msg", "errmsg", "error", "error_msg"):
        value = answer.get(key)
        if isinstance(value, str) and value:
            return value
    return ""


def inner(answer: Mapping[str, object]) -> Mapping[str, object]:
    """The `error` object of an answer."""
    found = answer.get("error")
    return found if isinstance(found, dict) else {}


_CODES = ("errcode", "StatusCode", "error_code", "id", "code")
_INNER_CODES = ("status", "code")
"""Where answers, and an `error` object in them, hold the code of a fault; the most specific keys first."""


def code_of(last: Exchange) -> str:
    """A code that is the same for all refusals of one kind: the service's own, else its words without the parts
    that vary (numbers, names), else the status."""
    answer = answer_of(last.body) or {}
    for held, keys in ((inner(answer), _INNER_CODES), (answer, _CODES)):
        for key in keys:
            value = held.get(key)
            if isinstance(value, int | str) and value not in {"", False, True, last.status}:
                return str(value)[:_LONGEST_CODE]
    words = _CHANGES.sub("#", said(last.body).lower())
    return ": ".join(words.split(": ")[:2])[:_LONGEST_CODE] or str(last.status)


_CHANGES = re.compile(r"\d+|['\"`“][^'\"`”]*['\"`”]|\S*://\S+|\S+@\S+")
_LONGEST_CODE = 80


def asked_to_wait(body: bytes) -> float | None:
    """Seconds that a body asks to wait, as sent by Discord (`retry_after`), Telegram (`parameters.retry_after`)
    and Matrix (`retry_after_ms`)."""
    answer = answer_of(body) or {}
    parameters = answer.get("parameters")
    for held in (answer, parameters if isinstance(parameters, dict) else {}):
        for name, unit in (("retry_after", 1.0), ("retry_after_ms", 0.001)):
            value = held.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9:
                return value * unit
    return None


def unreadable(last: Exchange) -> Unknown:
    """A success that does not look like this service's answer."""
    what = "this does not look like the service's answer" if last.whole else "the answer was cut off"
    return Unknown(reason=f"HTTP {last.status}: {what}", status=last.status)


def sent(last: Exchange) -> Sent:
    return Sent(reason=f"HTTP {last.status}", status=last.status)


def refused(last: Exchange, words: str) -> str:
    """The reason for a refusal, with `words`."""
    return f"HTTP {last.status}: refused" + (f" ({words})" if words else "")


def too_fast(last: Exchange, reason: str, after: float = RATE_WAIT) -> Retry:
    """Send nothing more for `after` seconds."""
    return Retry(reason=reason, status=last.status, after=after, throttled=True)


def _message(last: Exchange, reason: str, *, links: bool = False) -> PlainOnce:
    return PlainOnce(reason=reason, status=last.status, code=code_of(last), links=links)


def by_code(
    names: Sequence[str],
    *,
    rate: Mapping[int, float],
    hold: frozenset[int],
    busy: frozenset[int] = frozenset({-1}),
    links: frozenset[int] = frozenset(),
    rate_words: tuple[str, ...] = (),
) -> Rule:
    """The rule for a service that answers everything with 200 and a numeric code in the body, 0 meaning
    success. `rate` maps the codes for "too fast" to seconds to wait. `rate_words` in the reason mean the same,
    whatever the code. `links` are codes that may concern the message's links."""

    def rule(last: Exchange) -> Verdict | None:
        answer = answer_of(last.body) or {}
        code = next((found for name in names if (found := number(answer.get(name))) not in {None, 0}), None)
        success = is_success(last.status)
        if code is None:
            known = success and any(number(answer.get(name)) == 0 for name in names)
            return sent(last) if known else unreadable(last) if success else None
        words = said(last.body)
        reason = f"HTTP {last.status}, code {code}" + (f": {words}" if words else "")
        if code in rate or any(each in words.lower() for each in rate_words):
            return too_fast(last, reason, rate.get(code, RATE_WAIT))
        if code in hold:
            return Hold(reason=reason, status=last.status)
        if code in busy:
            return Retry(reason=reason, status=last.status)
        return _message(last, reason, links=code in links) if success else None

    return rule


def number(code: object) -> int | None:
    """A code as an integer; some services send it as text."""
    if isinstance(code, str) and re.fullmatch(r"-?[0-9]{1,12}", code):
        return int(code)
    return code if isinstance(code, int) and not isinstance(code, bool) else None


def by_flag(
    flag: str,
    *,
    word: str | None = None,
    rate: frozenset[str] = frozenset(),
    hold: re.Pattern[str] | None = None,
    message: re.Pattern[str] | None = None,
    busy: frozenset[str] = frozenset(),
    unclear: frozenset[str] = frozenset(),
) -> Rule:
    """The rule for a service whose body has a boolean `flag` and a word for the fault. `word` is an entire body
    that also means success. `hold` matches faults of the channel, unless `message` matches too. `unclear`
    faults may have occurred after the message was posted."""

    def rule(last: Exchange) -> Verdict | None:  # noqa: PLR0911 - one return for each kind of answer
        words = said(last.body)
        success = is_success(last.status)
        answer = answer_of(last.body)
        reason = refused(last, words)
        if success and answer is None:
            return sent(last) if word is not None and last.body.strip() == word.encode() else unreadable(last)
        value = answer.get(flag) if answer is not None else False
        if success and value is not False:
            return sent(last) if value is True else unreadable(last)
        if words in rate:
            return too_fast(last, reason)
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
    """The group's new number, if Telegram gives one."""
    held = (answer or {}).get("parameters")
    found = held.get("migrate_to_chat_id") if isinstance(held, dict) else None
    return f"; its number is {found} now" if isinstance(found, int) else ""


def by_key(
    *keys: str,
    word: str | None = None,
    name: str = "code",
    rate: Mapping[object, float] | None = None,
    hold: frozenset[object] = frozenset(),
    links: frozenset[object] = frozenset(),
) -> Rule:
    """The rule for a service that answers success with what it created: an object with one of `keys`, or the
    entire body `word`. Faults are looked up under `name`: `hold` are those of the channel, `rate` maps "too
    fast" to seconds to wait, `links` may concern the message's links."""
    rates = rate or {}

    def rule(last: Exchange) -> Verdict | None:
        answer = answer_of(last.body) or {}
        if is_success(last.status):
            fault = any(answer.get(sign) for sign in _FAULTS)
            known = not fault and any(answer.get(key) for key in keys)
            known = known or (word is not None and last.body.strip() == word.encode())
            return sent(last) if known else unreadable(last)
        found = inner(answer).get(name, answer.get(name))
        if not isinstance(found, int | str):
            return None
        reason = refused(last, said(last.body) or str(found))
        if found in rates:
            return too_fast(last, reason, rates[found])
        if found in hold:
            return Hold(reason=reason, status=last.status)
        return _message(last, reason, links=True) if found in links else None

    return rule


_FAULTS = ("error", "status_code", "code")
"""Keys of a fault in these services' answers, in case a gateway turns every status into 200."""
