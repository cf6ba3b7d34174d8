"""What the Makefile promises, and that skips fail where none are allowed."""

import os
import shutil
from pathlib import Path

import pytest

from tests.support.programs import ROOT, need, run


@pytest.mark.system
def test_make_alone_lists_what_it_can_do() -> None:
    ended = run(need("make"), "--no-print-directory", cwd=ROOT)
    assert ended.returncode == 0, ended.stdout
    for target in ("demo", "test", "check", "bench", "lock", "clean"):
        assert f"\n    {target} " in ended.stdout


@pytest.mark.system
@pytest.mark.parametrize("python", ["too-old", "not-there"])
def test_a_python_that_will_not_do_is_refused_in_words(tmp_path: Path, python: str) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("pyproject.toml", "requirements-dev.lock"):
        (tmp_path / name).touch()
    old = tmp_path / "too-old"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 && exit 0\nexit 1\n')
    old.chmod(0o755)
    ended = run(need("make"), "test", f"PYTHON={tmp_path / python}", cwd=tmp_path)
    assert ended.returncode == 2
    assert "wrapd needs Python 3.11 or newer" in ended.stdout
    assert "make test PYTHON=python3.13" in ended.stdout
    assert not (tmp_path / ".venv").exists()


OWN_INI = "[pytest]\naddopts = -p no:schemathesis -p no:faker -p no:anyio\n"
SKIPPERS = """
import pytest

def test_skips_itself():
    pytest.skip("needs the program moon")

@pytest.mark.skip(reason="marked")
def test_is_marked(): ...

@pytest.mark.xfail
def test_known_fault():
    assert False

def test_runs(): ...
"""


@pytest.mark.parametrize(
    ("allowed", "outcome"),
    [(True, "1 passed, 2 skipped, 1 xfailed"), (False, "1 failed, 1 passed, 1 xfailed, 1 error")],
)
def test_a_skip_fails_where_none_is_allowed(tmp_path: Path, allowed: bool, outcome: str) -> None:
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_skippers.py").write_text(SKIPPERS)
    (tmp_path / "pytest.ini").write_text(OWN_INI)
    environ = {**os.environ, "WRAPD_NO_SKIPS": "" if allowed else "1"}
    ended = run(need("pytest"), "-p", "no:cacheprovider", "-q", tmp_path, cwd=tmp_path, env=environ)
    assert outcome in ended.stdout
    assert ended.returncode == (0 if allowed else 1)
    if not allowed:
        assert "needs the program moon" in ended.stdout


def test_a_whole_file_that_skips_fails_too(tmp_path: Path) -> None:
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_absent.py").write_text('import pytest\npytest.importorskip("no_such_library")\n')
    (tmp_path / "pytest.ini").write_text(OWN_INI)
    environ = {**os.environ, "WRAPD_NO_SKIPS": "1"}
    ended = run(need("pytest"), "-p", "no:cacheprovider", "-q", tmp_path, cwd=tmp_path, env=environ)
    assert ended.returncode not in (0, 5), ended.stdout
    assert "no_such_library" in ended.stdout
