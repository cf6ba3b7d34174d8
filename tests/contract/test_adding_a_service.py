"""docs/adding-a-service.md, followed literally in a copy of the repository."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs/adding-a-service.md").read_text()
NEW, REGISTRY, TABLE = (
    "daemon/notify/services/zulip.py",
    "daemon/notify/services/__init__.py",
    "tests/support/services.py",
)
GENERATED = "docs/channels.md"
SUITES = (
    "tests/contract/test_conformance_http.py",
    "tests/contract/test_hostile_names.py",
    "tests/contract/test_channels_cards.py",
    "tests/contract/test_docs_examples.py",
    "tests/unit/test_notify_render.py",
)
COPIED = (
    *("daemon", "migrations", "tests", "docs", "packaging"),
    *(".importlinter", "config.schema.json", "pyproject.toml"),
)
_STEP = re.compile(
    r"(?:^`(?P<path>\S+)`:\n\n)?^```(?P<kind>python|diff)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


def steps() -> list[tuple[str, str, str]]:
    """Return path, kind and text of each block of the page; a block without a path continues the previous one."""
    found, path = [], ""
    for step in _STEP.finditer(PAGE):
        path = step["path"] or path
        found.append((path, step["kind"], step["text"]))
    return found


def follow(copy: Path) -> None:
    """Follow the page: write the new file, and add lines next to their neighbours."""
    for path, kind, text in steps():
        file = copy / path
        if kind == "python":
            assert not file.exists()
            file.write_text(text)
            continue
        lines = text.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if not line.startswith("+"))
        whole = file.read_text()
        assert whole.count(before) == 1, f"{path}: the page's lines are not where it says"
        file.write_text(whole.replace(before, "".join(line[1:] for line in lines)))


def copied(folder: Path) -> Path:
    for name in COPIED:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return folder


def contents(root: Path) -> dict[str, bytes]:
    files = (path for name in COPIED for path in [root / name, *(root / name).rglob("*")])
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in files
        if path.is_file() and "__pycache__" not in path.parts
    }


def run(copy: Path, *command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    for name in [name for name in environment if name.startswith("PYTEST_")]:
        del environment[name]
    done = subprocess.run(
        [sys.executable, *command], cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}{done.stderr[-2000:]}"
    return done.stdout


def test_the_page_names_one_new_file_one_line_of_the_registry_and_one_row() -> None:
    assert [path for path, _, _ in steps()] == [NEW, REGISTRY, REGISTRY, TABLE]


@pytest.mark.long
def test_who_follows_the_page_has_a_service_that_conforms(tmp_path: Path) -> None:
    copy = copied(tmp_path)
    before = contents(copy)
    follow(copy)
    run(copy, "-m", "ruff", "check", "-q", NEW, REGISTRY, TABLE)
    run(copy, "-m", "ruff", "format", "--check", "-q", NEW, REGISTRY, TABLE)
    run(copy, "docs/generate.py")
    told = run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "zulip or claims", *SUITES)
    passed = re.search(r"(\d+) passed", told)
    assert passed is not None
    assert int(passed[1]) >= 15, told
    after = contents(copy)
    assert {name for name in after if after[name] != before.get(name)} == {NEW, REGISTRY, TABLE, GENERATED}
    assert set(after) - set(before) == {NEW}
