"""Programs of the system, and programs beside this interpreter: found, or the test is skipped with the reason."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
"""The checkout."""


def need(name: str) -> str:
    """The path of a program: beside this Python first, then on PATH. Skips the test where there is none."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"needs the program {name}")
    return found


def run(*command: str | Path, timeout: float = 60, **options: object) -> subprocess.CompletedProcess[str]:
    """The ended program, whatever its status, with standard error joined to its output."""
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
        **options,
    )
