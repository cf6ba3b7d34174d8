"""The fetched covers of finished videos, and why some could not be fetched.

Owns the pictures, one for each job. Their content is opaque here.
"""

from sqlalchemy import bindparam, select
from sqlalchemy.dialects import sqlite

from daemon.store.mapping import TransactionPart, plain_row
from daemon.store.rows import PictureRow
from daemon.store.tables import PICTURES

_P = PICTURES.c
_OF_JOB = select(PICTURES).where(_P.job == bindparam("of_job"))
_ADD = sqlite.insert(PICTURES)
_PUT = _ADD.on_conflict_do_update(
    index_elements=[_P.job],
    set_={name: _ADD.excluded[name] for name in ("url", "content_type", "data", "fetched_at", "error")},
)


class Pictures(TransactionPart):
    """The pictures, seen through one transaction. A `job` argument is a row id."""

    def get(self, job: int) -> PictureRow | None:
        """Return the job's picture, or the reason why it has none; None if it was never fetched."""
        row = self._connection.execute(_OF_JOB, {"of_job": job}).one_or_none()
        return None if row is None else plain_row(PictureRow, row)

    def put(self, picture: PictureRow) -> None:
        """Store a picture, replacing the job's older one. Refuses (StoreRefused) a picture of more than 2 MiB, or
        without its content type."""
        row = {name: getattr(picture, name) for name in PictureRow.__slots__}
        self._connection.execute(_PUT, row)
