"""What the daemon remembers between its runs: its reports on each project, where channels led, used signatures.

Owns these three small tables. Nothing is decided by the reports: they are for people.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.dialects import sqlite

from daemon.domain.events import Json
from daemon.domain.jobs import ChannelName, JobId, ProjectName
from daemon.store.mapping import TransactionPart
from daemon.store.rows import Status
from daemon.store.tables import ADDRESSES, PROJECT_STATUS, SIGNATURES

SIGNATURES_KEPT = timedelta(hours=1)
"""How long a used signature is remembered: longer than any signature is valid."""

_P, _A, _S = PROJECT_STATUS.c, ADDRESSES.c, SIGNATURES.c
_ADD_STATUS = sqlite.insert(PROJECT_STATUS)
_SET_STATUS = _ADD_STATUS.on_conflict_do_update(
    index_elements=[_P.project], set_={"facts": _ADD_STATUS.excluded.facts, "at": _ADD_STATUS.excluded.at}
)
_STATUSES = select(_P.project, _P.facts, _P.at).order_by(_P.project)
_ADD_ADDRESS = sqlite.insert(ADDRESSES)
_SET_ADDRESS = _ADD_ADDRESS.on_conflict_do_update(
    index_elements=[_A.channel],
    set_={"salt": _ADD_ADDRESS.excluded.salt, "fingerprint": _ADD_ADDRESS.excluded.fingerprint},
)
_ADDRESS = select(_A.salt, _A.fingerprint).where(_A.channel == bindparam("of_channel"))
_USED_FOR = select(_S.job_id).where(_S.digest == bindparam("of_digest"))
_FORGET = delete(SIGNATURES).where(_S.used_at < bindparam("before", type_=_S.used_at.type))


class Statuses(TransactionPart):
    """What the daemon last reported of each project's watch: one row for each, overwritten every time."""

    def set(self, project: ProjectName, facts: Mapping[str, Json], at: datetime) -> None:
        """Replace the report on the project by `facts`, as of `at`."""
        self._connection.execute(_SET_STATUS, {"project": project, "facts": facts, "at": at})

    def prove(self) -> None:
        """Write without changing anything, which fails on a full disk."""
        self._connection.exec_driver_sql("UPDATE alembic_version SET version_num = version_num")

    def all(self) -> dict[ProjectName, Status]:
        """Return the last report on each project, including those that the config no longer has."""
        return {
            ProjectName(project): Status(facts=facts, at=at)
            for project, facts, at in self._connection.execute(_STATUSES)
        }


class Addresses(TransactionPart):
    """A fingerprint of each channel's URL: neither the URL itself, nor enough to guess it."""

    def moved(self, channel: ChannelName, fingerprint: Callable[[str], str], *, salt: str) -> bool:
        """Store where the channel leads now. Returns whether it led elsewhere before; False if that is unknown.

        `fingerprint` computes the fingerprint of the channel's URL from a salt; a new one is stored with `salt`.
        """
        known = self._connection.execute(_ADDRESS, {"of_channel": channel}).one_or_none()
        if known is not None and fingerprint(known.salt) == known.fingerprint:
            return False
        row = {"channel": channel, "salt": salt, "fingerprint": fingerprint(salt)}
        self._connection.execute(_SET_ADDRESS, row)
        return known is not None


class Signatures(TransactionPart):
    """The used signatures of callbacks: each takes up one job. Verifying them is the caller's business."""

    def use(self, digest: str, project: ProjectName, job_id: JobId, at: datetime) -> bool:
        """Use a signature for a job. False, and nothing is changed, if it was used for another one."""
        self._connection.execute(_FORGET, {"before": at - SIGNATURES_KEPT})
        used: str | None = self._connection.execute(_USED_FOR, {"of_digest": digest}).scalar_one_or_none()
        if used is not None:
            return used == job_id
        row = {"digest": digest, "project": project, "job_id": job_id, "used_at": at}
        self._connection.execute(insert(SIGNATURES), row)
        return True
