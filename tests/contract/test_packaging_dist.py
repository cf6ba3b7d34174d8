"""Wheel and sdist: their contents, and that wrapd works from each in a separate environment."""

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.support.programs import ROOT, run

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


def build(kind: str, source: Path, out: Path) -> Path:
    """Return the one file that `python -m build` makes from `source`, with the locked build backend."""
    ended = run(sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "--outdir", out, source, timeout=120)
    assert ended.returncode == 0, ended.stdout
    [made] = out.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    [top] = folder.iterdir()
    return top


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a virtual environment with the locked packages and no wrapd; return its folder of programs."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    pip(folder / "bin", "--require-hashes", "-r", str(ROOT / "requirements.lock"))
    return folder / "bin"


def pip(programs: Path, *arguments: str) -> None:
    ended = run(programs / "python", "-m", "pip", "install", "--quiet", *arguments, timeout=240)
    assert ended.returncode == 0, ended.stdout


def files(archive: Path) -> dict[str, int]:
    """Return the files of a wheel, each with its checksum."""
    with zipfile.ZipFile(archive) as wheel:
        return {entry.filename: entry.CRC for entry in wheel.infolist()}


def test_the_wheel_has_the_package_the_migrations_and_nothing_else(wheel: Path) -> None:
    names = {name for name in files(wheel) if ".dist-info/" not in name}
    tracked = {
        str(path.relative_to(ROOT))
        for folder in ("daemon", "migrations")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == {f"daemon/_{name}" if name.startswith("migrations/") else name for name in tracked}
    assert any(name.startswith("daemon/_migrations/versions/") for name in names)


def test_the_sdist_makes_the_same_wheel(wheel: Path, unpacked: Path, tmp_path: Path) -> None:
    assert files(build("wheel", unpacked, tmp_path)) == files(wheel)


def test_the_sdist_has_what_the_checks_need_and_no_rubbish(unpacked: Path) -> None:
    for name in (".importlinter", "CHANGELOG.md", "Dockerfile", "LICENSE", "Makefile", "packaging/wrapd.service"):
        assert (unpacked / name).is_file(), name
    for name in ("tests/conftest.py", "requirements-dev.lock", "config.example.toml", "docs/install.md"):
        assert (unpacked / name).is_file(), name
    assert not [path for path in unpacked.rglob("*") if path.suffix in {".pyc", ".db"} or path.name == ".venv"]


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_the_demo_runs_from_an_installation(
    kind: str, request: pytest.FixtureRequest, environment: Path, tmp_path: Path
) -> None:
    archive: Path = request.getfixturevalue(kind)
    pip(environment, "--force-reinstall", "--no-deps", "--no-build-isolation", str(archive))
    environ = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}
    where = subprocess.run(
        [environment / "python", "-c", "import daemon; print(daemon.__file__)"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environ,
        check=True,
    ).stdout
    assert where.startswith(str(environment.parent))  # not from the checkout

    ended = run(
        environment / "wrapd", "demo", "--exit-when-done", "--jobs", "3", cwd=tmp_path, env=environ, timeout=120
    )
    assert ended.returncode == 0, ended.stdout
    assert " sent, 0 missing" in ended.stdout
    assert not list(tmp_path.iterdir())  # its database is in a temporary folder
