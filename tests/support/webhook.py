"""A loopback stand-in for any HTTP chat service: programmable answers, every request kept with its time.

`with Webhook() as hook: hook.url(), hook.program(Answer(status=429)), hook.requests`. Programmed answers are used
up in order, then `hook.default` holds. It runs in threads of its own, in real time.
"""

import json
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One received request."""

    at: datetime
    monotonic: float
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        found = json.loads(self.body)
        assert isinstance(found, dict)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A programmed answer. `hang` waits for `Webhook.let_go` first. `drip` sends the body one byte at a time, this
    many seconds apart; `drip_headers` does so with the headers. `reset` closes the connection hard, without an
    answer. `cut` announces more body than it sends."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    drip: float = 0.0
    drip_headers: float = 0.0
    reset: bool = False
    cut: bool = False


OK = Answer()


def ok_json(value: object, status: int = 200) -> Answer:
    return Answer(status=status, body=json.dumps(value).encode(), headers={"Content-Type": "application/json"})


def json_body(received: Received) -> dict[str, Any] | None:
    """The body if it is a JSON object in UTF-8 without lone surrogates."""
    try:
        found = json.loads(received.body.decode("utf-8"))
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    except (ValueError, UnicodeError):
        return None
    return found if isinstance(found, dict) else None


def form_fields(received: Received) -> dict[str, Any] | None:
    """Return the fields of a request sent as JSON, as a form, or as multipart with files (whose values are
    bytes)."""
    kind = received.headers.get("content-type", "")
    if kind.startswith("multipart/form-data"):
        boundary = kind.partition("boundary=")[2].encode()
        return dict(_part(part) for part in received.body.split(b"--" + boundary)[1:-1])
    if kind.startswith("application/x-www-form-urlencoded"):
        return {name: values[0] for name, values in parse_qs(received.body.decode()).items()}
    return json_body(received)


def _part(part: bytes) -> tuple[str, Any]:
    head, _, value = part.removesuffix(b"\r\n").partition(b"\r\n\r\n")
    name = head.partition(b'name="')[2].partition(b'"')[0].decode()
    return name, value if b"filename=" in head else value.decode()


class Webhook:
    """The stand-in. Listens from `__enter__` on, at a free port, or at `port` again after a pause."""

    def __init__(self, *, default: Answer = OK, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.default = default
        self.requests: list[Received] = []
        self._answers: list[Answer] = []
        self._lock = threading.Condition()
        self._let_go = threading.Event()
        self._server = _Server(("127.0.0.1", port), _handler(self))
        self.port = int(self._server.server_address[1])
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def connections(self) -> int:
        """The number of connections so far, whatever their outcome."""
        return self._server.connections

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str = "/hook", *, scheme: str = "json") -> str:
        return f"{scheme}://{self.address}{path}"

    def program(self, *answers: Answer) -> None:
        """Set the answers to the next requests, one each."""
        with self._lock:
            self._answers.extend(answers)

    def let_go(self) -> None:
        """Release all hanging answers."""
        self._let_go.set()

    def wait_for(self, number: int, *, seconds: float = 60.0) -> list[Received]:
        """Return the requests once there are `number` of them. Raises AssertionError after `seconds`."""
        with self._lock:
            assert self._lock.wait_for(lambda: len(self.requests) >= number, seconds), f"{len(self.requests)} came"
            return list(self.requests)

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

    def take(self, received: Received) -> Answer:
        with self._lock:
            self.requests.append(received)
            self._lock.notify_all()
            return self._answers.pop(0) if self._answers else self.default

    def hang(self) -> None:
        self._let_go.wait(30)

    def pause(self, seconds: float) -> bool:
        """Wait between two bytes of a drip; return True once all are released."""
        return self._let_go.wait(seconds)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128
    connections = 0

    def verify_request(self, request: Any, client_address: Any) -> bool:
        self.connections += 1
        return True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that hung up."""


def _handler(hook: Webhook) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_args: object) -> None: ...

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            received = Received(
                at=datetime.now(UTC),
                monotonic=time.monotonic(),
                method=self.command,
                path=self.path,
                headers={name.lower(): value for name, value in self.headers.items()},
                body=body,
            )
            self.close_connection = True
            _reply(self, hook, hook.take(received))

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = answer  # noqa: N815 - http.server's names

    return Handler


def _reply(handler: BaseHTTPRequestHandler, hook: Webhook, answer: Answer) -> None:
    if answer.hang:
        hook.hang()
        return
    if answer.reset:
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()
        return
    length = len(answer.body) + (100 if answer.cut else 0)
    lines = [f"HTTP/1.1 {answer.status} Answer", f"Content-Length: {length}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    head = ("\r\n".join(lines) + "\r\n\r\n").encode()
    _write(handler, hook, head, answer.drip_headers)
    _write(handler, hook, answer.body, answer.drip)


def _write(handler: BaseHTTPRequestHandler, hook: Webhook, data: bytes, pause: float) -> None:
    if not pause:
        handler.wfile.write(data)
        return
    for byte in data:
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()
        if hook.pause(pause):
            return
