"""`wrapd demo` as a new user runs it, in a process of its own."""

import os
import re
import signal
import subprocess
import sys

import pytest

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
    ):
        assert shown in done.stdout
    assert "Jobs         12: 1 CANCELED, 1 FAILED, 10 SUCCEED" in done.stdout
    assert re.search(r"Deliveries   14 sent, 0 missing", done.stdout)
    [transitions] = re.findall(r"Transitions  (\d+)", done.stdout)
    assert 12 + 2 <= int(transitions) <= 37, "the ends, the freeze and the thaw at least; no more than there were"
    assert re.search(r"Requests     \d+ ", done.stdout)


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
