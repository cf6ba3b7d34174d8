"""What is known of a finished video: its links, when they expire, and which of them expire unseen.

Owns the statements on these columns, for `Jobs`. It stores links and never requests one.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, bindparam, case, func, or_, select, update

from daemon.domain.jobs import Asset, Observation, Tracking, link_expiry
from daemon.domain.states import State
from daemon.store.mapping import job_row, plain
from daemon.store.rows import JobRow
from daemon.store.tables import JOBS, LINKS

_C = JOBS.c
_MOMENT = _C.link_until.type
_ANSWERED = ("cover_url", "preview_url")
_VIDEO = ("preview_url", "download_url")
_LINKS = ("cover_url", *_VIDEO)

_UNSEEN = (_C.link_until.is_not(None), _C.seen_at.is_(None), _C.reminded_at.is_(None))

UNOPENED = (
    _C.seen_at.is_(None),
    _C.tracking == plain(Tracking.FINISHED),
    or_(_C.state == plain(State.SUCCEED), _C.state == plain(State.PARTIAL_SUCCEED)),
)
"""Videos that nobody has opened."""


def dying(rows: Select[Any], *, reminded: bool) -> Select[Any]:
    """Select the first `most` videos whose last link dies after `now` and until `last`, that were neither opened
    nor reminded of (`reminded`: that were reminded of but not opened), the first to die first. Each has a partial
    index of its own."""
    told = _C.reminded_at.is_not(None) if reminded else _C.reminded_at.is_(None)
    return (
        rows.where(
            _C.link_until.is_not(None),
            *UNOPENED,
            told,
            _C.link_until > bindparam("now", type_=_MOMENT),
            _C.link_until <= bindparam("last", type_=_MOMENT),
        )
        .order_by(_C.link_until, _C.id)
        .limit(bindparam("most"))
    )


_EXPIRING = dying(select(JOBS), reminded=False)
_REMIND = (
    update(JOBS)
    .where(
        *_UNSEEN,
        _C.id == bindparam("row"),
        _C.link_until > bindparam("at", type_=_MOMENT),
        _C.tracking == plain(Tracking.FINISHED),
        or_(_C.state == plain(State.SUCCEED), _C.state == plain(State.PARTIAL_SUCCEED)),
    )
    .values(reminded_at=bindparam("at", type_=_MOMENT))
)
_SET = update(JOBS).where(_C.id == bindparam("row"))
_until = bindparam("until", type_=_MOMENT)
_DOWNLOAD = _SET.values(
    download_url=bindparam("url"),
    links_at=func.coalesce(_C.links_at, bindparam("fetched", type_=_MOMENT)),
    link_until=case((_C.link_until > _until, _C.link_until), else_=_until),
)
_SEEN = _SET.where(_C.seen_at.is_(None)).values(seen_at=bindparam("at", type_=_MOMENT))

_UNCLICKED = select(LINKS.c.id).where(LINKS.c.id == bindparam("link"), LINKS.c.clicks == 0).exists()
_UNSEE = _SET.where(_UNCLICKED).values(seen_at=None)


def observed(known: JobRow, seen: Observation, *, at: datetime) -> dict[str, Any]:
    """Return the columns for which the answer has a value."""
    links = {name: getattr(seen.asset, name) for name in _ANSWERED}
    values = {
        "reported_at": seen.reported_at,
        "created_at": seen.created_at,
        "started_at": seen.started_at,
        "ended_at": seen.ended_at,
        "duration": seen.duration,
        "asset_id": seen.asset.asset_id,
        "asset_name": seen.asset.asset_name,
        "download_url": seen.asset.download_url,
        **links,
        "error_code": seen.error_code,
        "error_msg": seen.error_msg,
    }
    if any(links.values()):
        # A link that the answer lacks is older. The known time is kept then, so that no link is taken to live
        # longer.
        stays = any(url is None and getattr(known.asset, name) is not None for name, url in links.items())
        values["links_at"] = (known.links_at if stays else None) or at
    if any(values[name] for name in _VIDEO):
        urls = [values[name] or getattr(known.asset, name) for name in _VIDEO]
        values["link_until"] = _last_expiry({url: values.get("links_at") or known.links_at or at for url in urls})
    return {name: value for name, value in values.items() if value is not None}


def keep_download(connection: Connection, job: int, url: str, *, at: datetime) -> None:
    """Store the link of the finished file, fetched `at`."""
    until = link_expiry(url, fetched_at=at)
    connection.execute(_DOWNLOAD, {"row": job, "url": url, "fetched": at, "until": until})


def renew(connection: Connection, known: JobRow, fresh: Asset, *, at: datetime) -> None:
    """Replace the known links by those fetched `at`; links that are not given stay."""
    given = {name: url for name in _LINKS if (url := getattr(fresh, name)) is not None}
    if not given:
        return
    urls = {name: given.get(name, getattr(known.asset, name)) for name in _LINKS}
    before = known.links_at or at
    # The fetch time does not matter for a link that carries its own expiry.
    stays = any(
        name not in given and url is not None and link_expiry(url, fetched_at=at, unsigned_life=None) is None
        for name, url in urls.items()
    )
    until = _last_expiry({urls[name]: at if name in given else before for name in _VIDEO})
    values = {**given, "links_at": before if stays else at, "link_until": until}
    connection.execute(_SET, {**values, "row": known.id})


def _last_expiry(fetched: Mapping[str | None, datetime]) -> datetime | None:
    """Return when the last of the links expires, given when each was fetched; None without links."""
    ends = [link_expiry(url, fetched_at=at) for url, at in fetched.items() if url is not None]
    return max((end for end in ends if end is not None), default=None)


def expiring(connection: Connection, *, now: datetime, within: float, limit: int) -> list[JobRow]:
    """Return the videos whose last link expires within `within` seconds, that were neither opened nor reminded of,
    the first to expire first."""
    values = {"now": now, "last": now + timedelta(seconds=within), "most": limit}
    return [job_row(row) for row in connection.execute(_EXPIRING, values)]


def remind(connection: Connection, job: int, *, at: datetime) -> bool:
    """Record that a reminder about the job's expiring link was written. False: it was before, or there is no
    link."""
    return connection.execute(_REMIND, {"row": job, "at": at}).rowcount == 1


def seen(connection: Connection, job: int, *, at: datetime) -> None:
    """Record when the video was first opened."""
    connection.execute(_SEEN, {"row": job, "at": at})


def unseen(connection: Connection, job: int, *, link: int) -> None:
    """Undo `seen` if the link has no clicks left."""
    connection.execute(_UNSEE, {"row": job, "link": link})
