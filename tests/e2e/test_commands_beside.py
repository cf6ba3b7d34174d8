"""Commands alongside a running daemon: it notices their changes, and they see its work."""

import json
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from daemon.errors import Exit
from tests.support.live import FAST, LiveDaemon, LiveSim, events, to
from tests.support.webhook import Answer, Webhook

pytestmark = pytest.mark.long

HEAD = FAST.replace("[log]", 'not_found_grace = "1s"\ngive_up_after = "20s"\n[log]')

JOB = {
    "project": str,
    "kind": str,
    "job_id": str,
    "label": (str, type(None)),
    "state": (str, type(None)),
    "tracking": str,
    "state_since": (str, type(None)),
    "cover_url": (str, type(None)),
    "preview_url": (str, type(None)),
    "error_code": (str, type(None)),
    "next_poll_at": (str, type(None)),
}
TRANSITION = {"from": (str, type(None)), "to": str, "observed_at": str, "reported_at": (str, type(None))}
DELIVERY = {"event": str, "channel": str, "status": str, "attempts": int, "last_error": (str, type(None))}
"""The stable keys, with the types of their values."""


def fits(row: dict[str, object], keys: dict[str, object]) -> bool:
    return all(isinstance(row[key], types) for key, types in keys.items())  # type: ignore[arg-type]


def test_a_tracked_job_is_asked_within_two_seconds_and_its_story_has_the_promised_keys(tmp_path: Path) -> None:
    with LiveSim() as sim, Webhook() as hook:
        with LiveDaemon(tmp_path, FAST + '[web]\nlisten = "127.0.0.1:0"\n' + sim.project() + to(hook)) as daemon:
            [job] = sim.jobs(timeline=[("PROCESSING", None)])
            daemon.command("track", job, "--label", "Episode 12", "--tag", "a", "--batch", "b")
            done = time.monotonic()
            daemon.wait_for("job.moved", after="PROCESSING")
            assert time.monotonic() - done < 2
            assert "already tracked" in daemon.command("track", job)
            [row] = daemon.json("jobs", "--tag", "a", "--batch", "b", "--state", "processing")
            assert fits(row, JOB)
            sim.do(lambda it: it.set_state(job, "SUCCEED"))
            daemon.wait_for("delivery.sent")
            story = daemon.json("show", job)
            assert fits(story, JOB)
            assert [step["to"] for step in story["transitions"]] == ["PROCESSING", "SUCCEED"]
            assert all(fits(step, TRANSITION) for step in story["transitions"])
            [delivery] = story["deliveries"]  # the batch's end is not an alert of the job
            assert fits(delivery, DELIVERY)
            assert (delivery["event"], delivery["channel"], delivery["status"]) == ("succeeded", "hook", "sent")
            at = datetime.fromisoformat(story["state_since"])
            assert at.utcoffset() == timedelta(0)
            assert "not tracked: it has ended" in daemon.command("track", job)
            assert "ok" in daemon.command("doctor", "--online")
            assert "hook: ok" in daemon.command("channels", "test", "--all")
            told = [event for event in events(hook) if event != "batch_finished"]  # that one waits ten seconds
            assert told == ["succeeded", "test"]


def test_lost_expired_and_stopped_jobs_are_taken_up_again(tmp_path: Path) -> None:
    with LiveSim() as sim, Webhook() as hook:
        config = HEAD + "[web]\nenabled = false\n" + sim.project() + to(hook)
        with LiveDaemon(tmp_path, config) as daemon:
            [slow, stopped] = sim.jobs(count=2, timeline=[("PROCESSING", None)])
            daemon.command("track", slow, stopped, "ghost")
            daemon.wait_for("job.moved", job=stopped)
            daemon.command("untrack", stopped)
            daemon.wait_for("job.dropped", job=stopped)
            daemon.wait_for("job.lost", job="ghost")
            daemon.wait_for("job.expired", job=slow)
            assert {job: tracking for job, (_, tracking) in daemon.states().items()} == {
                slow: "expired",
                stopped: "stopped",
                "ghost": "lost",
            }
            sim.jobs(job_id="ghost", timeline=[("SUCCEED", None)])
            sim.do(lambda it: it.set_state(slow, "FAILED"))
            sim.do(lambda it: it.set_state(stopped, "CANCELED"))
            assert daemon.command("track", slow, stopped, "ghost").count("tracked again") == 3
            daemon.wait_for("delivery.sent", count=5)
            assert set(daemon.states().values()) == {
                ("FAILED", "finished"),
                ("CANCELED", "finished"),
                ("SUCCEED", "finished"),
            }
            assert sorted(events(hook)) == ["canceled", "expired", "failed", "lost", "succeeded"]


def test_a_held_alert_goes_out_when_a_test_message_arrives(tmp_path: Path) -> None:
    with LiveSim() as sim, Webhook(default=Answer(status=404)) as hook:
        with LiveDaemon(tmp_path, FAST + "[web]\nenabled = false\n" + sim.project() + to(hook)) as daemon:
            [job] = sim.jobs(timeline=[("SUCCEED", None)])
            daemon.command("track", job)
            daemon.wait_for("channel.held")
            [row] = daemon.json("deliveries", "--status", "held")
            assert "404" in row["last_error"]
            assert "hook: fail" in daemon.command("channels", "test", "hook", status=Exit.FAILED)
            hook.default = Answer()
            assert "1 held alert will be sent now" in daemon.command("channels", "test", "hook")
            daemon.wait_for("delivery.sent")
            assert daemon.json("deliveries")[0]["status"] == "sent"
            assert daemon.command("deliveries", "retry", str(row["id"])) == "nothing to send again\n"


def test_a_backup_taken_at_work_can_take_the_databases_place(tmp_path: Path) -> None:
    with LiveSim() as sim, Webhook() as hook:
        with LiveDaemon(tmp_path, FAST + '[web]\nlisten = "127.0.0.1:0"\n' + sim.project() + to(hook)) as daemon:
            [first, later] = sim.jobs(count=2, timeline=[("PROCESSING", None)])
            daemon.command("track", first)
            daemon.wait_for("job.moved", job=first)
            assert "\nwrapd_backup_timestamp_seconds 0.0\n" in daemon.page("/metrics")[1]
            daemon.command("db", "backup", "--keep", "1")
            [copy] = (tmp_path / "backups").iterdir()
            made = datetime.strptime(copy.name, "wrapd-%Y%m%dT%H%M%SZ.db").replace(tzinfo=UTC).timestamp()
            (said,) = re.findall(
                r"^wrapd_backup_timestamp_seconds (\S+)$", daemon.page("/metrics")[1], re.MULTILINE
            )
            assert float(said) == made
            daemon.command("track", later)
            daemon.wait_for("job.moved", job=later)
            daemon.command("db", "restore", "--yes", str(copy), status=Exit.RUNNING)
            assert daemon.stop().status == 0
            assert f"wrapd track --project main {later}" in daemon.command("db", "restore", "--yes", str(copy))
            assert "sound" in daemon.command("db", "check")
            assert json.loads(daemon.command("jobs", "--json"))[0]["job_id"] == first
            sim.do(lambda it: it.set_state(first, "SUCCEED"))
            daemon.start()
            daemon.wait_for("delivery.sent", told="succeeded")
            assert list(daemon.states()) == [first]
