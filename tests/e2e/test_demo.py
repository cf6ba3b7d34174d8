"""`wrapd demo` as a new user runs it, in a process of its own."""

import http.client
import os
import re
import signal
import subprocess
import sys
from urllib.parse import urlencode, urlsplit

import pytest

from tests.support.browsing import FORM

DEMO = (sys.executable, "-m", "daemon.cli", "demo")


@pytest.mark.long
def test_the_demo_shows_every_end_and_accounts_for_every_alert() -> None:
    done = subprocess.run(
        [*DEMO, "--exit-when-done", "--speed", "80"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    for shown in (
        "Ready: ",
        "Failed: ",
        "Canceled: ",
        "Frozen: ",
        "Moving again: ",
        "avatar video",
        "photo video",
        "Spring campaign",
    ):
        assert shown in done.stdout
    assert "Jobs         12: 1 CANCELED, 1 FAILED, 10 SUCCEED" in done.stdout
    assert re.search(r"Deliveries   15 sent, 0 missing", done.stdout)
    [transitions] = re.findall(r"Transitions  (\d+)", done.stdout)
    assert 12 + 2 <= int(transitions) <= 37, "the ends, the freeze and the thaw at least; no more than there were"
    assert re.search(r"Requests     \d+ ", done.stdout)


@pytest.mark.long
def test_its_pages_open_by_the_address_that_it_prints_and_stay() -> None:
    command = [*DEMO, "--jobs", "2", "--speed", "80"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as it:
        assert it.stdout is not None
        try:
            first = next(line for line in it.stdout if "/login?once=" in line)
            cookie = log_in(first)
            assert any("Opening words" in line for line in it.stdout), "its alert: the service has told its name"
            assert "Opening words" in page(first, "/jobs", cookie)
            assert log_in(first) == "", "it works once"
            last = next(line for line in it.stdout if "/login?once=" in line)
            shown = page(last, "/jobs", log_in(last))
            assert shown.count(">Finished<") == 3, "both, and the choice of these"
            assert "Opening words" in page(first, "/jobs", cookie), "it is served on"
        finally:
            os.kill(it.pid, signal.SIGINT)
        assert it.wait(60) == 0


def asked(
    line: str, method: str, path: str, headers: dict[str, str], body: str | None = None
) -> tuple[str, dict[str, str]]:
    """The body and headers of an answer of the pages whose address is in a line that was printed."""
    connection = http.client.HTTPConnection(urlsplit(line.rsplit(maxsplit=1)[-1]).netloc, timeout=60)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.read().decode(), {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()


def log_in(line: str) -> str:
    """Log in by the address in the line, as its form does; return the cookie, empty if that is refused."""
    once = urlsplit(line.rsplit(maxsplit=1)[-1]).query.removeprefix("once=")
    _, headers = asked(line, "POST", "/login", FORM, urlencode({"once": once}))
    return headers.get("set-cookie", "").partition(";")[0]


def page(line: str, path: str, cookie: str) -> str:
    return asked(line, "GET", path, {"Cookie": cookie})[0]


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_a_signal_ends_the_demo_quietly(number: signal.Signals) -> None:
    with subprocess.Popen(
        [*DEMO, "--jobs", "1", "--speed", "1"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as it:
        assert it.stdout is not None
        assert b"simulated MetaStudio" in it.stdout.readline()
        os.kill(it.pid, number)
        rest = it.stdout.read()
        assert it.wait(60) in (0, 1)
    assert b"Traceback" not in rest


def test_an_impossible_demo_is_refused_in_a_line() -> None:
    done = subprocess.run([*DEMO, "--speed", "0"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "--speed" in done.stderr
