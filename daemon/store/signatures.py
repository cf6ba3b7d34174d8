"""Which callbacks' signatures were used, and for which job: each brings in one job.

Owns the signatures. Must never judge one.
"""

from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, delete, insert, select

from daemon.domain.jobs import JobId, ProjectName
from daemon.store.tables import SIGNATURES

KEPT = timedelta(hours=1)
"""How long a use is remembered: longer than any signature is valid."""

_S = SIGNATURES.c
_USE = select(_S.job_id).where(_S.digest == bindparam("of_digest"))
_FORGET = delete(SIGNATURES).where(_S.used_at < bindparam("before", type_=_S.used_at.type))


class Signatures:
    """The signatures, seen through one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def use(self, digest: str, project: ProjectName, job_id: JobId, at: datetime) -> bool:
        """Use a signature for a job. False, and nothing is changed: it was used for another one."""
        self._connection.execute(_FORGET, {"before": at - KEPT})
        used: str | None = self._connection.execute(_USE, {"of_digest": digest}).scalar_one_or_none()
        if used is not None:
            return used == job_id
        row = {"digest": digest, "project": project, "job_id": job_id, "used_at": at}
        self._connection.execute(insert(SIGNATURES), row)
        return True
