"""Starts that fail: one message with place and remedy, its status, and nothing changed."""

import hashlib
import socket
import sqlite3
import subprocess
from pathlib import Path

import pytest

from daemon.errors import Exit
from tests.support.live import FAST, LiveDaemon, LiveSim
from tests.support.process import COMMAND

CONFIG = """
[projects.main]
endpoint = "https://127.0.0.1:1"
project_id = "p1"
auth = { method = "token", token = "hunter2hunter2" }
[channels.editors]
url = "json://127.0.0.1:1/hunter2hunter2"
"""


def start(folder: Path, config: str) -> subprocess.CompletedProcess[str]:
    """Run `wrapd run`, which must end by itself."""
    path = folder / "wrapd.toml"
    path.write_text(config)
    path.chmod(0o600)
    return subprocess.run(
        [*COMMAND, "--config", path, "run"], capture_output=True, text=True, timeout=120, check=False
    )


def files(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.name != "wrapd.toml"
    }


def refused(ended: subprocess.CompletedProcess[str], status: Exit) -> str:
    """Return the one message of a refused start."""
    assert (ended.returncode, ended.stdout) == (status, "")
    assert "hunter2" not in ended.stderr
    [message] = ended.stderr.splitlines()
    assert message.startswith("wrapd: ")
    return message


def test_an_address_in_use_changes_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = refused(start(tmp_path, f'{CONFIG}[web]\nlisten = "127.0.0.1:{port}"\n'), Exit.CONFIG)
    assert f"web.listen: cannot listen on 127.0.0.1:{port}: Address already in use" in message
    assert "Name a free address" in message
    assert files(tmp_path) == {}, "no database was made"


@pytest.mark.long
def test_a_second_daemon_with_the_same_config_is_told_of_the_first(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with LiveSim() as sim:
        config = (
            f'{FAST}[web]\nlisten = "127.0.0.1:{port}"\n{sim.project()}[channels.c]\nurl = "json://127.0.0.1:1"\n'
        )
        with LiveDaemon(tmp_path, config) as daemon:
            for again in (config, config.replace(f":{port}", ":0")):
                message = refused(start(tmp_path, again.replace('format = "json"', "")), Exit.RUNNING)
                assert "another wrapd uses this database (pid " in message
                assert "stop it first" in message
            assert daemon.page("/readyz")[0] == 200, "the first one goes on"
            assert daemon.stop().status == 0


@pytest.mark.parametrize("made_by", [pytest.param("another program", marks=pytest.mark.long), "a newer wrapd"])
def test_a_database_that_is_not_for_this_program_stays_as_it_is(tmp_path: Path, made_by: str) -> None:
    path = tmp_path / "wrapd.db"
    if made_by == "a newer wrapd":
        (tmp_path / "wrapd.toml").write_text(CONFIG)
        subprocess.run([*COMMAND, "--config", tmp_path / "wrapd.toml", "db", "upgrade"], check=True)
    with sqlite3.connect(path) as connection:
        connection.execute(
            "UPDATE alembic_version SET version_num = '9999'" if "newer" in made_by else "CREATE TABLE a (b)"
        )
    connection.close()
    before = files(tmp_path)
    message = refused(start(tmp_path, f'{CONFIG}[web]\nlisten = "127.0.0.1:0"\n'), Exit.UNUSABLE)
    assert str(path) in message
    assert ("choose another file" if made_by == "another program" else "upgrade the program") in message
    assert files(tmp_path) == before


def test_all_faults_of_a_config_are_told_by_the_start_itself(tmp_path: Path) -> None:
    ended = start(
        tmp_path,
        CONFIG.replace("endpoint", "endpiont").replace("json:", "jsonn:") + '[web]\nlisten = "0.0.0.0:1"\n',
    )
    assert ended.returncode == Exit.CONFIG
    head, *faults = ended.stderr.splitlines()
    assert head.endswith(f"{len(faults)} faults:")
    assert {fault.split(": ")[0].strip() for fault in faults} == {
        "projects.main.endpiont",
        "projects.main",
        "web.listen",
        "channels.editors.url",
    }
    assert "did you mean 'endpoint'?" in ended.stderr
    assert "hunter2" not in ended.stderr
    assert files(tmp_path) == {}
