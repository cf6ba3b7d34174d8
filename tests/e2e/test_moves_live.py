"""A project and a channel are renamed in a real daemon's config, and their remaining rows are moved: alongside the
running daemon, and while none runs."""

import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.support.live import FAST, LiveDaemon, LiveSim, events, to, until
from tests.support.webhook import Answer, Webhook

pytestmark = pytest.mark.long

HEAD = 'operators = ["ops"]\n' + FAST + "[web]\nenabled = false\n"


@pytest.mark.parametrize("running", [True, False])
def test_what_is_renamed_is_told_then_moved_and_everything_is_told_once(tmp_path: Path, running: bool) -> None:
    with (
        LiveSim(show_rate=None) as sim,
        Webhook() as ops,
        Webhook() as hook,
        Webhook(default=Answer(status=404)) as refused,
    ):
        was = HEAD + sim.project("old") + to(ops, "ops") + to(refused, "gone")
        now = HEAD + sim.project("new") + to(ops, "ops") + to(hook, "hook")
        ended = sim.jobs(3, timeline=[("SUCCEED", None)])
        runs = sim.jobs(3, timeline=[("PROCESSING", None)])
        with LiveDaemon(tmp_path, was) as daemon:
            daemon.command("track", "--batch", "b", *ended, *runs)
            daemon.wait_for("job.moved", count=6)
            until("they wait", lambda: len(daemon.json("deliveries", "--channel", "gone")) >= 3)
            daemon.config.write_text(now)
            for times in range(3):
                os.kill(daemon.pid, signal.SIGHUP)
                daemon.wait_for("config.reloaded", count=times + 1)
            until("both are told", lambda: events(ops).count("orphaned") == 2)
            daemon.stop()
            daemon.start()
            daemon.wait_for("config.orphaned", count=2)
            assert events(ops).count("orphaned") == 2

            said = daemon.command("doctor", status=1)
            assert "projects.old: fail: not in the config, but has 3 active jobs" in said
            assert "channels.gone: fail: not in the config, but has 3 unsent alerts" in said
            rows = {row["job_id"]: row for row in daemon.json("jobs")}
            assert all(rows[job]["next_poll_at"] is None for job in runs)
            if not running:
                daemon.stop()
            daemon.command("jobs", "move", "--project", "old", "new", status=2)
            assert "6 jobs (3 active)" in daemon.command("jobs", "move", "--project", "old", "new", "--yes")
            assert "3 alerts" in daemon.command("deliveries", "move", "--channel", "gone", "hook", "--yes")
            if not running:
                daemon.start()
            until("what waited is sent", lambda: len(hook.requests) == 3)
            sim.do(lambda it: [it.set_state(job, "SUCCEED") for job in runs])
            until("all are told", lambda: len(hook.requests) >= 7)
            assert "not in the config" not in daemon.command("doctor")
            for command in (("jobs", "move", "--project", "old"), ("deliveries", "move", "--channel", "gone")):
                assert "nothing to move" in daemon.command(*command, "new" if "jobs" in command else "hook")
            daemon.stop()
        heard = Counter(each.json["job_id"] for each in hook.requests)
        assert heard == Counter({**dict.fromkeys([*ended, *runs], 1), None: 1})
        assert events(hook).count("batch_finished") == 1
        assert "Traceback" not in daemon.said
