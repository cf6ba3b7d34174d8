"""How a channel stands as its lane begins, from what the store knows of it.

Owns what a new address means: what the channel refused under another one is due at once. Must never send.
"""

from dataclasses import dataclass
from datetime import timedelta

from daemon.clock import SteadyClock
from daemon.notify.outbox.pace import Pace
from daemon.notify.transport import Channel
from daemon.store import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """`moved`: it leads elsewhere than before; `held`: since how many seconds it is held, None: it is not; `sent`:
    how many messages it got within its pace's window."""

    moved: bool
    held: float | None
    sent: int


def arrive(
    channel: Channel, tx: Transaction, *, salt: str, clock: SteadyClock, elsewhere: bool = False
) -> Arrival:
    """Note where the channel leads; what it refused under another URL than it has now is due at once: somebody has
    corrected it. `elsewhere`: that it leads elsewhere is known already. A new fingerprint is kept under `salt`."""
    name, now = channel.name, clock.now()
    moved = tx.addresses.moved(name, channel.fingerprint, salt=salt) or elsewhere
    if moved:
        tx.outbox.release(name, at=now)
        tx.outbox.resume(name)
    held = None
    if tx.outbox.is_held(name):
        held = (now - (tx.outbox.held_since(name) or now)).total_seconds()
    window = Pace(channel.per_minute).window
    sent = tx.outbox.sent_since(name, now - timedelta(seconds=window)) if window > 0 else 0
    return Arrival(moved=moved, held=held, sent=sent)
