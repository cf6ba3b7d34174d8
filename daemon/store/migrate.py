"""The schema's revision: which one a file has, which one this program needs, and the way from one to the other.

Owns finding and running the migrations, and recognising wrapd's own files. Imports Alembic only when a migration
runs, so that commands start faster; a daemon, which would keep it for years, leaves that to a process of its own.
"""

import sqlite3
import stat
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, assert_never

from msgspec import Struct

import daemon
from daemon.errors import DatabaseUnusable
from daemon.late import without
from daemon.store.engine import (
    APPLICATION_ID,
    MAGIC,
    create_file,
    database_path,
    migrating_engine,
    open_file,
    use_wal,
)
from daemon.store.errors import from_sqlite, from_system, mapped
from daemon.store.lock import DaemonLock

if TYPE_CHECKING:
    from sqlalchemy import Connection

_ALONE = "import sys; from daemon.store import migrate; migrate.run_alone(sys.argv[1])"
_OPERATIONS = 1_000_000
"""Operations of SQLite's virtual machine between two reports of progress: some 10 ms."""

Step: TypeAlias = Callable[[int, int], None]
"""Called with how much is done and how much there is."""


class SchemaStatus(StrEnum):
    """How a database file relates to this program."""

    EMPTY = "empty"  # the file is missing or empty
    UP_TO_DATE = "up to date"
    BEHIND = "behind"  # made by an older wrapd
    NEWER = "newer"  # made by a newer wrapd
    FOREIGN = "foreign"  # not a database of wrapd


class Schema(Struct, frozen=True, kw_only=True):
    """The revision of a file (None: none, or not wrapd's) next to the one that this program needs."""

    path: Path
    status: SchemaStatus
    revision: str | None
    needed: str


def scripts_folder() -> Path:
    """Return the folder of the migrations: inside the installed package, or next to it in a checkout. Raises
    DatabaseFault if they are missing."""
    package = Path(daemon.__file__).resolve().parent
    for folder in (package / "_migrations", package.parent / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise DatabaseUnusable(f"{package}: the migrations are missing from this installation; install wrapd again")


def revisions(scripts: Path | None = None) -> list[str]:
    """Return the revisions known to this program, oldest first: the numbers at the start of the file names."""
    folder = (scripts or scripts_folder()) / "versions"
    return sorted(file.name.partition("_")[0] for file in folder.glob("[0-9]*_*.py"))


def check(url: str, *, scripts: Path | None = None) -> Schema:
    """Return how the file relates to this program, changing nothing. Raises DatabaseFault if it cannot be read."""
    return check_file(database_path(url), scripts=scripts)


def check_file(path: Path, *, scripts: Path | None = None) -> Schema:
    """Do as `check` with a file by its path."""
    known = revisions(scripts)
    status, revision = _look(path, known)
    return Schema(path=path, status=status, revision=revision, needed=known[-1])


def current(url: str) -> str | None:
    """Return the revision of the file, None if it has none. Raises DatabaseFault."""
    return check(url).revision


def require(schema: Schema, *, upgradable: bool) -> None:
    """Raise DatabaseFault unless the file can be used or, with `upgradable`, upgraded."""
    match schema.status:
        case SchemaStatus.UP_TO_DATE:
            return
        case SchemaStatus.EMPTY | SchemaStatus.BEHIND:
            if not upgradable:
                raise DatabaseUnusable(
                    f"{schema.path}: the schema is {schema.revision or 'missing'}, this wrapd needs "
                    f"{schema.needed}; run `wrapd db upgrade`"
                )
        case SchemaStatus.NEWER:
            raise DatabaseUnusable(
                f"{schema.path}: made by a newer wrapd (schema {schema.revision}, this one knows up to "
                f"{schema.needed}); upgrade the program, or restore a backup"
            )
        case SchemaStatus.FOREIGN:
            raise DatabaseUnusable(
                f"{schema.path}: belongs to another program; choose another file in database.url"
            )
        case _:
            assert_never(schema.status)


def upgrade(
    url: str, *, scripts: Path | None = None, lock: DaemonLock | None = None, step: Step | None = None
) -> bool:
    """Bring the file to this program's revision, creating it if missing. False: there was nothing to do. `step` is
    called now and then with the migrations done and all that are to be done.

    Several programs may do this at once. An older schema is not changed under a running daemon (AlreadyRunning)
    unless its `lock` is given: then this is that daemon, and a process of its own migrates, if it can. Raises
    DatabaseFault.
    """
    schema = check(url, scripts=scripts)
    require(schema, upgradable=True)
    if schema.status is SchemaStatus.UP_TO_DATE:
        use_wal(schema.path)
        return False
    create_file(schema.path)
    if lock is not None and scripts is None and _ran_apart(schema.path):
        return True
    own = DaemonLock.take(schema.path) if lock is None and schema.status is SchemaStatus.BEHIND else None
    try:
        known = revisions(scripts)
        left = len(known) if schema.revision is None else len(known) - known.index(schema.revision) - 1
        return _run(schema.path, scripts or scripts_folder(), None if step is None else _Steps(step, left))
    finally:
        if own is not None:
            own.release()


class _Steps:
    """How many of `total` migrations are done, told to `step` after each and during long statements."""

    def __init__(self, step: Step, total: int) -> None:
        self._step, self._total, self._done = step, total, 0

    def count(self, **_: object) -> None:
        self._done += 1
        self.tell()

    def tell(self) -> None:
        self._step(self._done, self._total)


def prove_writable(url: str) -> None:
    """Write without changing anything, so that a full disk or a read-only file shows at the start and not at the
    first alert. Raises DatabaseFault."""
    path = database_path(url)
    engine = migrating_engine(path)
    try:
        with mapped(path), engine.begin() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = version_num")
    finally:
        engine.dispose()


def run_alone(path: str) -> None:
    """Migrate the file for the daemon that started this process. Raises DatabaseFault, which it does not see."""
    _run(Path(path), scripts_folder(), None)


def _ran_apart(path: Path) -> bool:
    """Migrate in a process of its own, whose memory (6 MiB for Alembic) goes with it. False: that failed somehow,
    so migrate here, where the reason shows. Ctrl-C is for the daemon alone, which heeds it afterwards."""
    import subprocess  # noqa: PLC0415 - slow to import, rarely needed

    command, nothing = [sys.executable, "-P", "-c", _ALONE, str(path)], subprocess.DEVNULL
    try:
        ended = subprocess.run(  # noqa: S603 - no shell, and no arguments from outside
            command, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True, check=False
        )
    except OSError:
        return False
    return ended.returncode == 0


def _run(path: Path, scripts: Path, steps: "_Steps | None") -> bool:
    with without("pygments"):  # with which Mako would colour errors: 5 MiB that a daemon keeps
        from alembic.config import Config  # noqa: PLC0415 - slow to import, rarely needed
        from alembic.runtime.environment import EnvironmentContext  # noqa: PLC0415
        from alembic.runtime.migration import MigrationContext  # noqa: PLC0415
        from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    # Alembic expands percent signs in its options.
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    directory = ScriptDirectory.from_config(config)
    engine = migrating_engine(path)
    try:
        # One transaction for everything: a second upgrader waits here and then finds nothing to do.
        with mapped(path), engine.begin() as connection:
            before = MigrationContext.configure(connection).get_current_revision()
            connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
            config.attributes["connection"] = connection
            if steps is not None:
                config.attributes["on_version_apply"] = steps.count
            heed = steps.tell if steps is not None else lambda: None  # any function in Python heeds Ctrl-C
            connection.connection.driver_connection.set_progress_handler(heed, _OPERATIONS)  # type: ignore[union-attr]
            with EnvironmentContext(
                config, directory, fn=lambda revision, _: directory._upgrade_revs("head", revision)
            ):
                directory.run_env()
            after = MigrationContext.configure(connection).get_current_revision()
            if before not in {None, after}:
                _require_whole(connection, path)
    finally:
        engine.dispose()
    use_wal(path)
    return before != after


def _require_whole(connection: "Connection", path: Path) -> None:
    """Raise DatabaseFault, which rolls everything back, if a row has lost the row that it references."""
    loose = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if loose is not None:
        raise DatabaseUnusable(
            f"{path}: row {loose[1]} of {loose[0]} refers to a missing row of {loose[2]}; nothing was changed; "
            "restore a backup"
        )


def _look(path: Path, known: list[str]) -> tuple[SchemaStatus, str | None]:
    try:
        if not stat.S_ISREG(mode := path.stat().st_mode) and not stat.S_ISDIR(mode):  # a pipe never ends
            raise DatabaseUnusable(f"{path}: is not a file; choose another one in database.url")
        with path.open("rb") as file:
            header = file.read(100)
    except FileNotFoundError:
        return SchemaStatus.EMPTY, None
    except OSError as error:
        raise from_system(
            error,
            f"{path}: cannot be read ({error.strerror}); make it a file that this user can read, or change "
            "database.url",
        ) from error
    if not header:
        return SchemaStatus.EMPTY, None
    # The mark is in the header, so it can be read without SQLite opening, and possibly changing, the file.
    application = int.from_bytes(header[68:72], "big")
    if len(header) < 100 or not header.startswith(MAGIC) or application not in {0, APPLICATION_ID}:
        return SchemaStatus.FOREIGN, None
    return _look_inside(path, known)


def _look_inside(path: Path, known: list[str]) -> tuple[SchemaStatus, str | None]:
    try:
        connection = open_file(path)
    except sqlite3.Error as error:
        raise from_sqlite(error, path) from error
    try:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        ours = connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
        if not tables:
            return SchemaStatus.EMPTY, None
        if not ours:
            return SchemaStatus.FOREIGN, None
        rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    except sqlite3.Error as error:
        raise from_sqlite(error, path) from error
    finally:
        connection.close()
    revision = str(rows[0][0]) if rows else None
    if revision == known[-1]:
        return SchemaStatus.UP_TO_DATE, revision
    return (SchemaStatus.BEHIND if revision is None or revision in known else SchemaStatus.NEWER), revision
