"""What was seen on the wire, and what it can come to. Plain values."""

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
