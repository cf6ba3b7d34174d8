"""The kept counts of a database, and what they have to be."""

import sqlite3
from contextlib import closing
from pathlib import Path

_PAIRS = (
    (
        "SELECT batch, project, tracking, state, n FROM batch_counts WHERE n <> 0",
        """SELECT batch, project, tracking, coalesce(state, ''), count(*) FROM jobs
        WHERE batch IS NOT NULL AND tracking <> 'active' GROUP BY 1, 2, 3, 4""",
    ),
    (
        "SELECT batch, project, newest FROM batches",
        "SELECT batch, project, max(id) FROM jobs WHERE batch IS NOT NULL GROUP BY 1, 2",
    ),
    (
        "SELECT channel, n FROM sent_counts WHERE n <> 0",
        "SELECT channel, count(*) FROM deliveries WHERE status = 'sent' GROUP BY 1",
    ),
)


def assert_counted(path: Path) -> None:
    """Every kept count is that of the rows."""
    with closing(sqlite3.connect(path)) as connection:
        for kept, counted in _PAIRS:
            assert sorted(connection.execute(kept)) == sorted(connection.execute(counted))
