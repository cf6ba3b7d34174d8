"""A loopback SMTP server with programmable replies that keeps every message. Runs in its own threads, in real
time."""

import socket
import socketserver
import threading
from types import TracebackType
from typing import Self


class Mailbox:
    """`with Mailbox(replies={"RCPT": "550 no such user"}) as box: box.url, box.messages`.

    `replies` gives the answer to a verb (GREETING, EHLO, AUTH, MAIL, RCPT, DATA, END); END is what follows the
    message. A reply of "hang" waits for the end of the test, "drip" sends bytes one by one, "close" hangs up.
    """

    def __init__(self, *, replies: dict[str, str] | None = None) -> None:
        self.replies = replies or {}
        self.messages: list[bytes] = []
        self.over = threading.Event()
        box = self

        class Session(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                box.talk(self)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """Ignore clients that hung up."""

        self._server = Server(("127.0.0.1", 0), Session)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.port = int(self._server.server_address[1])

    def url(self, options: str = "") -> str:
        return f"mailto://me:secret-word@127.0.0.1:{self.port}/?from=w@example.com&to=t@example.com&mode=insecure{options}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def talk(self, session: socketserver.StreamRequestHandler) -> None:
        if not self._say(session, "GREETING", "220 ready"):
            return
        while line := session.rfile.readline(2000):
            verb = line[:4].upper().decode("ascii", "replace").strip()
            if verb == "EHLO":
                good = self._say(session, "EHLO", "250-here\r\n250 AUTH PLAIN")
            elif verb == "DATA":
                good = self._data(session)
            elif verb == "QUIT":
                self._say(session, "QUIT", "221 bye")
                return
            else:
                good = self._say(session, verb, "235 welcome" if verb == "AUTH" else "250 fine")
            if not good:
                return

    def _data(self, session: socketserver.StreamRequestHandler) -> bool:
        if not self._say(session, "DATA", "354 go on"):
            return False
        if self.replies.get("DATA", "354")[0] != "3":
            return True
        lines = []
        while (line := session.rfile.readline()) not in {b".\r\n", b""}:
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)  # RFC 5321, 4.5.2
        self.messages.append(b"".join(lines))
        return self._say(session, "END", "250 queued")

    def _say(self, session: socketserver.StreamRequestHandler, step: str, usual: str) -> bool:
        reply = self.replies.get(step, usual)
        if reply == "hang":
            self.over.wait(30)
            return False
        if reply == "close":
            session.connection.shutdown(socket.SHUT_RDWR)
            return False
        if reply == "drip":
            for _ in range(600):
                session.wfile.write(b"2")
                session.wfile.flush()
                if self.over.wait(0.05):
                    break
            return False
        session.wfile.write(f"{reply}\r\n".encode())
        return True
