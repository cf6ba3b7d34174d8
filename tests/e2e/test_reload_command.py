"""`wrapd reload` with a real daemon: it says what changed, or why nothing did."""

import json
from pathlib import Path

from tests.support.live import FAST, LiveDaemon, LiveSim, to
from tests.support.webhook import Webhook

WEB = "[web]\nenabled = false\n"


def test_it_says_what_came_of_it(tmp_path: Path) -> None:
    with LiveSim() as sim, Webhook() as hook:
        config = (
            'operators = ["hook"]\n' + FAST + WEB + sim.project() + to(hook) + '[[routes]]\nchannels = ["hook"]\n'
        )
        with LiveDaemon(tmp_path, config) as daemon:
            assert daemon.command("reload") == "nothing has changed\n"
            daemon.config.write_text(config + to(hook, "other") + 'language = "zh"\n')
            assert daemon.command("reload") == "channels.other: added\n"
            daemon.config.write_text(
                config.replace("500ms", "700ms").replace("enabled = false", 'listen = "127.0.0.1:0"')
            )
            assert daemon.command("reload").splitlines() == [
                "polling.max_interval: 0.7 s instead of 0.5 s",
                "polling.blocked_interval: 0.7 s instead of 0.5 s",
                "channels.other: removed",
                "web.enabled: true instead of false",
                "applied only after a restart: web.enabled",
            ]
            missing = f'[channels.third]\nurl = {{ file = "{tmp_path / "nothing"}" }}\n'
            daemon.config.write_text(config + missing)
            refused = daemon.command("reload", status=3)
            assert refused.startswith("wrapd: the daemon continues with its last good config:\n")
            assert "channels.third.url" in refused
            daemon.config.write_text("[polling\n")
            assert "wrapd.toml" in daemon.command("reload", status=3)
            daemon.config.write_text(config)
            told = json.loads(daemon.command("reload", "--json"))
            assert (told["ok"], told["faults"], len(told["changed"])) == (True, [], 2)
            daemon.stop()
            assert daemon.command("reload", status=1).startswith("wrapd: no daemon uses this database")
