"""An unforeseen error in any command: one masked line that can be reported, and status 1."""

import sys
from collections.abc import Callable

import click
import pytest

from daemon import cli
from daemon.errors import Exit
from daemon.logs import MASKS

SECRET = "hunter2-hunter2"


class Odd(Exception):
    """An error with several lines of text and a secret."""

    def __str__(self) -> str:
        return f"first\nsecond {SECRET}"


def failing(error: BaseException) -> Callable[..., object]:
    def fail(*_: object, **__: object) -> object:
        raise error

    return fail


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Make every command raise."""
    MASKS.add([SECRET])

    def make(error: BaseException) -> None:
        monkeypatch.setattr(click.Command, "invoke", failing(error))

    return make


@pytest.mark.parametrize("name", cli.commands)
def test_one_line_that_can_be_reported(
    name: str, broken: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    broken(Odd())
    assert cli.main([name]) == Exit.FAILED
    said = capsys.readouterr()
    assert said.out == ""
    [line] = said.err.splitlines()
    assert line.startswith("wrapd: internal error at Odd")
    assert "first second ***" in line
    assert "WRAPD_DEBUG=1" in line


@pytest.mark.parametrize(
    "error", [KeyError(SECRET), OSError(2, "No such file", SECRET), RecursionError(), MemoryError()]
)
def test_a_traceback_is_for_those_who_ask_and_masked(
    error: BaseException,
    broken: Callable[[BaseException], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WRAPD_DEBUG", "1")
    broken(error)
    assert cli.main(["jobs"]) == Exit.FAILED
    said = capsys.readouterr().err
    assert "Traceback (most recent call last)" in said
    assert SECRET not in said


def test_standard_error_that_is_gone_changes_no_status(broken: Callable[[BaseException], None]) -> None:
    broken(Odd())
    before = sys.stderr
    try:
        with open("/dev/full", "w") as full:  # noqa: PTH123 - as the shell does it
            sys.stderr = full
            assert cli.main(["jobs"]) == Exit.FAILED
    finally:
        sys.stderr = before
