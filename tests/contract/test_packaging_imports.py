"""The import contract can fail: each kind of forbidden import is found when put into a copy."""

import shutil
from pathlib import Path

import pytest

from tests.support.programs import ROOT, need, run


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the package and its contract, to modify."""
    shutil.copytree(ROOT / "daemon", tmp_path / "daemon", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", tmp_path)
    return tmp_path


def lint(folder: Path) -> tuple[int, str]:
    ended = run(
        need("lint-imports"), "--no-logo", "--no-cache", cwd=folder, env={"PYTHONPATH": str(folder)}
    )  # before the checkout
    return ended.returncode, ended.stdout


def test_the_contract_is_kept(copy: Path) -> None:
    status, said = lint(copy)
    assert status == 0, said
    assert " 0 broken" in said


LAYERS = "Imports point down only BROKEN"


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("daemon/domain/states.py", "from daemon import clock", LAYERS),
        ("daemon/store/rows.py", "from daemon.watch import poller", LAYERS),
        ("daemon/metastudio/kinds.py", "from daemon import store", LAYERS),
        ("daemon/newcomer.py", "", "not listed as layers"),
        (
            "daemon/sim/jobs.py",
            "from daemon import transport",
            "The simulator knows nothing of the daemon that it tests BROKEN",
        ),
        (
            "daemon/domain/backoff.py",
            "import time",
            "The domain is pure: the standard library only, and nothing of it that talks to the outside BROKEN",
        ),
        ("daemon/watch/poller.py", "import httpx", "httpx only in transport BROKEN"),
        ("daemon/watch/poller.py", "import sqlalchemy.orm", "SQLAlchemy and Alembic only in the store BROKEN"),
    ],
)
def test_a_breach_is_found(copy: Path, module: str, line: str, broken: str) -> None:
    spoilt = copy / module
    text = spoilt.read_text() if spoilt.exists() else '"""New."""\n'
    spoilt.write_text(f"{text}\n{line}\n")
    status, said = lint(copy)
    assert status == 1, said
    assert broken in " ".join(said.split())
