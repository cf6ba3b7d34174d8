"""The statements that run all the time find their rows by an index, however many rows there are."""

import re
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Executable
from sqlalchemy.dialects import sqlite

from daemon.domain.jobs import Tracking
from daemon.store import (
    DeliveryStatus,
    active,
    alerts,
    assets,
    batches,
    claim_many,
    claim_one,
    discoveries,
    fallback,
    jobs,
    learned,
    links,
    looks,
    moves,
    mutes,
    needs,
    orphans,
    outbox,
    pictures,
    retention,
    tracking,
)
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
        # Only newer releases say which of the searches are outer joins.
        return [
            row[3].removesuffix(" LEFT-JOIN") for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)
        ]
    finally:
        connection.close()


ORDER = "SEARCH earlier USING INDEX deliveries_order (job=? AND channel=? AND id<?)"


@pytest.mark.parametrize(
    ("statement", "steps"),
    [
        (active._PAGE, ["SEARCH jobs USING INDEX jobs_active (id>?)"]),
        (active._ASIDE, ["SEARCH jobs USING INDEX jobs_active (id>? AND id<?)"]),
        (jobs._CHANGED, ["SCAN jobs USING INDEX jobs_changed"]),
        (
            tracking._KNOWN.params(job_ids=["a", "b"]),
            ["SEARCH jobs USING INDEX sqlite_autoindex_jobs_1 (job_id=?)"],
        ),
        (
            jobs._BEGINNING.params(prefix="a", beyond="b"),
            [
                "SEARCH jobs USING INDEX sqlite_autoindex_jobs_1 (job_id>? AND job_id<?)",
                "SEARCH looks USING INTEGER PRIMARY KEY (rowid=?)",
            ],
        ),
        (jobs._NAMES.params(rows=[1, 2]), ["SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)"]),
        (tracking._GIVE, ["SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)"]),
        (tracking._TAKE_UP, ["SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)"]),
        (jobs._MOVE.values(label="x"), ["SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)"]),
        (looks._WRITE, ["SEARCH looks USING INTEGER PRIMARY KEY (rowid=?)"]),
        (
            jobs._NEXT_SEQ,
            ["SEARCH transitions USING COVERING INDEX sqlite_autoindex_transitions_1 (job=?)"],
        ),
        (
            outbox._CLAIM[outbox._PENDING][DUE],
            [
                "SEARCH deliveries USING INDEX deliveries_due (channel=? AND status=? AND mute=? AND due_at<?)",
                ORDER,
            ],
        ),
        (
            outbox._CLAIM[outbox._PENDING][FAR],
            [
                "SEARCH deliveries USING INDEX deliveries_due (channel=? AND status=? AND mute=? AND due_at>?)",
                ORDER,
            ],
        ),
        (
            outbox._PENDING,
            ["SEARCH deliveries USING INDEX deliveries_due (channel=? AND status=? AND mute=?)", ORDER],
        ),
        (
            outbox._IS_HELD,
            ["SEARCH deliveries USING COVERING INDEX deliveries_due (channel=? AND status=? AND mute=?)"],
        ),
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
        (
            needs._NOTED.params(subjects=["a", "b"]),
            ["SEARCH actions USING INDEX actions_by_subject (subject=?)", "USE TEMP B-TREE FOR GROUP BY"],
        ),
        (discoveries._WAITING, ["SCAN discoveries USING INDEX discoveries_waiting"]),
        (
            alerts._EXISTS,
            ["SEARCH deliveries USING COVERING INDEX sqlite_autoindex_deliveries_1 (key=?)"],
        ),
        (alerts._HASTEN, ["SEARCH deliveries USING INDEX deliveries_by_job (job=?)"]),
        (alerts._FREE_JOB, ["SEARCH deliveries USING INDEX deliveries_order (job=? AND channel=?)"]),
        (alerts._FREE_PROJECT, ["SEARCH deliveries USING INDEX deliveries_order (job=? AND channel=?)"]),
        (
            outbox._CLAIM[outbox._APART][DUE],
            [
                "SEARCH deliveries USING INDEX deliveries_due (channel=? AND status=? AND mute=? AND due_at<?)",
                ORDER,
            ],
        ),
        (
            claim_one._DUE,
            [
                "SEARCH deliveries USING INDEX deliveries_due (channel=? AND status=? AND mute=? AND due_at<?)",
                "SEARCH held_row USING COVERING INDEX deliveries_due (channel=? AND status=? AND mute=?)",
                ORDER,
                "SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)",
                "SEARCH transitions USING INTEGER PRIMARY KEY (rowid=?)",
            ],
        ),
        (
            claim_many._RECENT,
            [
                "CO-ROUTINE anon_1",
                "SEARCH deliveries USING INDEX deliveries_by_status (channel=? AND status=? AND created_at>?)",
                "SCAN anon_1",
            ],
        ),
        (
            claim_many._READY,
            [
                "CO-ROUTINE anon_1",
                "SEARCH deliveries USING INDEX deliveries_due (channel=? AND status=? AND mute=? AND due_at<?)",
                ORDER,
                "SCAN anon_1",
            ],
        ),
        (
            claim_many._FIRST,
            [
                "SEARCH deliveries USING INDEX deliveries_due (channel=? AND status=? AND mute=? AND due_at<?)",
                ORDER,
            ],
        ),
        (claim_many._OF_JOBS.params(jobs=[1, 2]), ["SEARCH deliveries USING INDEX deliveries_by_job (job=?)"]),
        (claim_many._OF_PROJECTS, ["SEARCH deliveries USING INDEX deliveries_order (job=?)"]),
        (
            fallback._HELD_SINCE,
            [
                "SEARCH deliveries USING INDEX deliveries_by_status (channel=? AND status=?)",
                "SEARCH last USING INDEX sqlite_autoindex_attempts_1 (delivery=? AND n=?)",
                "SEARCH attempts USING INDEX sqlite_autoindex_attempts_1 (delivery=?)",
                "SEARCH later USING INDEX sqlite_autoindex_attempts_1 (delivery=? AND n>?)",
            ],
        ),
        (
            fallback._WAITS,
            [
                "SEARCH deliveries USING INDEX deliveries_by_status (channel=? AND status=?)",
                "SEARCH elsewhere USING COVERING INDEX sqlite_autoindex_deliveries_1 (key=? AND channel=?)",
                "USE TEMP B-TREE FOR ORDER BY",
            ],
        ),
        (
            fallback._SENT_SINCE,
            [
                "CO-ROUTINE anon_1",
                "SEARCH attempts USING INTEGER PRIMARY KEY (rowid>?)",
                "SCAN attempts",
                "SEARCH deliveries USING INTEGER PRIMARY KEY (rowid=?)",
                "USE TEMP B-TREE FOR DISTINCT",
                "SCAN anon_1",
                "USE TEMP B-TREE FOR ORDER BY",
            ],
        ),
        (
            batches._ACTIVE,
            ["SEARCH jobs USING COVERING INDEX jobs_by_batch (batch=? AND project=? AND tracking=?)"],
        ),
        (
            batches._MEMBERS,
            ["SEARCH jobs USING INDEX jobs_by_batch (batch=? AND project=?)", "USE TEMP B-TREE FOR ORDER BY"],
        ),
        (
            batches._END_ALERTS,
            [
                "SEARCH deliveries USING INDEX sqlite_autoindex_deliveries_1 (key>? AND key<?)",
                "USE TEMP B-TREE FOR ORDER BY",
            ],
        ),
        (alerts._JOB_BLOCKING, ["SEARCH deliveries USING INDEX deliveries_order (job=?)"]),
        (alerts._PROJECT_BLOCKING, ["SEARCH deliveries USING INDEX deliveries_order (job=? AND channel=?)"]),
        (alerts._JOB_LATEST, ["SEARCH deliveries USING INDEX deliveries_by_job (job=?)"]),
        (
            alerts._PROJECT_LATEST,
            ["SEARCH deliveries USING INDEX sqlite_autoindex_deliveries_1 (key>? AND key<?)"],
        ),
        (assets._EXPIRING, ["SEARCH jobs USING INDEX jobs_unseen (link_until>? AND link_until<?)"]),
        (
            needs._REMINDED,
            [
                "SEARCH jobs USING INDEX jobs_reminded (link_until>? AND link_until<?)",
                "SEARCH links USING INDEX sqlite_autoindex_links_1 (job=?)",
            ],
        ),
        (
            needs._OWN_EXPIRING,
            [
                "SEARCH links USING INDEX links_expiry (expires_at>? AND expires_at<?)",
                "SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)",
            ],
        ),
        (assets._REMIND, ["SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)"]),
        (links._BY_TOKEN, ["SEARCH links USING INDEX sqlite_autoindex_links_2 (token=?)"]),
        (links._OF_JOB, ["SEARCH links USING INDEX sqlite_autoindex_links_1 (job=?)"]),
        (pictures._OF_JOB, ["SEARCH pictures USING INTEGER PRIMARY KEY (rowid=?)"]),
        (retention._NEXT_CHANNEL, ["SEARCH deliveries USING COVERING INDEX deliveries_by_status (channel>?)"]),
        (retention._NEXT_PROJECT, ["SEARCH jobs USING COVERING INDEX jobs_by_change (project>?)"]),
        (
            retention._DONE[DeliveryStatus.SENT].some,
            [
                "SEARCH deliveries USING INDEX deliveries_by_status (channel=? AND status=? AND created_at<?)",
                "SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)",
            ],
        ),
        (
            retention._ENDED.some,
            [
                "SEARCH jobs USING INDEX jobs_finished (project=? AND kind=? AND state_since<?)",
                "SEARCH deliveries USING COVERING INDEX deliveries_by_job (job=?)",
                "SEARCH other USING COVERING INDEX jobs_by_batch (batch=? AND project=? AND tracking=?)",
            ],
        ),
        (
            retention._GIVEN_UP[Tracking.LOST].some,
            [
                "SEARCH jobs USING INDEX jobs_by_change (project=? AND tracking=?)",
                "SEARCH deliveries USING COVERING INDEX deliveries_by_job (job=?)",
                "SEARCH other USING COVERING INDEX jobs_by_batch (batch=? AND project=? AND tracking=?)",
            ],
        ),
        (retention._LINKS.some, ["SEARCH links USING INDEX links_expiry (expires_at<?)"]),
        (orphans._NEXT_PROJECT, ["SEARCH jobs USING COVERING INDEX jobs_by_change (project>?)"]),
        (orphans._NEXT_CHANNEL, ["SEARCH deliveries USING COVERING INDEX deliveries_by_status (channel>?)"]),
        (orphans._JOBS, ["SEARCH jobs USING COVERING INDEX jobs_by_change (project=? AND tracking=?)"]),
        (
            orphans._UNSENT,
            ["SEARCH deliveries USING COVERING INDEX deliveries_by_status (channel=? AND status=?)"],
        ),
        (
            orphans._ALERTS,
            [
                "SEARCH deliveries USING INDEX sqlite_autoindex_deliveries_1 (key>? AND key<?)",
                "USE TEMP B-TREE FOR ORDER BY",
            ],
        ),
        (
            moves._WITH_JOBS,
            [
                "SEARCH deliveries USING INDEX deliveries_by_job (job=?)",
                "SEARCH jobs USING INDEX jobs_by_change (project=?)",
                "SEARCH twin USING COVERING INDEX sqlite_autoindex_jobs_1 (job_id=? AND project=?)",
            ],
        ),
        (
            moves._MOVE_OPEN,
            [
                "SEARCH deliveries USING INDEX deliveries_by_status (channel=? AND status=?)",
                "SEARCH same USING COVERING INDEX sqlite_autoindex_deliveries_1 (key=? AND channel=?)",
            ],
        ),
        (
            alerts._add(),
            [
                "SCAN other USING INDEX mutes_unended",
                "SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)",
                "SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)",
                "SEARCH job_tags USING PRIMARY KEY (tag=? AND job=?)",
                "USE TEMP B-TREE FOR RIGHT PART OF ORDER BY",
            ],
        ),
        (mutes._LET_GO, ["SEARCH deliveries USING INDEX deliveries_muted (mute=?)"]),
        (mutes._DROP, ["SEARCH deliveries USING INDEX deliveries_muted (mute=?)"]),
        (mutes._COUNT, ["SEARCH deliveries USING INDEX deliveries_muted (mute>?)"]),
        (mutes._OVER, ["SEARCH mutes USING INDEX mutes_unended (until<?)"]),
    ],
)
def test_a_hot_statement_uses_its_index(database: Path, statement: Executable, steps: list[str]) -> None:
    found = [step for step in plan(database, statement) if "SUBQUERY" not in step]
    # Releases of SQLite choose differently between two suitable indexes; none may sort or scan.
    assert len(found) == len(steps)
    for got, wanted in zip(found, steps, strict=True):
        assert got == wanted or ("deliveries" in got and got.split(" USING ")[0] == wanted.split(" USING ")[0])
        assert not got.startswith("SCAN") or got in FEW


FEW = {
    "SCAN jobs USING INDEX jobs_changed",
    "SCAN discoveries USING INDEX discoveries_waiting",
    "SCAN attempts",  # backwards from the newest to the first one that is old
    "SCAN anon_1",  # of what was found
    "SCAN other USING INDEX mutes_unended",  # the mutes of now
}
