"""SIGTERM and SIGINT end the daemon within seconds, with status 0, whatever hangs; nothing is lost."""

import os
import signal
import sqlite3
from pathlib import Path

import pytest

from tests.support.live import FAST, LiveDaemon, LiveSim, Manager, to
from tests.support.webhook import Answer, Webhook

pytestmark = pytest.mark.long

WEB_OFF = "[web]\nenabled = false\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_does_not_wait_for_an_api_that_hangs(tmp_path: Path, number: signal.Signals) -> None:
    with LiveSim() as sim, Webhook() as hook, Manager(tmp_path / "notify") as manager:
        config = FAST + WEB_OFF + sim.project() + to(hook)
        with LiveDaemon(tmp_path, config, environ={"NOTIFY_SOCKET": str(manager.path)}) as daemon:
            assert "watching 0 jobs" in manager.hears("READY=1")
            [job] = sim.jobs(timeline=[("PROCESSING", None)])
            daemon.command("track", job)
            daemon.wait_for("job.moved", after="PROCESSING")
            sim.do(lambda it: it.fault("hang"))
            sim.wait_for_hang()
            ended = daemon.stop(number)
            manager.hears("STOPPING=1")
        assert ended.status == 0
        assert ended.seconds < 5
        daemon.wait_for("daemon.stopped")
        assert "Traceback" not in daemon.said


def test_a_stop_does_not_wait_for_a_reload_that_hangs(tmp_path: Path) -> None:
    secret = tmp_path / "url"
    with LiveSim() as sim, Webhook() as hook:
        secret.write_text(hook.url())
        config = FAST + WEB_OFF + sim.project() + f'[channels.hook]\nurl = {{ file = "{secret}" }}\n'
        with LiveDaemon(tmp_path, config) as daemon:
            secret.unlink()
            os.mkfifo(secret)
            os.kill(daemon.pid, signal.SIGHUP)
            daemon.command("track", *sim.jobs(timeline=[("SUCCEED", None)]))
            daemon.wait_for("delivery.sent")  # meanwhile everything works
            ended = daemon.stop()
        assert ended.status == 0
        assert ended.seconds < 5
        assert "Traceback" not in daemon.said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_leaves_a_send_that_hangs_and_the_next_start_says_that_it_may_repeat(
    tmp_path: Path, number: signal.Signals
) -> None:
    with LiveSim() as sim, Webhook() as hook:
        hook.program(Answer(hang=True))
        jobs = sim.jobs(count=3, timeline=[("FAILED", None)])
        with LiveDaemon(tmp_path, FAST + WEB_OFF + sim.project() + to(hook), started=False) as daemon:
            daemon.command("track", *jobs)
            daemon.start()
            hook.wait_for(1)
            daemon.wait_for("job.moved", count=3)
            ended = daemon.stop(number)
            assert ended.status == 0
            assert ended.seconds < 8
            assert "Traceback" not in daemon.said
            hook.let_go()
            daemon.start()
            daemon.wait_for("delivery.sent", count=3)
            assert daemon.stop().status == 0
        told = [received.json for received in hook.requests]
    assert [each["possible_repeat"] for each in told if each["delivery_id"] == told[0]["delivery_id"]] == [
        False,
        True,
    ]
    assert {each["job_id"] for each in told} == set(jobs)
    assert len(told) == 4


def test_a_stop_does_not_wait_for_a_database_that_another_program_locks(tmp_path: Path) -> None:
    with LiveSim() as sim, Webhook() as hook:
        [job] = sim.jobs(timeline=[("PROCESSING", None)])
        with LiveDaemon(tmp_path, FAST + WEB_OFF + sim.project() + to(hook), started=False) as daemon:
            daemon.command("track", job)
            daemon.start()
            daemon.wait_for("job.moved", after="PROCESSING")
            other = sqlite3.connect(tmp_path / "wrapd.db", isolation_level=None)
            other.execute("BEGIN EXCLUSIVE")
            sim.do(lambda it: it.set_state(job, "SUCCEED"))
            daemon.wait_for("database.failed", job=job)
            ended = daemon.stop()
            other.execute("ROLLBACK")
            other.close()
            assert ended.status == 0
            assert ended.seconds < 15
            assert "Traceback" not in daemon.said
            daemon.start()
            daemon.wait_for("delivery.sent", told="succeeded")
            assert daemon.states() == {job: ("SUCCEED", "finished")}
