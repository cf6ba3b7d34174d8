"""From a database of the first release: its jobs count as named by a person with their given kind."""

from pathlib import Path

from daemon.commands import JobEntry, track
from daemon.domain.jobs import JobId, KindSource, NamedBy, Tracking
from daemon.store import Change, Store, upgrade
from tests.support.old_schema import add_job, connect, empty
from tests.support.store import BOTH, PROJECT, WHO, later, open_store, url_of

FIRST_RELEASE = "0003"


def upgraded(folder: Path) -> Store:
    path = empty(folder, FIRST_RELEASE)
    connection = connect(path)
    add_job(connection, "new")
    add_job(connection, "running", "WAITING", "PROCESSING", told=True)
    add_job(connection, "done", "FAILED", tracking="finished", told=True)
    connection.close()
    assert upgrade(url_of(path))
    return open_store(folder)


def test_known_jobs_are_given_by_people_and_nothing_else_changes(tmp_path: Path) -> None:
    store = upgraded(tmp_path)
    rows = {row.job_id: row for row in store.read(lambda tx: tx.jobs.list())}
    assert {(row.kind_source, row.named_by, row.kind_tries) for row in rows.values()} == {
        (KindSource.GIVEN, NamedBy.PERSON, 0)
    }
    assert (rows[JobId("running")].state, rows[JobId("running")].episode) == ("PROCESSING", 2)
    assert len(store.read(lambda tx: tx.outbox.list())) == 3
    changed = store.write_now(lambda tx: tx.jobs.take_changes())
    assert {row.kind_source for row in changed} == {KindSource.GIVEN}
    store.close()


def test_what_was_answered_keeps_its_kind_and_what_ended_can_be_looked_at_again(tmp_path: Path) -> None:
    store = upgraded(tmp_path)
    wanted = [JobEntry(project=PROJECT, job_id=JobId(name), kind="photo") for name in ("new", "running", "done")]
    done = store.write_now(lambda tx: track(tx, wanted, at=later(9), routing=BOTH, retrack=True, who=WHO))
    assert [(each.tracked.kind, each.tracked.changes) for each in done] == [
        ("photo", (Change.KIND,)),
        ("avatar", (Change.KIND_KEPT,)),
        ("avatar", (Change.KIND_KEPT,)),
    ]
    [row] = store.read(lambda tx: tx.jobs.find(JobId("done"), PROJECT))
    assert (row.tracking, row.state, row.episode) == (Tracking.ACTIVE, None, 3)
    store.close()
