"""A project is paused and resumed by commands while a real daemon runs, and stays paused over a restart."""

from pathlib import Path

import pytest

from tests.support.live import FAST, LiveDaemon, LiveSim, to, until
from tests.support.webhook import Webhook

pytestmark = pytest.mark.long


def test_a_paused_project_is_left_alone_also_after_a_restart(tmp_path: Path) -> None:
    with LiveSim() as sim, Webhook() as hook:
        [job] = sim.jobs(timeline=[("PROCESSING", None)])
        with LiveDaemon(tmp_path, f"{FAST}[web]\nenabled = false\n{sim.project()}{to(hook)}") as daemon:
            daemon.command("track", job)
            daemon.wait_for("job.moved", job=job, after="PROCESSING")
            daemon.command("pause", "main", "--comment", "quota")
            daemon.wait_for("project.paused")
            before = sim.asked()
            sim.do(lambda it: it.set_state(job, "SUCCEED"))
            daemon.stop()
            daemon.start()
            assert sim.asked() <= before + 1, "only what was under way at the pause"
            assert "the project is paused" in daemon.command("show", job)
            daemon.command("resume", "main")
            until("the end is told", lambda: len(hook.requests) == 1)
            assert daemon.stop().status == 0
        assert [each.json["event"] for each in hook.requests] == ["succeeded"]
