"""A mail server on the loopback: RFC 5321 with STARTTLS (RFC 3207) and AUTH PLAIN and LOGIN (RFC 4954).

`with MailServer() as server: server.url("case-1")` gives an Apprise URL that writes to case-1@example.com. It
requires TLS and a login as real submission servers do, keeps accepted mail in `taken`, and refuses commands out of
order. `server.program("case-1", Fault(at="RCPT", reply="550 5.1.1 no such user"))` sets the fault of the next
conversations that name this recipient. Runs in its own threads, in real time.
"""

import base64
import socket
import socketserver
import threading
from collections import defaultdict, deque
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast
from urllib.parse import quote

from tests.support.services import server_tls

if TYPE_CHECKING:
    from collections.abc import Callable

USER, PASSWORD = "wrapd", "m4il-passw0rd-7731"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault at a step (GREETING, EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, or END, after the message): a reply, or
    "hang", "drip", "reset" or "close". Faults before MAIL need `MailServer(fault=…)`, since the recipient is not
    known before. A fault at RCPT does not hit the recipient `spares`."""

    at: str
    reply: str
    spares: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A mail that was answered with 250."""

    sender: str
    recipients: tuple[str, ...]
    raw: bytes
    encrypted: bool

    @property
    def mail(self) -> EmailMessage:
        return cast("EmailMessage", message_from_bytes(self.raw, policy=policy.default))


class MailServer:
    """The server; listens from `__enter__` on."""

    def __init__(self, *, tls: bool = True, fault: Fault | None = None, password: str = PASSWORD) -> None:
        self.password = password
        self.tls = server_tls() if tls else None
        self.fault = fault
        self.taken: list[Taken] = []
        self.begun = 0
        """The number of conversations so far."""
        self.conversations: list[str] = []
        """The recipient of each mail begun (an empty string for a conversation that named none)."""
        self.hung = threading.Event()
        """Set once a conversation hangs or drips."""
        self.over = threading.Event()
        self.lock = threading.Condition()
        self._programs: defaultdict[str, deque[Fault]] = defaultdict(deque)
        box = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                _Conversation(box, self.request).run()

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 64

            def handle_error(self, request: object, client_address: object) -> None:
                """Ignore clients that hung up."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.port = int(self._server.server_address[1])

    def url(self, key: str = "team", *, mode: str = "starttls") -> str:
        """Return an Apprise URL whose mail goes to `key`@example.com."""
        scheme = "mailto" if mode == "insecure" else "mailtos"
        return (
            f"{scheme}://{USER}:{quote(self.password, safe='')}@localhost:{self.port}/?mode={mode}"
            f"&from=wrapd@example.com&to={key}@example.com"
        )

    def program(self, key: str, *faults: Fault) -> None:
        """Set the faults of the next conversations about `key`, one each."""
        self._programs[f"{key}@example.com"].extend(faults)

    def forget(self) -> None:
        """Clear all faults."""
        self.fault = None
        self._programs.clear()

    def of(self, key: str) -> list[Taken]:
        """Return the mails accepted for `key`."""
        return [each for each in list(self.taken) if f"{key}@example.com" in each.recipients]

    def tries(self, key: str) -> int:
        """Return how many conversations named `key`."""
        return self.conversations.count(f"{key}@example.com")

    def fault_of(self, recipient: str) -> Fault | None:
        """Return the fault of a conversation about this recipient."""
        with self.lock:
            self.conversations.append(recipient)
            waiting = self._programs[recipient]
            return waiting.popleft() if waiting else None

    def let_go(self) -> None:
        """Release all hanging conversations."""
        self.over.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.let_go()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Ended(Exception):
    """Ends the conversation."""


class _Conversation:
    """One connection from greeting to end."""

    def __init__(self, server: MailServer, connection: socket.socket) -> None:
        self.server, self.connection = server, connection
        self.file = connection.makefile("rb")
        self.fault = server.fault
        self.secure = self.known = False
        self.sender: str | None = None
        self.recipient = ""
        self.recipients: list[str] = []

    def run(self) -> None:
        with self.server.lock:
            self.server.begun += 1
        try:
            self.say("GREETING", "220 mail.example.com ESMTP")
            while line := self.file.readline(1026):
                self.obey(line.rstrip(b"\r\n").decode("ascii", "replace"))
        except (_Ended, OSError):
            return
        finally:
            self.file.close()
            self.connection.close()

    def obey(self, line: str) -> None:
        verb, _, rest = line.partition(" ")
        commands: dict[str, Callable[[str], None]] = {
            "EHLO": self.ehlo,
            "STARTTLS": self.starttls,
            "AUTH": self.auth,
            "MAIL": self.mail,
            "RCPT": self.rcpt,
            "DATA": self.data,
            "RSET": self.rset,
            "QUIT": self.quit,
        }
        command = commands.get(verb.upper())
        if command is None:
            self.reply("500 5.5.1 unknown command")
        else:
            command(rest)

    def ehlo(self, _rest: str) -> None:
        offers = ["mail.example.com", "SIZE 20000000", "8BITMIME", "SMTPUTF8"]
        offers += ["STARTTLS"] if self.server.tls is not None and not self.secure else []
        offers += ["AUTH PLAIN LOGIN"] if self.secure or self.server.tls is None else []
        lines = [f"250-{offer}" for offer in offers[:-1]] + [f"250 {offers[-1]}"]
        self.say("EHLO", "\r\n".join(lines))

    def starttls(self, _rest: str) -> None:
        if self.server.tls is None or self.secure:
            self.reply("502 5.5.1 not here")
            return
        self.say("STARTTLS", "220 go ahead")
        self.file.close()
        self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.file = self.connection.makefile("rb")
        self.secure = True

    def auth(self, rest: str) -> None:
        how, _, first = rest.partition(" ")
        if how.upper() == "PLAIN":
            _, user, password = base64.b64decode(first or self.ask("")).decode().split("\0")
        else:
            user = base64.b64decode(first or self.ask("VXNlcm5hbWU6")).decode()
            password = base64.b64decode(self.ask("UGFzc3dvcmQ6")).decode()
        self.known = (user, password) == (USER, self.server.password)
        self.say("AUTH", "235 2.7.0 welcome" if self.known else "535 5.7.8 wrong user or password")

    def ask(self, question: str) -> str:
        self.reply(f"334 {question}")
        return self.file.readline(1026).decode("ascii").strip()

    def mail(self, rest: str) -> None:
        if not self.known:
            self.reply("530 5.7.0 authentication required")
            return
        self.sender, self.recipients = _address(rest), []
        self.say("MAIL", "250 2.1.0 fine")

    def rcpt(self, rest: str) -> None:
        if self.sender is None:
            self.reply("503 5.5.1 MAIL first")
            return
        recipient = self.recipient = _address(rest)
        self.fault = self.fault or self.server.fault_of(recipient)
        if self.say("RCPT", "250 2.1.5 fine"):
            self.recipients.append(recipient)

    def data(self, _rest: str) -> None:
        if not self.recipients:
            self.reply("503 5.5.1 RCPT first")
            return
        if not self.say("DATA", "354 end with a dot"):
            return
        lines: list[bytes] = []
        while (line := self.file.readline()) != b".\r\n":
            if not line.endswith(b"\r\n"):
                raise _Ended  # broken off, or not an SMTP line
            lines.append(line.removeprefix(b"."))
        mail = Taken(
            sender=self.sender or "",
            recipients=tuple(self.recipients),
            raw=b"".join(lines),
            encrypted=self.secure,
        )
        if self.fault is None or self.fault.at != "END":
            self.keep(mail)
        self.say("END", "250 2.0.0 queued")

    def keep(self, mail: Taken) -> None:
        with self.server.lock:
            self.server.taken.append(mail)
            self.server.lock.notify_all()

    def rset(self, _rest: str) -> None:
        self.sender, self.recipients = None, []
        self.reply("250 2.0.0 forgotten")

    def quit(self, _rest: str) -> None:
        self.reply("221 2.0.0 bye")
        raise _Ended

    def say(self, step: str, usual: str) -> bool:
        """Answer a step normally or with the fault; return whether the answer is a success."""
        spared = step == "RCPT" and self.fault is not None and self.fault.spares == self.recipient
        if self.fault is None or self.fault.at != step or spared:
            self.reply(usual)
            return usual[0] in "23"
        match self.fault.reply:
            case "hang":
                self.server.hung.set()
                self.server.over.wait(30)
                raise _Ended
            case "drip":
                self.server.hung.set()
                while not self.server.over.wait(0.05):
                    self.connection.sendall(b"2")
                raise _Ended
            case "reset":
                linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.close()
                raise _Ended
            case "close":
                raise _Ended
            case other:
                self.reply(other)
                return other[0] in "23"

    def reply(self, text: str) -> None:
        self.connection.sendall(text.encode() + b"\r\n")


def _address(rest: str) -> str:
    """Return the address in `FROM:<a@b> SIZE=…`."""
    return rest.partition("<")[2].partition(">")[0]


__all__ = ["PASSWORD", "USER", "Fault", "MailServer", "Taken"]
