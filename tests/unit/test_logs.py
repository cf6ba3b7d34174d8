"""Log lines: no secret in any, a priority where the journal reads them, and no exception in any case."""

import asyncio
import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon import logs
from daemon.logs import MASKS, OUTPUT, LogEvent

SECRET = 'hunter2/"\\hunter2'
UNCAUGHT = """
import sys, threading
from daemon import logs
logs.set_up(level="info")
logs.take_hooks()
logs.MASKS.add(["hunter2-hunter2"])

class Loud:
    def __del__(self):
        raise ValueError("in a finaliser hunter2-hunter2")

Loud()
def work():
    raise ValueError("in a thread hunter2-hunter2")
thread = threading.Thread(target=work, name="own-thread")
thread.start()
thread.join()
try:
    raise KeyError("the cause: hunter2-hunter2")
except KeyError as error:
    raise RuntimeError("at the end: " + repr(["hunter2-hunter2"])) from error
"""


@pytest.fixture(params=["text", "json"])
def lines(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    stream = io.StringIO()
    logs.set_up(level="debug", output=request.param, stream=stream)
    MASKS.add([SECRET])
    yield stream
    assert "hunter2" not in stream.getvalue()
    logs.set_up(level="warning")


class Hostile(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


def test_fields_of_every_shape_are_masked(lines: io.StringIO) -> None:
    log = logs.logger("daemon.test")
    log.info(
        LogEvent.JOB_MOVED, text=f"x {SECRET} y", nested={"list": [SECRET, (SECRET,)]}, error=ValueError(SECRET)
    )
    log.info(LogEvent.JOB_MOVED, path=Path(SECRET), raw=SECRET.encode(), cut=SECRET[:10])
    assert lines.getvalue().count("***") >= 6


def test_tracebacks_are_masked_with_what_they_come_from(lines: io.StringIO) -> None:
    def fail() -> None:
        try:
            {}[SECRET]
        except KeyError as error:
            raise RuntimeError(f"value {SECRET!r} for {json.dumps(SECRET)}") from error

    try:
        fail()
    except RuntimeError as error:
        logs.logger("daemon.test").error(LogEvent.DEFECT, error=error, exc_info=error)
        logging.getLogger("library").exception("a library met %s", SECRET)
    text = lines.getvalue()
    assert text.count("Traceback") >= 4
    assert "RuntimeError" in text


async def test_what_asyncio_says_is_masked(lines: io.StringIO) -> None:
    loop = asyncio.get_running_loop()
    loop.call_exception_handler({"message": f"lost {SECRET}", "exception": ValueError(SECRET)})
    assert "lost ***" in lines.getvalue()


def test_a_field_that_cannot_be_shown_is_no_reason_to_fail(lines: io.StringIO) -> None:
    logs.set_up(stream=lines)  # without pytest's own handler, which does raise
    before = OUTPUT.lost
    log = logs.logger("daemon.test")
    log.error(LogEvent.DEFECT, error=Hostile())
    assert "Hostile" in lines.getvalue()
    log.error(LogEvent.DEFECT, what=[Hostile()])
    log.error(LogEvent.DEFECT, what="the next line")
    assert "the next line" in lines.getvalue()
    assert OUTPUT.lost <= before + 1


def test_a_stream_that_cannot_be_written_is_counted_and_told() -> None:
    told: list[BaseException] = []

    def hear(error: BaseException) -> None:
        told.append(error)
        raise RuntimeError("who is told fails too")

    with Path("/dev/full").open("w", buffering=1) as full:
        logs.set_up(level="info", stream=full)
        before, OUTPUT.on_lost = OUTPUT.lost, hear
        try:
            logs.logger("daemon.test").info(LogEvent.DAEMON_STARTED)
        finally:
            OUTPUT.on_lost = None
            logs.set_up(level="warning")
        assert OUTPUT.lost == before + 1
        assert isinstance(told[0], OSError)
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())


def test_each_line_of_a_traceback_has_its_priority_in_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "log").open("w+") as stream:
        found = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        logs.set_up(level="debug", stream=stream)
        log = logs.logger("daemon.test")
        try:
            int("first\nsecond")
        except ValueError as error:
            log.error(LogEvent.DEFECT, exc_info=error)
        log.debug(LogEvent.JOB_TAKEN)
        logging.getLogger("library").warning("a library's")
        logs.set_up(level="warning")
        stream.seek(0)
        written = stream.read().splitlines()
    assert {line[:3] for line in written[:-2]} == {"<3>"}
    assert len(written) > 5
    assert [line[:3] for line in written[-2:]] == ["<7>", "<4>"]


def test_a_stream_without_a_file_is_no_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "1:1")
    assert not logs.is_journal(io.StringIO())


def test_what_nobody_caught_is_masked_too() -> None:
    ended = subprocess.run([sys.executable, "-c", UNCAUGHT], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "hunter2" not in ended.stderr
    for place in ("in a finaliser ***", "in a thread ***", "the cause: ***", "at the end: "):
        assert place in ended.stderr
    assert "own-thread" in ended.stderr


def test_a_secret_that_is_split_over_the_parts_of_a_field_is_masked() -> None:
    stream = io.StringIO()
    logs.set_up(output="json", stream=stream)
    MASKS.add({"the-key-that-is-split-in-two"})
    first, second = "the-key-that-is", "-split-in-two"
    log = logs.logger("daemon.split")
    log.info(LogEvent.DEFECT, one=first, two=second)
    log.info(LogEvent.DEFECT, parts=[first, (second,)], table={first: {"of": [second]}}, rest={1, second})
    loop: list[object] = []
    loop.append(loop)
    log.info(LogEvent.DEFECT, loop=loop)
    assert first not in stream.getvalue()
    assert second not in stream.getvalue()


LATE = """
import logging, sys
from daemon import logs
from daemon.logs import MASKS, LogEvent
logs.set_up_late("warning")
log = logs.logger("daemon.late")
assert "structlog" not in sys.modules
MASKS.add({"hunter2"})
"""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("log.warning(LogEvent.DEFECT, part='hunter2')", "[warning  ] defect part=***\n"),
        ("logging.getLogger('library').warning('of hunter2')", "[warning  ] of ***"),
        ("log.info(LogEvent.DEFECT)", ""),
    ],
)
def test_the_first_line_sets_logging_up(line: str, said: str) -> None:
    ended = subprocess.run([sys.executable, "-c", LATE + line], capture_output=True, text=True, check=True)
    assert ended.stdout == ""
    assert said.strip() in ended.stderr
    assert bool(said) is bool(ended.stderr)


@pytest.mark.parametrize(
    ("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)], ids=str
)
def test_a_line_has_colours_on_a_terminal_that_is_to_show_them(
    environ: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    stream = Tty()
    try:
        logs.set_up(level="info", stream=stream)
        logs.logger("daemon.test").info(LogEvent.JOB_TAKEN, number=3)
    finally:
        logs.set_up(level="warning")
    assert ("\x1b[" in stream.getvalue()) is coloured
