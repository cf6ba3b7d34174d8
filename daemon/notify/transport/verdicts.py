"""The verdict on an attempt to send, judged from the answers on the wire, never from log text. Pure.

Owns the verdicts by HTTP status, by SMTP reply and by kind of failure. Bodies are judged by the rule of their
service (daemon/notify/services).
"""

import errno
import re
import socket
import ssl
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any, assert_never

import requests
import urllib3
from msgspec.structs import replace

from daemon.notify.services.answers import (
    Dead,
    Exchange,
    Failure,
    Final,
    Hold,
    PlainOnce,
    Retry,
    Rule,
    Sent,
    Step,
    Unknown,
    Verdict,
    Wire,
    asked_to_wait,
    code_of,
    is_success,
    said,
)

__all__ = [
    "Dead",
    "Exchange",
    "Failure",
    "Final",
    "Hold",
    "PlainOnce",
    "Retry",
    "Sent",
    "Step",
    "Unknown",
    "Verdict",
    "Wire",
    "arrived",
    "at_host",
    "failed",
    "judge",
    "parse_retry_after",
    "settle",
    "why_unconnected",
]


def judge(
    rule: Rule | None, exchanges: Sequence[Exchange], *, accepted: bool, error: str | None, now: datetime
) -> Verdict:
    """The verdict on one attempt.

    `accepted` is the plugin's own result; `error` names an exception that it raised; `exchanges` are the recorded
    exchanges in order: a plugin may log in before and out after. If the plugin reports success, only a refusal in
    the body of a 2xx answer overrules it; otherwise the last failed exchange decides. `now` serves a Retry-After
    with a date.
    """
    verdicts = [_single(rule, exchange, now=now) for exchange in exchanges]
    if accepted:
        answers = [
            verdict for exchange, verdict in zip(exchanges, verdicts, strict=True) if is_success(exchange.status)
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


def _single(rule: Rule | None, exchange: Exchange, *, now: datetime) -> Verdict:
    """The verdict on one exchange by itself."""
    if exchange.status is None:
        return _unanswered(exchange)
    match exchange.wire:
        case Wire.SMTP:
            return _mail(exchange)
        case Wire.HTTP:
            return _http(rule, exchange, now=now)
        case _:
            assert_never(exchange.wire)


def settle(verdict: Verdict) -> Final:
    """The verdict on an attempt in the plainest form: a message that is still refused is dead, or the channel is
    held if the service named a policy."""
    if isinstance(verdict, PlainOnce) and verdict.policy:
        return Hold(reason=verdict.reason, status=verdict.status)
    if isinstance(verdict, PlainOnce):
        return Dead(reason=verdict.reason, status=verdict.status, code=verdict.code)
    return verdict


def arrived(verdict: Verdict) -> bool:
    """Whether the channel took the message, for some of its recipients at least."""
    return isinstance(verdict, Sent) or (isinstance(verdict, Hold) and verdict.delivered)


def parse_retry_after(value: str | None, *, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks to wait, never negative; None if it holds neither seconds nor an HTTP
    date."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            at = parsedate_to_datetime(value)
            seconds = ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()
        except (ValueError, OverflowError):  # no date, or one out of range
            return None
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
    rule: Rule | None, last: Exchange, *, now: datetime
) -> Verdict:
    status = last.status
    assert status is not None
    asked = parse_retry_after(last.retry_after, now=now)
    found = rule(last) if rule is not None and not 300 <= status < 400 else None
    if status == 429 or (status == 503 and last.retry_after):
        after = asked_to_wait(last.body) if asked is None else asked
        if after is None and isinstance(found, Retry):
            after = found.after
        return Retry(reason=_status_text(status, last.body), status=status, after=after, throttled=True)
    if isinstance(found, Retry) and found.throttled and asked is not None:
        return replace(found, after=asked)
    if found is not None:
        return found
    if is_success(status):
        return Sent(reason=f"HTTP {status}", status=status)
    if 300 <= status < 400:
        reason = f"HTTP {status}: a redirect, which is not followed; the channel's URL needs the final address"
        return Hold(reason=reason, status=status)
    reason = _status_text(status, last.body)
    if status >= 500 or status in _PASSING:
        return Retry(reason=reason, status=status)
    if status in _ABOUT_THE_MESSAGE:
        return PlainOnce(reason=reason, status=status, code=code_of(last))
    return Hold(reason=reason, status=status)


_PASSING = frozenset({408, 421, 425})
_ABOUT_THE_MESSAGE = frozenset({400, 411, 413, 414, 415, 422, 431})
_NAMES = {
    400: "the service does not understand the message",
    401: "the service refuses the channel's token or key",
    403: "the service forbids it",
    404: "the service does not know this address",
    405: "the address does not accept messages",
    407: "the proxy requires a login, or refuses the one given",
    408: "the service waited too long for the request",
    410: "the address is gone",
    413: "the message is too long",
    429: "too many requests",
    500: "the service has a fault",
    502: "the service cannot be reached behind its gateway",
    503: "the service is overloaded or down",
    504: "the service did not answer its gateway",
}


def _status_text(status: int, body: bytes) -> str:
    """The status in words, with the service's own short reason where its body has one."""
    name = _NAMES.get(status) or ("the service has a fault" if status >= 500 else "the service refuses it")
    words = said(body)
    return f"HTTP {status}: {name} ({words})" if words else f"HTTP {status}: {name}"


_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s+|$)")
"""The code at the start of each line of a mail server's words (RFC 3463)."""
_TOO_LARGE = re.compile(r"5\.(?:2\.3|3\.4)$")
_SIZE = re.compile(r"\bsize\b|too (?:large|big|long)", re.IGNORECASE)
_NO_RELAY = "relay access denied"
"""Postfix's text, by default with a 454 although the refusal is permanent until a person changes the settings."""
_ABOUT_THE_ACCOUNT = frozenset("12347")
"""Subject digits of enhanced codes not about the message: address, mailbox, mail system, network, policy."""


def _mail(last: Exchange) -> Verdict:
    """The verdict on a mail exchange by its step. A refusal before the server has seen the message is about the
    sender, the recipient or the host; one after it is about the message, unless the plainest form is refused for a
    policy too."""
    status = last.status
    assert status is not None
    code, words = _mail_words(last.body)
    text = " ".join(part for part in (code, words) if part)
    reason = f"SMTP {status}: {last.detail}" if last.detail else f"SMTP {status}"
    reason += f" ({text})" if text else ""
    if last.partly:
        return Hold(reason=reason, status=status, delivered=True)
    if status < 400:  # a failure after it (the QUIT) does not undo it
        return Sent(reason=reason, status=status)
    if status < 500 and not (last.step is Step.RCPT and _NO_RELAY in words.lower()):
        return Retry(reason=reason, status=status)
    large = _TOO_LARGE.match(code) is not None or (status == 552 and not code and _SIZE.search(words) is not None)
    if last.step in {Step.DATA, Step.END}:
        account = not large and code[2:3] in _ABOUT_THE_ACCOUNT and bool(code)
        return PlainOnce(reason=reason, status=status, code=code or str(status), policy=account)
    if large:
        return PlainOnce(reason=reason, status=status, code=code or str(status), policy=True)
    return Hold(reason=reason, status=status)


def _mail_words(body: bytes) -> tuple[str, str]:
    """The enhanced code of a reply ('' if it has none), and its lines joined, without the code in each."""
    code, lines = "", []
    for line in body.decode("utf-8", "replace").splitlines():
        found = _ENHANCED.match(line)
        code = code or (found[1] if found is not None else "")
        lines.append(line[found.end() :] if found is not None else line)
    return code, " ".join(" ".join(lines).split())


NO_SOCKS = "a SOCKS proxy needs the Python package `PySocks`, which is not installed"
NO_PROXY = "the proxy variable does not hold an address"
NO_CA = "the certificate file does not exist"


def failed(error: BaseException, *, connected: bool, expired: bool, seconds: float, host: str) -> Exchange:
    """The exchange for an error of the libraries with `host`, which is told. `expired`: its deadline of `seconds`
    had passed."""
    causes = list(_chain(error))
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        reason = next(cause for cause in causes if isinstance(cause, ssl.SSLCertVerificationError))
        words = f"the certificate is not trusted: {reason.verify_message}"
        return Exchange(failure=Failure.REFUSED, detail=at_host(words, host))
    if not connected:
        impossible = _why_impossible(causes)
        if impossible:
            return Exchange(failure=Failure.REFUSED, detail=impossible)
        return Exchange(failure=Failure.NOT_SENT, detail=_unconnected(causes, host, expired=expired))
    if expired or any(isinstance(cause, _TIMEOUTS) for cause in causes):
        return Exchange(failure=Failure.TIMED_OUT, detail=at_host(f"no answer within {seconds:g} s", host))
    return Exchange(failure=Failure.BROKEN, detail=at_host("the connection ended before the answer", host))


def why_unconnected(error: BaseException, *, expired: bool) -> str:
    """Why no connection was made, in words."""
    return _why(list(_chain(error)), expired=expired)


def at_host(words: str, host: str) -> str:
    """What went wrong, and with which host and port.

    >>> at_host("the connection was refused", "chat.example.com:443")
    'the connection was refused (chat.example.com:443)'
    """
    return f"{words} ({host})" if host else words


def _unconnected(causes: list[BaseException], host: str, *, expired: bool) -> str:
    words = _why(causes, expired=expired)
    return words if words.startswith("the proxy") else at_host(words, host)


def _why(causes: list[BaseException], *, expired: bool) -> str:
    words = next((words for kinds, words in _UNCONNECTED if any(isinstance(each, kinds) for each in causes)), None)
    if words == _PROXY:
        refused = next((found for cause in causes if (found := _TUNNEL.search(str(cause)))), None)
        return f"the proxy refuses (HTTP {refused[1]})" if refused else _PROXY
    if words is not None:
        return words
    if expired or any(isinstance(cause, _TIMEOUTS) for cause in causes):
        return "no connection in time"
    if not any(isinstance(cause, OSError | urllib3.exceptions.HTTPError) for cause in causes):
        return f"the request could not be made ({type(causes[0]).__name__})"
    system = (cause.strerror for cause in causes if isinstance(cause, OSError) and cause.errno in errno.errorcode)
    return f"no connection: {next(system, None) or 'the other side ended it'}"


_TIMEOUTS = (TimeoutError, requests.Timeout, urllib3.exceptions.ReadTimeoutError)
_PROXY = "the proxy cannot be reached"
_UNCONNECTED: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((urllib3.exceptions.ProxyError,), _PROXY),
    ((socket.gaierror, urllib3.exceptions.NameResolutionError), "the host's name cannot be resolved"),
    ((ConnectionRefusedError,), "the connection was refused"),
    ((ssl.SSLError,), "the TLS handshake failed"),
)
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and all its causes, including those that requests and urllib3 wrap in arguments."""
    seen: set[int] = set()
    todo: list[Any] = [error]
    while todo:
        found = todo.pop(0)
        if not isinstance(found, BaseException) or id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        todo += [*found.args, getattr(found, "reason", None), found.__cause__, found.__context__]


def _why_impossible(causes: Iterable[BaseException]) -> str:
    """What a person must fix before any request can go out; '' if nothing."""
    for cause in causes:
        if isinstance(cause, requests.exceptions.InvalidSchema) and "SOCKS" in str(cause):
            return f"{NO_SOCKS} (ALL_PROXY, HTTPS_PROXY)"
        if isinstance(cause, requests.exceptions.InvalidProxyURL | urllib3.exceptions.ProxySchemeUnknown):
            return f"{NO_PROXY} (HTTPS_PROXY, ALL_PROXY)"
        if isinstance(cause, OSError) and "CA certificate bundle" in str(cause):
            return f"{NO_CA} (REQUESTS_CA_BUNDLE)"
        if isinstance(
            cause, requests.exceptions.InvalidURL | urllib3.exceptions.LocationValueError | UnicodeError
        ):
            return "the URL cannot be used"
    return ""
