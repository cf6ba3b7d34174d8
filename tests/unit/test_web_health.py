"""Health by progress, and the probes' answers over a real socket."""

import asyncio
import http.client
import json
import socket
import time

import pytest

from daemon.errors import ConfigFault
from daemon.web import Health, Part, Probes, WebServer, build_app, judge_health, listen


def part(name: str, last: float | None) -> Part:
    return Part(name=name, last=last, limit=30)


def test_a_part_is_stalled_after_its_limit() -> None:
    parts = [part("fresh", 90), part("old", 60)]
    assert judge_health(parts, now=90, started=0).ok
    assert judge_health(parts, now=90.2, started=0).stalled == {"old": 30.2}


def test_a_part_that_never_ran_is_given_its_limit_from_the_start() -> None:
    assert judge_health([part("new", None)], now=129, started=100).ok
    assert not judge_health([part("new", None)], now=131, started=100).ok


async def _metrics() -> bytes:
    return b"a 1\n"


def _get(address: str, path: str) -> tuple[int, str, bytes]:
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, answer.getheader("Content-Type", ""), body


async def test_the_probes_say_what_they_are_told() -> None:
    health = {"alive": Health(stalled={}), "ready": Health(stalled={"writer": 31.0})}
    probes = Probes(alive=lambda: health["alive"], ready=lambda: health["ready"])
    web = WebServer(build_app(probes, _metrics, metrics_type="text/plain"), listen("127.0.0.1", 0))
    web.start()
    try:
        status, _, body = await asyncio.to_thread(_get, web.address, "/healthz")
        assert (status, json.loads(body)) == (200, {"status": "ok", "stalled": {}})
        status, _, body = await asyncio.to_thread(_get, web.address, "/readyz")
        assert (status, json.loads(body)) == (503, {"status": "stalled", "stalled": {"writer": 31.0}})
        status, kind, body = await asyncio.to_thread(_get, web.address, "/metrics")
        assert (status, body) == (200, b"a 1\n")
        assert kind.startswith("text/plain")
        for path in ("/", "/docs", "/openapi.json", "/metrics/../healthz/x"):
            assert (await asyncio.to_thread(_get, web.address, path))[0] == 404
    finally:
        await web.stop()
    with pytest.raises(ConnectionRefusedError):
        _get(web.address, "/healthz")


def test_an_address_in_use_is_one_clear_fault() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigFault, match=rf"web\.listen: cannot listen on 127\.0\.0\.1:{port}: .*port 0"):
            listen("127.0.0.1", port)


async def test_a_connection_that_brings_no_request_loses_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.web.connections.PATIENCE", 0.15)
    monkeypatch.setattr("daemon.web.connections._SWEEP", 0.02)
    probes = Probes(alive=lambda: Health(stalled={}), ready=lambda: Health(stalled={}))
    web = WebServer(build_app(probes, _metrics, metrics_type="text/plain"), listen("127.0.0.1", 0))
    web.start()
    host, _, port = web.address.rpartition(":")
    silent, silent_writer = await asyncio.open_connection(host, int(port))
    slow, slow_writer = await asyncio.open_connection(host, int(port))
    slow_writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
    try:
        async with asyncio.timeout(60):
            assert await silent.read() == b""
            assert await slow.read() == b""
        assert (await asyncio.to_thread(_get, web.address, "/healthz"))[0] == 200
    finally:
        for writer in (silent_writer, slow_writer):
            writer.close()
        await web.stop()


async def test_answers_on_a_kept_connection_do_not_wait_for_each_other() -> None:
    """Without TCP_NODELAY each would take the 40 ms of a delayed acknowledgement."""
    probes = Probes(alive=lambda: Health(stalled={}), ready=lambda: Health(stalled={}))
    web = WebServer(build_app(probes, _metrics, metrics_type="text/plain"), listen("127.0.0.1", 0))
    web.start()
    try:
        took = await asyncio.to_thread(_take_times, web.address, 21)
    finally:
        await web.stop()
    assert sorted(took)[10] < 0.03, took


def _take_times(address: str, count: int) -> list[float]:
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    took = []
    for _ in range(count):
        began = time.perf_counter()
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        took.append(time.perf_counter() - began)
    connection.close()
    return took
