"""The commands of README.md and docs/ are run by a shell, page by page, as a reader would: with a daemon that runs
on a config like the page's, beside the simulator, and with the jobs that the pages name."""

import os
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_web_live import free_port
from tests.support.docs_blocks import Block, blocks, commands_of
from tests.support.docs_run import ELSEWHERE, EXPECTED, runs
from tests.support.live import FAST, LiveDaemon, LiveSim, to
from tests.support.programs import need, run
from tests.support.toml import dump
from tests.support.webhook import Webhook

pytestmark = [pytest.mark.long, pytest.mark.system, pytest.mark.timeout(300)]

TOKEN, KEY = "a-token-of-24-characters", "a-key-of-24-characters-!"
PUBLIC = "https://wrapd.example.com"
RUNNING = ("26f06524-4f75-4b3a-a853-b649a21aaf66", "29aed12c6f4e4b9c85c4a4bd5b8fdfcb", "launch")
"""Jobs that the pages name."""
OWN_CONFIG = ("README.md", "docs/quickstart.md")
"""Pages that lead from nothing to an alert: their own config is used, at the simulator instead of a region."""
BACKGROUND = "run) exit 0 ;; sim) exit 0 ;;"
"""Commands that end when they are stopped: the test runs both all the time."""
SETTINGS = {
    "HUAWEICLOUD_SDK_AK=…": "access_key",
    "HUAWEICLOUD_SDK_SK=…": "secret_key",
}


def pages() -> list[str]:
    return sorted({each.page for each in blocks("sh") if runs(each)})


@pytest.mark.parametrize("page", pages())
def test_every_command_of_the_page_does_what_it_says(page: str, tmp_path: Path) -> None:
    for program in ("bash", "curl", "jq", "openssl"):
        need(program)
    with scene(page, tmp_path) as it:
        for block in blocks("sh"):
            if block.page == page and runs(block):
                it.run(block)
        it.check()


class Scene:
    """A folder with a running daemon, in which a shell runs the blocks of a page."""

    def __init__(self, folder: Path, sim: LiveSim, hook: Webhook, daemon: LiveDaemon) -> None:
        self.folder, self.sim, self.hook, self.daemon = folder, sim, hook, daemon
        bin_ = folder / "bin"
        bin_.mkdir()
        program = bin_ / "wrapd"
        program.write_text(
            f'#!/bin/sh\ncase "$1" in {BACKGROUND} esac\nexec {sys.executable} -m daemon.cli "$@"\n'
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        (folder / "token").write_text(TOKEN)
        (folder / "token").chmod(0o600)
        self.environ = {**daemon.environ, "PATH": f"{bin_}:{os.environ['PATH']}", "BATCH": "night"}

    def run(self, block: Block) -> None:
        """Run a block; each of its commands ends with 0, or as `EXPECTED` says."""
        failed = self.folder / "failed"
        failed.write_text("")
        mocked = "curl() { :; }\n" if block.page in ELSEWHERE else ""
        script = self._fitted(block.text)
        trap = f"set -E -o pipefail\ntrap 'echo \"$? $BASH_COMMAND\" >> {failed}' ERR\n{mocked}"
        ended = run("bash", "-c", trap + script, cwd=self.folder, env=self.environ, stdin=subprocess.DEVNULL)
        lines = [line.partition(" ")[::2] for line in failed.read_text().splitlines()]
        wrong = [each for each in lines if not _expected(int(each[0]), each[1])]
        assert wrong == [], f"{block}:\n{ended.stdout[-3000:]}"
        if not lines:
            assert ended.returncode == 0, f"{block}:\n{ended.stdout[-3000:]}"
        must = {key for key, statuses in EXPECTED.items() if 0 not in statuses and _begins(block, key)}
        assert {key for key in must if any(said.startswith(key) for _, said in lines)} == must

    def check(self) -> None:
        """The daemon took everything well."""
        for event in ("defect", "config.refused", "task.failed"):
            assert [line for line in self.daemon.lines if line["event"] == event] == []

    def _fitted(self, text: str) -> str:
        found = text.replace("127.0.0.1:8787", self.daemon.address).replace("Bearer TOKEN", f"Bearer {TOKEN}")
        found = found.replace(PUBLIC, f"http://{self.daemon.address}")
        found = found.replace("/run/secrets/wrapd", str(self.folder / "token"))
        for shown, name in SETTINGS.items():
            found = found.replace(shown, f"{shown[:-1]}{getattr(self.sim.settings, name)}")
        return found.replace("WRAPD_EDITORS_URL=…", f"WRAPD_EDITORS_URL={self.hook.url()}")


def _expected(status: int, command: str) -> bool:
    return any(command.startswith(key) and status in statuses for key, statuses in EXPECTED.items())


def _begins(block: Block, key: str) -> bool:
    return any(" ".join(command).startswith(key) for command in commands_of(block.text))


@contextmanager
def scene(page: str, folder: Path) -> Iterator[Scene]:
    with LiveSim() as sim, Webhook() as hook:
        keys = sim.settings
        environ = {
            "HUAWEICLOUD_SDK_AK": keys.access_key,
            "HUAWEICLOUD_SDK_SK": keys.secret_key,
            "WRAPD_EDITORS_URL": hook.url(),
            "WRAPD_WEB_TOKEN": TOKEN,
        }
        with LiveDaemon(folder, config(page, sim, hook), environ=environ) as daemon:
            it = Scene(folder, sim, hook, daemon)
            seed(page, it)
            yield it


def config(page: str, sim: LiveSim, hook: Webhook) -> str:
    web = f'[web]\nlisten = "127.0.0.1:{free_port()}"\ntoken = "{TOKEN}"\npublic_url = "{PUBLIC}"\n'
    if page in OWN_CONFIG:
        tree = tomllib.loads(next(each.text for each in blocks("toml") if each.page == page))
        at_the_simulator = {"endpoint": sim.url, "project_id": sim.settings.project_id, "requests_per_second": 20}
        project: dict[str, Any] = {**tree["projects"]["main"], **at_the_simulator}
        del project["region"]
        tree["projects"]["main"] = project
        return dump(tree) + FAST + web
    callback = f'callback = {{ auth = "mss_a", key = "{KEY}" }}'
    return FAST + web + sim.project(more=callback) + to(hook, "editors") + to(hook, "mail")


def seed(page: str, it: Scene) -> None:
    """Create the jobs that the pages name; some are tracked already, and have ended."""
    for job in RUNNING:
        it.sim.jobs(job_id=job, timeline=[("PROCESSING", None)])
    done = it.sim.jobs(count=2, timeline=[("SUCCEED", None)])
    listed = it.sim.jobs(count=2, kind="photo" if page == "README.md" else "avatar", timeline=[("SUCCEED", None)])
    (it.folder / "ids.txt").write_text("\n".join(listed) + "\n")
    it.daemon.command("track", "--batch", "w12", "--tag", "promo", *done)
    it.daemon.command("track", "--batch", "spring", *it.sim.jobs(count=2, timeline=[("SUCCEED", None)]))
    it.daemon.wait_for("delivery.sent", count=4)
    if page != "docs/simulator.md":
        it.daemon.command("track", RUNNING[0])
        it.daemon.wait_for("job.moved", job=RUNNING[0])


def test_a_command_that_fails_would_be_seen(tmp_path: Path) -> None:
    with scene("docs/api.md", tmp_path) as it:
        for text in ("wrapd show nothing-such\n", "wrapd jobs | jq -e .nothing\n", "exit 3\n"):
            with pytest.raises(AssertionError):
                it.run(Block("docs/new.md", 1, "sh", text))
        it.run(Block("docs/new.md", 1, "sh", "wrapd jobs > /dev/null\n"))
