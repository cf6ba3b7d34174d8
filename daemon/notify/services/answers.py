"""What was seen on the wire, what it can come to, and what services mean by the bodies of their answers. Pure.

A rule looks at any answer of its service; None where the body says nothing that the status does not. No list of
codes is ever whole: one that is not listed is a refusal of this one message, and says its code, so that the same
one again can be the channel's. Must never send, wait or log.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


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


class Step(StrEnum):
    """How far a conversation with a mail server had come."""

    CONNECT = "connect"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    END = "end"  # the message is on its way, or was sent whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and what came back. `body` is capped; `detail` names the failure in a few words, no secret.

    Of mail, `step` is where it was decided, `body` the server's words, and `partly` says that the message was
    accepted all the same, for others of its recipients.
    """

    wire: Wire = Wire.HTTP
    step: Step = Step.CONNECT
    partly: bool = False
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
    """The service refuses the channel, not the message: nothing will pass until a person fixes it.
    `delivered`: this message has arrived all the same, though not with everybody; it is not to be sent again."""

    reason: str
    status: int | None = None
    delivered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Dead:
    """The service refuses this message; sending it again would not help."""

    reason: str
    status: int | None = None
    code: str | None = None
    """The service's own code of the refusal, where it has one: the same one twice is about the channel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainOnce:
    """The service refuses this message as it is: try it once more as the plainest text. `links`: what it
    refuses may be its links. `policy`: where the plainest is refused too, it is about the channel."""

    reason: str
    status: int | None = None
    code: str | None = None
    links: bool = False
    policy: bool = False


Final: TypeAlias = Sent | Retry | Unknown | Hold | Dead
Verdict: TypeAlias = Final | PlainOnce


RATE_WAIT = 60.0
"""Seconds to wait after a vendor's "too fast" code, where nothing else is known: most windows are one minute."""
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
    """The object `error` of an answer."""
    found = answer.get("error")
    return found if isinstance(found, dict) else {}


_CODES = ("errcode", "StatusCode", "error_code", "id", "code")
_INNER_CODES = ("status", "code")
"""Where answers hold the code of a fault, and where an object `error` in them does; the most telling ones first.
"""


def code_of(last: Exchange) -> str:
    """The code of a refusal, alike for all refusals of the same kind: the service's own, else its words without
    what changes from one to the next (numbers, names), else the status."""
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
    """Seconds that a body asks to wait, as Discord (`retry_after`), Telegram (`parameters.retry_after`) and Matrix
    (`retry_after_ms`) do."""
    answer = answer_of(body) or {}
    parameters = answer.get("parameters")
    for held in (answer, parameters if isinstance(parameters, dict) else {}):
        for name, unit in (("retry_after", 1.0), ("retry_after_ms", 0.001)):
            value = held.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9:
                return value * unit
    return None


def unreadable(last: Exchange) -> Unknown:
    """A success that does not look like this service's."""
    what = "the answer broke off" if not last.whole else "the answer is not the one that this service gives"
    return Unknown(reason=f"HTTP {last.status}: {what}", status=last.status)


def sent(last: Exchange) -> Sent:
    """The service took it."""
    return Sent(reason=f"HTTP {last.status}", status=last.status)


def refused(last: Exchange, words: str) -> str:
    """The reason of a refusal in `words`."""
    return f"HTTP {last.status}: refused" + (f" ({words})" if words else "")


def too_fast(last: Exchange, reason: str, after: float = RATE_WAIT) -> Retry:
    """Nothing more for `after` seconds."""
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
    """The rule of a service that answers 200 to everything and means it by a number in the body: 0 is success.
    `rate` are the codes for "too fast", with the seconds to wait; `rate_words` in its reason mean that whatever
    the number; `links` may be about the message's links."""

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
    """A code as a number, which some services write as a text."""
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
    """The rule of a service whose body holds a truth value named `flag`, and a word for the fault. `word` is a
    whole body that also means success. `hold` is found in faults that are about the channel, unless `message` is
    found in them too; `unclear` faults may have come after the message was posted."""

    def rule(last: Exchange) -> Verdict | None:  # noqa: PLR0911 - one line for each sort of answer
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
    """The group's new number, where Telegram says that it has one."""
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
"""What these services' answers about a fault hold, behind a gateway that makes 200 of every status too."""
