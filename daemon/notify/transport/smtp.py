"""Records a conversation with a mail server by watching smtplib, so that a refusal keeps its step and reply text.

Owns the only patches of smtplib: installed once, without effect unless there is a watch. A reply is read by its
first digit (RFC 5321, 4.2), so an unusual positive code is an acceptance. It logs nothing and keeps no message.
"""

import base64
import functools
import smtplib
import ssl
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from daemon.notify.transport.bounded import Watch, current_watch
from daemon.notify.transport.verdicts import Exchange, Failure, Step, Wire, at_host, why_unconnected

_PARTS = {"__init__": Step.CONNECT, "starttls": Step.STARTTLS, "login": Step.AUTH, "sendmail": Step.MAIL}
"""Methods of smtplib.SMTP and the step that each begins with."""
_COMMANDS = {
    "ehlo": Step.EHLO,
    "helo": Step.EHLO,
    "STARTTLS": Step.STARTTLS,
    "AUTH": Step.AUTH,
    "mail": Step.MAIL,
    "rcpt": Step.RCPT,
    "data": Step.DATA,
}
"""As smtplib writes them."""
_TAKES_ANY_2YZ = frozenset({Step.MAIL, Step.RCPT, Step.END})
_REFUSED = {
    Step.CONNECT: "the server accepts no mail from this machine",
    Step.EHLO: "the server refuses the greeting",
    Step.STARTTLS: "the server refuses TLS",
    Step.AUTH: "the login is refused",
    Step.MAIL: "the sender is refused",
    Step.RCPT: "the recipient is refused",
    Step.DATA: "the message is refused",
    Step.END: "the message is refused",
}


@functools.cache
def watch_mail() -> None:
    """Patch smtplib."""
    smtp: Any = smtplib.SMTP
    for name in _PARTS:
        setattr(smtp, name, _recorded(name, getattr(smtp, name)))
    smtp.putcmd = _at_command(smtp.putcmd)
    smtp.send = _at_message(smtp.send)
    smtp.getreply = _read(smtp.getreply)


def _recorded(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    """Record the failure of a part of the conversation, and the success of `sendmail`."""

    @functools.wraps(original)
    def part(mail: smtplib.SMTP, *args: Any, **kwargs: Any) -> Any:
        watch = current_watch()
        if watch is None:
            return original(mail, *args, **kwargs)
        watch.step = _PARTS[name]
        if name == "__init__":
            watch.host = ":".join(map(str, args[:2]))
        if name == "__init__" and "timeout" in kwargs:
            kwargs["timeout"] = min(watch.left, kwargs["timeout"])
        call = _login if name == "login" else original
        try:
            with watch.counting():
                watch.hold(lambda: getattr(mail, "sock", None))
                result = call(mail, *args, **kwargs)
        except (OSError, RuntimeError, ValueError) as error:  # smtplib's errors are OSErrors
            found = _failed(watch, name, error)
            told = at_host(found.detail, watch.host) if found.status is None else found.detail
            watch.exchanges.append(replace(found, detail=told))
            raise
        if name == "sendmail":
            watch.exchanges.append(_taken(result))
        return result

    def _login(mail: smtplib.SMTP, user: str, password: str, **kwargs: Any) -> Any:
        if user.isascii() and password.isascii():
            return original(mail, user, password, **kwargs)
        return _login_in_utf8(mail, user, password)

    return part


def _login_in_utf8(mail: smtplib.SMTP, user: str, password: str) -> Any:
    """AUTH PLAIN in UTF-8 (RFC 4616), which smtplib's own login cannot write."""
    mail.ehlo_or_helo_if_needed()
    if "PLAIN" not in mail.esmtp_features.get("auth", "").upper().split():
        raise smtplib.SMTPNotSupportedError("the server takes no login in UTF-8")
    secret = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
    code, words = mail.docmd("AUTH", f"PLAIN {secret}")
    if code not in {235, 503}:  # 503: logged in already
        raise smtplib.SMTPAuthenticationError(code, words)
    return code, words


def _at_command(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def putcmd(mail: smtplib.SMTP, cmd: str, args: str = "") -> Any:
        watch = current_watch()
        if watch is not None and cmd in _COMMANDS:
            watch.step = _COMMANDS[cmd]
        return original(mail, cmd, args)

    return putcmd


def _at_message(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def send(mail: smtplib.SMTP, what: str | bytes) -> Any:
        watch = current_watch()
        if watch is not None and watch.step is Step.DATA and isinstance(what, bytes):
            watch.step = Step.END
        return original(mail, what)

    return send


def _read(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def getreply(mail: smtplib.SMTP) -> Any:
        code, words = original(mail)
        watch = current_watch()
        if watch is not None and watch.expired:
            mail.close()
            raise TimeoutError  # the line may be cut off, so it proves nothing
        if watch is not None and watch.step in _TAKES_ANY_2YZ and 200 <= code < 300:
            return 250, words
        return code, words

    return getreply


def _taken(refused: dict[str, tuple[int, bytes]]) -> Exchange:
    """The message was accepted, though maybe not for all recipients."""
    if not refused:
        return Exchange(wire=Wire.SMTP, step=Step.END, status=250, detail="accepted")
    code, words = _worst(refused)
    return Exchange(
        wire=Wire.SMTP,
        step=Step.RCPT,
        status=code,
        body=words,
        partly=True,
        detail=f"{len(refused)} of the recipients did not get it, the others have",
    )


def _worst(refused: dict[str, tuple[int, bytes]]) -> tuple[int, bytes]:
    """The refusal that decides: a temporary one before a permanent one, because a retry may succeed."""
    return min(refused.values(), key=lambda reply: not 400 <= reply[0] < 500)


def _failed(  # noqa: PLR0911 - one line for each way to fail
    watch: Watch, part: str, error: BaseException
) -> Exchange:
    """The exchange for an error of smtplib, at the step that the conversation had reached."""
    step = watch.step
    if isinstance(error, smtplib.SMTPRecipientsRefused) and error.recipients:
        return _refused(Step.RCPT, *_worst(error.recipients))
    if isinstance(error, smtplib.SMTPResponseException) and isinstance(error.smtp_error, bytes):
        return _refused(step, error.smtp_code, error.smtp_error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return _impossible(step, f"the certificate is not trusted: {error.verify_message}")
    if type(error) is ssl.SSLError:  # the handshake failed; a lost connection raises a subclass
        return _impossible(step, _no_tls(error.reason))
    if isinstance(error, smtplib.SMTPNotSupportedError | UnicodeEncodeError):
        return _impossible(step, _LACKS.get(part, "the server does not take such addresses"))
    if type(error) is smtplib.SMTPException:
        return _impossible(step, "the server offers no login that wrapd knows")
    late = watch.expired or isinstance(error, TimeoutError)
    detail = "the mail server " + ("did not answer in time" if late else "ended the connection")
    if step is Step.END:
        failure = Failure.TIMED_OUT if late else Failure.BROKEN
        return Exchange(wire=Wire.SMTP, step=step, failure=failure, detail=detail)
    early = (
        why_unconnected(error, expired=watch.expired)
        if step in _BEFORE_IT_TALKS
        else f"{detail}, before the message"
    )
    return Exchange(wire=Wire.SMTP, step=step, failure=Failure.NOT_SENT, detail=early)


def _no_tls(reason: str) -> str:
    """Why there is no TLS, by OpenSSL's reason."""
    if reason == "WRONG_VERSION_NUMBER":  # how OpenSSL reads a plaintext greeting
        return "the server speaks no TLS on this port, unless by mode=starttls"
    words = str(reason).lower().replace("_", " ")
    return f"the server and this machine cannot agree on TLS ({words})"


_LACKS = {"starttls": "the server offers no TLS", "login": "the server offers no login"}
_BEFORE_IT_TALKS = frozenset({Step.CONNECT, Step.STARTTLS})


def _refused(step: Step, code: int, words: bytes) -> Exchange:
    if code >= 400:
        return Exchange(wire=Wire.SMTP, step=step, status=code, body=words, detail=_REFUSED[step])
    detail = "the mail server's answer cannot be understood"
    failure = Failure.BROKEN if step is Step.END else Failure.NOT_SENT
    return Exchange(wire=Wire.SMTP, step=step, failure=failure, detail=detail)


def _impossible(step: Step, detail: str) -> Exchange:
    return Exchange(wire=Wire.SMTP, step=step, failure=Failure.REFUSED, detail=detail)
