"""Connections to a chat service through the environment's proxies and certificates."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.domain.jobs import ChannelName
from daemon.logs import MASKS
from daemon.notify.transport import ChannelSettings, SendReport, open_channel, proxy_doubts, proxy_passwords
from daemon.notify.transport.bounded import PROXY_NAMES
from daemon.notify.transport.verdicts import Hold, Retry, Sent
from tests.support.alerts import message
from tests.support.webhook import Webhook

SECRET = "pr0xy-passw0rd"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXY_NAMES, "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with Webhook() as stand_in:
        yield stand_in


def sent(url: str) -> SendReport:
    return open_channel(ChannelSettings(name=ChannelName("x"), url=url)).send(message(), timeout=3)


@pytest.mark.skipif(importlib.util.find_spec("socks") is not None, reason="PySocks is there")
@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks4"])
@pytest.mark.parametrize("name", ["ALL_PROXY", "https_proxy"])
def test_a_socks_proxy_without_its_library_is_said_plainly(
    scheme: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, f"{scheme}://me:{SECRET}@127.0.0.1:9")
    report = sent("jsons://chat.example.com/x")
    assert isinstance(report.verdict, Hold), "it waits for a person, and is never given up"
    assert "SOCKS" in report.reason
    assert "PySocks" in report.reason
    (doubt,) = proxy_doubts({name: f"{scheme}://me:{SECRET}@127.0.0.1:9"})
    assert doubt.startswith(f"{name} (environment): a SOCKS proxy")
    assert SECRET not in report.reason + doubt


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "all_proxy", "HTTP_PROXY"])
@pytest.mark.parametrize(
    "value",
    [
        f"http://me:{SECRET}@",
        f"http://me:{SECRET}@proxy.example.com:99999",
        f"http://me:{SECRET}@proxy.example.com:port",
        f"ftp://me:{SECRET}@proxy.example.com",
        f"http://[::1:{SECRET}",
        f"http://me:{SECRET}@proxy example.com:1",
        "http://",
    ],
)
def test_a_proxy_that_is_none_is_named_without_its_value(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (doubt,) = proxy_doubts({name: value})
    assert doubt.startswith(f"{name} (environment): ")
    assert SECRET not in doubt
    monkeypatch.setenv(name, value)
    report = sent("json://chat.invalid/x" if name == "HTTP_PROXY" else "jsons://chat.invalid/x")
    assert isinstance(report.verdict, Hold | Retry)
    assert SECRET not in report.reason


@pytest.mark.parametrize(
    "value",
    ["http://proxy.example.com:3128", f"https://me:{SECRET}@proxy:3128", "proxy.example.com:3128", "[::1]:1"],
)
def test_a_sound_proxy_is_not_doubted(value: str) -> None:
    assert list(proxy_doubts({"HTTPS_PROXY": value, "NO_PROXY": "*.internal, 10.0.0.0/8,,"})) == []


def test_a_proxy_gets_its_login_and_what_it_says_is_told(hook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://me:{SECRET}@{hook.address}")
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{SECRET}@{hook.address}")
    assert isinstance(sent("json://chat.example.com/x").verdict, Sent)
    assert hook.requests[0].headers["proxy-authorization"].startswith("Basic ")
    assert hook.requests[0].path == "http://chat.example.com/x"
    report = sent("jsons://chat.example.com/x")  # the stand-in does not tunnel
    assert report.verdict == Retry(reason="the proxy refuses (HTTP 501)")


def test_a_proxy_that_is_away_is_told_from_a_service_that_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with Webhook() as gone:
        address = gone.address
    monkeypatch.setenv("HTTPS_PROXY", f"http://{address}")
    assert sent("jsons://chat.example.com/x").verdict == Retry(reason="the proxy cannot be reached")


def test_what_needs_no_proxy_takes_none(hook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert isinstance(sent(hook.url()).verdict, Sent)


def test_certificates_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    away = str(tmp_path / "away.pem")
    assert list(proxy_doubts({"REQUESTS_CA_BUNDLE": away})) == [
        "REQUESTS_CA_BUNDLE (environment): the certificate file does not exist; messages over HTTPS wait"
    ]
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", away)
    report = sent("jsons://chat.example.com/x")
    assert report.verdict == Hold(reason="the certificate file does not exist (REQUESTS_CA_BUNDLE)")


def test_the_passwords_of_proxies_are_masked() -> None:
    assert proxy_passwords({"ALL_PROXY": f"http://me:{SECRET}@p:1", "NO_PROXY": "a"}) == {SECRET}
    assert MASKS.apply("plain") == "plain"
