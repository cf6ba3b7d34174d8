"""Sends one alert to many channels of one service, each of which answers differently, and checks each outcome.

Uses the real dispatcher, store and channels over real sockets, in time that the test moves. All cases of a service
run at once, each on its own channel. A send may take as long as the machine does; those that hang are ended when
all of them do, by the daemon's own call for the end of a send's time.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from daemon.notify import NotifySettings
from daemon.notify.outbox import ChannelPlan
from daemon.notify.transport import bounded
from daemon.store import AttemptOutcome, DeliveryRow
from tests.support.dispatching import PATIENCE, Rig, rig
from tests.support.live import until
from tests.support.outcomes import DEAD, HELD, SENT, Row
from tests.support.services import TLS
from tests.support.webhook import Received, Webhook

OPERATORS = "operators"
UNHURRIED = ChannelPlan(max_per_minute=6000)
"""Keeps services that count all cases together (ntfy: by visitor) from delaying any."""
CHECKS = (3.5, 6.9, 20.0, 59.9, 220.0, 301.0, 601.0, 3601.0)
"""Seconds after the first try at which the channels are checked."""
NEXT = {
    "soon": 6.9,
    "in 7 s": 20.0,
    "in 30 s": 59.9,
    "in 60 s": 220.0,
    "in 5 min": 301.0,
    "in 10 min": 601.0,
    "in 1 h": 3601.0,
    "never": None,
}
"""Name of a wait to the check by which the next try has come; it had not come at the check before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """How a test observes a service: the bodies of the requests received for a case, how to fix all faults, and
    whether each of the cases that hang has come that far."""

    bodies: Callable[[str], list[bytes]]
    mend: Callable[[], None]
    hangs: Mapping[str, Callable[[], bool]]


class Sends:
    """The sends on the wire, in place of the thread that ends each when its time is over."""

    def __init__(self) -> None:
        self._all: list[bounded.Watch] = []
        self._read = bounded._read
        self.reading: list[bounded.Watch] = []
        """Those that have read an answer's headers, and read its body."""

    @contextmanager
    def within(self, _seconds: float, call: Callable[[], None]) -> Iterator[None]:
        """Replaces `bounded.Deadlines.within`."""
        watch: bounded.Watch = getattr(call, "__self__")  # noqa: B009 - a plain callable has none
        self._all.append(watch)
        try:
            yield
        finally:
            self._all.remove(watch)

    def read(self, response: object) -> tuple[bytes, bool]:
        """Replaces `bounded._read`."""
        watch = bounded.current_watch()
        assert watch is not None
        self.reading.append(watch)
        try:
            return self._read(response)
        finally:
            self.reading.remove(watch)

    async def end(self, hangs: Mapping[str, Callable[[], bool]]) -> None:
        """Wait until only the cases that hang are on the wire, and end their time."""

        on_the_wire: set[bounded.Watch] = set()

        def all_hang() -> bool:
            nonlocal on_the_wire
            if not all(hung() for hung in hangs.values()):
                return False
            on_the_wire = set(self._all)  # as many as hang: these, and no other that has just begun
            return len(on_the_wire) == len(hangs)

        await asyncio.to_thread(until, f"only {', '.join(hangs)} are on the wire", all_hang, pace=0.01)
        for watch in on_the_wire:
            watch._left = 0.0
            watch._expire()


async def check(folder: Path, urls: Mapping[str, str], table: Mapping[str, Row], post: Post, sends: Sends) -> None:
    """Send one alert to each case's channel and compare everything that follows with the table."""
    assert set(urls) == set(table)
    with ExitStack() as stack:
        operators = stack.enter_context(Webhook())
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("SSL_CERT_FILE", str(TLS / "services-ca.pem"))  # for smtplib
        patch.setattr(bounded, "_DEADLINES", sends)
        patch.setattr(bounded, "_read", sends.read)
        channels = {**urls, OPERATORS: operators.url()}
        settings = NotifySettings(send_timeout=PATIENCE)
        plans = dict.fromkeys(urls, UNHURRIED)
        async with rig(folder, channels, operators=[OPERATORS], settings=settings, plans=plans) as one:
            await one.job_ends(channels=urls)
            await asyncio.gather(one.turn(), sends.end(post.hangs))
            _compare_first_tries(one, table, post)
            _compare_what_operators_heard(operators, table)
            heard = len(operators.requests)
            post.mend()
            assert await _next_tries(one, table, post) == {name: row.next for name, row in table.items()}
            _compare_what_operators_heard_of_dead_ones(operators.requests[heard:], table)
            await _revive_dead_letters(one)
            _compare_what_arrived(one, table, post)


def _compare_first_tries(one: Rig, table: Mapping[str, Row], post: Post) -> None:
    rows = {name: one.row(name) for name in table}
    outcomes = {name: _outcomes(one, row)[-1] for name, row in rows.items()}
    assert outcomes == {name: row.outcome for name, row in table.items()}, {
        name: row.last_error for name, row in rows.items()
    }
    requests = {name: len(post.bodies(name)) for name in table}
    assert requests == {name: row.requests for name, row in table.items()}
    told = {name: one_row.last_error or "" for name, one_row in rows.items()}
    wrong = {name: told[name] for name, row in table.items() if row.told not in told[name]}
    assert not wrong, wrong
    assert all(told[name] for name, row in table.items() if row.outcome is not SENT), told


def _outcomes(one: Rig, row: DeliveryRow) -> list[AttemptOutcome | None]:
    return [attempt.outcome for attempt in one.store.read(lambda tx: tx.outbox.attempts(row.id))]


def _compare_what_operators_heard(operators: Webhook, table: Mapping[str, Row]) -> None:
    """Check one alert for each held channel, with its name, the reason and the remedy; none for others."""
    heard = {request.json["held_channel"]: request.json for request in operators.requests}
    assert len(heard) == len(operators.requests)
    assert set(heard) == {name for name, row in table.items() if row.outcome is HELD}
    for name, facts in heard.items():
        assert facts["event"] == "channel_held"
        assert table[name].told in facts["reason"]
        assert f"wrapd channels test {name}" in facts["message"]


def _compare_what_operators_heard_of_dead_ones(alerts: Sequence[Received], table: Mapping[str, Row]) -> None:
    """Check one alert a little later for each channel that lost an alert, with the service's error; none for
    others."""
    heard = {alert.json["held_channel"]: alert.json for alert in alerts}
    assert len(heard) == len(alerts)
    assert set(heard) == {name for name, row in table.items() if row.outcome is DEAD}
    for name, facts in heard.items():
        assert (facts["event"], facts["deliveries"]) == ("delivery_dead", 1)
        assert table[name].told in facts["reason"]


async def _next_tries(one: Rig, table: Mapping[str, Row], post: Post) -> dict[str, str]:
    """Return when each channel was tried again, as names of `NEXT`."""
    before = {name: len(post.bodies(name)) for name in table}
    found = dict.fromkeys(table, "never")
    passed = 0.0
    for moment in CHECKS:
        await one.later(moment - passed)
        passed = moment
        for name in table:
            if found[name] == "never" and len(post.bodies(name)) > before[name]:
                found[name] = next((word for word, by in NEXT.items() if by == moment), f"before {moment:g} s")
    return found


async def _revive_dead_letters(one: Rig) -> None:
    now = one.clock.now()
    await one.store.write(lambda tx: tx.outbox.retry(ids=None, at=now))
    await one.turn()


def _compare_what_arrived(one: Rig, table: Mapping[str, Row], post: Post) -> None:
    """Check that every alert arrived, twice only if its first outcome was unknown, and then marked."""
    assert {name: one.row(name).status for name in table} == dict.fromkeys(table, "sent")
    for name, row in table.items():
        bodies = post.bodies(name)
        assert len(bodies) == (row.requests if row.outcome is SENT else row.requests + 1), name
        if row.outcome is not SENT:
            says = b"repeat" in bodies[-1].replace(b"possible_repeat", b"")
            assert says is row.marked, (name, bodies[-1])
            assert one.row(name).possible_repeat is row.marked
    assert one.rows(OPERATORS) == [row for row in one.rows(OPERATORS) if row.status == "sent"]
