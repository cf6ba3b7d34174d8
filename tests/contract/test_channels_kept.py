"""Connections between consecutive messages are kept where that is safe, and no longer."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
import requests

from daemon.domain.jobs import ChannelName
from daemon.notify.transport import Channel, ChannelSettings, bounded, open_channel
from daemon.notify.transport.verdicts import Retry, Sent, Unknown
from tests.support.alerts import message
from tests.support.webhook import Webhook

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """A server that keeps connections open; `answers` are used up in order, then each request gets `OK`. None:
    close without an answer. `ends` reports each connection that the other side closed."""

    def __init__(self) -> None:
        self.answers: list[bytes | None] = []
        self.connections: list[int] = []
        self.ends = threading.Semaphore(0)
        self.close_after: set[int] = set()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"json://127.0.0.1:{self._socket.getsockname()[1]}/hook"
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def requests(self) -> int:
        return sum(self.connections)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections.append(0)
            number = len(self.connections) - 1
            threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with (
            connection,
            connection.makefile("rb") as stream,
            contextlib.suppress(OSError),
        ):  # the other side hung up
            while self._request(stream):
                self.connections[number] += 1
                answer = self.answers.pop(0) if self.answers else OK
                if answer is None:
                    return
                connection.sendall(answer)
                if self.requests in self.close_after:
                    break
            connection.shutdown(socket.SHUT_RDWR)
        self.ends.release()

    def _request(self, stream: object) -> bool:
        size = 0
        line: bytes
        while line := stream.readline():  # type: ignore[attr-defined]
            if line.lower().startswith(b"content-length:"):
                size = int(line.split(b":")[1])
            if line == b"\r\n":
                return len(stream.read(size)) == size  # type: ignore[attr-defined]
        return False


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as one:
        yield one


def channel(server: Server) -> Channel:
    return open_channel(ChannelSettings(name=ChannelName("a"), url=server.url))


def test_messages_that_follow_one_another_share_a_connection_that_is_closed_after_them(server: Server) -> None:
    one = channel(server)
    for _ in range(5):
        assert isinstance(one.send(message(), more=True).verdict, Sent)
    assert server.connections == [5]
    one.close_kept()
    assert server.ends.acquire(timeout=60)
    assert isinstance(one.send(message()).verdict, Sent)
    assert server.ends.acquire(timeout=60)
    assert server.connections == [5, 1]


def test_a_connection_that_the_server_has_closed_is_not_used(server: Server) -> None:
    one = channel(server)
    server.close_after = {1, 2, 3}
    for _ in range(4):
        assert isinstance(one.send(message(), more=True).verdict, Sent)
        if server.requests < 4:
            assert server.ends.acquire(timeout=60)
    assert server.connections == [1, 1, 1, 1]
    one.close_kept()


def test_one_that_lay_idle_for_long_is_not_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    one = channel(server)
    one.send(message(), more=True)
    monkeypatch.setattr(bounded, "KEPT_FOR", -1.0)
    assert isinstance(one.send(message(), more=True).verdict, Sent)
    assert server.connections == [1, 1]
    one.close_kept()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno",
        b"HTTP/1.1 429 Slow\r\nContent-Length: 2\r\n\r\nno",
        b"HTTP/1.1 500 Fault\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000,
    ],
)
def test_after_anything_but_a_good_answer_there_is_a_new_one(server: Server, answer: bytes) -> None:
    one = channel(server)
    server.answers = [OK, answer]
    assert isinstance(one.send(message(), more=True).verdict, Sent)
    assert isinstance(one.send(message(), more=True).verdict, Retry)
    assert isinstance(one.send(message(), more=True).verdict, Sent)
    assert server.connections == [2, 1]
    one.close_kept()


def test_a_connection_that_ends_under_a_message_leaves_it_unknown(server: Server) -> None:
    one = channel(server)
    server.answers = [OK, None]
    assert isinstance(one.send(message(), more=True).verdict, Sent)
    assert isinstance(one.send(message(), more=True).verdict, Unknown)
    assert server.requests == 2  # and it is not sent again behind our back
    one.close_kept()


@pytest.mark.parametrize("interim", ["100 Continue", "102 Processing", "103 Early Hints", "199 X"])
@pytest.mark.parametrize("times", [1, 3])
def test_an_interim_answer_is_not_the_answer(server: Server, interim: str, times: int) -> None:
    before = f"HTTP/1.1 {interim}\r\nLink: </style.css>; rel=preload\r\n\r\n".encode() * times
    refused = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
    server.answers = [before + OK, before + refused, OK]
    one = channel(server)
    assert [type(one.send(message(), more=True).verdict) for _ in range(3)] == [Sent, Retry, Sent]
    one.close_kept()


def test_the_deadline_holds_for_a_kept_connection_too(server: Server) -> None:
    one = channel(server)
    server.answers = [OK, b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf"]
    assert isinstance(one.send(message(), more=True).verdict, Sent)
    report = one.send(message(), timeout=0.3, more=True)
    assert isinstance(report.verdict, Unknown | Sent)
    assert report.seconds < 5
    assert isinstance(one.send(message(), more=True).verdict, Sent)
    assert server.connections == [2, 1]
    one.close_kept()


def test_a_plain_request_needs_no_session(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    one = channel(server)
    with bounded.watching(1.0):  # what is patched is patched by now
        monkeypatch.setattr(requests.Session, "send", None)
    for _ in range(3):
        assert isinstance(one.send(message(), more=True).verdict, Sent)
    assert server.connections == [3]
    one.close_kept()


def test_a_login_of_the_environment_is_sent_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password s3cret-netrc\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with Webhook() as hook:
        one = open_channel(ChannelSettings(name=ChannelName("a"), url=hook.url()))
        for _ in range(2):
            assert isinstance(one.send(message(), more=True).verdict, Sent)
        one.close_kept()
    assert all(request.headers["authorization"].startswith("Basic ") for request in hook.requests)
