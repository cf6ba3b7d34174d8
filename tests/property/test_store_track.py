"""Tracking many jobs at once has the same result as tracking them one by one, for any requests."""

import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from daemon.domain.events import Event
from daemon.domain.jobs import JobId, ProjectName
from daemon.store import Store, TrackRequest, Transaction
from tests.support.store import NOW, SILENT, later, open_store, record, request

REQUESTS = st.lists(
    st.builds(
        request,
        st.sampled_from("abcde"),
        kind=st.sampled_from(["avatar", "photo"]),
        label=st.none() | st.sampled_from(["x", "y"]),
        tags=st.just(()) | st.just(("t",)),
        batch=st.none() | st.just("b1"),
    ),
    max_size=12,
)
STANDING = st.dictionaries(st.sampled_from("abcde"), st.sampled_from(["active", "stopped", "lost", "ended"]))
ONE, MANY = ProjectName("one"), ProjectName("many")
NUMBERS = count()


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder))
        yield store
        store.close()


def stand(tx: Transaction, project: ProjectName, job_id: JobId, how: str) -> None:
    tx.jobs.track(request(job_id, project=project, label="old"), at=NOW)
    (job,) = tx.jobs.find(job_id, project)
    if how == "stopped":
        tx.jobs.untrack(project, job_id, at=NOW)
    elif how == "lost":
        tx.jobs.record_end(job.id, Event.LOST, at=NOW, routing=SILENT, reason="gone")
    elif how == "ended":
        record(tx, job.id, "SUCCEED")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
@given(standing=STANDING, requests=REQUESTS)
def test_many_at_once_are_as_one_by_one(
    store: Store, standing: dict[str, str], requests: list[TrackRequest]
) -> None:
    place = next(NUMBERS)  # ids of this example, since all share one file

    def named(job_id: str) -> JobId:
        return JobId(f"{place}-{job_id}")

    def of(project: ProjectName) -> list[TrackRequest]:
        return [replace(each, project=project, job_id=named(each.job_id)) for each in requests]

    def work(tx: Transaction) -> dict[ProjectName, tuple[object, ...]]:
        for project in (ONE, MANY):
            for job_id, how in standing.items():
                stand(tx, project, named(job_id), how)
        tx.jobs.take_changes(limit=100_000)
        results = {
            ONE: [tx.jobs.track(each, at=later(60)) for each in of(ONE)],
            MANY: tx.jobs.track_many(of(MANY), at=later(60)),
        }
        changed = tx.jobs.take_changes(limit=100_000)
        return {
            project: (
                results[project],
                [
                    row._replace(id=0, project=ONE)
                    for job_id in "abcde"
                    for row in tx.jobs.find(named(job_id), project)
                ],
                [row._replace(id=0, project=ONE) for row in changed if row.project == project],
            )
            for project in (ONE, MANY)
        }

    seen = store.write_now(work)
    assert seen[MANY] == seen[ONE]
