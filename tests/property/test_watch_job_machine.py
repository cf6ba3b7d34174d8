"""A watched job under any sequence of events: its phases follow each other as allowed, and its fields agree with a
plain model."""

from math import inf

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from daemon.domain.jobs import JobId
from daemon.domain.planning import Reason
from daemon.metastudio.kinds import KINDS
from daemon.watch.job import AskedBy, Phase, Watched

STATES = st.sampled_from(["WAITING", "PROCESSING", "BLOCK", "SUCCEED", "WHATEVER"])
SECONDS = st.floats(0, 1000)
WAYS: st.SearchStrategy[AskedBy] = st.sampled_from(["single", "ids", "feed"])
PACE = 1.0
MAY_FOLLOW = {
    Phase.PLANNED: {Phase.ASKED, Phase.RECORDING},
    Phase.ASKED: {Phase.PLANNED, Phase.ASKED_RECORDING},
    Phase.RECORDING: {Phase.PLANNED, Phase.ASKED_RECORDING},
    Phase.ASKED_RECORDING: {Phase.ASKED, Phase.RECORDING},
}


class JobMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.job = Watched(
            job=1, job_id=JobId("j1"), kind=KINDS["avatar"], state=None, since=0.0, expires=1e4, due=0.0
        )
        self.asked = self.recording = False
        self.phase = self.job.phase
        self.polls = 0
        self.missing_since: float | None = None
        self.questions: list[float] = []
        """When callbacks requested a poll."""

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    # What is under way

    @rule()
    def ask(self) -> None:
        self.job.ask()
        self.asked = True

    @rule()
    def release(self) -> None:
        self.job.release()
        self.asked = False

    @rule()
    def begin_recording(self) -> None:
        self.job.begin_recording()
        self.recording = True

    @rule()
    def end_recording(self) -> None:
        self.job.end_recording()
        self.recording = False

    # When it is polled next

    @rule(due=SECONDS)
    def plan(self, due: float) -> None:
        self.job.plan(self.now + due, Reason.PRICE)

    @rule(due=SECONDS)
    def settle(self, due: float) -> None:
        wanted, before = self.job.wanted_at, self.job.reason
        self.job.settle(self.now + due)
        if self.recording:
            assert (self.job.due, self.job.wanted_at) == (self.now + due, wanted)
            return
        assert (self.job.due, self.job.wanted_at) == (min(wanted, self.now + due), inf)
        assert self.job.reason is (Reason.HINT if wanted < self.now + due else before)

    @rule(at=SECONDS)
    def want(self, at: float) -> None:
        self.job.want(self.now + at)
        assert self.job.wanted_at <= self.now + at

    @rule()
    def hint(self) -> None:
        if self.job.hint(self.now, pace=PACE):
            assert self.job.hinted >= self.now
            self.questions.append(self.job.hinted)
        else:
            assert self.questions[-1] > self.now

    @rule(latest=SECONDS, earliest=SECONDS)
    def bound(self, latest: float, earliest: float) -> None:
        due = self.job.due
        self.job.bring_forward(self.now + latest)
        assert self.job.due <= due
        self.job.rest_until(self.now + earliest)
        assert self.job.due >= self.now + earliest

    @rule()
    def ask_singly(self) -> None:
        before = self.job.due, self.job.reason
        self.job.ask_singly()
        assert (self.job.singly, self.job.due, self.job.reason) == (True, *before)

    @rule(doubtful=st.booleans())
    def lacked(self, *, doubtful: bool) -> None:
        self.job.lacked(self.now, doubtful=doubtful)
        assert self.job.singly or doubtful

    @rule(unlisted=st.booleans())
    def set_unlisted(self, *, unlisted: bool) -> None:
        self.job.set_unlisted(unlisted=unlisted)

    # Its results

    @rule(by=WAYS)
    def answered(self, by: AskedBy) -> None:
        self.job.answered(self.now, by)
        self.job.count_failure(failed=False)
        self.job.clear_defects()
        self.polls, self.missing_since = self.polls + 1, None
        assert not self.job.unstored
        assert self.job.singly is self.job.unlisted

    @rule(by=WAYS)
    def unanswered(self, by: AskedBy) -> None:
        self.job.unanswered("it timed out", by)
        self.job.count_failure(failed=True)
        self.polls += 1
        assert not self.job.unstored

    @rule()
    def not_stored(self) -> None:
        self.job.count_failure(failed=True)
        self.job.not_stored()
        assert self.job.unstored
        assert self.job.expires >= self.job.due

    @rule()
    def count_defect(self) -> None:
        before = self.job.failures
        self.job.count_defect()
        assert self.job.failures == max(before, self.job.defects - 1)

    @rule()
    def not_found(self) -> None:
        self.missing_since = self.now if self.missing_since is None else self.missing_since
        assert self.job.not_found(self.now) == self.missing_since

    @rule()
    def checkpointed(self) -> None:
        self.job.checkpointed()
        self.polls = 0

    @rule(state=STATES, began=SECONDS)
    def enter(self, state: str, began: float) -> None:
        self.job.enter(state, now=self.now, start=self.now - began if state == "PROCESSING" else None)

    @rule(at=SECONDS)
    def note_reported(self, at: float) -> None:
        before = self.job.reported
        self.job.note_reported(at)
        assert self.job.reported == (at if before is None else max(before, at))

    # Invariants

    @invariant()
    def the_phase_is_what_is_under_way(self) -> None:
        after = self.job.phase
        assert after is self.phase or after in MAY_FOLLOW[self.phase]
        self.phase = after
        assert (self.job.in_flight, self.job.recording) == (self.asked, self.recording)

    @invariant()
    def counts_and_moments_are_those_of_the_model(self) -> None:
        assert (self.job.polls, self.job.missing_since) == (self.polls, self.missing_since)
        assert self.job.looked is None or self.job.looked <= self.now
        assert all(
            later - sooner >= PACE for sooner, later in zip(self.questions, self.questions[1:], strict=False)
        )

    @invariant()
    def only_what_is_in_production_or_frozen_in_it_has_begun(self) -> None:
        job = self.job
        assert job.start is None or job.state in ("PROCESSING", "BLOCK")
        assert job.elapsed >= 0
        assert (job.waited is None) == (job.state != "WAITING" or job.looked is None)


TestJobMachine = JobMachine.TestCase
TestJobMachine.settings = settings(max_examples=30, stateful_step_count=25)
