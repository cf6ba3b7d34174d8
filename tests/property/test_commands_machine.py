"""All ways in which jobs are added and removed, in any order: people, tools, the service's list, callbacks, ends,
found kinds. Each one's rules hold whatever the others did."""

from functools import partial
from itertools import count
from pathlib import Path
from typing import ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from daemon.commands import JobEntry, called_back, discovered, track
from daemon.domain.events import Event
from daemon.domain.jobs import JobId, KindSource, NamedBy, Observation, Tracking
from daemon.store import DeliveryRow, JobRow, Store, TrackResult, Transaction
from tests.support.store import BOTH, PROJECT, WHO, later, move, open_store

NUMBERS = count()
IDS = st.sampled_from("abc")
KINDS = st.sampled_from(["avatar", "photo"])
BATCHES = st.sampled_from([None, "one", "two"])


class Doors(RuleBasedStateMachine):
    store: ClassVar[Store]

    def __init__(self) -> None:
        super().__init__()
        self.place = next(NUMBERS)  # ids of this example: the file is the same for all
        self.now = 0.0
        self.ends: dict[JobId, int] = {}
        self.named: set[JobId] = set()
        """Jobs that a source other than callbacks named, or that the service confirmed."""

    def row(self, job_id: JobId) -> JobRow | None:
        return next(iter(self.store.read(lambda tx: tx.jobs.find(job_id, PROJECT))), None)

    def id_of(self, name: str) -> JobId:
        return JobId(f"{self.place}-{name}")

    def step(self) -> float:
        self.now += 1.0
        return self.now

    @rule(name=IDS, kind=st.none() | KINDS, batch=BATCHES, retrack=st.booleans())
    def person_tracks(self, name: str, kind: str | None, batch: str | None, retrack: bool) -> None:
        job_id = self.id_of(name)
        before = self.row(job_id)
        at = later(self.step())
        wanted = [JobEntry(project=PROJECT, job_id=job_id, kind=kind, batch=batch)]
        [done] = self.store.write_now(lambda tx: track(tx, wanted, at=at, routing=BOTH, retrack=retrack, who=WHO))
        after = self.row(job_id)
        assert after is not None
        self.named.add(job_id)
        assert after.named_by is not NamedBy.CALLBACK
        assert (after.kind, after.kind_source, after.tracking) == (
            done.tracked.kind,
            done.tracked.kind_source,
            done.tracked.tracking,
        )
        if before is None:
            assert done.tracked.result is TrackResult.ADDED
            return
        ended = before.tracking is Tracking.FINISHED
        assert after.tracking is (Tracking.FINISHED if ended and not retrack else Tracking.ACTIVE)
        taken_up = before.tracking is not Tracking.ACTIVE and after.tracking is Tracking.ACTIVE
        assert after.episode == before.episode + taken_up
        assert (done.tracked.result is TrackResult.TAKEN_UP) == taken_up
        if before.state is not None or before.kind_source is KindSource.FOUND:
            assert after.kind == before.kind
        changed = {str(each) for each in done.tracked.changes}
        assert ("batch_changed" in changed) == (batch is not None and batch != before.batch)
        assert ("kind_corrected" in changed) == (after.kind != before.kind)

    @rule(name=IDS)
    def person_untracks(self, name: str) -> None:
        job_id = self.id_of(name)
        at = later(self.step())
        self.store.write_now(lambda tx: tx.jobs.untrack(PROJECT, job_id, at=at, routing=BOTH))
        after = self.row(job_id)
        assert after is None or after.tracking is not Tracking.ACTIVE

    @rule(name=IDS, unknown=st.booleans())
    def callback_comes(self, name: str, unknown: bool) -> None:
        job_id = self.id_of(name)
        before = self.row(job_id)
        at = later(self.step())
        self.store.write_now(lambda tx: called_back(tx, PROJECT, job_id, at=at, track_unknown=unknown))
        after = self.row(job_id)
        if before is None:
            assert (after is not None) == unknown
            assert after is None or after.unconfirmed
            return
        assert after is not None
        given_up = before.tracking in (Tracking.LOST, Tracking.EXPIRED)
        assert after.tracking is (Tracking.ACTIVE if given_up else before.tracking)
        assert (after.kind, after.kind_source, after.batch) == (before.kind, before.kind_source, before.batch)

    @rule(name=IDS, kind=KINDS, batch=BATCHES)
    def service_lists(self, name: str, kind: str, batch: str | None) -> None:
        job_id = self.id_of(name)
        before = self.row(job_id)
        at = later(self.step())
        self.store.write_now(lambda tx: discovered(tx, PROJECT, {job_id: kind}, at=at, batch=batch))
        after = self.row(job_id)
        assert after is not None
        self.named.add(job_id)
        assert (after.kind, after.kind_source) == (kind, KindSource.FOUND)
        if before is not None:
            assert (after.tracking, after.batch, after.tags) == (before.tracking, before.batch, before.tags)

    @rule(name=IDS, kind=KINDS)
    def kind_is_found(self, name: str, kind: str) -> None:
        job_id = self.id_of(name)
        before = self.row(job_id)
        if before is None:
            return
        self.store.write_now(lambda tx: tx.jobs.kinds_found({before.id: kind}))
        after = self.row(job_id)
        assert after is not None
        assert after.tracking is before.tracking
        if before.kind_source is KindSource.GUESSED:
            self.named.add(job_id)
            assert (after.kind, after.kind_source) == (kind, KindSource.FOUND)
        else:
            assert (after.kind, after.kind_source) == (before.kind, before.kind_source)

    @rule(name=IDS, state=st.sampled_from(["PROCESSING", "SUCCEED", "FAILED"]))
    def service_answers(self, name: str, state: str) -> None:
        job_id = self.id_of(name)
        before = self.row(job_id)
        if before is None or before.tracking is not Tracking.ACTIVE or before.state == state:
            return
        at = later(self.step())
        seen = Observation(state=state, reported_at=at)
        said = move(before.state, seen, at=at)

        def work(tx: Transaction) -> None:
            assert (
                tx.jobs.record_move(before.id, said, seen, routing=BOTH, due_at=at, kind=before.kind) is not None
            )

        self.store.write_now(work)
        self.named.add(job_id)
        self.ends[job_id] = self.ends.get(job_id, 0) + said.ends

    @rule(name=IDS, event=st.sampled_from([Event.LOST, Event.EXPIRED]), stale=st.booleans())
    def is_given_up(self, name: str, event: Event, stale: bool) -> None:
        job_id = self.id_of(name)
        before = self.row(job_id)
        if before is None:
            return
        at, episode = later(self.step()), before.episode - stale
        self.store.write_now(
            lambda tx: tx.jobs.record_end(before.id, event, at=at, routing=BOTH, reason="x", episode=episode)
        )
        after = self.row(job_id)
        assert after is not None
        assert (after.tracking is before.tracking) == (stale or before.tracking is not Tracking.ACTIVE)

    @invariant()
    def each_end_is_told_once_and_no_made_up_job_ever(self) -> None:
        for name in "abc":
            job_id = self.id_of(name)
            row = self.row(job_id)
            if row is None:
                continue
            told = [each.event for each in self.store.read(partial(_deliveries, job=row.id))]
            assert job_id in self.named or not told
            ends = sum(each in (Event.SUCCEEDED, Event.FAILED) for each in told)
            assert ends == 2 * self.ends.get(job_id, 0), "each end by two channels"


def _deliveries(tx: Transaction, *, job: int) -> list[DeliveryRow]:
    return tx.outbox.list(job=job)


def test_doors(tmp_path: Path) -> None:
    Doors.store = open_store(tmp_path)
    try:
        run_state_machine_as_test(Doors, settings=settings(max_examples=40, stateful_step_count=25))
    finally:
        Doors.store.close()
