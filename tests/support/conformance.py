"""Sends one alert to many channels of one service, each of which answers differently, and checks each outcome.

Uses the real dispatcher, store and channels over real sockets, in time that the test moves. All cases of a service
run at once, each on its own channel, so that all hangs together cost the time of one.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from daemon.notify import NotifySettings
from daemon.notify.outbox import ChannelPlan
from daemon.store import AttemptOutcome, DeliveryRow
from tests.support.dispatching import Rig, rig
from tests.support.outcomes import DEAD, HELD, SENT, Row
from tests.support.services import TLS
from tests.support.webhook import Received, Webhook

TIMEOUT = 0.8
"""Timeout of a send in seconds, which is the cost of a hang."""
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
    """How a test observes a service: the bodies of the requests received for a case, and how to fix all faults."""

    bodies: Callable[[str], list[bytes]]
    mend: Callable[[], None]


async def check(folder: Path, urls: Mapping[str, str], table: Mapping[str, Row], post: Post) -> None:
    """Send one alert to each case's channel and compare everything that follows with the table."""
    assert set(urls) == set(table)
    with ExitStack() as stack:
        operators = stack.enter_context(Webhook())
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("SSL_CERT_FILE", str(TLS / "services-ca.pem"))  # for smtplib
        channels = {**urls, OPERATORS: operators.url()}
        settings = NotifySettings(send_timeout=TIMEOUT)
        plans = dict.fromkeys(urls, UNHURRIED)
        async with rig(folder, channels, operators=[OPERATORS], settings=settings, plans=plans) as one:
            await one.job_ends(channels=urls)
            await one.turn()
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
