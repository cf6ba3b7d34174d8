"""People's changes of alerts while a daemon works: those of a refused channel are counted, given up and revived,
and sent ones are sent again."""

from pathlib import Path

import pytest

from tests.support.live import FAST, LiveDaemon, LiveSim, events, to, until
from tests.support.webhook import Answer, Webhook

pytestmark = pytest.mark.long


def test_nothing_is_lost_by_a_hand_at_a_refused_channel(tmp_path: Path) -> None:
    with LiveSim() as sim, Webhook(default=Answer(status=404)) as hook, Webhook() as ops:
        routes = '[[routes]]\nchannels = ["hook"]\nevents = ["succeeded"]\n'
        channels = 'operators = ["ops"]\n' + FAST + to(hook) + to(ops, "ops") + routes
        with LiveDaemon(tmp_path, channels + "[web]\nenabled = false\n" + sim.project()) as daemon:
            jobs = sim.jobs(20, timeline=[("SUCCEED", None)])
            daemon.command("track", *jobs)
            daemon.wait_for("channel.held")
            until("all have ended", lambda: len(daemon.json("deliveries", "--channel", "hook")) == 20)
            until("one is held", lambda: len(daemon.json("deliveries", "--status", "held")) == 1)
            assert {each["held"] for each in daemon.json("channels")} == {20, 0}
            assert ", 20 alerts waiting" in daemon.command("doctor", status=0)
            assert ", 20 waiting" in daemon.command("routes", "explain", jobs[0], "--event", "succeeded")
            whys = [each["why"] for each in daemon.json("deliveries", "--channel", "hook")]
            assert len([why for why in whys if why.startswith("channel refused: HTTP 404")]) == 20
            assert daemon.command("deliveries", "cancel", "--channel", "hook", "--yes").startswith("20 alerts")
            assert daemon.json("deliveries", "--status", "held") == []
            hook.default = Answer()
            assert daemon.command("deliveries", "revive", "--channel", "hook") == "20 alerts will be sent\n"
            until("all are sent", lambda: len(daemon.json("deliveries", "--status", "sent")) >= 20)
            arrived = [each.json for each in hook.requests if each.json["event"] == "succeeded"]
            ids = [each["delivery_id"] for each in arrived]
            assert len(set(ids)) == 20

            before = len(hook.requests)
            out = daemon.command("deliveries", "resend", "--job", jobs[3], "--channel", "ops")
            assert out.startswith("1 alert will be sent again")
            until("it is told there", lambda: "succeeded" in events(ops))
            (again,) = [each.json for each in list(ops.requests) if each.json["event"] == "succeeded"]
            (first,) = [each for each in arrived if each["job_id"] == jobs[3] and each["attempt"] == 1][-1:]
            assert again["resent_from"] == first["delivery_id"]
            assert "Sent again on request: it was first sent" in again["message"]
            same = ("title", "ended_at", "observed_at", "state", "state_before", "asset_id", "duration")
            assert [again[key] for key in same] == [first[key] for key in same]
            assert len(hook.requests) == before
            daemon.command("deliveries", "resend", "--since", "1h", "--from", "hook")
            hook.wait_for(before + 20)
            until("all are sent", lambda: daemon.json("deliveries", "--status", "pending") == [])
            assert len(daemon.json("deliveries", "--channel", "hook", "--status", "sent")) == 40


def test_a_test_message_says_how_many_follow_and_they_do(tmp_path: Path) -> None:
    with LiveSim() as sim, Webhook(default=Answer(status=404)) as hook:
        config = "operators = []\n" + FAST + "[web]\nenabled = false\n" + sim.project() + to(hook)
        with LiveDaemon(tmp_path, config) as daemon:
            jobs = sim.jobs(5, timeline=[("SUCCEED", None)])
            daemon.command("track", *jobs)
            daemon.wait_for("channel.held")
            until("all have ended", lambda: len(daemon.json("deliveries", "--status", "pending")) == 4)
            hook.default = Answer()
            assert "hook: 5 held alerts will be sent now" in daemon.command("channels", "test", "hook")
            daemon.wait_for("delivery.sent", count=5)
