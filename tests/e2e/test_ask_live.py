"""`wrapd ask`: a running daemon asks about jobs at once and says what came back; also about many."""

from pathlib import Path

import pytest

from tests.support.live import LiveDaemon, LiveSim, to
from tests.support.webhook import Webhook

pytestmark = pytest.mark.long

SLOW = """
[polling]
strategy = "fixed"
min_interval = "1h"
max_interval = "1h"
feed = "off"
batch = "off"
[log]
format = "json"
[web]
enabled = false
"""


def test_what_came_back_is_said(tmp_path: Path) -> None:
    with LiveSim() as sim, Webhook() as hook:
        jobs = sim.jobs(3, timeline=[("PROCESSING", None)])
        with LiveDaemon(tmp_path, f"{SLOW}{sim.project()}{to(hook)}") as daemon:
            daemon.command("track", "--batch", "b", *jobs)
            for job in jobs:
                daemon.wait_for("job.moved", job=job, after="PROCESSING")
            sim.do(lambda it: it.set_state(jobs[0], "SUCCEED"))
            said = daemon.command("ask", jobs[0], jobs[1]).splitlines()
            assert said == [f"{jobs[0]}: SUCCEED, was PROCESSING", f"{jobs[1]}: still PROCESSING"]
            assert daemon.command("ask", jobs[0]) == f"{jobs[0]}: not asked about: it is finished (SUCCEED)\n"
            said = daemon.command("ask", "--batch", "b", "--expect", "2").splitlines()
            assert said == ["asked about 2 jobs: 2 answered", "now 2 PROCESSING"]
            assert "2 jobs match, not 3" in daemon.command("ask", "--batch", "b", "--expect", "3", status=2)
            daemon.command("pause", "main")
            assert "its project is paused since" in daemon.command("ask", jobs[1])
            daemon.stop()
            daemon.command("resume", "main")
            assert daemon.command("ask", jobs[1]) == f"{jobs[1]}: no daemon runs: it is asked at its start\n"
