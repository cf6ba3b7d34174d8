"""The command as a process: pipes, terminals, locales, signals, and its imports."""

import fcntl
import json
import os
import pty
import re
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
from contextlib import closing
from pathlib import Path

import pytest

import daemon
from daemon.cli import CLOSED_OUTPUT, INTERRUPTED
from daemon.errors import Exit
from tests.support.cli_runner import CONFIG, Runner
from tests.support.live import until

WRAPD = [sys.executable, "-m", "daemon.cli"]
LONG = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def home(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Return a folder with a config and two jobs."""
    runner = Runner(tmp_path, capsys)
    assert (
        runner("track", LONG, "--label", "[red]数字人[/red] \x1b[31mname that goes on and on and on").status == 0
    )
    assert runner("track", "b").status == 0
    return tmp_path


def run(
    home: Path, *args: str, env: dict[str, str] | None = None, **options: object
) -> subprocess.CompletedProcess[bytes]:
    own = {
        name: value for name, value in os.environ.items() if name != "COLUMNS"
    }  # the terminal's own width counts
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [*WRAPD, *args],
        cwd=home,
        env={**own, "PYTHONPATH": str(Path(daemon.__file__).parents[1]), **(env or {})},
        check=False,
        timeout=120,
        **{"capture_output": True, **options},
    )


def on_terminal(home: Path, *args: str, columns: int = 80, env: dict[str, str] | None = None) -> str:
    """Return the output on a terminal of that width."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    try:
        ended = run(
            home,
            *args,
            env={"TERM": "xterm-256color", **(env or {})},
            capture_output=False,
            stdin=follower,
            stdout=follower,
            stderr=subprocess.PIPE,
        )
        assert (ended.returncode, ended.stderr) == (0, b"")
        os.set_blocking(leader, False)
        received = b""
        try:
            while chunk := os.read(leader, 65536):
                received += chunk
        except BlockingIOError:
            pass
    finally:
        os.close(leader)
        os.close(follower)
    return received.decode()


def without_colours(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.mark.parametrize("columns", [60, 80, 140])
def test_the_table_fits_the_terminal_and_names_are_no_markup(home: Path, columns: int) -> None:
    received = on_terminal(home, "jobs", columns=columns)
    plain = without_colours(received)
    assert "\x1b" not in plain
    lines = plain.replace("\r", "").splitlines()
    for line in lines:
        width = sum(2 if ord(char) > 0x2E80 else 1 for char in line.rstrip())
        assert width <= columns
    assert LONG[:8] in plain
    assert LONG[:9] not in plain
    assert "[red]" in plain
    assert "PROJECT" not in plain, "there is only one"
    assert "\x1b[31mname" not in received


def test_a_terminal_gets_colours_unless_it_says_no(home: Path) -> None:
    assert "\x1b[" in on_terminal(home, "show", "b")
    for env in ({"TERM": "dumb"}, {"NO_COLOR": "1"}):
        assert "\x1b[3" not in on_terminal(home, "jobs", env=env)


def test_an_empty_list_says_what_to_do_on_a_terminal_only(tmp_path: Path) -> None:
    (tmp_path / "wrapd.toml").write_text(CONFIG)
    assert run(tmp_path, "db", "upgrade").returncode == 0
    assert "wrapd track JOB_ID" in on_terminal(tmp_path, "jobs")
    assert b"track" not in run(tmp_path, "jobs").stdout


@pytest.mark.long
def test_a_terminal_is_shown_the_newest_and_told_how_many_there_are_beside(tmp_path: Path) -> None:
    (tmp_path / "wrapd.toml").write_text(CONFIG)
    ids = [f"job-{number:03}" for number in range(62)]
    assert run(tmp_path, "track", "-", input="\n".join(ids).encode()).returncode == 0

    def shown(*args: str) -> tuple[list[str], str]:
        plain = without_colours(on_terminal(tmp_path, *args)).replace("\r", "").rstrip()
        return re.findall(r"job-\d{3}", plain), plain.splitlines()[-1]

    newest = ids[::-1]
    assert shown("jobs") == (newest[:50], "12 more, all older; --limit N shows the newest N, --all shows all")
    assert shown("jobs", "--limit", "60")[0] == newest[:60]
    assert shown("jobs", "--limit", "60")[1].startswith("2 more")
    for args in (("--all",), ("--limit", "62"), ("--limit", "9" * 30)):
        found, last = shown("jobs", *args)
        assert found == newest
        assert "more" not in last
    assert run(tmp_path, "jobs").stdout.decode().count("job-") == len(ids)
    assert run(tmp_path, "jobs", "--all", "--limit", "1").returncode == Exit.USAGE
    assert "No alerts yet" in on_terminal(tmp_path, "deliveries")
    with closing(sqlite3.connect(tmp_path / "wrapd.db")) as database, database:
        database.executemany(
            "INSERT INTO deliveries (key, channel, event, facts, status, due_at, created_at)"
            " VALUES (?, 'editors', 'project_down', '{}', 'pending', 0, 0)",
            ((f"key-{number}",) for number in range(10_051)),
        )
    assert shown("deliveries")[1].startswith("more than 10,000 more")
    assert shown("deliveries", "--status", "pending", "--limit", "51")[1].startswith("10,000 more")
    assert "more" not in shown("deliveries", "--status", "dead")[1]


def test_a_reader_that_goes_away_ends_it_quietly(home: Path) -> None:
    many = "\n".join(f"job-{number:06}" for number in range(5000)).encode()
    assert run(home, "track", "-", input=many).returncode == 0
    process = subprocess.Popen([*WRAPD, "jobs"], cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.wait(timeout=120) == CLOSED_OUTPUT
    assert process.stderr.read() == b""
    process.stderr.close()


def test_a_full_disk_under_the_output_is_one_message(home: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = run(home, "jobs", "--json", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert ended.returncode == Exit.FAILED
    assert ended.stderr == b"wrapd: the output cannot be written: No space left on device\n"


def test_closed_standard_streams_do_not_matter(home: Path) -> None:
    command = f"exec {sys.executable} -m daemon.cli jobs <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", command], cwd=home, check=False, timeout=120).returncode == 0
    command = f"exec {sys.executable} -m daemon.cli track - <&- 2>/dev/null"
    assert subprocess.run(["sh", "-c", command], cwd=home, check=False, timeout=120).returncode == Exit.USAGE


@pytest.mark.parametrize(
    "env", [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"PYTHONIOENCODING": "latin-1"}]
)
def test_output_that_is_not_utf8_shows_what_it_can(home: Path, env: dict[str, str]) -> None:
    ended = run(home, "jobs", env=env)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert b"name that goes on" in ended.stdout
    ended = run(home, "jobs", "--json", env=env)
    assert "数字人" in json.loads(ended.stdout)[1]["label"]
    ended = run(home, "show", "数字人", env=env)
    assert ended.returncode == Exit.USAGE
    assert ended.stderr.startswith(b"wrapd: ")


def test_ctrl_c_ends_with_130_and_no_traceback(home: Path) -> None:
    process = subprocess.Popen(
        [*WRAPD, "track", "-"], cwd=home, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    # It waits for its input after opening only the config: poll until it sleeps in read(2).
    syscall = Path(f"/proc/{process.pid}/syscall")
    until("it reads its input", lambda: syscall.read_text().startswith("0 0x0 "), pace=0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (INTERRUPTED, b"")
    assert b"Traceback" not in err


def test_faults_are_one_message_each_and_no_traceback(tmp_path: Path) -> None:
    cases = [
        (("jobs",), Exit.CONFIG, b"there is no config at wrapd.toml; create one with `wrapd config init`"),
        (("--config", "x.toml", "jobs"), Exit.CONFIG, b"there is no config at x.toml"),
        (("trak", "a"), Exit.USAGE, b"There is no command 'trak'. Did you mean 'track'?"),
        (("\x1b[31m",), Exit.USAGE, b"There is no command"),
        (("jobs", "--nope"), Exit.USAGE, b"No such option"),
        (("track",), Exit.USAGE, b"which jobs?"),
        (("track", "a", "--kind", "hologram"), Exit.USAGE, b"avatar"),
        (("jobs", "--config", "x.toml"), Exit.USAGE, b"before the command: `wrapd --config FILE COMMAND`"),
        (("sim", "--speed", "nan"), Exit.USAGE, b"--speed"),
        (("sim", "--speed", "inf"), Exit.USAGE, b"--speed"),
        (("demo", "--speed", "-inf"), Exit.USAGE, b"--speed"),
    ]
    for args, status, says in cases:
        ended = run(tmp_path, *args)
        assert (ended.returncode, ended.stdout) == (status, b"")
        assert ended.stderr.startswith(b"wrapd: ")
        assert says in ended.stderr
        assert b"Traceback" not in ended.stderr
        assert b"\x1b" not in ended.stderr
    assert not list(tmp_path.iterdir())


def test_the_config_is_named_by_the_environment(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    ended = run(elsewhere, "jobs", "--json", env={"WRAPD_CONFIG": str(home / "wrapd.toml")})
    assert len(json.loads(ended.stdout)) == 2
    assert not list(elsewhere.iterdir())


def test_version_and_help(tmp_path: Path) -> None:
    ended = run(tmp_path, "--version")
    assert (ended.returncode, ended.stdout.decode().split()) == (0, ["wrapd,", "version", daemon.__version__])
    for args in (("--help",), ("-h",), ("jobs", "--help"), ("deliveries", "retry", "-h")):
        ended = run(tmp_path, *args)
        assert (ended.returncode, ended.stdout.startswith(b"Usage: wrapd")) == (0, True)


def test_a_command_line_without_a_command_gets_the_help_and_the_status_of_a_wrong_one(tmp_path: Path) -> None:
    for args in ((), ("db",), ("config",)):
        ended, asked = run(tmp_path, *args), run(tmp_path, *args, "--help")
        assert (ended.returncode, ended.stdout, asked.returncode) == (Exit.USAGE, b"", 0)
        assert ended.stderr == asked.stdout


def test_a_missing_config_names_every_place_and_what_to_do(tmp_path: Path) -> None:
    ended = run(tmp_path, "jobs")
    said = ended.stderr.decode()
    assert (ended.returncode, ended.stdout) == (Exit.CONFIG, b"")
    for place in (
        "--config FILE",
        "WRAPD_CONFIG",
        "./wrapd.toml",
        "/etc/wrapd/config.toml",
        "`wrapd config init`",
    ):
        assert place in said


def test_the_collector_is_on_again_when_a_command_has_its_modules(home: Path) -> None:
    script = (
        "import gc, sys; from daemon.cli import main; main();"
        "print(gc.isenabled(), gc.get_freeze_count() > 0, file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, "jobs"], cwd=home, capture_output=True, check=True, timeout=120, text=True
    )
    assert ended.stderr.splitlines()[-1] == "True True"
