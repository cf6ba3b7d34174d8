"""A full disk, a file size limit, a read-only file or folder: one message, no partial writes, and recovery."""

import contextlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import alembic.runtime.environment  # noqa: F401 - the ordinary user below may not be able to import it
import pytest

from daemon.errors import DatabaseFault
from daemon.store import SchemaStatus, StoreFailed, backup, check, migrate
from tests.support.store import open_store, track, url_of

ROOT = Path(__file__).parents[2]

_FULL_AT_WORK = """
import asyncio, os, sys
from pathlib import Path
from daemon.store import StoreFailed
from tests.support.store import open_store, track

async def main(folder):
    store = open_store(folder, daemon=True)
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    stored, refused = [], []
    for number in range(400):
        try:
            await store.write(lambda tx: track(tx, f"job-{number}", label="x" * 400))
            stored.append(f"job-{number}")
        except StoreFailed as error:
            refused.append(str(error))
            if len(refused) == 3:
                break
    assert refused, "the disk did not fill up"
    assert all("free some space" in text or "check the disk" in text for text in refused), refused
    ballast.unlink()
    await store.write(lambda tx: track(tx, "after"))
    found = {job.job_id for job in store.read(lambda tx: tx.jobs.list())}
    assert found == {*stored, "after"}, found
    store.close()

asyncio.run(main(Path(sys.argv[1])))
"""

_FULL_AT_START = """
import sys
from pathlib import Path
from daemon.errors import DatabaseFault
from tests.support.store import open_store

folder = Path(sys.argv[1])
ballast = (folder / "ballast").open("wb", buffering=0)
try:
    while True:
        ballast.write(bytes(4096))
except OSError:
    pass
try:
    open_store(folder, daemon=True)
except DatabaseFault as error:
    print("fault:", error)
"""


@contextlib.contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Become an ordinary user for a while, since permissions do not bind root."""
    if os.geteuid() != 0:
        yield
        return
    known, scripts = migrate.revisions(), migrate.scripts_folder()
    with pytest.MonkeyPatch.context() as patch:  # the checkout itself may be accessible to its owner only
        patch.setattr(migrate, "revisions", lambda _scripts=None: known)
        patch.setattr(migrate, "scripts_folder", lambda: scripts)
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder accessible to the ordinary user; pytest's own are accessible to their owner only."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    path.chmod(0o755)
    shutil.rmtree(path)


def small_disk(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `code` with a private file system of 1 MiB mounted at `folder`."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the program unshare and the right to mount in a namespace of its own")
    mount = 'mount -t tmpfs -o size=1m tmpfs "$1" && exec "$0" -c "$2" "$1"'
    return subprocess.run(
        [unshare, "-rm", "sh", "-c", mount, sys.executable, str(folder), code],
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.system
def test_a_disk_that_fills_up_refuses_and_recovers(folder: Path) -> None:
    done = small_disk(_FULL_AT_WORK, folder)
    assert done.returncode == 0, done.stderr


@pytest.mark.system
def test_a_full_disk_at_the_start_is_one_message(folder: Path) -> None:
    done = small_disk(_FULL_AT_START, folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert "fault:" in done.stdout
    assert "free some space" in done.stdout


async def test_a_file_size_limit_refuses_and_nothing_is_half_stored(tmp_path: Path) -> None:
    store = open_store(tmp_path, daemon=True)
    await store.write(track)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = max(file.stat().st_size for file in tmp_path.iterdir())

    def fill(tx):
        for number in range(3000):
            track(tx, f"more-{number}", label="x" * 500)

    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20_000, hard))
    try:
        with pytest.raises(StoreFailed, match="check the disk"):
            await store.write(fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(store.read(lambda tx: tx.jobs.list())) == 1
    await store.write(lambda tx: track(tx, "after"))
    store.close()
    assert check(url_of(store.path)).status is SchemaStatus.UP_TO_DATE


def test_a_read_only_folder_is_one_message(folder: Path) -> None:
    folder.chmod(0o555)
    with as_ordinary_user(), pytest.raises(DatabaseFault, match=r"Permission denied.*writable"):
        open_store(folder, daemon=True)
    with as_ordinary_user(), pytest.raises(DatabaseFault, match=r"Permission denied.*writable"):
        open_store(folder)
    assert list(folder.iterdir()) == []


def test_a_read_only_file_is_one_message(folder: Path) -> None:
    open_store(folder).close()
    folder.chmod(0o777)
    path = folder / "wrapd.db"
    path.chmod(0o444)
    before = path.read_bytes()
    with as_ordinary_user(), pytest.raises(DatabaseFault, match=r"wrapd\.db: .*read-only.*writable"):
        open_store(folder, daemon=True)
    assert path.read_bytes() == before


def test_a_file_that_cannot_be_read_is_one_message(folder: Path) -> None:
    open_store(folder).close()
    (folder / "wrapd.db").chmod(0)
    with as_ordinary_user(), pytest.raises(DatabaseFault, match="cannot be read"):
        open_store(folder)


def test_a_backup_that_does_not_fit_leaves_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.write_now(lambda tx: [track(tx, f"job-{n}") for n in range(500)])
    store.close()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))
    try:
        with pytest.raises(StoreFailed, match="check the disk"):
            backup(url_of(store.path), tmp_path / "copy.db")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [file.name for file in tmp_path.iterdir()] == ["wrapd.db"]
