"""The covers of finished videos, as they were fetched, and the reasons why some could not be.

Owns the pictures: one for each job. Must never look into one.
"""

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects import sqlite

from daemon.store.mapping import picture_row
from daemon.store.rows import PictureRow
from daemon.store.tables import PICTURES

_P = PICTURES.c
_OF_JOB = select(PICTURES).where(_P.job == bindparam("of_job"))
_ADD = sqlite.insert(PICTURES)
_PUT = _ADD.on_conflict_do_update(
    index_elements=[_P.job],
    set_={name: _ADD.excluded[name] for name in ("url", "content_type", "data", "fetched_at", "error")},
)


class Pictures:
    """The pictures, seen through one transaction. A `job` argument is a row id."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, job: int) -> PictureRow | None:
        """The job's picture, or why there is none; None where it was never fetched."""
        row = self._connection.execute(_OF_JOB, {"of_job": job}).one_or_none()
        return None if row is None else picture_row(row)

    def put(self, picture: PictureRow) -> None:
        """Keep a picture in the place of the job's older one. A picture of more than 2 MiB is refused
        (StoreRefused), and so is one without its type."""
        row = {name: getattr(picture, name) for name in PictureRow.__slots__}
        self._connection.execute(_PUT, row)
