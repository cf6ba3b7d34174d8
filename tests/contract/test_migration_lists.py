"""From a database of the first release: job tags move to their own table."""

from pathlib import Path

from daemon.store import upgrade
from tests.support.old_schema import add_job, connect, empty, rows
from tests.support.store import open_store, url_of

FIRST_RELEASE = "0003"


def test_jobs_are_found_by_the_tags_that_they_had(tmp_path: Path) -> None:
    path = empty(tmp_path, FIRST_RELEASE)
    connection = connect(path)
    for number, tags in enumerate(
        ['["a","é"]', "[]", '["a","a"]', '["a\\"b","[x]"]', "not JSON", '{"a":1}', "[1,null]"], 1
    ):
        job = add_job(connection, f"job-{number}", "FAILED", tracking="finished", told=True)
        connection.execute("UPDATE jobs SET tags = ? WHERE id = ?", (tags, job))
    before = connection.execute("SELECT id, tags FROM jobs").fetchall()
    connection.close()
    assert upgrade(url_of(path))
    found = [("[x]", 4), ("a", 1), ("a", 3), ('a"b', 4), ("é", 1)]
    assert sorted(rows(path, "job_tags", ("tag", "job"))) == found
    assert rows(path, "jobs", ("id", "tags")) == before
    connection = connect(path)
    connection.execute("DELETE FROM jobs WHERE id = 3")
    connection.execute("DELETE FROM jobs WHERE id > 4")
    connection.close()
    store = open_store(tmp_path)
    assert [row.id for row in store.read(lambda tx: tx.jobs.list(tag="a"))] == [1]
    store.close()
