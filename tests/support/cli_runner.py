"""Runs `wrapd` in this process, as from a shell, with a config in its own folder."""

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from daemon.cli import main

CONFIG = """
[projects.main]
region = "cn-north-4"
auth = { method = "aksk", access_key = { env = "NOT_SET_AK" }, secret_key = { env = "NOT_SET_SK" } }
[channels.editors]
url = { env = "NOT_SET_URL" }
"""
"""A config whose secrets do not exist: commands that need none must work with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of a command."""

    status: int
    out: str
    err: str


class Runner:
    """`runner("jobs", "--json")` runs a command with the config at `config`."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.config = folder / "wrapd.toml"
        self.database = folder / "wrapd.db"
        self.config.write_text(CONFIG)
        self._capsys = capsys

    def __call__(self, *args: str, stdin: bytes = b"", config: bool = True) -> Result:
        self._capsys.readouterr()
        before = sys.stdin
        sys.stdin = io.TextIOWrapper(io.BytesIO(stdin))
        try:
            with same_logging():
                status = main([*(("--config", str(self.config)) if config else ()), *args])
        finally:
            sys.stdin = before
        out, err = self._capsys.readouterr()
        return Result(status=status, out=out, err=err)


@contextmanager
def same_logging() -> Iterator[None]:
    """Restore the handlers of the root logger afterwards: a command sends its lines to its own standard error."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
