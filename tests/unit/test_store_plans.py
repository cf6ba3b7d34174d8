"""The statements that run all the time find their rows by an index, however many rows there are."""

import re
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Executable
from sqlalchemy.dialects import sqlite

from daemon.store import alerts, discoveries, jobs, learned, outbox, tracking
from tests.support.store import open_store

DUE, FAR = 0, 1


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = open_store(tmp_path_factory.mktemp("plans"))
    store.close()
    return store.path


def plan(database: Path, statement: Executable) -> list[str]:
    dialect = sqlite.dialect(paramstyle="named")
    sql = str(statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True}))
    values = dict.fromkeys(re.findall(r":(\w+)", sql))
    connection = sqlite3.connect(database)
    try:
        return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    finally:
        connection.close()


ORDER = "SEARCH earlier USING INDEX deliveries_order (job=? AND channel=? AND id<?)"


@pytest.mark.parametrize(
    ("statement", "steps"),
    [
        (jobs._PAGE, ["SEARCH jobs USING INDEX jobs_active (id>?)"]),
        (jobs._CHANGED, ["SCAN jobs USING INDEX jobs_changed"]),
        (
            tracking._KNOWN.params(job_ids=["a", "b"]),
            ["SEARCH jobs USING INDEX sqlite_autoindex_jobs_1 (job_id=?)"],
        ),
        (jobs._NAMES.params(rows=[1, 2]), ["SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)"]),
        (tracking._GIVE, ["SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)"]),
        (tracking._TAKE_UP, ["SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)"]),
        (jobs._MOVE.values(label="x"), ["SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)"]),
        (jobs._LOOKED, ["SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)"]),
        (
            jobs._NEXT_SEQ,
            ["SEARCH transitions USING COVERING INDEX sqlite_autoindex_transitions_1 (job=?)"],
        ),
        (
            outbox._CLAIM[outbox._PENDING][DUE],
            ["SEARCH deliveries USING INDEX deliveries_due (channel=? AND status=? AND due_at<?)", ORDER],
        ),
        (
            outbox._CLAIM[outbox._PENDING][FAR],
            ["SEARCH deliveries USING INDEX deliveries_due (channel=? AND status=? AND due_at>?)", ORDER],
        ),
        (outbox._PENDING, ["SEARCH deliveries USING INDEX deliveries_due (channel=? AND status=?)", ORDER]),
        (outbox._IS_HELD, ["SEARCH deliveries USING COVERING INDEX deliveries_due (channel=? AND status=?)"]),
        (
            outbox._CLAIM[outbox._PROBE][DUE],
            [
                "SEARCH deliveries USING INTEGER PRIMARY KEY (rowid=?)",
                "SEARCH held_row USING INDEX deliveries_by_status (channel=? AND status=?)",
                "SEARCH in_line USING INDEX deliveries_order (job=? AND channel=?)",
                "USE TEMP B-TREE FOR ORDER BY",  # of the few that are held
            ],
        ),
        (learned._NEXT_KIND, ["SEARCH jobs USING INDEX jobs_finished (project=? AND kind>?)"]),
        (learned._NEXT_PROJECT, ["SEARCH jobs USING INDEX jobs_finished (project>?)"]),
        (
            learned._LAST,
            [
                "SEARCH jobs USING INDEX jobs_finished (project=? AND kind=?)",
                "SEARCH transitions USING INDEX transitions_blocked (job=?)",
            ],
        ),
        (learned._OLDEST, ["SEARCH jobs USING INDEX jobs_oldest (project=? AND created_at>?)"]),
        (learned._EXPECT, ["SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)"]),
        (discoveries._WAITING, ["SCAN discoveries USING INDEX discoveries_waiting"]),
        (
            alerts._TOLD,
            ["SEARCH deliveries USING COVERING INDEX sqlite_autoindex_deliveries_1 (key=?)"],
        ),
        (alerts._HASTEN, ["SEARCH deliveries USING INDEX deliveries_by_job (job=?)"]),
    ],
)
def test_a_hot_statement_uses_its_index(database: Path, statement: Executable, steps: list[str]) -> None:
    found = [step for step in plan(database, statement) if "SUBQUERY" not in step]
    # Which of two fitting indexes SQLite takes differs between its releases; that it sorts or scans must not.
    assert len(found) == len(steps)
    for got, wanted in zip(found, steps, strict=True):
        assert got == wanted or ("deliveries" in got and got.split(" USING ")[0] == wanted.split(" USING ")[0])
        assert not got.startswith("SCAN") or "jobs_changed" in got or "discoveries_waiting" in got
