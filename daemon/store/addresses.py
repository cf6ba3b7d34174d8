"""Whether a channel still leads where it led at the last start.

Owns the addresses: of each channel a fingerprint of its URL. Must never hold the URL, nor enough to find it by.
"""

from collections.abc import Callable

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects import sqlite

from daemon.domain.jobs import ChannelName
from daemon.store.tables import ADDRESSES

_A = ADDRESSES.c
_ADD = sqlite.insert(ADDRESSES)
_SET = _ADD.on_conflict_do_update(
    index_elements=[_A.channel], set_={"salt": _ADD.excluded.salt, "fingerprint": _ADD.excluded.fingerprint}
)
_OF = select(_A.salt, _A.fingerprint).where(_A.channel == bindparam("of_channel"))


class Addresses:
    """The addresses, seen through one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def moved(self, channel: ChannelName, fingerprint: Callable[[str], str], *, salt: str) -> bool:
        """Note where the channel leads now; whether it led elsewhere before. False where that is not known.

        `fingerprint` gives that of the channel's URL under a salt; a new one is kept under `salt`.
        """
        known = self._connection.execute(_OF, {"of_channel": channel}).one_or_none()
        if known is not None and fingerprint(known.salt) == known.fingerprint:
            return False
        row = {"channel": channel, "salt": salt, "fingerprint": fingerprint(salt)}
        self._connection.execute(_SET, row)
        return known is not None
