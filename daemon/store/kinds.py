"""Finding out of what kind jobs are: what the service said, and how often it was asked in vain.

Owns these columns' statements, for `Jobs`. Must never take a job up, nor replace a kind that is known.
"""

from collections.abc import Mapping

from sqlalchemy import Connection, bindparam, case, update

from daemon.domain.jobs import KindSource, Tracking
from daemon.store.mapping import plain
from daemon.store.tables import JOBS

_C = JOBS.c
_FOUND = (
    update(JOBS)
    .where(_C.id == bindparam("row"), _C.kind_source == plain(KindSource.GUESSED))
    .values(
        kind=bindparam("new_kind"),
        kind_source=plain(KindSource.FOUND),
        # Who watches it is to ask under the right kind; a job that is not watched stays so.
        changed=case((_C.tracking == plain(Tracking.ACTIVE), True), else_=_C.changed),
    )
)
_TRIED = update(JOBS).where(_C.id == bindparam("row")).values(kind_tries=bindparam("tries"))


def found(connection: Connection, kinds: Mapping[int, str]) -> None:
    """Keep the kinds that the service said, by row id, of jobs whose kind was a guess."""
    if kinds:
        connection.execute(_FOUND, [{"row": row, "new_kind": kind} for row, kind in kinds.items()])


def tried(connection: Connection, tries: Mapping[int, int]) -> None:
    """Keep how many rounds of asking were in vain, by row id."""
    if tries:
        connection.execute(_TRIED, [{"row": row, "tries": number} for row, number in tries.items()])
