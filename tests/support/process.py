"""A real daemon in a separate process, with a config file, a database file and a log that tests can read."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from daemon.sim import Simulator

COMMAND = (sys.executable, "-m", "daemon.cli")


class DaemonProcess:
    """`wrapd run` on a config in `folder`, as a context manager. `start` and `kill` may alternate; the log
    continues."""

    def __init__(self, folder: Path, config: str) -> None:
        self.folder = folder
        self.config = folder / "wrapd.toml"
        self.config.write_text(config)
        self.log = folder / "wrapd.log"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Kill a daemon that is still running at the end of its test."""
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "--config", self.config, "run"], stderr=log, stdout=log, env=_environment()
            )
        return self.process

    def kill(self) -> None:
        """Kill the process like a power failure."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, *, seconds: float = 60) -> int:
        """Stop the process as an administrator would; return its exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(seconds)

    def command(self, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run another command with the same config."""
        return subprocess.run(
            [*COMMAND, "--config", self.config, *arguments],
            input=given,
            capture_output=True,
            text=True,
            check=True,
            env=_environment(),
        )

    def json(self, *arguments: str) -> Any:
        return json.loads(self.command(*arguments, "--json").stdout)

    def lines(self) -> list[dict[str, Any]]:
        """Return the log as one dict a line, without a last line that a kill cut off."""
        lines = []
        for line in self.log.read_text(errors="replace").splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                continue
        return lines


def project_toml(sim: Simulator, *, rate: float, name: str = "main") -> str:
    """Return a project section for the simulator, with its keys."""
    keys = sim.settings
    return f"""
[projects.{name}]
endpoint = "{sim.url}"
project_id = "{keys.project_id}"
requests_per_second = {rate:g}
auth = {{ method = "aksk", access_key = "{keys.access_key}", secret_key = "{keys.secret_key}" }}
"""


def _environment() -> dict[str, str]:
    """Return the environment of the tests without variables that would affect the daemon."""
    hidden = ("WRAPD_", "HUAWEICLOUD_", "NOTIFY_SOCKET", "WATCHDOG_")
    return {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
