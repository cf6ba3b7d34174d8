"""Mutes beside a working daemon: a job's, a batch's with its end, a tag's, a channel's; what is kept is sent in
order at the end or dropped, also where that comes while wrapd is off."""

import signal
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.live import FAST, LiveDaemon, LiveSim, to, until
from tests.support.webhook import Webhook

pytestmark = pytest.mark.long

EVENTS = '[[routes]]\nchannels = ["hook", "ops"]\nevents = ["succeeded", "failed", "blocked", "batch_finished"]\n'


def config(sim: LiveSim, hook: Webhook, ops: Webhook) -> str:
    web = "[web]\nenabled = false\n"
    return 'operators = ["ops"]\n' + FAST + to(hook) + to(ops, "ops") + EVENTS + web + sim.project()


def told(hook: Webhook, *jobs: str) -> list[tuple[str, str]]:
    """What arrived about these jobs or, without any, about all."""
    bodies = [each.json for each in list(hook.requests)]
    return [(body["job_id"], body["event"]) for body in bodies if not jobs or body["job_id"] in jobs]


def kept(daemon: LiveDaemon) -> dict[int, int]:
    return {each["id"]: each["alerts"] for each in daemon.json("mute", "list")}


def mute(daemon: LiveDaemon, *options: str) -> None:
    daemon.command("mute", *options, "--for", "1h", "--comment", "a reason")


def over(daemon: LiveDaemon, *numbers: int) -> None:
    """Let the time of mutes be over, as if an hour had passed."""
    with sqlite3.connect(daemon.folder / "wrapd.db", timeout=30) as connection:
        for number in numbers:
            connection.execute("UPDATE mutes SET until = started_at + 1 WHERE id = ?", [number])
    connection.close()


def statuses(daemon: LiveDaemon, *options: str) -> Counter[str]:
    found: list[dict[str, Any]] = daemon.json("deliveries", *options)
    return Counter(each["status"] for each in found)


def test_what_is_muted_is_kept_and_sent_in_order_at_the_end(tmp_path: Path) -> None:
    with LiveSim() as sim, Webhook() as hook, Webhook() as ops:
        with LiveDaemon(tmp_path, config(sim, hook, ops)) as daemon:
            quiet, tagged, other, *members = jobs = sim.jobs(5, timeline=[("PROCESSING", None)])
            daemon.command("track", "--batch", "b1", *members)
            daemon.command("track", "--tag", "night", tagged)
            daemon.command("track", quiet, other)
            mute(daemon, "--batch", "b1")
            mute(daemon, "--tag", "night")
            mute(daemon, "--channel", "ops")
            mute(daemon, "--job", quiet)
            for job in jobs:
                sim.do(lambda it, job=job: it.set_state(job, "BLOCK"))
            until("the other froze", lambda: told(hook) == [(other, "blocked")])
            until("all froze", lambda: len(daemon.json("deliveries")) == 10)
            for job in jobs:
                sim.do(lambda it, job=job: it.set_state(job, "SUCCEED"))
            until("all have ended", lambda: len(daemon.json("deliveries")) == 22)  # the batch has, too
            until("the other is told", lambda: told(hook) == [(other, "blocked"), (other, "succeeded")])
            assert told(ops) == []
            assert sum(kept(daemon).values()) == 20
            whys = {each["why"] for each in daemon.json("deliveries", "--job", tagged, "--channel", "hook")}
            assert len(whys) == 1
            assert "(#2): a reason" in whys.pop()

            daemon.command("mute", "end", "2")
            until("the tag is told", lambda: told(hook, tagged) == [(tagged, "blocked"), (tagged, "succeeded")])
            over(daemon, 1)
            daemon.wait_for("mute.ended", mute=1)
            until("the batch is told", lambda: len(told(hook)) == 9)
            assert (None, "batch_finished") in told(hook)
            assert Counter(job for job, _ in told(hook) if job in members) == dict.fromkeys(members, 2)
            assert (told(ops), told(hook, quiet)) == ([], [])
            daemon.command("mute", "end", "3", "4")
            until("all is sent", lambda: statuses(daemon) == {"sent": 22})
            everywhere = told(hook), told(ops)
            for job in jobs:
                assert [each for each in everywhere[1] if each[0] == job] == [(job, "blocked"), (job, "succeeded")]
        assert Counter(everywhere[0]) == Counter(everywhere[1])
        assert set(Counter(everywhere[0]).values()) == {1}


def test_dropped_alerts_are_not_sent_and_can_be_restored(tmp_path: Path) -> None:
    with LiveSim() as sim, Webhook() as hook, Webhook() as ops:
        with LiveDaemon(tmp_path, config(sim, hook, ops)) as daemon:
            mute(daemon, "--channel", "hook", "--drop")
            jobs = sim.jobs(3, timeline=[("SUCCEED", None)])
            daemon.command("track", *jobs)
            until("the other channel is told", lambda: len(told(ops)) == 3)
            until("all are kept", lambda: kept(daemon) == {1: 3})
            over(daemon, 1)
            daemon.wait_for("mute.ended", mute=1, then="drop", deliveries=3)
            assert statuses(daemon, "--channel", "hook") == {"canceled": 3}
            later = sim.jobs(1, timeline=[("SUCCEED", None)])
            daemon.command("track", *later)
            until("the next is sent", lambda: told(hook) == [(later[0], "succeeded")])
            assert {each["why"] for each in daemon.json("deliveries", "--status", "canceled")} == {"muted"}
            assert daemon.command("deliveries", "revive", "--channel", "hook") == "3 alerts will be sent\n"
            until("they are sent", lambda: len(told(hook)) == 4)


def test_a_mute_that_ends_while_wrapd_is_off_takes_effect_at_the_next_start(tmp_path: Path) -> None:
    with LiveSim() as sim, Webhook() as hook, Webhook() as ops:
        with LiveDaemon(tmp_path, config(sim, hook, ops)) as daemon:
            jobs = sim.jobs(4, timeline=[("SUCCEED", None)])
            mute(daemon, "--channel", "hook")
            mute(daemon, "--channel", "ops", "--drop")
            daemon.command("track", *jobs)
            until("all are kept", lambda: kept(daemon) == {1: 4, 2: 4})
            daemon.stop()
            over(daemon, 1, 2)
            assert {each["status"] for each in daemon.json("mute", "list")} == {"ending"}
            assert (told(hook), told(ops)) == ([], [])
            daemon.start()
            until("all are sent", lambda: statuses(daemon, "--channel", "hook") == {"sent": 4})
            assert statuses(daemon, "--channel", "ops") == {"canceled": 4}
            assert sorted(told(hook)) == sorted((job, "succeeded") for job in jobs)
            assert told(ops) == []
            assert [each["ended_by"] for each in daemon.json("mute", "list", "--all")] == ["wrapd", "wrapd"]
            daemon.stop()
            daemon.start()
            daemon.command("track", *sim.jobs(1, timeline=[("SUCCEED", None)]))
            until("the next is sent", lambda: len(told(ops)) == 1)
            assert len(told(hook)) == 5


def test_a_killed_daemon_keeps_what_is_muted(tmp_path: Path) -> None:
    with LiveSim() as sim, Webhook() as hook, Webhook() as ops:
        with LiveDaemon(tmp_path, config(sim, hook, ops)) as daemon:
            jobs = sim.jobs(2, timeline=[("SUCCEED", None)])
            mute(daemon, "--batch", "b1")
            daemon.command("track", "--batch", "b1", *jobs)
            until("all are kept", lambda: kept(daemon) == {1: 6})
            daemon.stop(signal.SIGKILL)
            daemon.start()
            assert kept(daemon) == {1: 6}
            assert told(hook) == []
            assert daemon.command("mute", "end", "1") == "#1: batch b1 is no longer muted; 6 alerts sent\n"
            until("all are sent", lambda: statuses(daemon) == {"sent": 6})
            assert Counter(event for _, event in told(hook)) == {"succeeded": 2, "batch_finished": 1}
