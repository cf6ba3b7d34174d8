"""`wrapd db backup --keep` and `wrapd db restore`: what they say, ask and refuse."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from daemon.clock import ManualClock
from daemon.errors import Exit
from daemon.store import AttemptOutcome, Outcome
from daemon.store.lock import DaemonLock
from tests.contract.test_owner import NOBODY, folder, owners
from tests.support.cli_runner import CONFIG, Runner
from tests.support.store import NOW, later, open_store, record, track

__all__ = ["folder"]  # a fixture


@pytest.fixture
def wrapd(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runner:
    for module in ("daemon.cli.db", "daemon.cli.checks"):
        monkeypatch.setattr(f"{module}.CLOCK", ManualClock(NOW))
    return Runner(tmp_path, capsys)


def test_backups_are_kept_by_number(wrapd: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    wrapd("track", "a")
    to = wrapd.folder / "elsewhere"
    assert "not a folder" in _error(wrapd, "db", "backup", "--to", str(wrapd.config), status=Exit.DATABASE)
    for day in range(3):
        monkeypatch.setattr("daemon.cli.db.CLOCK", ManualClock(later(86400 * day)))
        said = wrapd("db", "backup", "--keep", "2").out
        assert wrapd("db", "backup", "--to", str(to)).status == 0
    backups = wrapd.folder / "backups"
    newest = backups / "wrapd-20260303T120000Z.db"
    assert said.splitlines() == [
        f"{newest}: written, {newest.stat().st_size} bytes",
        f"{backups}/wrapd-20260301T120000Z.db: removed",
    ]
    assert (len(list(backups.iterdir())), len(list(to.iterdir()))) == (2, 3)


def test_a_backup_needs_one_place(wrapd: Runner) -> None:
    wrapd("track", "a")
    for args in ((), ("x.db", "--keep", "2"), ("x.db", "--to", "y"), ("--keep", "0")):
        assert wrapd("db", "backup", *args).status == Exit.USAGE
    assert not (wrapd.folder / "backups").exists()


def test_no_database_no_folder(wrapd: Runner) -> None:
    assert wrapd("db", "backup", "--keep", "2").status == Exit.DATABASE
    assert not (wrapd.folder / "backups").exists()
    wrapd.config.write_text(CONFIG + '[database]\nurl = "postgresql://user:secret@host/wrapd"\n')
    for args in (("backup", "--keep", "2"), ("restore", "--yes", str(wrapd.config))):
        result = wrapd("db", *args)
        assert (result.status, "secret" in result.err) == (Exit.CONFIG, False)
        assert "wrapd keeps its state in an SQLite file" in result.err


def _error(wrapd: Runner, *args: str, status: Exit) -> str:
    result = wrapd(*args)
    assert (result.status, result.out) == (status, ""), result.err
    assert result.err.count("\n") == 1
    return result.err


@pytest.fixture
def copy(wrapd: Runner) -> str:
    """A backup with a job that ended, whose alert is sent after it on one of two channels."""
    with closing(open_store(wrapd.folder)) as store:
        store.write_now(lambda tx: record(tx, track(tx, "ended"), "SUCCEED"))
        wrapd("db", "backup", str(wrapd.folder / "copy.db"))
        claimed = store.write_now(lambda tx: tx.outbox.claim("a", now=later(1)))
        assert claimed is not None
        sent = Outcome(kind=AttemptOutcome.SENT, reason="200")
        store.write_now(lambda tx: tx.outbox.finish(claimed, sent, at=later(2)))
    return str(wrapd.folder / "copy.db")


def test_what_follows_is_said(wrapd: Runner, copy: str) -> None:
    with closing(open_store(wrapd.folder)) as store:
        store.write_now(lambda tx: [track(tx, f"since-{number:02}") for number in range(22)])
        store.write_now(lambda tx: record(tx, track(tx, "over"), "CANCELED"))
    result = wrapd("db", "restore", "--yes", copy)
    assert (result.status, result.err) == (0, "")
    assert result.out.splitlines() == [
        f"{wrapd.database}: restored",
        f"{wrapd.folder}/wrapd-replaced-20260301T120000Z.db: the replaced database",
        "0 tracked jobs will be asked about, 1 waiting alert will be sent",
        "1 alert sent since the backup will not be sent again",
        "only in the replaced database: 1 ended job tracked since the backup",
        "no longer tracked: 22 jobs tracked since the backup; to track them again:",
        *(f"  wrapd track --project main since-{number:02}" for number in range(20)),
        "  and 2 more, in the replaced database",
    ]
    assert wrapd("db", "check").status == 0


def test_what_cannot_be_known_is_said(wrapd: Runner, copy: str) -> None:
    wrapd.database.write_bytes(b"damaged" * 1000)
    result = wrapd("db", "restore", "--yes", copy)
    assert result.status == 0
    assert "what was sent since the backup is not known" in result.out
    assert "links and tokens revoked since the backup work again" in result.out
    with closing(sqlite3.connect(wrapd.database)) as connection:
        assert set(connection.execute("SELECT status, possible_repeat FROM deliveries")) == {("pending", 1)}


def test_it_asks_first(wrapd: Runner, copy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = wrapd.database.read_bytes()
    assert "add --yes to confirm" in _error(wrapd, "db", "restore", copy, status=Exit.USAGE)
    asked: list[tuple[str, str]] = []

    def no(doing: str, more: str) -> bool:
        asked.append((doing, more))
        return False

    monkeypatch.setattr("daemon.cli.db.agreed", no)
    result = wrapd("db", "restore", copy)
    assert (result.status, result.out) == (0, "nothing was changed\n")
    assert asked == [(f"replace {wrapd.database} by {copy}", "What it holds now is kept in another file.")]
    assert wrapd.database.read_bytes() == before


def test_what_it_refuses_has_its_status(wrapd: Runner, copy: str) -> None:
    before = wrapd.database.read_bytes()
    (wrapd.folder / "text").write_text("text")
    with closing(sqlite3.connect(shutil.copy(copy, wrapd.folder / "newer.db"))) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0999'")
    for name, status in (("none", Exit.DATABASE), ("text", Exit.UNUSABLE), ("newer.db", Exit.UNUSABLE)):
        assert name in _error(wrapd, "db", "restore", "--yes", str(wrapd.folder / name), status=status)
    assert "itself" in _error(wrapd, "db", "restore", "--yes", str(wrapd.database), status=Exit.USAGE)
    lock = DaemonLock.take(wrapd.database)
    assert "stop it first" in _error(wrapd, "db", "restore", "--yes", copy, status=Exit.RUNNING)
    lock.release()
    assert wrapd.database.read_bytes() == before


def test_doctor_says_how_old_the_newest_is(wrapd: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "backup: " not in wrapd("doctor").out, "nor is there a database"
    wrapd("track", "a")
    assert f"backup: warn: there is none in {wrapd.folder}/backups; docs/install.md" in wrapd("doctor").out
    wrapd("db", "backup", "--keep", "2")
    for hours, verdict, more in ((5, "ok", "5h old"), (49, "warn", "2d1h old; if they are made by the timer")):
        monkeypatch.setattr("daemon.cli.checks.CLOCK", ManualClock(later(3600 * hours)))
        assert f"backup: {verdict}: the newest of 1 is {more}" in wrapd("doctor").out


def test_what_root_makes_is_the_services(folder: Path, wrapd: Runner) -> None:
    wrapd.config.write_text(CONFIG + f'[database]\nurl = "sqlite:///{folder}/wrapd.db"\n')
    wrapd("track", "a")
    assert wrapd("db", "backup", "--keep", "2").status == 0
    [made] = (folder / "backups").iterdir()
    assert owners(folder / "backups") == {made.name: (NOBODY, NOBODY, 0o600)}
    assert (owners(folder)["backups"]) == (NOBODY, NOBODY, 0o2750)
    assert wrapd("db", "restore", "--yes", str(made)).status == 0
    found = owners(folder)
    assert {found[name] for name in found if name != "backups"} == {(NOBODY, NOBODY, 0o660)}
    assert made.stat().st_uid == NOBODY
