"""The outbox against a plain model of it, over any order of events, sends, crashes and steps of the clock.

The model keeps the deliveries in a list and finds the next one by looking at all of them; the store must agree at
every step. Beside that: nothing is lost, nothing that was sent is sent again, doubtful ones are marked, and order
holds for each job and channel.
"""

import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from daemon.domain.events import Event, OperatorAlert
from daemon.domain.jobs import ChannelName, ProjectName
from daemon.store import FAR, AttemptOutcome, Claimed, DeliveryRow, DeliveryStatus, Outcome, Transaction
from tests.support.store import BOTH, NOW, A, B, open_store, record, track

UNSENT = {"pending", "sending", "held"}
CHANNELS = st.sampled_from([A, B])
JOBS = st.integers(0, 1)
KINDS = st.sampled_from(AttemptOutcome)
WAITS = st.sampled_from([1, 60, 3600])


@dataclass(slots=True)
class Row:
    """A delivery in the model. `line` is what it must keep its order in."""

    id: int
    channel: str
    line: object
    due_at: datetime
    status: str = "pending"
    attempts: int = 0
    doubtful: bool = False
    was_dead: bool = False


class OutboxMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        # In memory where there is such a folder: thousands of transactions.
        shm = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(dir=shm if shm.is_dir() else None))
        self.store = open_store(self.folder)
        self.now = NOW
        self.rows: dict[int, Row] = {}
        self.claims: list[Claimed] = []
        self.sent: list[int] = []
        self.number = 0

    @initialize()
    def two_jobs(self) -> None:
        self.jobs = self.store.write_now(lambda tx: [track(tx, f"job-{n}") for n in range(2)])

    # What happens to jobs and projects

    @rule(job=JOBS, wait=st.sampled_from([0, 3, 600]))
    def freeze_or_thaw(self, job: int, wait: int) -> None:
        row = self.jobs[job]
        due = self.now + timedelta(seconds=wait)

        def work(tx):
            known = tx.jobs.get(row)
            state = "WAITING" if known.state == "BLOCK" else "BLOCK"
            return record(tx, row, state, at=self.now, due_at=due, routes=BOTH)

        assert self.store.write_now(work).deliveries == 2
        self.added(("job", row), due)

    @rule(project=st.sampled_from(["one", "two"]), again=st.booleans())
    def alert(self, project: str, again: bool) -> None:
        self.number += not again
        key = f"{project}/{self.number}"
        alert = OperatorAlert(event=Event.PROJECT_DOWN, key=key, project=ProjectName(project))
        known = {row.key for row in self.stored().values()}
        count = self.store.write_now(lambda tx: tx.outbox.add_operator(alert, channels=[A, B], at=self.now))
        assert count == (0 if key in known else 2)
        if count:
            self.added(("project", project), self.now)

    @rule(job=JOBS)
    def hasten(self, job: int) -> None:
        self.store.write_now(lambda tx: tx.jobs.set_download_url(self.jobs[job], None, at=self.now))
        for row in self.rows.values():
            if row.line == ("job", self.jobs[job]) and row.status == "pending" and row.attempts == 0:
                row.due_at = min(row.due_at, self.now)

    # What the dispatcher does

    @rule(channel=CHANNELS)
    def claim(self, channel: str) -> None:
        self.claims_as_expected(channel)

    def claims_as_expected(self, channel: str) -> bool:
        expected = self.expected(channel)
        claimed = self.store.write_now(lambda tx: tx.outbox.claim(channel, now=self.now))
        assert (None if claimed is None else claimed.delivery.id) == (None if expected is None else expected.id)
        if claimed is None or expected is None:
            return False
        expected.status = "sending"
        expected.attempts += 1
        assert claimed.attempt == expected.attempts
        self.claims.append(claimed)
        return True

    @rule(channel=CHANNELS, kinds=st.lists(KINDS, min_size=1, max_size=4), wait=WAITS)
    def send_one_after_another(self, channel: str, kinds: list[AttemptOutcome], wait: int) -> None:
        for kind in kinds:
            if self.claims_as_expected(channel):
                self.finish(kind, wait, -1)

    @rule(channel=CHANNELS, kinds=st.lists(KINDS, min_size=2, max_size=4), wait=WAITS)
    def send_side_by_side(self, channel: str, kinds: list[AttemptOutcome], wait: int) -> None:
        taken = [kind for kind in kinds if self.claims_as_expected(channel)]
        for number, kind in enumerate(taken):
            self.finish(kind, wait, number - len(taken))

    @precondition(lambda self: self.claims)
    @rule(kind=KINDS, wait=WAITS, which=st.integers(0, 2))
    def finish(self, kind: AttemptOutcome, wait: int, which: int) -> None:
        claimed = self.claims.pop(which % len(self.claims))
        due = self.now + timedelta(seconds=wait)
        outcome = Outcome(kind=kind, reason="x", due_at=due)
        self.store.write_now(lambda tx: tx.outbox.finish(claimed, outcome, at=self.now))
        row = self.rows[claimed.delivery.id]
        if row.status == "sending" and row.attempts == claimed.attempt:
            self.judge(row, kind, due)

    def judge(self, row: Row, kind: AttemptOutcome, due: datetime) -> None:
        after = {"retry": "pending", "unknown": "pending"}.get(kind, str(kind))
        row.status = after
        row.doubtful |= kind is AttemptOutcome.UNKNOWN
        row.was_dead |= after == "dead"
        if after in {"pending", "held"}:
            row.due_at = due
        if after == "sent":
            self.sent.append(row.id)
            self.free(row.channel)

    @rule()
    def crash(self) -> None:
        sending = [row for row in self.rows.values() if row.status == "sending"]
        assert self.store.write_now(lambda tx: tx.outbox.recover(at=self.now)) == len(sending)
        for row in sending:
            row.status, row.due_at, row.doubtful = "pending", self.now, True
        # The claims stay: a finish for an attempt before the crash must change nothing.

    # What people and time do

    @rule(seconds=st.sampled_from([1, 59, 3600]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(hours=st.sampled_from([1, 3, 48]))
    def the_clock_is_set_back(self, hours: int) -> None:
        self.now -= timedelta(hours=hours)

    @rule(channel=CHANNELS)
    def release(self, channel: str) -> None:
        count = self.store.write_now(lambda tx: tx.outbox.release(channel, at=self.now))
        assert count == self.free(channel)

    @rule(everything=st.booleans())
    def retry(self, everything: bool) -> None:
        wanted = {"dead"} if everything else {"dead", "held"}
        rows = [row for row in self.rows.values() if row.status in wanted]
        ids = None if everything else sorted(self.rows)
        assert self.store.write_now(lambda tx: tx.outbox.retry(ids=ids, at=self.now)) == len(rows)
        for row in rows:
            row.status, row.due_at = "pending", self.now

    # What must hold

    @invariant()
    def store_and_model_agree(self) -> None:
        stored = self.stored()
        assert {
            number: (row.status, row.due_at, row.attempts, row.possible_repeat) for number, row in stored.items()
        } == {number: (row.status, row.due_at, row.attempts, row.doubtful) for number, row in self.rows.items()}
        assert len(self.sent) == len(set(self.sent))

    @invariant()
    def the_next_one_is_foretold(self) -> None:
        for channel in (A, B):
            expected = self.expected(channel)
            foretold = self.store.read(lambda tx, c=channel: tx.outbox.next_due(c, now=self.now))
            assert (expected is not None) == (foretold is not None and foretold <= self.now)

    @invariant()
    def order_holds(self) -> None:
        """Of two alerts in one line the later one is not sent before the earlier, unless that was given up."""
        for number, row in self.rows.items():
            if row.status == "sent":
                earlier = [o for o in self.rows.values() if self.before(o, row)]
                assert all(o.status not in UNSENT or o.was_dead for o in earlier), number

    def attempts_are_complete(self) -> None:
        for number, row in self.rows.items():
            attempts = self.store.read(lambda tx, n=number: tx.outbox.attempts(n))
            assert [a.n for a in attempts] == list(range(1, row.attempts + 1))
            assert [a.n for a in attempts if a.outcome is None] == (
                [row.attempts] if row.status == "sending" else []
            )

    def teardown(self) -> None:
        try:
            self.attempts_are_complete()
            self.crash()
            self.nothing_is_stuck()
        finally:
            self.store.close()
            shutil.rmtree(self.folder)

    def nothing_is_stuck(self) -> None:
        """With a service that takes everything, everything is sent in the end."""
        for _ in range(2 * len(self.rows) + 8):
            self.now += timedelta(hours=1)
            for channel in (A, B):
                while self.store.write_now(lambda tx, c=channel: self.sends(tx, c)):
                    pass
        assert {row.status for row in self.stored().values()} <= {DeliveryStatus.SENT, DeliveryStatus.DEAD}

    def sends(self, tx: Transaction, channel: ChannelName) -> bool:
        claimed = tx.outbox.claim(channel, now=self.now)
        if claimed is not None:
            tx.outbox.finish(claimed, Outcome(kind=AttemptOutcome.SENT, reason="200"), at=self.now)
        return claimed is not None

    # The model

    def added(self, line: object, due: datetime) -> None:
        for row in self.stored().values():
            if row.id not in self.rows:
                self.rows[row.id] = Row(id=row.id, channel=row.channel, line=line, due_at=due)

    def stored(self) -> dict[int, DeliveryRow]:
        return {row.id: row for row in self.store.read(lambda tx: tx.outbox.list())}

    def free(self, channel: str) -> int:
        held = [row for row in self.rows.values() if row.channel == channel and row.status == "held"]
        for row in held:
            row.status, row.due_at = "pending", self.now
        return len(held)

    def before(self, one: Row, other: Row) -> bool:
        return one.channel == other.channel and one.line == other.line and one.id < other.id

    def expected(self, channel: str) -> Row | None:
        """The delivery that a claim must take now."""
        rows = [row for row in self.rows.values() if row.channel == channel and row.status in UNSENT]
        held = [row for row in rows if row.status == "held"]
        first = [row for row in rows if not any(self.before(other, row) for other in rows)]
        ready = [row for row in first if row.status != "sending"]
        if held:
            ready = [row for row in ready if row.status == "held" or any(self.before(row, h) for h in held)]
        due = [row for row in ready if row.due_at <= self.now]
        far = [row for row in ready if row.due_at > self.now + FAR]
        return min(due or far, key=lambda row: (row.due_at, row.id), default=None)


TestOutbox = OutboxMachine.TestCase
TestOutbox.settings = settings(
    max_examples=50, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
