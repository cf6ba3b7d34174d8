"""The wall clock steps by hours and years while the daemon works: it neither stalls nor floods the API."""

import time
from pathlib import Path

import pytest

from tests.support.live import FAST, LiveDaemon, LiveSim, to
from tests.support.webhook import Webhook

RATE = 10
JOBS = 12


def libfaketime() -> str:
    """Return the library that sets a process's clock. Skips the test if there is none."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        pytest.skip("needs the program faketime")
    return str(found[0])


@pytest.mark.system
@pytest.mark.long
def test_the_clock_is_set_while_jobs_are_watched(tmp_path: Path) -> None:
    offset = tmp_path / "offset"
    offset.write_text("+0\n")
    environ = {
        "LD_PRELOAD": libfaketime(),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_NO_CACHE": "1",
    }
    with LiveSim() as sim, Webhook() as hook:
        config = FAST + "[web]\nenabled = false\n" + sim.project() + to(hook)
        config = config.replace("requests_per_second = 20", f"requests_per_second = {RATE}")
        jobs = sim.jobs(count=JOBS, timeline=[("PROCESSING", None)])
        with LiveDaemon(tmp_path, config, environ=environ, started=False) as daemon:
            daemon.command("track", *jobs)
            daemon.start()
            daemon.wait_for("job.moved", count=JOBS)
            begun, asked = time.monotonic(), sim.asked()
            for number, step in enumerate(("+7200", "-7200", "+0", "+200000000", "-3000", "+0"), 1):
                job = jobs.pop()
                offset.write_text(f"{step}\n")
                daemon.wait_for("clock.stepped", count=number, seconds=5)
                sim.do(lambda it, job=job: it.set_state(job, "SUCCEED"))
                daemon.wait_for("delivery.sent", count=number, seconds=8)
                daemon.wait_for("auth.clock_skewed", count=number)
            took, asked = time.monotonic() - begun, sim.asked() - asked
            assert asked <= RATE * (took + 1)
            assert asked >= RATE * took * 0.2  # a busy machine polls less; a stalled one not at all
            assert daemon.stop().status == 0
            assert sim.do(lambda it: it.stats())["by_status"].keys() <= {"200", "401"}
            assert "Traceback" not in daemon.said
