"""The outbox against a plain model, over any order of events, sends (one delivery or many together), quiet hours,
diversions, mutes, cancellations, revivals, resends, crashes and steps of the clock.

The model keeps the deliveries in a list and finds the next one by examining all of them; the store must agree at
every step. In addition: nothing is lost, nothing is sent again unless requested, nothing is sent that a mute
covers unless requested, doubtful sends are marked, and each job's order is kept on each channel.
"""

import math
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from daemon.domain import damping
from daemon.domain.digests import Waiting
from daemon.domain.events import Event, OperatorAlert
from daemon.domain.jobs import ChannelName, ProjectName
from daemon.domain.mutes import MuteEnd, MuteScope
from daemon.domain.quiet import QuietHours
from daemon.domain.routing import Routing, Subject, Target
from daemon.store import FAR, AttemptOutcome, Claimed, DeliveryRow, DeliveryStatus, Outcome, Transaction
from daemon.store.ownership import LONGEST_SEND
from tests.support.counts import assert_counted
from tests.support.store import NOW, WHO, A, B, open_store, record, track

UNSENT = {"pending", "sending", "held"}
C = ChannelName("c")
"""Used only when the other channels fail."""
ALL = (A, B, C)
CHANNELS = st.sampled_from([A, A, B, C])
WINDOW = 60.0
QUIET = timedelta(hours=9)
JOBS = st.integers(0, 1)
KINDS = st.sampled_from(AttemptOutcome)
WAITS = st.sampled_from([1, 60, 3600])
ALERTS = st.sampled_from([Event.PROJECT_DOWN, Event.PROJECT_RECOVERED, Event.DEFECT])
"""Two recurring events, and one that is always sent at once."""
MOVES = st.lists(st.tuples(JOBS, st.sampled_from([0, 3, 600]), st.booleans()), min_size=1, max_size=4)
"""Which job, due after how many seconds, and whether in quiet hours."""
HOUR = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Night(Routing):
    """Everything goes to A and B; A is quiet until `until`."""

    until: datetime | None

    def targets(self, subject: Subject, *, at: datetime) -> tuple[Target, ...]:
        return (Target(channel=A, held_until=self.until), Target(channel=B))


def night(until: datetime | None) -> Night:
    quiet = QuietHours(start=time(22), end=time(7), zone=UTC)
    return Night(routes=(), operators=(A, B), quiet={A: quiet}, until=until)


@dataclass(slots=True)
class Row:
    """A delivery in the model. `line` is the line whose order it keeps; `outcomes` are those of its attempts;
    `repeats` is the row id that it resends."""

    id: int
    key: str
    channel: str
    line: tuple[str, object]
    due_at: datetime
    created_at: datetime
    held_until: datetime | None = None
    status: str = "pending"
    attempts: int = 0
    doubtful: bool = False
    was_given_up: bool = False
    event: Event = Event.BLOCKED
    sent_at: datetime | None = None
    outcomes: list[str] = field(default_factory=list)
    begun: datetime = NOW
    repeats: int | None = None
    mute: int | None = None
    overtaken: bool = False
    unmuted: bool = False

    @property
    def merges(self) -> bool:
        return self.line[0] == "job"

    @property
    def is_kept(self) -> bool:
        return self.is_untried and self.held_until is not None

    @property
    def is_in_the_queue(self) -> bool:
        """It is to be sent or being sent, and blocks what is behind it."""
        return self.status in UNSENT and (self.mute is None or self.status == "sending")

    @property
    def is_untried(self) -> bool:
        return self.status == "pending" and self.attempts == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mute:
    """A mute of a channel, or of a job's line, in the model."""

    id: int
    channel: str | None
    line: tuple[str, object] | None
    until: datetime
    drop: bool

    def covers(self, row: Row) -> bool:
        return self.channel == row.channel or self.line == row.line


class OutboxMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        # In memory if there is such a folder: this runs thousands of transactions.
        shm = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(dir=shm if shm.is_dir() else None))
        self.store = open_store(self.folder)
        self.now = NOW
        self.rows: dict[int, Row] = {}
        self.claims: list[tuple[Claimed, ...]] = []
        self.sent: list[int] = []
        self.mutes: dict[int, Mute] = {}
        self.number = 0

    @initialize(moves=MOVES)
    def two_jobs(self, moves: list[tuple[int, int, bool]]) -> None:
        self.jobs = self.store.write_now(lambda tx: [track(tx, f"job-{n}") for n in range(2)])
        self.freeze_and_thaw(moves)

    # Actions of jobs and projects

    @rule(moves=MOVES)
    def freeze_and_thaw(self, moves: list[tuple[int, int, bool]]) -> None:
        for job, wait, quiet in moves:
            self.freeze_or_thaw(job, wait, quiet)

    def freeze_or_thaw(self, job: int, wait: int, quiet: bool) -> None:
        row = self.jobs[job]
        due = self.now + timedelta(seconds=wait)
        until = self.now + QUIET if quiet else None

        def work(tx):
            known = tx.jobs.get(row)
            state = "WAITING" if known.state == "BLOCK" else "BLOCK"
            return record(tx, row, state, at=self.now, due_at=due, routes=night(until))

        assert self.store.write_now(work).deliveries == 2
        self.added(("job", row), due, until, overtaking=(A,))

    @rule(project=st.sampled_from(["one", "two"]), again=st.booleans(), quiet=st.booleans(), event=ALERTS)
    def alert(self, project: str, again: bool, quiet: bool, event: Event) -> None:
        self.number += not again
        key = f"project/{project}/{event}/{self.number:04}"
        alert = OperatorAlert(event=event, key=key, project=ProjectName(project))
        known = {row.key for row in self.stored().values()}
        until = self.now + QUIET if quiet else None
        channels = [Target(channel=A, held_until=until), B]
        count = self.store.write_now(lambda tx: tx.outbox.add_operator(alert, channels=channels, at=self.now))
        assert count == (0 if key in known else 2)
        if count:
            self.added(("project", project), self.now, until, overtaking=(A, B))

    def hasten(self, job: int) -> None:
        self.store.write_now(lambda tx: tx.jobs.set_download_url(self.jobs[job], None, at=self.now))
        for row in self.rows.values():
            if row.line == ("job", self.jobs[job]) and row.status == "pending" and row.attempts == 0:
                kept = row.held_until is not None and row.held_until > self.now
                row.due_at = row.due_at if kept else min(row.due_at, self.now)

    # Actions of the dispatcher

    @rule(channel=CHANNELS, apart=st.booleans())
    def claim(self, channel: str, apart: bool) -> None:
        self.claims_as_expected(channel, apart=apart)

    def claims_as_expected(self, channel: str, *, apart: bool = False) -> bool:
        expected, held = self.expected(channel, apart=apart), self.is_held(channel)
        claimed = self.store.write_now(lambda tx: tx.outbox.claim(channel, now=self.now, apart=apart))
        assert (None if claimed is None else claimed.delivery.id) == (None if expected is None else expected.id)
        if claimed is None:
            return False
        assert claimed.channel_held or not held
        self.take([claimed], shared=1)
        return True

    def take(self, claims: Sequence[Claimed], *, shared: int) -> None:
        for claimed in claims:
            row = self.rows[claimed.delivery.id]
            row.status, row.begun = "sending", self.now
            row.attempts += 1
            assert claimed.attempt == row.attempts
            assert (claimed.job is not None) == (claimed.move is not None) == row.merges
            last = self.store.read(lambda tx, n=row.id: tx.outbox.attempts(n))[-1]
            assert (last.n, last.shared, last.started_at) == (row.attempts, shared, self.now)
        self.claims.append(tuple(claims))

    def claims_together(self, channel: str, most: int) -> bool:
        expected = {row.id for row in self.ready_together(channel)}
        claimed = self.store.write_now(lambda tx: tx.outbox.claim_together(channel, now=self.now, most=most))
        taken = [each.delivery.id for each in claimed]
        assert taken == sorted(set(taken))
        assert set(taken) <= expected
        assert len(taken) == min(most, len(expected))
        left = [self.rows[number] for number in expected - set(taken)]
        assert not any(self.before(row, self.rows[number]) for row in left for number in taken)
        if claimed:
            self.take(claimed, shared=len(claimed))
        return bool(claimed)

    @rule(channel=CHANNELS, kind=st.none() | KINDS, wait=WAITS, most=st.sampled_from([1, 2, 100]))
    def send_together(self, channel: str, kind: AttemptOutcome | None, wait: int, most: int) -> None:
        if self.claims_together(channel, most) and kind is not None:
            self.finish(kind, wait, -1)

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

    @rule(channel=CHANNELS, kinds=st.lists(KINDS, min_size=2, max_size=4), wait=WAITS)
    def send_each(self, channel: str, kinds: list[AttemptOutcome], wait: int) -> None:
        """Several claimed in one transaction are those that as many claims one after another would take."""
        held = self.is_held(channel)
        claimed = self.store.write_now(lambda tx: tx.outbox.claim_each(channel, now=self.now, most=len(kinds)))
        for each in claimed:
            expected = self.expected(channel)
            assert expected is not None
            assert each.delivery.id == expected.id
            self.take([each], shared=1)
        if held:
            assert len(claimed) <= 1
        elif len(claimed) < len(kinds):
            left = self.expected(channel)
            assert left is None or left.due_at > self.now  # far ahead: claimed alone, once nothing else is due
        for number, kind in enumerate(kinds[: len(claimed)]):
            self.finish(kind, wait, number - len(claimed))

    @precondition(lambda self: self.claims)
    @rule(kind=KINDS, wait=WAITS, which=st.integers(0, 2))
    def finish(self, kind: AttemptOutcome, wait: int, which: int) -> None:
        claimed = self.claims.pop(which % len(self.claims))
        due = self.now + timedelta(seconds=wait)
        outcome = Outcome(kind=kind, reason="x", due_at=due)
        if len(claimed) == 1 and which == 0:
            self.store.write_now(lambda tx: tx.outbox.finish(claimed[0], outcome, at=self.now))
        else:
            self.store.write_now(lambda tx: tx.outbox.finish_all([(each, outcome, self.now) for each in claimed]))
        rows = [(self.rows[each.delivery.id], each) for each in claimed]
        judged = [row for row, each in rows if (row.status, row.attempts) == ("sending", each.attempt)]
        for row in judged:
            self.judge(row, kind, due)
        if judged and kind is AttemptOutcome.SENT and any(each.channel_held for each in claimed):
            self.free(judged[0].channel)

    def judge(self, row: Row, kind: AttemptOutcome, due: datetime) -> None:
        after = {"retry": "pending", "unknown": "pending"}.get(kind, str(kind))
        row.status = after
        row.outcomes.append(kind)
        row.doubtful |= kind is AttemptOutcome.UNKNOWN
        row.was_given_up |= after == "dead"
        if after in {"pending", "held"}:
            row.due_at = due
        if after == "sent":
            self.sent.append(row.id)
            row.sent_at = self.now

    @rule(channel=st.sampled_from([A, B]))
    def divert(self, channel: str) -> None:
        held = self.is_held(channel) or any(
            row.status == "sending" and row.mute is None and row.outcomes and row.outcomes[-1] == "held"
            for row in self.rows.values()
            if row.channel == channel
        )
        there = {row.key for row in self.rows.values() if row.channel == C}
        waiting = [
            row
            for row in self.rows.values()
            if row.channel == channel
            and row.is_in_the_queue
            and (row.due_at <= self.now or row.attempts)
            and row.key not in there
        ]
        assert (self.store.read(lambda tx: tx.outbox.held_since(channel)) is not None) == held
        count = self.store.write_now(lambda tx: tx.outbox.divert(channel, C, at=self.now))
        assert count == (len(waiting) if held else 0)
        if count:
            lines = {row.key: row.line for row in waiting}
            for number, row in self.stored().items():
                if number not in self.rows:
                    assert row.facts["diverted_from"] == channel
                    self.make_way(C, lines[row.key])
                    self.rows[number] = Row(
                        number, row.key, C, lines[row.key], self.now, self.now, event=row.event
                    )
                    self.mute_new(self.rows[number])

    def resume(self, channel: str) -> None:
        self.store.write_now(lambda tx: tx.outbox.resume(channel))
        for row in self.rows.values():
            if row.channel == channel and row.status == "pending" and row.attempts:
                row.due_at = min(row.due_at, row.created_at)

    @rule()
    def crash(self) -> None:
        sending = [row for row in self.rows.values() if row.status == "sending"]
        assert self.store.write_now(lambda tx: tx.outbox.recover(at=self.now)) == len(sending)
        for row in sending:
            row.status, row.due_at, row.doubtful = "pending", self.now, True
            row.outcomes.append("unknown")
        for number, row in self.stored().items():  # something written later than now shows a clock set back
            assert row.due_at <= self.rows[number].due_at
            self.rows[number].due_at = row.due_at
        # The claims stay: finishing an attempt of before the crash must change nothing.

    # Actions of people and time

    @rule(seconds=st.sampled_from([1, 59, 600, HOUR, 10 * HOUR, -HOUR, -3 * HOUR, -48 * HOUR]))
    def time_passes_or_the_clock_is_set_back(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(
        what=st.sampled_from(["hasten", "resume", "release", "retry all", "retry some", "cancel"]),
        channel=CHANNELS,
        job=JOBS,
        numbers=st.sets(st.integers(1, 20), min_size=1, max_size=2),
    )
    def somebody_changes_something(self, what: str, channel: str, job: int, numbers: set[int]) -> None:
        match what:
            case "hasten":
                self.hasten(job)
            case "resume":
                self.resume(channel)
            case "release":
                self.release(channel)
            case "cancel":
                self.cancel(numbers)
            case _:
                self.retry(what == "retry all")

    def release(self, channel: str) -> None:
        count = self.store.write_now(lambda tx: tx.outbox.release(channel, at=self.now))
        assert count == self.free(channel)

    def leave(self, rows: Sequence[Row]) -> None:
        """What has been sending for too long to have an owner is dead before people change it."""
        for row in rows:
            if row.status == "sending" and row.begun <= self.now - LONGEST_SEND:
                row.status, row.doubtful, row.was_given_up = "dead", True, True
                row.outcomes.append("unknown")

    def retry(self, everything: bool) -> None:
        if not everything:
            self.leave(list(self.rows.values()))
        wanted = {"dead"} if everything else {"dead", "held"}
        rows = [
            row
            for row in self.rows.values()
            if row.status in wanted or (row.status == "pending" and row.mute is not None and not everything)
        ]
        ids = None if everything else sorted(self.rows)
        assert self.store.write_now(lambda tx: tx.outbox.retry(ids=ids, at=self.now)) == len(rows)
        for row in rows:
            row.status, row.due_at, row.mute = "pending", self.now, None
        for row in rows:
            self.by_hand(row)

    def cancel(self, numbers: set[int]) -> None:
        rows = [self.rows[number] for number in numbers if number in self.rows]
        self.leave(rows)
        rows = [row for row in rows if row.status in {"pending", "held", "dead"}]
        count = self.store.write_now(lambda tx: tx.outbox.cancel(sorted(numbers), at=self.now))
        assert count == len(rows)
        for row in rows:
            row.status, row.due_at, row.mute = "canceled", self.now, None

    @rule(numbers=st.sets(st.integers(1, 20), min_size=1, max_size=4))
    def revive(self, numbers: set[int]) -> None:
        rows = [self.rows[number] for number in numbers if number in self.rows]
        rows = [row for row in rows if row.status == "canceled"]
        assert self.store.write_now(lambda tx: tx.again.revive(sorted(numbers), at=self.now)) == len(rows)
        for row in rows:
            row.status, row.due_at, row.was_given_up, row.mute = "pending", self.now, True, None
            self.by_hand(row)

    @rule(numbers=st.sets(st.integers(1, 20), min_size=1, max_size=4), to=st.sampled_from([None, None, B, C]))
    def resend(self, numbers: set[int], to: ChannelName | None) -> None:
        rows = [row for row in self.stored().values() if row.id in numbers and row.status == "sent"]
        told = {(self.root(row.id).key, to or row.channel) for row in rows}
        assert self.store.write_now(lambda tx: tx.again.resend(rows, to=to, at=self.now)) == len(told)
        for row in self.stored().values():
            if row.id not in self.rows:
                first = self.rows[row.facts["resent_from"]]
                told.remove((first.key, row.channel))
                self.overtake(row.channel, first.line, self.now)
                self.make_way(row.channel, first.line)
                self.rows[row.id] = Row(
                    row.id, row.key, row.channel, first.line, self.now, self.now, event=row.event, repeats=first.id
                )
                self.by_hand(self.rows[row.id])
        assert not told

    @rule(
        channel=st.none() | st.sampled_from([A, B, C]),
        job=JOBS,
        seconds=st.sampled_from([60, HOUR, 30 * 24 * HOUR]),
        drop=st.booleans(),
    )
    def mute(self, channel: ChannelName | None, job: int, seconds: int, drop: bool) -> None:
        scope = MuteScope.JOB if channel is None else MuteScope.CHANNEL
        until = self.now + timedelta(seconds=seconds)
        found = self.store.write_now(
            lambda tx: tx.mutes.start(
                scope,
                channel or f"job-{job}",
                project=None,
                at=self.now,
                until=until,
                who=WHO,
                comment=None,
                then=MuteEnd.DROP if drop else MuteEnd.SEND,
            )
        )
        line = ("job", self.jobs[job]) if channel is None else None
        new = self.mutes[found.id] = Mute(id=found.id, channel=channel, line=line, until=until, drop=drop)
        for row in self.rows.values():
            longer = row.mute is None or self.mutes[row.mute].until < until
            if row.status in UNSENT and new.covers(row) and longer:
                row.mute = new.id

    @precondition(lambda self: self.mutes)
    @rule(which=st.integers(0, 2), drop=st.sampled_from([None, None, True, False]))
    def unmute(self, which: int, drop: bool | None) -> None:
        over = sorted(self.mutes)[which % len(self.mutes)]
        then = None if drop is None else MuteEnd.DROP if drop else MuteEnd.SEND
        ended = self.store.write_now(lambda tx: tx.mutes.end(over, at=self.now, by=WHO, then=then))
        assert ended is not None
        assert ended.count == self.end_mute(over, drop=self.mutes[over].drop if drop is None else drop)

    @rule()
    def mutes_end(self) -> None:
        over = [mute for mute in self.mutes.values() if mute.until <= self.now]
        over.sort(key=lambda mute: (mute.until, mute.id))
        ended = self.store.write_now(lambda tx: tx.mutes.end_due(at=self.now))
        assert [each.mute.id for each in ended] == [mute.id for mute in over]
        assert [each.count for each in ended] == [self.end_mute(mute.id, drop=mute.drop) for mute in over]

    def end_mute(self, number: int, *, drop: bool) -> int:
        """Return how many alerts it lets go."""
        del self.mutes[number]
        free = 0
        for row in self.rows.values():
            if row.mute != number:
                continue
            row.mute = self.covering(row)
            if row.mute is not None or row.status not in {"pending", "held"}:
                continue
            free += 1
            row.due_at = self.now if drop else max(row.due_at, self.now)
            row.status, row.unmuted = ("canceled", row.unmuted) if drop else ("pending", True)
        return free

    def covering(self, row: Row) -> int | None:
        found = [mute for mute in self.mutes.values() if mute.covers(row)]
        found.sort(key=lambda mute: mute.id)
        return max(found, key=lambda mute: mute.until).id if found else None

    def mute_new(self, row: Row) -> None:
        row.mute = self.covering(row)

    def by_hand(self, row: Row) -> None:
        """A person requested it: it passes what is muted ahead of it."""
        for other in self.rows.values():
            if self.before(other, row) and other.mute is not None:
                other.overtaken = True

    def root(self, number: int) -> Row:
        row = self.rows[number]
        return row if row.repeats is None else self.rows[row.repeats]

    # Invariants

    @invariant()
    def store_and_model_agree(self) -> None:
        stored = self.stored()
        assert {
            number: (row.status, row.due_at, row.attempts, row.possible_repeat, row.mute)
            for number, row in stored.items()
        } == {
            number: (row.status, row.due_at, row.attempts, row.doubtful, row.mute)
            for number, row in self.rows.items()
        }
        assert len(self.sent) == len(set(self.sent))

    @invariant()
    def what_waits_is_known(self) -> None:
        for channel in ALL:
            ready = self.ready_together(channel)
            recent = [
                row
                for row in self.rows.values()
                if row.channel == channel
                and row.merges
                and row.status != "canceled"
                and abs(row.created_at - self.now) < timedelta(seconds=WINDOW)
                and (row.held_until is None or row.due_at <= self.now)
                and row.mute is None
            ]
            held = self.is_held(channel)
            expected = Waiting(
                recent=0 if held else len(recent),
                due=len(ready),
                oldest=min((row.created_at if row.attempts else row.due_at for row in ready), default=None),
                from_quiet=sum(row.held_until is not None or row.unmuted for row in ready),
            )
            found = self.store.read(lambda tx, c=channel: tx.outbox.waiting(c, now=self.now, window=WINDOW))
            assert found == expected

    @invariant()
    def the_next_one_is_foretold(self) -> None:
        for channel in ALL:
            expected = self.expected(channel)
            foretold = self.store.read(lambda tx, c=channel: tx.outbox.next_due(c, now=self.now))
            assert (expected is not None) == (foretold is not None and foretold <= self.now)

    @invariant()
    def order_holds(self) -> None:
        """Of two alerts in one line, the later is not sent before the earlier unless that one was given up, or was
        muted when the later was requested."""
        for number, row in self.rows.items():
            if row.status == "sent":
                earlier = [o for o in self.rows.values() if self.before(o, row)]
                assert all(o.status not in UNSENT or o.was_given_up or o.overtaken for o in earlier), number

    def attempts_are_complete(self) -> None:
        for number, row in self.rows.items():
            attempts = self.store.read(lambda tx, n=number: tx.outbox.attempts(n))
            assert [a.n for a in attempts] == list(range(1, row.attempts + 1))
            assert [a.n for a in attempts if a.outcome is None] == (
                [row.attempts] if row.status == "sending" else []
            )

    def teardown(self) -> None:
        assert_counted(self.store.path)
        try:
            self.attempts_are_complete()
            self.crash()
            for number in list(self.mutes):
                self.unmute(sorted(self.mutes).index(number), drop=False)
            self.nothing_is_stuck()
        finally:
            self.store.close()
            shutil.rmtree(self.folder)

    def nothing_is_stuck(self) -> None:
        """With a service that accepts everything, everything is sent eventually."""
        for _ in range(2 * len(self.rows) + 8 + self.hours_kept()):
            self.now += timedelta(hours=1)
            for channel in ALL:
                while self.store.write_now(lambda tx, c=channel: self.sends(tx, c)):
                    pass
        done = {DeliveryStatus.SENT, DeliveryStatus.DEAD, DeliveryStatus.CANCELED}
        assert {row.status for row in self.stored().values()} <= done

    def hours_kept(self) -> int:
        """Hours until the last delivery held back for quiet hours is due: many after steps back of the clock."""
        kept = [row.due_at - self.now for row in self.rows.values() if row.is_kept and not self.is_too_far(row)]
        return max([0, *(math.ceil(each / timedelta(hours=1)) for each in kept)])

    def sends(self, tx: Transaction, channel: ChannelName) -> bool:
        claimed = tx.outbox.claim(channel, now=self.now)
        if claimed is not None:
            tx.outbox.finish(claimed, Outcome(kind=AttemptOutcome.SENT, reason="200"), at=self.now)
        return claimed is not None

    # The model

    def added(
        self, line: tuple[str, object], due: datetime, until: datetime | None, *, overtaking: tuple[str, ...]
    ) -> None:
        for row in self.stored().values():
            if row.id in self.rows:
                continue
            kept = until if row.channel == A else None
            told, waiting = self.of_group(row, line)
            moment = max(due, damping.tell_at(told, at=self.now)) if damping.group(row.event) else due
            if kept is None and row.channel in overtaking:
                self.overtake(row.channel, line, moment)
            if not damping.group(row.event):
                self.make_way(row.channel, line)
            for one in waiting:
                one.status = "canceled"
            self.rows[row.id] = Row(
                id=row.id,
                key=row.key,
                channel=row.channel,
                line=line,
                due_at=moment if kept is None else max(moment, kept),
                created_at=self.now,
                held_until=kept,
                event=row.event,
            )
            self.mute_new(self.rows[row.id])

    def of_group(self, new: DeliveryRow, line: tuple[str, object]) -> tuple[list[datetime], list[Row]]:
        """Times of related recurring alerts, and the alerts that this one replaces; at most 16 of each event."""
        found: list[Row] = []
        for event in damping.group(new.event):
            same = [
                row
                for row in sorted(self.rows.values(), key=lambda row: row.id, reverse=True)
                if (row.channel, row.line, row.event) == (new.channel, line, event)
                and row.status != "canceled"
                and row.repeats is None
            ]
            found += same[:16]
        waiting = [row for row in found if row.is_untried and (row.due_at > self.now or row.mute is not None)]
        return [row.sent_at or row.due_at for row in found if row not in waiting], waiting

    def make_way(self, channel: str, line: tuple[str, object]) -> None:
        """What waits only for a pause goes out ahead of what does not."""
        for row in self.rows.values():
            waits = row.is_untried and row.held_until is None and damping.group(row.event)
            if waits and (row.channel, row.line) == (channel, line):
                row.due_at = min(row.due_at, self.now)

    def overtake(self, channel: str, line: tuple[str, object], due: datetime) -> None:
        for row in self.rows.values():
            if row.channel == channel and row.line == line and row.is_kept:
                row.due_at = min(row.due_at, due)

    def stored(self) -> dict[int, DeliveryRow]:
        return {row.id: row for row in self.store.read(lambda tx: tx.outbox.list())}

    def free(self, channel: str) -> int:
        held = [row for row in self.rows.values() if row.channel == channel and row.status == "held"]
        for row in held:
            row.status, row.due_at = "pending", self.now
        return len(held)

    def before(self, one: Row, other: Row) -> bool:
        return one.channel == other.channel and one.line == other.line and one.id < other.id

    def is_held(self, channel: str) -> bool:
        return any(
            row.channel == channel and row.status == "held" and row.mute is None for row in self.rows.values()
        )

    def ready_together(self, channel: str) -> list[Row]:
        """The deliveries that may go out in one message now."""
        if self.is_held(channel):
            return []
        rows = [row for row in self.rows.values() if row.channel == channel and row.is_in_the_queue]
        ready = [row for row in rows if row.status == "pending" and row.due_at <= self.now and row.merges]
        return [row for row in ready if all(one in ready for one in rows if self.before(one, row))]

    def expected(self, channel: str, *, apart: bool = False) -> Row | None:
        """The delivery that a claim must take now."""
        rows = [row for row in self.rows.values() if row.channel == channel and row.is_in_the_queue]
        held = [row for row in rows if row.status == "held"]
        first = [row for row in rows if not any(self.before(other, row) for other in rows)]
        ready = [row for row in first if row.status != "sending"]
        if held:
            ready = [row for row in ready if row.status == "held" or any(self.before(row, h) for h in held)]
        elif apart:
            ready = [row for row in ready if not row.merges]
        due = [row for row in ready if row.due_at <= self.now]
        far = [row for row in ready if self.is_too_far(row)]
        return min(due or far, key=lambda row: (row.due_at, row.id), default=None)

    def is_too_far(self, row: Row) -> bool:
        if row.held_until is None or row.due_at > self.now + FAR + timedelta(hours=25):
            return row.due_at > self.now + FAR
        return row.due_at > max(self.now, row.held_until) + FAR


_SETTINGS = settings(
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


class TestOutbox(OutboxMachine.TestCase):
    """Bounded by the number of examples and steps, not by time."""

    settings = settings(_SETTINGS, max_examples=15)


class TestOutboxLonger(OutboxMachine.TestCase):
    """The same, with more of them."""

    settings = settings(_SETTINGS, max_examples=400)


TestOutbox = pytest.mark.timeout(600)(TestOutbox)
TestOutboxLonger = pytest.mark.timeout(1800)(pytest.mark.long(TestOutboxLonger))
