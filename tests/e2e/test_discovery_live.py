"""Discovery by a real daemon: no id is registered, and every end is alerted; a command requests one through the
daemon."""

from pathlib import Path

import pytest

from tests.support.live import FAST, LiveDaemon, LiveSim, to
from tests.support.webhook import Webhook

WEB_OFF = "[web]\nenabled = false\n"
SOON = [["WAITING", 0.5], ["PROCESSING", 1.0], ["SUCCEED", None]]


@pytest.mark.long
def test_jobs_that_nobody_registered_are_told(tmp_path: Path) -> None:
    discovery = (
        '[projects.main.discovery]\ninterval = "1s"\nname = "Episode*"\ntags = ["found"]\nbatch = "spring"\n'
    )
    with LiveSim() as sim, Webhook() as hook:
        config = f"{FAST}{WEB_OFF}{sim.project()}{discovery}{to(hook)}"
        with LiveDaemon(tmp_path, config) as daemon:
            [first] = sim.jobs(name="Episode 1", timeline=SOON)
            sim.jobs(name="A trailer", timeline=SOON)
            daemon.wait_for("delivery.sent", channel="hook")
            [second] = sim.jobs(name="Episode 2", timeline=[["SUCCEED", None]])
            daemon.wait_for("job.moved", job=second, after="SUCCEED")
            daemon.wait_for("delivery.sent", channel="hook", told="succeeded", count=2)
            jobs = daemon.json("jobs")
            assert daemon.stop().status == 0
    assert {job["job_id"] for job in jobs} == {first, second}
    assert {(tuple(job["tags"]), job["batch"]) for job in jobs} == {(("found",), "spring")}
    told = [each.json["job_id"] for each in hook.requests if each.json["event"] == "succeeded"]
    assert told == [first, second]


@pytest.mark.long
def test_a_command_has_the_running_daemon_read_the_list(tmp_path: Path) -> None:
    with LiveSim() as sim, Webhook() as hook:
        config = f"{FAST}{WEB_OFF}{sim.project()}{to(hook)}"
        jobs = sim.jobs(3, timeline=[["PROCESSING", 3600], ["SUCCEED", None]])
        with LiveDaemon(tmp_path, config) as daemon:
            said = daemon.json("track", "--from-api", "--since", "1h")
            for job in jobs:
                daemon.wait_for("job.moved", job=job, after="PROCESSING")
            again = daemon.json("track", "--from-api", "--since", "1h")
            assert daemon.stop().status == 0
    assert {each["job_id"] for each in said["jobs"]} == set(jobs)
    assert (said["found"], said["added"]) == (3, 3)
    assert (again["found"], again["added"]) == (3, 0)
