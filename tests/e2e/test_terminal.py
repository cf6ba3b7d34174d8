"""Hang-ups, terminals and pipes that close, an unwritable log, and the journal's priorities."""

import os
import pty
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.live import FAST, PATIENCE, LiveDaemon, LiveSim, events, to, until
from tests.support.process import COMMAND
from tests.support.webhook import Webhook

pytestmark = pytest.mark.long

WEB_OFF = "[web]\nenabled = false\n"
TEXT = FAST.replace('format = "json"', 'format = "text"')


def begin(folder: Path, config: str, **options: object) -> "subprocess.Popen[bytes]":
    path = folder / "wrapd.toml"
    path.write_text(config)
    path.chmod(0o600)
    return subprocess.Popen([*COMMAND, "--config", path, "run"], **options)  # type: ignore[call-overload,no-any-return]


def command(folder: Path, *arguments: str) -> str:
    ended = subprocess.run(
        [*COMMAND, "--config", folder / "wrapd.toml", *arguments], capture_output=True, text=True, check=True
    )
    return ended.stdout


def asked(sim: LiveSim) -> None:
    until("it asks", lambda: sim.asked() > 2)


def test_a_hang_up_has_the_config_read_again(tmp_path: Path) -> None:
    with (
        LiveSim() as sim,
        Webhook() as hook,
        LiveDaemon(tmp_path, FAST + WEB_OFF + sim.project() + to(hook)) as daemon,
    ):
        os.kill(daemon.pid, signal.SIGHUP)
        daemon.wait_for("config.reloaded", changed=[])
        daemon.command("track", *sim.jobs(timeline=[("SUCCEED", None)]))
        daemon.wait_for("delivery.sent")
        assert daemon.stop().status == 0


def test_a_hang_up_while_it_starts_does_not_end_it(tmp_path: Path) -> None:
    gate = tmp_path / "url"
    os.mkfifo(gate)
    with LiveSim() as sim, Webhook() as hook:
        config = f'{TEXT}{WEB_OFF}{sim.project()}[channels.hook]\nurl = {{ file = "{gate}" }}\n'
        process = begin(tmp_path, config, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        with gate.open("w") as file:  # once opened, the start has reached the secrets, and waits for this one
            os.kill(process.pid, signal.SIGHUP)
            file.write(hook.url())
        gate.unlink()
        gate.write_text(hook.url())
        assert process.stderr is not None
        while b"daemon.started" not in process.stderr.readline():
            assert process.poll() is None
        process.terminate()
        assert process.wait(PATIENCE) == 0
        process.stderr.close()


def test_a_terminal_that_is_closed_ends_a_foreground_run_cleanly(tmp_path: Path) -> None:
    with LiveSim() as sim:
        leader, follower = pty.openpty()
        process = begin(
            tmp_path,
            TEXT + WEB_OFF + sim.project(),
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
            preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
        )
        os.close(follower)
        sent = b""
        while b"daemon.started" not in sent:
            sent += os.read(leader, 1000)
        [job] = sim.jobs(timeline=[("PROCESSING", None)])
        command(tmp_path, "track", job)
        asked(sim)
        os.close(leader)
        assert process.wait(PATIENCE) == 0
        assert job in command(tmp_path, "jobs")


def test_a_pipe_that_is_closed_ends_a_foreground_run_and_not_a_service(tmp_path: Path) -> None:
    for foreground in (True, False):
        folder = tmp_path / str(foreground)
        folder.mkdir()
        with LiveSim() as sim, Webhook() as hook:
            leader, follower = pty.openpty()
            reader, writer = os.pipe()
            process = begin(
                folder,
                TEXT + WEB_OFF + sim.project() + to(hook),
                stdin=follower if foreground else subprocess.DEVNULL,
                stdout=writer,
                stderr=writer,
            )
            os.close(writer)
            sent = b""
            while b"daemon.started" not in sent:
                sent += os.read(reader, 1000)
            os.close(reader)
            command(folder, "track", *sim.jobs(count=3, timeline=[("SUCCEED", None)]))
            if foreground:
                assert process.wait(PATIENCE) == 0
            else:
                until("all are told", lambda: len(events(hook)) == 3)
                process.terminate()
                assert process.wait(PATIENCE) == 0
            os.close(leader)
            os.close(follower)


def test_a_log_that_cannot_be_written_loses_no_alert(tmp_path: Path) -> None:
    config = FAST + '[web]\nlisten = "127.0.0.1:0"\n'
    with LiveSim() as sim, Webhook() as hook, Path("/dev/full").open("wb") as full:
        process = begin(
            tmp_path, config + sim.project() + to(hook), stdin=subprocess.DEVNULL, stdout=full, stderr=full
        )
        jobs = sim.jobs(count=3, timeline=[("SUCCEED", None)])
        until("a command finds the database", (tmp_path / "wrapd.db").exists)
        command(tmp_path, "track", *jobs)
        until("all are told", lambda: len(events(hook)) == 3)
        process.terminate()
        assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize("journal", [True, False])
def test_each_line_has_its_priority_in_the_journal_alone(tmp_path: Path, journal: bool) -> None:
    log = tmp_path / "log"
    with LiveSim() as sim, log.open("wb") as stream:
        found = os.fstat(stream.fileno())
        stream_id = f"{found.st_dev}:{found.st_ino if journal else 1}"
        config = TEXT + WEB_OFF + sim.project()
        options = {
            "stdin": subprocess.DEVNULL,
            "stderr": stream,
            "env": {**os.environ, "JOURNAL_STREAM": stream_id},
        }
        process = begin(tmp_path, config, **options)
        until("it runs", lambda: "daemon.started" in log.read_text())
        os.kill(process.pid, signal.SIGHUP)
        until("it says so", lambda: "config.reloaded" in log.read_text())
        process.terminate()
        assert process.wait(PATIENCE) == 0
        wrong = begin(tmp_path, f"{config}[nonsense]\n[more]\n", **options)
        assert wrong.wait(PATIENCE) == 3
    lines = log.read_text().splitlines()
    if not journal:
        assert all(line.startswith(f"{time.gmtime().tm_year}-") for line in lines if "daemon." in line)
        assert not any(line.startswith("<") for line in lines)
        return
    assert [line[:3] for line in lines if "daemon.started" in line] == ["<6>"]
    assert [line[:3] for line in lines if "config.reloaded" in line] == ["<6>"]
    assert str(time.gmtime().tm_year) not in "".join(line for line in lines if "daemon.started" in line)
    faults = [line for line in lines if "nonsense" in line or "more" in line or "wrapd:" in line]
    assert len(faults) == 3
    assert all(line.startswith("<3>") for line in faults)
