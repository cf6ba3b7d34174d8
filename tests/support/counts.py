"""The kept counts of a database, and what they have to be."""

import sqlite3
from contextlib import closing
from pathlib import Path

_KEPT = {
    "batch_counts (batch, project, tracking, state, n)": """
        SELECT batch, project, tracking, coalesce(state, ''), count(*) FROM jobs
        WHERE batch IS NOT NULL GROUP BY 1, 2, 3, 4""",
    "batches (batch, project, newest)": """
        SELECT batch, project, max(id) FROM jobs WHERE batch IS NOT NULL GROUP BY 1, 2""",
    "job_counts (project, tracking, state, n)": """
        SELECT project, tracking, coalesce(state, ''), count(*) FROM jobs GROUP BY 1, 2, 3""",
    "given_up_counts (channel, status, n)": """
        SELECT channel, status, count(*) FROM deliveries WHERE status IN ('dead', 'canceled') GROUP BY 1, 2""",
    "sent_counts (channel, n)": "SELECT channel, count(*) FROM deliveries WHERE status = 'sent' GROUP BY 1",
}

_DAY = "strftime('%Y-%m-%d', state_since / 1000000, 'unixepoch')"
_ENDS = f"""INSERT INTO day_sums (day, project, kind, state, n, timed, micros)
    SELECT {_DAY}, project, kind, state, count(*), 0, 0 FROM jobs WHERE tracking = 'finished'
    GROUP BY 1, 2, 3, 4"""


def keep(database: sqlite3.Connection) -> None:
    """Keep the counts of rows that were written without the program."""
    for table, counted in _KEPT.items():
        database.execute(f"INSERT OR REPLACE INTO {table} {counted}")
    database.execute(_ENDS)


def assert_counted(path: Path) -> None:
    """Every kept count is that of the rows."""
    with closing(sqlite3.connect(path)) as connection:
        for table, counted in _KEPT.items():
            name, _, columns = table.partition(" ")
            kept = connection.execute(f"SELECT {columns.strip('()')} FROM {name}")
            assert sorted(row for row in kept if row[-1] != 0) == sorted(connection.execute(counted))
