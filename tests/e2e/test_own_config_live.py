"""Commands lack the secrets that a real daemon has: it answers for them, until it hangs or ends."""

import os
import signal
from pathlib import Path

import pytest

from tests.support.live import FAST, LiveDaemon, LiveSim, to
from tests.support.webhook import Webhook

pytestmark = pytest.mark.long


def test_the_daemon_answers_for_commands_without_its_secrets(tmp_path: Path) -> None:
    with LiveSim() as sim, Webhook() as hook:
        keys = sim.settings
        own = {"AK": keys.access_key, "SK": keys.secret_key, "URL": hook.url()}
        auth = '{ method = "aksk", access_key = { env = "AK" }, secret_key = { env = "SK" } }'
        config = (
            FAST + "[web]\nenabled = false\n" + sim.project(auth=auth) + '[channels.set]\nurl = { env = "URL" }\n'
        )
        with LiveDaemon(tmp_path, config, environ=own) as daemon:
            for name in own:
                del daemon.environ[name]
            assert daemon.command("config", "check").endswith("the daemon runs with this config\n")
            assert "all secrets found, checked by the daemon" in daemon.command("doctor")
            assert "== failed" in daemon.command("templates", "preview", "--channel", "set", "--event", "failed")
            daemon.config.write_text(config + "[pooling]\n")
            assert "there is no such key" in daemon.command("config", "check", status=3)
            daemon.config.write_text("[polling\n")  # it does not even say which daemon
            for command in (["config", "check"], ["channels"], ["routes"]):
                assert "not valid TOML" in daemon.command(*command, status=3)
            daemon.config.write_text(config)
            daemon.stop()
            assert "AK is not set" in daemon.command("config", "check", status=3)
        assert not any(line["event"] in {"config.refused", "config.reloaded"} for line in daemon.lines)


def test_a_daemon_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    with LiveSim() as sim, Webhook() as hook:
        with LiveDaemon(tmp_path, FAST + "[web]\nenabled = false\n" + sim.project() + to(hook)) as daemon:
            os.kill(daemon.pid, signal.SIGSTOP)
            try:
                said = daemon.command("config", "check")
                assert "does not answer within 10 s" in said
                assert ": ok: 1 project, 1 channel" in said
                assert "daemon: fail: one runs but could not be asked" in daemon.command("doctor", status=1)
            finally:
                os.kill(daemon.pid, signal.SIGCONT)
