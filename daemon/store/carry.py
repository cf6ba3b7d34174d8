"""What a restored database takes over from the one that it replaces, so that nothing is told twice.

An alert is sent once under its key. So the alerts that were sent after the backup are copied into it as sent: the
jobs are asked about again, their ends are recorded again, and the alerts of these are there already. Whatever was
revoked stays revoked, and a share goes on only if the replaced database has it still. People log in anew. Row ids,
which are parts of keys, go on where they had got to, and clients that follow the changes have to read everything
again. All else stays as it was when the backup was made.

Owns these statements. They run on a connection with the replaced database as `main`, and the restored one attached
as `restored`; nothing in `main` is changed.
"""

import contextlib
import sqlite3
from collections.abc import Iterator

from msgspec import Struct

from daemon.store.engine import APPLICATION_ID

JUMP = 1_000_000
"""Row ids left free where it is not known how many were used since the backup."""

_RELATED = """
SELECT (SELECT count(*) FROM restored.jobs), count(*), coalesce(sum(was.job_id <> now.job_id), 0)
FROM restored.jobs AS now JOIN main.jobs AS was USING (id)
"""
_SENT = """
UPDATE OR IGNORE restored.deliveries AS now SET channel = was.channel, status = was.status, due_at = was.due_at,
sent_at = was.sent_at, attempts = was.attempts, last_error = was.last_error, mute = NULL,
possible_repeat = was.possible_repeat
FROM main.deliveries AS was WHERE was.id = now.id AND was.key = now.key AND now.status <> 'sent'
AND was.status IN ('sent', 'sending')
"""
# An alert that was being sent about a job is written again with its transition. Others would be lost.
_SENT_SINCE = """
INSERT OR IGNORE INTO restored.deliveries ({columns}, transition)
SELECT {columns},
(SELECT move.id FROM restored.transitions AS move WHERE move.id = was.transition AND move.job = was.job)
FROM main.deliveries AS was
WHERE (status = 'sent' OR status = 'sending' AND job IS NULL)
AND NOT EXISTS (SELECT 1 FROM restored.deliveries AS now WHERE now.id = was.id)
AND (job IS NULL OR EXISTS (SELECT 1 FROM restored.jobs WHERE jobs.id = was.job))
"""
_ATTEMPTS = """
INSERT OR IGNORE INTO restored.attempts ({columns}) SELECT {columns} FROM main.attempts AS was WHERE EXISTS (
SELECT 1 FROM restored.deliveries AS now JOIN main.deliveries AS then_ USING (id) WHERE now.id = was.delivery
AND now.key = then_.key AND now.status IN ('sent', 'sending') AND now.attempts = then_.attempts)
"""
_MAYBE = """
UPDATE restored.deliveries AS now SET possible_repeat = 1 FROM main.deliveries AS was
WHERE was.id = now.id AND was.key = now.key AND was.possible_repeat AND now.status <> 'sent'
"""
_ALL_MAYBE = "UPDATE restored.deliveries SET possible_repeat = 1 WHERE status IN ('pending', 'sending', 'held')"
_UNCOUNT = "DELETE FROM restored.sent_counts"
_COUNT = """
INSERT INTO restored.sent_counts (channel, n)
SELECT channel, count(*) FROM restored.deliveries WHERE status = 'sent' GROUP BY channel
"""
_REVOKED = """
UPDATE restored.{table} AS now SET revoked_at = was.revoked_at FROM main.{table} AS was
WHERE was.id = now.id AND was.revoked_at IS NOT NULL AND now.revoked_at IS NULL
"""
# A share that the replaced database does not have, or no longer, may have been revoked.
_UNSHARE = "DELETE FROM restored.shares"
_STILL_SHARED = """
DELETE FROM restored.shares WHERE digest NOT IN (SELECT digest FROM main.shares WHERE revoked_at IS NULL)
"""
_LOG_OUT = ("DELETE FROM restored.sessions", "DELETE FROM restored.logins")
_UNUSED = """
INSERT INTO restored.sqlite_sequence (name, seq) SELECT name, 0 FROM restored.sqlite_master
WHERE type = 'table' AND sql LIKE '%AUTOINCREMENT%' AND name NOT IN (SELECT name FROM restored.sqlite_sequence)
"""
_GO_ON = """
UPDATE restored.sqlite_sequence AS now SET seq = max(now.seq, was.seq)
FROM main.sqlite_sequence AS was WHERE was.name = now.name
"""
_LEAP = "UPDATE restored.sqlite_sequence SET seq = seq + ?"
_LATEST = "SELECT coalesce(max(id), 0) FROM {schema}.changes"
# The one change that stays lies beyond all that anybody has seen: no cursor reaches it.
_FORGET = "DELETE FROM restored.changes WHERE id < (SELECT max(id) FROM restored.changes)"
_BEYOND = "UPDATE restored.changes SET id = ?"
_DROPPED = """
SELECT project, job_id, tracking = 'active' FROM main.jobs AS was
WHERE NOT EXISTS (SELECT 1 FROM restored.jobs AS now WHERE now.job_id = was.job_id AND now.project = was.project)
ORDER BY was.id
"""


class SinceBackup(Struct, frozen=True, kw_only=True):
    """What happened between the backup and its restoration: alerts that were `sent`, jobs that were tracked and
    are not in the backup, as pairs of project and id: those that were `active`, and how many had `ended`."""

    sent: int
    active: tuple[tuple[str, str], ...]
    ended: int


def carry_over(connection: sqlite3.Connection) -> SinceBackup | None:
    """Take over what was sent and revoked, and end all sessions. None, and no share goes on, if `main` is not a
    later or earlier state of the same database, or is damaged: then what waits to be sent is marked as a possible
    repeat. Raises sqlite3.Error if `restored` cannot be written."""
    with _transaction(connection):
        for statement in _LOG_OUT:
            connection.execute(statement)
    try:
        with _transaction(connection):
            since = _known(connection)
    except sqlite3.Error as error:
        if error.sqlite_errorcode & 0xFF not in _DAMAGED:
            raise
        since = None
    if since is None:
        with _transaction(connection):
            connection.execute(_ALL_MAYBE)
            connection.execute(_UNSHARE)
            connection.execute(_UNUSED)
            connection.execute(_LEAP, (JUMP,))
            _renumber(connection, JUMP)
    return since


_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_ERROR})
"""Also SQLITE_ERROR: a table or column that another version does not have."""


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        yield
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # it may have ended already
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _known(connection: sqlite3.Connection) -> SinceBackup | None:
    if connection.execute("PRAGMA main.application_id").fetchone()[0] != APPLICATION_ID:
        return None
    jobs, common, others = connection.execute(_RELATED).fetchone()
    if others or (jobs and not common):
        return None
    (before,) = connection.execute("SELECT count(*) FROM restored.deliveries WHERE status = 'sent'").fetchone()
    connection.execute(_SENT)
    connection.execute(_MAYBE)
    columns = _common(connection, "deliveries", without={"transition"})
    connection.execute(_SENT_SINCE.format(columns=columns))
    connection.execute(_ATTEMPTS.format(columns=_common(connection, "attempts", without={"id"})))
    (after,) = connection.execute("SELECT count(*) FROM restored.deliveries WHERE status = 'sent'").fetchone()
    for table in ("links", "tokens"):
        if _common(connection, table):
            connection.execute(_REVOKED.format(table=table))
    connection.execute(_STILL_SHARED if _common(connection, "shares") else _UNSHARE)
    connection.execute(_UNCOUNT)
    connection.execute(_COUNT)
    connection.execute(_UNUSED)
    connection.execute(_GO_ON)
    _renumber(connection, 0)
    dropped = connection.execute(_DROPPED).fetchall()
    active = tuple((project, job) for project, job, tracked in dropped if tracked)
    return SinceBackup(sent=after - before, active=active, ended=len(dropped) - len(active))


def _common(
    connection: sqlite3.Connection, table: str, *, without: frozenset[str] | set[str] = frozenset()
) -> str:
    """The columns of a table that both databases have; empty if one of them has no such table."""
    names = [
        [name for _, name, *_ in connection.execute(f"PRAGMA {schema}.table_info({table})")]
        for schema in ("main", "restored")
    ]
    return ", ".join(f'"{name}"' for name in names[0] if name in names[1] and name not in without)


def _renumber(connection: sqlite3.Connection, jump: int) -> None:
    """Make everybody who follows the changes read everything again."""
    latest = max(
        connection.execute(_LATEST.format(schema=schema)).fetchone()[0]
        for schema in (("main", "restored") if not jump and _common(connection, "changes") else ("restored",))
    )
    connection.execute(_FORGET)
    connection.execute(_BEYOND, (latest + jump + 2,))
