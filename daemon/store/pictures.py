"""The fetched covers of finished videos with their thumbnails, and why some could not be fetched.

Owns both, one for each job. Their content is opaque here. Thumbnails are kept as long as the job; covers, which
are a hundred times larger, as long as there is room.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import bindparam, func, select, update
from sqlalchemy.dialects import sqlite

from daemon.store.mapping import TransactionPart, chunks, plain_row
from daemon.store.rows import PictureRow
from daemon.store.tables import PICTURES, THUMBNAILS

_P, _T = PICTURES.c, THUMBNAILS.c
_OF_JOB = select(PICTURES).where(_P.job == bindparam("of_job"))
_ADD = sqlite.insert(PICTURES)
_PUT = _ADD.on_conflict_do_update(
    index_elements=[_P.job],
    set_={name: _ADD.excluded[name] for name in ("url", "content_type", "data", "fetched_at", "error")},
)
_SMALL = select(THUMBNAILS).where(_T.job == bindparam("of_job"))
_WITH_SMALL = select(_T.job).where(_T.job.in_(bindparam("jobs", expanding=True)))
_ADD_SMALL = sqlite.insert(THUMBNAILS)
_PUT_SMALL = _ADD_SMALL.on_conflict_do_update(
    index_elements=[_T.job], set_={name: _ADD_SMALL.excluded[name] for name in ("data", "width", "height")}
)
# By `pictures_kept`. SQLite reads the length of a value without reading the value.
_KEPT = select(_P.job, func.length(_P.data)).where(_P.data.is_not(None)).order_by(_P.fetched_at.desc())
_SHED = update(PICTURES).where(_P.job.in_(bindparam("jobs", expanding=True)))
_NO_ROOM = "removed to make room for later covers"


class ThumbnailRow(Struct, frozen=True, kw_only=True):
    """A small WebP copy of a job's cover, and its size in pixels."""

    job: int
    data: bytes
    width: int
    height: int


class Pictures(TransactionPart):
    """The pictures, seen through one transaction. A `job` argument is a row id."""

    def get(self, job: int) -> PictureRow | None:
        """Return the job's picture, or the reason why it has none; None if it was never fetched."""
        row = self._connection.execute(_OF_JOB, {"of_job": job}).one_or_none()
        return None if row is None else plain_row(PictureRow, row)

    def thumbnail(self, job: int) -> ThumbnailRow | None:
        """Return the small copy of the job's picture; None if there is none."""
        row = self._connection.execute(_SMALL, {"of_job": job}).one_or_none()
        return None if row is None else plain_row(ThumbnailRow, row)

    def small(self, jobs: Sequence[int]) -> set[int]:
        """Return those of the jobs that have a small picture."""
        return {
            job
            for part in chunks(jobs)
            for job in self._connection.execute(_WITH_SMALL, {"jobs": part}).scalars().all()
        }

    def put(self, picture: PictureRow) -> None:
        """Store a picture, replacing the job's older one. Refuses (StoreRefused) a picture of more than 2 MiB, or
        without its content type."""
        self._connection.execute(_PUT, asdict(picture))

    def put_thumbnail(self, thumbnail: ThumbnailRow) -> None:
        """Store the small copy of a job's picture, replacing an older one."""
        self._connection.execute(_PUT_SMALL, asdict(thumbnail))

    def make_room(self, *, most: int, limit: int = 100) -> int:
        """Of the pictures beyond `most` bytes of the latest, remove the oldest, `limit` at most. Returns how many;
        fewer than `limit`: the rest has room."""
        total, old = 0, []
        for job, size in self._connection.execute(_KEPT):
            total += size
            if total > most:
                old.append(job)
        for part in chunks(old[-limit:]):
            self._connection.execute(_SHED.values(data=None, error=_NO_ROOM), {"jobs": part})
        return min(len(old), limit)
