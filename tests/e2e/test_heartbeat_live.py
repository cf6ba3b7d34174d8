"""The heartbeat of a real daemon with a real receiver: pings come while it makes progress, and stop when nothing
can be stored, although the daemon lives and has nothing to write."""

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.live import FAST, LiveDaemon, LiveSim, to, until
from tests.support.programs import ROOT, need
from tests.support.webhook import Answer, Webhook

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

PATH = "/ping/5bf66975-d4c7-4bf5-bcc8-b8d8a82ea278"
CONFIG = f'{FAST}[web]\nlisten = "127.0.0.1:0"\n'
INTERVAL = 10.0


def heartbeat(switch: Webhook, path: str = PATH) -> str:
    return f'[heartbeat]\nurl = "http://{switch.address}{path}"\ninterval = "10s"\n'


def paths(switch: Webhook) -> list[str]:
    return [each.path for each in list(switch.requests)]


def stops_and_resumes(
    daemon: LiveDaemon, switch: Webhook, break_it: Callable[[], object], mend: Callable[[], object]
) -> None:
    """Check that no ping comes from `break_it()` to `mend()`, and that the switch hears of it at once."""
    daemon.wait_for("heartbeat.sent")
    assert paths(switch)[0] == PATH
    break_it()
    pinged = paths(switch).count(PATH)
    until("the service hears that there is no progress", lambda: f"{PATH}/fail" in paths(switch))
    daemon.wait_for("heartbeat.withheld")
    waited = time.monotonic() + 2.5 * INTERVAL
    until("two more pings are due", lambda: time.monotonic() > waited, pace=1.0)
    assert paths(switch).count(PATH) <= pinged + 1, "one may have been under way"
    assert paths(switch).count(f"{PATH}/fail") == 1
    assert daemon.page("/healthz")[0] == 200, "it lives all the while"
    assert 'wrapd_heartbeats_total{outcome="withheld"}' in daemon.page("/metrics")[1]
    mend()
    daemon.wait_for("heartbeat.sent", count=2)
    assert paths(switch)[-1] == PATH
    assert len([line for line in daemon.lines if line["event"] == "heartbeat.withheld"]) == 1
    assert PATH[6:] not in daemon.said, "whoever knows the address can ping"
    assert daemon.stop().status == 0


def test_pings_stop_while_the_writer_is_blocked(tmp_path: Path) -> None:
    with LiveSim() as sim, Webhook() as hook, Webhook() as switch:
        config = CONFIG + heartbeat(switch) + sim.project() + to(hook)
        with LiveDaemon(tmp_path, config) as daemon:
            other = sqlite3.connect(tmp_path / "wrapd.db", isolation_level=None)
            stops_and_resumes(
                daemon, switch, lambda: other.execute("BEGIN IMMEDIATE"), lambda: other.execute("ROLLBACK")
            )
            other.close()


def scenario(folder: Path) -> None:
    """The same with a full disk; `folder` is a small file system."""
    ballast = folder / "ballast"

    def fill() -> None:
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    with LiveSim() as sim, Webhook() as hook, Webhook() as switch:
        with LiveDaemon(folder, CONFIG + heartbeat(switch) + sim.project() + to(hook)) as daemon:
            # What has been written once is written again in place: the log grows only with more changes.
            jobs = iter(sim.jobs(count=400))

            def full() -> None:
                fill()
                daemon.command("track", *[next(jobs) for _ in range(400)], status=4)

            stops_and_resumes(daemon, switch, full, ballast.unlink)


@pytest.mark.system
def test_pings_stop_while_the_disk_is_full(tmp_path: Path) -> None:
    unshare = need("unshare")
    if subprocess.run([unshare, "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount in a namespace of its own")
    code = f"import sys, pathlib; from {__name__} import scenario; scenario(pathlib.Path(sys.argv[1]))"
    done = subprocess.run(
        [
            *(unshare, "-rm", "sh", "-c", 'mount -t tmpfs -o size=2m tmpfs "$1" && exec "$0" -c "$2" "$1"'),
            *(sys.executable, str(tmp_path), code),
        ],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=240,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stdout


def test_a_monitor_of_uptime_kuma_and_a_reload(tmp_path: Path) -> None:
    push = "/api/push/tOkEn12345?status=up&msg=OK&ping="
    refused = Answer(status=500, body=b'{"ok":false,"msg":"Monitor not found or not active."}')
    with LiveSim() as sim, Webhook() as hook, Webhook() as switch:
        bare = CONFIG + sim.project() + to(hook)
        with LiveDaemon(tmp_path, bare) as daemon:
            daemon.config.write_text(bare + heartbeat(switch, push))
            assert "heartbeat.url: added" in daemon.command("reload")
            daemon.wait_for("heartbeat.sent")
            switch.program(refused)
            daemon.wait_for("heartbeat.failed")
            daemon.wait_for("heartbeat.sent", count=2)
            assert set(paths(switch)) == {push}
            assert {each.method for each in switch.requests} == {"GET"}
            assert "tOkEn12345" not in daemon.said
            daemon.config.write_text(bare)
            assert "heartbeat.url: removed" in daemon.command("reload")
            assert daemon.stop().status == 0
