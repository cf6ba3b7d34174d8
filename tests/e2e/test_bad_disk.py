"""A database that cannot be written for a while: readiness reports it, the log is calm, nothing is lost, work
resumes.

The full disk is a small file system in a private mount namespace, where the complete scenario runs.
"""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.app.health import STALL
from tests.support.live import FAST, LiveDaemon, LiveSim, events, to, until
from tests.support.programs import ROOT, need
from tests.support.webhook import Webhook

pytestmark = [pytest.mark.long, pytest.mark.timeout(150)]

CONFIG = FAST.replace("[log]", 'give_up_after = "20s"\n[log]') + '[web]\nlisten = "127.0.0.1:0"\n'


def six_jobs(sim: LiveSim, daemon: LiveDaemon) -> list[str]:
    """Start the daemon with six jobs in production."""
    jobs = sim.jobs(count=6, timeline=[("PROCESSING", None)])
    daemon.command("track", *jobs)
    daemon.start()
    daemon.wait_for("job.moved", count=6)
    return jobs


def looks_bad_and_recovers(
    sim: LiveSim, hook: Webhook, daemon: LiveDaemon, jobs: list[str], mend: Callable[[], object]
) -> None:
    """Check what must hold from the moment nothing can be stored until after `mend()`."""
    for job in jobs[:5]:
        sim.do(lambda it, job=job: it.set_state(job, "SUCCEED"))
    daemon.wait_for("database.failed")
    until("it says that it is not ready", lambda: daemon.page("/readyz")[0] == 503, seconds=STALL + 15, pace=0.5)
    assert '"writer"' in daemon.page("/readyz")[1]
    assert daemon.page("/healthz") == (200, '{"status":"ok","stalled":{}}'), "a restart would not mend it"
    status, text = daemon.page("/metrics")
    assert status == 200
    assert "wrapd_store_errors_total" in text
    assert events(hook) == []
    assert len(daemon.raw) < 100, "no flood"
    assert "Traceback" not in daemon.said
    mend()
    daemon.wait_for("job.expired", count=1)
    daemon.wait_for("delivery.sent", count=6)
    until("it is ready again", lambda: daemon.page("/readyz")[0] == 200)
    assert sorted(daemon.states().values()) == [*[("PROCESSING", "expired")], *[("SUCCEED", "finished")] * 5]
    assert sorted(events(hook)) == ["expired", *["succeeded"] * 5]
    assert daemon.stop().status == 0


def test_a_lock_that_is_held_for_long(tmp_path: Path) -> None:
    with LiveSim() as sim, Webhook() as hook:
        with LiveDaemon(tmp_path, CONFIG + sim.project() + to(hook), started=False) as daemon:
            jobs = six_jobs(sim, daemon)
            other = sqlite3.connect(tmp_path / "wrapd.db", isolation_level=None)
            other.execute("BEGIN EXCLUSIVE")
            looks_bad_and_recovers(sim, hook, daemon, jobs, lambda: other.execute("ROLLBACK"))
            other.close()


def scenario(folder: Path) -> None:
    """The same with a full disk; `folder` is a small file system."""
    with LiveSim() as sim, Webhook() as hook:
        with LiveDaemon(folder, CONFIG + sim.project() + to(hook), started=False) as daemon:
            jobs = six_jobs(sim, daemon)
            ballast = folder / "ballast"
            with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))
            looks_bad_and_recovers(sim, hook, daemon, jobs, ballast.unlink)


@pytest.mark.system
def test_a_disk_that_is_full_for_long(tmp_path: Path) -> None:
    unshare = need("unshare")
    if subprocess.run([unshare, "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount in a namespace of its own")
    code = "import sys, pathlib; from tests.e2e.test_bad_disk import scenario; scenario(pathlib.Path(sys.argv[1]))"
    mount = 'mount -t tmpfs -o size=2m tmpfs "$1" && exec "$0" -c "$2" "$1"'
    done = subprocess.run(
        [unshare, "-rm", "sh", "-c", mount, sys.executable, str(tmp_path), code],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stdout
    assert shutil.disk_usage(tmp_path).total > 2**22, "the small disk was seen in there only"
