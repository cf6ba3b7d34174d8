"""Finds programs of the system or next to this interpreter, or skips the test with the reason."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
"""The root of the checkout."""


def need(name: str, *, package: str = "") -> str:
    """Return the path of a program: next to this Python first, then on PATH. Skips the test if there is none;
    `package` says where it is to be had, if its name does not."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"needs the program {name}" + (f", in Debian's package {package}" if package else ""))
    return found


def run(*command: str | Path, timeout: float = 60, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a program; return it ended, whatever its status, with standard error joined to its output."""
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
        **options,
    )
