"""Preparations for a message: fresh links, wrapd's own links, the picture."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.clock import ManualClock
from daemon.domain.events import Event
from daemon.domain.jobs import Asset
from daemon.notify.message import Cover
from daemon.notify.outbox import NotifySettings
from daemon.notify.outbox.prepare import CLOSED, OwnLinks, Prepared, Preparer, Wants
from daemon.store import Claimed, JobRow, StoreFailed
from tests.support.alerts import AT, claimed, job
from tests.support.background import defects
from tests.support.store import NOW, later, open_store, track

PEOPLE = Wants(machine=False, picture=False)
MACHINE = Wants(machine=True, picture=False)
SHOWN = Wants(machine=False, picture=True)


def linked(until: timedelta, *, row: int = 1, **asset: str) -> Claimed:
    """Return a success whose preview expires this long after `AT`."""
    url = f"https://h.example.com/{row}.mp4?Expires={int((AT + until).timestamp())}"
    return claimed(of=job(id=row, asset=Asset(preview_url=url, **asset)))


class Service:
    """Renews links, or returns the job unchanged."""

    def __init__(self, *, helps: bool = True, raises: bool = False) -> None:
        self.asked: list[int] = []
        self._helps, self._raises = helps, raises

    async def renew(self, row: JobRow, *, patience: float) -> JobRow:
        self.asked.append(row.id)
        await asyncio.sleep(0)
        assert 0 < patience <= 30
        if self._raises:
            raise KeyError("a defect")
        return row._replace(asset=Asset(preview_url="https://h.example.com/fresh.mp4")) if self._helps else row


class Gallery:
    """Stands in for the pictures: the same cover for every job."""

    def __init__(self, *, raises: bool = False) -> None:
        self.asked: list[int] = []
        self._raises = raises

    async def cover_of(self, row: JobRow, *, patience: float) -> Cover | None:
        assert patience == NotifySettings().picture_patience
        self.asked.append(row.id)
        if self._raises:
            raise KeyError("a defect")
        return Cover(url="https://h.example.com/c.png", data=b"x", content_type="image/png")


def preparer(service: Service | None = None, gallery: Gallery | None = None, **more: Any) -> Preparer:
    renew = None if service is None else service.renew
    clock = ManualClock(AT)
    return Preparer(
        settings=NotifySettings(),
        clock=clock,
        defects=defects(clock),
        renew=renew,
        pictures=gallery,  # type: ignore[arg-type]
        **more,
    )


async def prepared(
    one: Preparer, *rows: Claimed, wants: Wants = PEOPLE, links: dict[int, str] | None = None
) -> Prepared:
    ready = one.is_ready(rows, links=links or {}, wants=wants)
    found = await one.prepare(rows, links=links or {}, wants=wants)
    if ready:
        assert found == Prepared(claimed=rows)
    return found


def preview(found: Prepared, at: int = 0) -> str | None:
    row = found.claimed[at].job
    assert row is not None
    return row.asset.preview_url


async def test_a_link_that_dies_within_the_margin_is_renewed_once() -> None:
    service = Service()
    for until in (timedelta(days=-3), timedelta(), timedelta(minutes=59)):
        assert preview(await prepared(preparer(service), linked(until))) == "https://h.example.com/fresh.mp4"
    assert service.asked == [1, 1, 1]


async def test_one_that_lives_is_sent_as_it_is() -> None:
    service = Service()
    row = linked(timedelta(minutes=61))
    assert await prepared(preparer(service), row) == Prepared(claimed=(row,))
    assert service.asked == []


async def test_a_link_without_an_end_of_its_own_lives_a_day_from_when_it_was_fetched() -> None:
    service, url = Service(), "https://h.example.com/video.mp4"
    young = claimed(of=job(asset=Asset(download_url=url), links_at=AT - timedelta(hours=22)))
    old = claimed(of=job(asset=Asset(download_url=url), links_at=AT - timedelta(hours=23)))
    assert await prepared(preparer(service), young) == Prepared(claimed=(young,))
    assert await prepared(preparer(service), old) != Prepared(claimed=(old,))


async def test_what_cannot_be_renewed_is_sent_as_it_is() -> None:
    row = linked(timedelta(days=-1))
    assert (await prepared(preparer(Service(helps=False)), row)).claimed == (row,)
    assert (await prepared(preparer(Service(raises=True)), row)).claimed == (row,)
    assert (await prepared(preparer(), row)).claimed == (row,)


async def test_only_events_with_links_are_looked_at() -> None:
    service = Service()
    dead = linked(timedelta(days=-1)).job
    for event in Event:
        await prepared(preparer(service), claimed(event, of=dead))
    assert len(service.asked) == 2  # succeeded, link_expiring


async def test_with_links_of_our_own_only_programs_need_the_services() -> None:
    service, row = Service(), linked(timedelta(days=-1))
    own = {1: "https://w.example.com/v/t"}
    assert (await prepared(preparer(service), row, links=own)).claimed == (row,)
    assert preview(await prepared(preparer(service), row, links=own, wants=MACHINE)) is not None
    assert service.asked == [1]


async def test_of_a_digest_all_are_renewed_each_job_once() -> None:
    service = Service()
    rows = [linked(timedelta(days=-1), row=number) for number in range(1, 40)]
    found = await prepared(preparer(service), rows[0], *rows)
    assert service.asked == list(range(1, 40))
    assert {preview(found, index) for index in range(40)} == {"https://h.example.com/fresh.mp4"}


async def test_the_picture_of_a_single_success() -> None:
    gallery = Gallery()
    one = preparer(gallery=gallery)
    row = linked(timedelta(days=1))
    cover = (await prepared(one, row, wants=SHOWN)).cover
    assert cover is not None
    assert cover.url == "https://h.example.com/c.png"
    assert (await prepared(one, row, wants=PEOPLE)).cover is None
    assert (await prepared(one, row, row, wants=SHOWN)).cover is None
    assert (await prepared(one, claimed(Event.FAILED), wants=SHOWN)).cover is None
    assert gallery.asked == [1]


async def test_with_a_link_of_our_own_the_picture_is_shown_by_it() -> None:
    cover = (
        await prepared(
            preparer(gallery=Gallery()), linked(timedelta(days=1)), wants=SHOWN, links={1: "https://w.example/v/t"}
        )
    ).cover
    assert cover is not None
    assert cover.url == "https://w.example/v/t/cover"


async def test_what_was_revoked_shows_no_picture_and_is_not_renewed() -> None:
    service, gallery = Service(), Gallery()
    row = linked(timedelta(days=-1))
    found = await prepared(preparer(service, gallery), row, wants=SHOWN, links={1: CLOSED})
    assert found == Prepared(claimed=(row,))
    assert (service.asked, gallery.asked) == ([], [])


async def test_a_picture_that_fails_leaves_the_text() -> None:
    row = linked(timedelta(days=1))
    assert await prepared(preparer(gallery=Gallery(raises=True)), row, wants=SHOWN) == Prepared(claimed=(row,))


def test_own_links_are_made_once_for_a_job_and_only_where_there_is_a_video(tmp_path: Path) -> None:
    store, tokens = open_store(tmp_path), iter(f"token-{number}" for number in range(99))
    own = OwnLinks(public_url="https://w.example.com/base/", life=1000.0, token=lambda: next(tokens))
    one = preparer(own_links=own)

    def links(row: int, **asset: str) -> dict[int, str]:
        each = claimed(of=job(id=row, asset=Asset(**asset)))
        return dict(store.write_now(lambda tx: one.links(tx, (each,), NOW)))

    row = store.write_now(track)
    other = store.write_now(lambda tx: track(tx, "job-2"))
    assert links(row, preview_url="https://h/p") == {row: "https://w.example.com/base/v/token-0"}
    assert links(row, asset_id="a") == {row: "https://w.example.com/base/v/token-0"}
    assert links(other, cover_url="https://h/c") == {}
    assert store.write_now(lambda tx: one.links(tx, (claimed(Event.FAILED, of=job(id=row)),), NOW)) == {}
    store.write_now(lambda tx: tx.links.revoke(row, later(1)))
    assert links(row, preview_url="https://h/p") == {row: CLOSED}
    store.close()


@pytest.mark.parametrize("error", [KeyError("a defect"), StoreFailed("the disk is full")])
def test_an_own_link_that_cannot_be_made_costs_no_alert_unless_the_database_fails(
    tmp_path: Path, error: Exception
) -> None:
    def token() -> str:
        raise error

    store = open_store(tmp_path)
    row = store.write_now(track)
    each = claimed(of=job(id=row, asset=Asset(preview_url="https://h/p")))
    one = preparer(own_links=OwnLinks(public_url="https://w.example.com/", life=1000.0, token=token))
    if isinstance(error, StoreFailed):
        with pytest.raises(StoreFailed):
            store.write_now(lambda tx: one.links(tx, (each,), NOW))
    else:
        assert store.write_now(lambda tx: one.links(tx, (each,), NOW)) == {}
    store.close()


def test_without_a_public_url_nothing_is_asked_of_the_database() -> None:
    assert preparer().links(None, (claimed(),), AT) == {}  # type: ignore[arg-type]
