"""Whatever jobs do, and in whatever order: the day sums are those of a recount."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.domain.events import Event
from daemon.domain.jobs import Observation, ProjectName, Tracking
from daemon.domain.transitions import Moved, judge
from daemon.store import TrackRule, Transaction
from tests.support.store import BOTH, later, open_store, request, track
from tests.support.summed import assert_summed

OFFSETS = st.sampled_from([None, -7e6, -86400.0, -300.0, -150.0, -60.0, 0.0, 0.5])
STEPS = st.tuples(
    st.integers(0, 3),
    st.sampled_from(["WAITING", "PROCESSING", "BLOCK", "SUCCEED", "FAILED", "retrack", "lost", "kind", "move"]),
    st.sampled_from([0.0, 40_000.0, 90_000.0]),
    st.tuples(OFFSETS, OFFSETS, OFFSETS),
)
A, B = ProjectName("main"), ProjectName("other")


def step(tx: Transaction, job: int, what: str, at: float, offsets: tuple[float | None, ...]) -> None:
    row = tx.jobs.get(job)
    assert row is not None
    if what == "retrack":
        rule = TrackRule(again=frozenset(Tracking))
        tx.jobs.take([request(row.job_id, project=row.project)], at=later(at), rule=rule)
    elif what == "lost":
        tx.jobs.record_end(job, Event.LOST, at=later(at), routing=BOTH, reason="x")
    elif what == "kind":
        tx.jobs.kinds_found({job: "photo"})
    elif what == "move":
        tx.moves.jobs(row.project, B if row.project == A else A, at=later(at), routing=BOTH)
    else:
        created, started, ended = (None if each is None else later(at + each) for each in offsets)
        seen = Observation(state=what, created_at=created, started_at=started, ended_at=ended)
        verdict = judge(row.state, seen, at=later(at))
        if isinstance(verdict, Moved):
            tx.jobs.record_move(job, verdict, seen, routing=BOTH, due_at=later(at))


@settings(max_examples=25, deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_the_sums_are_those_of_a_recount(steps: list[tuple[int, str, float, tuple[float | None, ...]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder))
        try:
            jobs = store.write_now(lambda tx: [track(tx, f"job-{number}") for number in range(4)])
            store.write_now(lambda tx: [step(tx, jobs[n], *rest) for n, *rest in steps])  # type: ignore[arg-type]
            assert_summed(store)
        finally:
            store.close()
