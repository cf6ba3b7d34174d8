"""`wrapd completion`: the Tab key in a real shell, and the cost of each press."""

import os
import pty
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

import daemon
from daemon.cli import commands
from tests.support.live import PATIENCE

PLACE = str(Path(daemon.__file__).parents[1])


@pytest.fixture
def wrapd(tmp_path: Path) -> Path:
    """Return a folder for PATH with the command `wrapd`."""
    program = tmp_path / "bin" / "wrapd"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH={PLACE} exec {sys.executable} -m daemon.cli "$@"\n')
    program.chmod(0o755)
    return program.parent


class Shell:
    """An interactive shell on its own terminal, as a context manager."""

    def __init__(self, program: str, *arguments: str, folder: Path, path: Path) -> None:
        self._leader, follower = pty.openpty()
        self._process = subprocess.Popen(
            [program, *arguments],
            stdin=follower,
            stdout=follower,
            stderr=follower,
            cwd=folder,
            env={"PATH": f"{path}:{os.environ['PATH']}", "TERM": "dumb", "HOME": str(folder), "PS1": "$ "},
            start_new_session=True,
        )
        os.close(follower)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._leader)

    def type(self, text: str, *, until: str) -> str:
        """Type these keys; return the output up to and including `until`."""
        os.write(self._leader, text.encode())
        shown = ""
        while until not in shown:
            assert select.select([self._leader], [], [], PATIENCE)[0], f"no {until!r} in {shown!r}"
            shown += os.read(self._leader, 65536).decode(errors="replace")
        return shown


@pytest.fixture
def bash(wrapd: Path, tmp_path: Path) -> Iterator[Shell]:
    with Shell("bash", "--norc", "--noprofile", "-i", folder=tmp_path, path=wrapd) as shell:
        shell.type("source <(wrapd completion bash); echo re''ady\n", until="ready\r\n")
        yield shell


def test_the_tab_key_completes_commands_options_and_choices_in_bash(bash: Shell) -> None:
    shown = bash.type("wrapd j\t--he\t\n", until="Show this message and exit.")
    assert "Usage: wrapd jobs" in shown
    bash.type("wrapd jobs --tracking expi\t--he\t\n", until="Usage: wrapd jobs")
    shown = bash.type("wrapd nonsense j\t\n", until="There is no command 'nonsense'")
    assert "Traceback" not in shown


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_each_script_is_one_that_its_shell_reads(wrapd: Path, name: str) -> None:
    printed = subprocess.run([wrapd / "wrapd", "completion", name], capture_output=True, check=True)
    assert printed.stderr == b""
    assert b"_WRAPD_COMPLETE" in printed.stdout
    shell = shutil.which(name)
    if shell is not None:
        assert subprocess.run([shell, "-n"], input=printed.stdout, check=False).returncode == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_press_of_the_tab_key_imports_nothing_slow(tmp_path: Path, shell: str) -> None:
    heavy = ("sqlalchemy", "apprise", "litestar", "uvicorn", "aiohttp", "httpx", "apscheduler", "alembic")
    script = (
        "import sys\nfrom daemon.cli import main\n"
        "try: main([])\nexcept SystemExit: pass\n"
        f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    env = {**os.environ, "COMP_WORDS": "wrapd ", "COMP_CWORD": "1", "_WRAPD_COMPLETE": f"{shell}_complete"}
    if shell == "fish":
        env["COMP_CWORD"] = ""
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=env | {"PYTHONPATH": PLACE},
        capture_output=True,
        check=True,
    )
    assert ended.stderr == b"[]\n"
    offered = ended.stdout.decode()
    assert all(command in offered for command in commands)


def test_an_unknown_shell_is_told_which_there_are(wrapd: Path) -> None:
    ended = subprocess.run([wrapd / "wrapd", "completion", "csh"], capture_output=True, check=False)
    assert ended.returncode == 2
    assert b"'bash', 'zsh', 'fish'" in ended.stderr
