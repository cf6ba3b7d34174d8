"""The end of a batch, over any order of jobs joining, leaving, ending and being taken up again, and of time
passing.

Each time a batch settles with all its jobs ended, and with other jobs than last announced, exactly one
`batch_finished` is sent. None is sent otherwise.
"""

import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from daemon.domain.events import Event
from daemon.domain.jobs import JobId, Tracking
from daemon.domain.routing import Route, routing
from daemon.store import BATCH_SETTLE, AttemptOutcome, Outcome, Transaction
from tests.support.store import NOW, PROJECT, A, open_store, record, request

ROUTES = routing([Route(events=frozenset({Event.BATCH_FINISHED}), channels=(A,))], operators=None, channels=[A])
JOBS = st.sampled_from(["j1", "j2", "j3"])
BATCHES = st.sampled_from(["spring", "summer"])
TAKEN = Outcome(kind=AttemptOutcome.SENT, reason="200")
Members = frozenset[tuple[str, int]]


class BatchMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        shm = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(dir=shm if shm.is_dir() else None))
        self.store = open_store(self.folder)
        self.now = NOW
        self.told: dict[str, list[Members]] = {"spring": [], "summer": []}
        self.expected: dict[str, list[Members]] = {"spring": [], "summer": []}

    # Actions

    @rule(job=JOBS, batch=st.none() | BATCHES)
    def track(self, job: str, batch: str | None) -> None:
        wish = request(job, batch=batch)
        self.store.write_now(lambda tx: tx.jobs.track(wish, at=self.now, routing=ROUTES))

    @rule(job=JOBS, state=st.sampled_from(["SUCCEED", "FAILED"]))
    def end(self, job: str, state: str) -> None:
        def work(tx: Transaction) -> None:
            for row in tx.jobs.find(JobId(job)):
                if row.tracking is Tracking.ACTIVE and row.state != state:
                    record(tx, row.id, state, at=self.now, routes=ROUTES)

        self.store.write_now(work)

    @rule(job=JOBS)
    def lose(self, job: str) -> None:
        def work(tx: Transaction) -> None:
            for row in tx.jobs.find(JobId(job)):
                tx.jobs.record_end(row.id, Event.LOST, at=self.now, routing=ROUTES, reason="x")

        self.store.write_now(work)

    @rule(batch=BATCHES)
    def untrack_all(self, batch: str) -> None:
        for row in self.store.read(lambda tx: tx.jobs.list(batch=batch)):
            self.store.write_now(
                lambda tx, row=row: tx.jobs.untrack(PROJECT, row.job_id, at=self.now, routing=ROUTES)
            )

    @rule(seconds=st.sampled_from([1, 5, 11]))
    def wait(self, seconds: int) -> None:
        """Let time pass and send what is due: only what has settled for long enough."""
        self.now += timedelta(seconds=seconds)
        for batch in self.told:
            self.expect(batch)
        while (claimed := self.store.write_now(lambda tx: tx.outbox.claim(A, now=self.now))) is not None:
            self.store.write_now(lambda tx, claimed=claimed: tx.outbox.finish(claimed, TAKEN, at=self.now))
            facts = claimed.delivery.facts
            batch = str(facts["batch"])
            members, ended = self.members(batch)
            assert ended, "nothing is told of a batch that goes on"
            assert facts["jobs"] == len(members)
            self.told[batch].append(members)

    # The model

    def members(self, batch: str) -> tuple[Members, bool]:
        """The jobs of a batch, and whether there are any, none is active, and people did not stop them all."""
        rows = self.store.read(lambda tx: tx.jobs.list(batch=batch))
        over = all(row.tracking is not Tracking.ACTIVE for row in rows)
        stopped = all(row.tracking is Tracking.STOPPED for row in rows)
        return frozenset((row.job_id, row.episode) for row in rows), over and not stopped

    def expect(self, batch: str) -> None:
        """Settled for long enough, with other jobs than announced: it is announced now."""
        waiting = [
            row
            for row in self.store.read(lambda tx: tx.outbox.list(channel=A))
            if row.facts.get("batch") == batch and row.status == "pending"
        ]
        members, ended = self.members(batch)
        last = self.expected[batch][-1] if self.expected[batch] else None
        if not ended or members == last:
            assert waiting == []
            return
        (row,) = waiting
        if row.created_at + BATCH_SETTLE <= self.now:
            self.expected[batch].append(members)

    @invariant()
    def what_is_told_is_what_is_to_be_told(self) -> None:
        assert self.told == self.expected

    def teardown(self) -> None:
        self.wait(11)
        self.store.close()
        shutil.rmtree(self.folder)


TestBatchMachine = BatchMachine.TestCase
TestBatchMachine.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
