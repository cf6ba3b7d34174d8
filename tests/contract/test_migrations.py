"""The migrations create what the program expects, from wherever they are installed, and with concurrent starts."""

import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from daemon.clock import ManualClock
from daemon.errors import AlreadyRunning, DatabaseFault
from daemon.store import SchemaStatus, Store, check, current, upgrade
from daemon.store.constraints import METADATA
from daemon.store.lock import DaemonLock
from daemon.store.migrate import revisions, scripts_folder
from tests.support.store import track, url_of

ROOT = Path(__file__).parents[2]

LATEST = revisions()[-1]
NEXT = f"{int(LATEST) + 1:04}"
_NEXT = '''"""A schema to come."""

from alembic import op

revision = "{revision}"
down_revision = "{before}"


def upgrade() -> None:
    op.execute("CREATE TABLE more (x INTEGER)")
    {also}
'''


def schema(path: Path) -> dict[str, set[str]]:
    """Return the parts of each table and index as SQLite stores them; their order may differ."""
    connection = sqlite3.connect(path)
    query = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND type <> 'trigger'"
    rows = connection.execute(query).fetchall()
    connection.close()
    return {
        name: set(_parts(re.sub(r"\s+", " ", sql).replace(f'TABLE "{name}"', f"TABLE {name}")))
        for name, sql in rows
        if name not in {"alembic_version", "sqlite_sequence"}
    }


def _parts(sql: str) -> Iterator[str]:
    """Split around and inside the outermost parentheses; a column added later has its check attached."""
    head, _, rest = sql.partition("(")
    inside, _, tail = rest.rpartition(")")
    yield from (head.strip(), tail.strip())
    depth, part = 0, ""
    for letter in f"{inside},":
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            yield from (each.strip() for each in re.split(r" (?=CONSTRAINT \w+ CHECK)", part.strip()))
            part = ""
        else:
            part += letter


def with_next(folder: Path, also: str = "pass") -> Path:
    scripts = folder / "migrations"
    shutil.copytree(scripts_folder(), scripts, ignore=shutil.ignore_patterns("__pycache__"))
    text = _NEXT.format(revision=NEXT, before=LATEST, also=also)
    (scripts / "versions" / f"{NEXT}_next.py").write_text(text)
    return scripts


def test_the_migrations_make_the_schema_of_the_program(tmp_path: Path) -> None:
    upgrade(url_of(tmp_path / "migrated.db"))
    declared = create_engine(url_of(tmp_path / "declared.db"))
    METADATA.create_all(declared)
    declared.dispose()
    assert schema(tmp_path / "migrated.db") == schema(tmp_path / "declared.db")


def test_alembic_finds_no_difference(tmp_path: Path) -> None:
    url = url_of(tmp_path / "wrapd.db")
    upgrade(url)
    engine = create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, METADATA) == []
    engine.dispose()


def test_the_files_are_named_after_their_revisions_in_one_line() -> None:
    config = Config()
    config.set_main_option("script_location", str(scripts_folder()))
    directory = ScriptDirectory.from_config(config)
    line = [script.revision for script in directory.walk_revisions()][::-1]
    assert line == revisions()
    assert directory.get_heads() == [line[-1]]


def test_an_older_schema_is_brought_up_and_then_too_new_for_the_older_program(tmp_path: Path) -> None:
    url = url_of(tmp_path / "wrapd.db")
    store = Store.open(url, clock=ManualClock())
    store.write_now(track)
    store.close()
    scripts = with_next(tmp_path)
    assert check(url, scripts=scripts).status is SchemaStatus.BEHIND
    assert upgrade(url, scripts=scripts)
    assert not upgrade(url, scripts=scripts)
    assert current(url) == NEXT
    with pytest.raises(DatabaseFault, match="newer wrapd"):
        Store.open(url, clock=ManualClock())


def test_a_schema_is_not_changed_under_a_running_daemon(tmp_path: Path) -> None:
    url = url_of(tmp_path / "wrapd.db")
    upgrade(url)
    scripts = with_next(tmp_path)
    lock = DaemonLock.take(tmp_path / "wrapd.db")
    with pytest.raises(AlreadyRunning):
        upgrade(url, scripts=scripts)
    assert current(url) == LATEST
    assert upgrade(url, scripts=scripts, lock=lock)
    lock.release()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    url = url_of(tmp_path / "wrapd.db")
    upgrade(url)
    before = schema(tmp_path / "wrapd.db")
    scripts = with_next(tmp_path, also='op.execute("CREATE TABLE jobs (x INTEGER)")')
    with pytest.raises(DatabaseFault, match="already exists"):
        upgrade(url, scripts=scripts)
    assert current(url) == LATEST
    assert schema(tmp_path / "wrapd.db") == before


def test_many_may_upgrade_at_once(tmp_path: Path) -> None:
    code = "import sys; from daemon.store import upgrade; sys.stdin.read(); print(upgrade(sys.argv[1]))"
    command = [sys.executable, "-c", code, url_of(tmp_path / "wrapd.db")]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for _ in range(4)
    ]
    for program in running:
        assert program.stdin is not None
        program.stdin.close()
        program.stdin = None
    answers = [program.communicate(timeout=120)[0].strip() for program in running]
    assert sorted(answers) == ["False", "False", "False", "True"]
    assert check(url_of(tmp_path / "wrapd.db")).status is SchemaStatus.UP_TO_DATE


def test_an_installation_finds_its_own_migrations(tmp_path: Path) -> None:
    """A wheel has the migrations inside the package, without a checkout."""
    leave = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "daemon", tmp_path / "daemon", ignore=leave)
    shutil.copytree(ROOT / "migrations", tmp_path / "daemon" / "_migrations", ignore=leave)
    code = (
        "from daemon.store import migrate; print(migrate.scripts_folder(), migrate.upgrade('sqlite:///wrapd.db'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, text=True, capture_output=True, timeout=60, check=True
    )
    assert done.stdout.split() == [str(tmp_path / "daemon" / "_migrations"), "True"]


def test_missing_migrations_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.__file__", str(tmp_path / "daemon" / "__init__.py"))
    with pytest.raises(DatabaseFault, match="install wrapd again"):
        upgrade(url_of(tmp_path / "wrapd.db"))
