"""What the next message of a channel tells: one alert, several together, or nothing yet.

Owns the choice, made in one transaction with the claim. Must never send, and never ask the store for more than a
channel's plan needs: one without digests claims and nothing else.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias, assert_never

from daemon.domain.digests import MOST, Decision, Later, Single, Together, decide
from daemon.domain.jobs import ChannelName
from daemon.notify.outbox.policy import Judged
from daemon.store import Claimed, Transaction

Links: TypeAlias = Mapping[int, str]
"""wrapd's own links by the jobs' row ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Deliveries that are claimed, for one message: of several, a digest."""

    claimed: tuple[Claimed, ...]
    links: Links = field(default_factory=dict)

    @property
    def first(self) -> Claimed:
        return self.claimed[0]


@dataclass(slots=True)
class Hand:
    """The deliveries (row ids) that a lane has under way: what is being sent and in no hand has no owner. Read by
    other threads; each change puts in a new value."""

    rows: frozenset[int] = frozenset()

    def take(self, claimed: Sequence[Claimed]) -> None:
        """These come into it, beside what is there; before their claim is stored."""
        self.rows |= {each.delivery.id for each in claimed}

    def keep(self, after: "Taken | None") -> None:
        """What was there is stored; only what is to be sent next stays."""
        self.rows = (
            frozenset(each.delivery.id for each in after.claimed) if isinstance(after, Load) else frozenset()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Nothing is to be sent for `seconds`, as far as is known."""

    seconds: float


Taken: TypeAlias = Load | Idle
OwnLinksOf: TypeAlias = Callable[[Transaction, Sequence[Claimed], datetime], Links]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taker:
    """Takes what one channel is to be sent next. `above` and `window` (seconds) say when alerts are told together
    (`domain.digests`; `above` 0: never), `longest` is how many seconds nothing is looked at."""

    channel: ChannelName
    above: int
    window: float
    longest: float
    own_links: OwnLinksOf
    hand: Hand = field(default_factory=Hand)

    def take(self, tx: Transaction, *, now: datetime, singly: bool, resume: bool, probe: bool = True) -> Taken:
        """Claim what goes out next. `singly`: nothing together this time; `resume`: what was put off because of
        the channel goes in the order in which it was written; without `probe` a held channel is tried with what it
        has not refused."""
        if resume:
            tx.outbox.resume(self.channel)
        decision = self._decision(tx, now=now, singly=singly)
        match decision:
            case Together():
                group = tx.outbox.claim_together(self.channel, now=now, most=MOST)
                if group:
                    return self._load(tx, group, now=now)
                claimed = tx.outbox.claim(self.channel, now=now, probe=probe)
            case Later():  # what is for the operators is never told together, and need not wait for it
                claimed = tx.outbox.claim(self.channel, now=now, apart=True)
                if claimed is None:
                    return Idle(seconds=min(decision.seconds, self.longest))
            case Single():
                claimed = tx.outbox.claim(self.channel, now=now, probe=probe)
            case _:
                assert_never(decision)
        if claimed is None:
            return Idle(seconds=self._until(tx.outbox.next_due(self.channel, now=now), now))
        return self._load(tx, (claimed,), now=now)

    def glance(self, tx: Transaction, *, now: datetime) -> float:
        """Seconds until there may be something to take; 0: now. Only reads."""
        return self._until(tx.outbox.next_due(self.channel, now=now), now)

    def _decision(self, tx: Transaction, *, now: datetime, singly: bool) -> Decision:
        if self.above <= 0 or singly:
            return Single()
        waiting = tx.outbox.waiting(self.channel, now=now, window=self.window)
        return decide(waiting, above=self.above, window=self.window, now=now)

    def _load(self, tx: Transaction, claimed: tuple[Claimed, ...], *, now: datetime) -> Load:
        self.hand.take(claimed)
        return Load(claimed=claimed, links=self.own_links(tx, claimed, now))

    def _until(self, due: datetime | None, now: datetime) -> float:
        ahead = self.longest if due is None else (due - now).total_seconds()
        return min(max(ahead, 0.0), self.longest)


def finish(tx: Transaction, results: Sequence[Judged], *, at: datetime) -> None:
    """Store what becomes of the deliveries of a message."""
    for judged in results:
        if len(judged.claimed) == 1:
            tx.outbox.finish(judged.claimed[0], judged.outcome, at=at)
        else:
            tx.outbox.finish_together(judged.claimed, judged.outcome, at=at)
