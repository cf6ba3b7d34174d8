"""What is stored of a finished video: its links and when they expire, wrapd's own link, its picture."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from daemon.domain.events import Event
from daemon.domain.jobs import DAY, Asset, JobId, Observation
from daemon.domain.routing import Route, routing
from daemon.store import MOST_PICTURE, JobRow, PictureRow, Store, StoreRefused
from tests.support.store import NOW, PROJECT, SILENT, A, B, later, move, open_store, record, request, track

HOUR = 3600.0
REMINDED = routing([Route(events=frozenset({Event.LINK_EXPIRING}), channels=(A,))], operators=[], channels=[A, B])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    yield store
    store.close()


def signed(name: str, seconds: float) -> str:
    """A link that expires then; in whole seconds, as object storage signs."""
    return f"https://h/{name}?Expires={int(later(seconds).timestamp())}"


def whole(seconds: float) -> datetime:
    return later(seconds).replace(microsecond=0)


def job_of(store: Store, job: int) -> JobRow:
    row = store.read(lambda tx: tx.jobs.get(job))
    assert row is not None
    return row


def ended(store: Store, name: str = "job-1", state: str = "SUCCEED", **links: str | None) -> int:
    def work(tx):
        job = track(tx, name)
        record(tx, job, state, asset=Asset(**links), routes=SILENT)
        return job

    return store.write_now(work)


# When links expire


def test_the_last_of_preview_and_download_counts_and_the_cover_does_not(store: Store) -> None:
    job = ended(store, cover_url=signed("c", 9 * HOUR), preview_url=signed("p", 2 * HOUR))
    assert job_of(store, job).link_until == whole(2 * HOUR)
    store.write_now(lambda tx: tx.jobs.set_download_url(job, signed("d", HOUR), at=later(5)))
    assert job_of(store, job).link_until == whole(2 * HOUR)
    store.write_now(lambda tx: tx.jobs.set_download_url(job, signed("d", 3 * HOUR), at=later(6)))
    assert job_of(store, job).link_until == whole(3 * HOUR)


def test_a_link_without_a_signature_lives_for_a_day(store: Store) -> None:
    job = ended(store, preview_url="https://h/p")
    assert job_of(store, job).link_until == NOW + DAY
    other = ended(store, "job-2")
    assert job_of(store, other).link_until is None
    store.write_now(lambda tx: tx.jobs.set_download_url(other, "https://h/d", at=later(5)))
    assert job_of(store, other).link_until == later(5) + DAY


def test_a_later_answer_without_a_link_keeps_what_is_known(store: Store) -> None:
    def work(tx):
        job = track(tx)
        record(tx, job, "PROCESSING", asset=Asset(preview_url=signed("p", HOUR)), routes=SILENT)
        record(tx, job, "SUCCEED", asset=Asset(cover_url="https://h/c"), routes=SILENT)
        return job

    assert job_of(store, store.write_now(work)).link_until == whole(HOUR)


def test_fresh_links_take_the_place_of_old_ones(store: Store) -> None:
    job = ended(store, cover_url="https://h/c", preview_url="https://h/p")
    store.write_now(lambda tx: tx.jobs.set_download_url(job, signed("d", HOUR), at=NOW))
    fresh = Asset(cover_url="https://h/c2", preview_url="https://h/p2")
    store.write_now(lambda tx: tx.jobs.set_links(job, fresh, at=later(9)))
    row = job_of(store, job)
    assert (row.asset.cover_url, row.asset.preview_url) == ("https://h/c2", "https://h/p2")
    assert row.asset.download_url == signed("d", HOUR)
    # The download link carries its own expiry; the other two are fetched now.
    assert (row.links_at, row.link_until) == (later(9), later(9) + DAY)


def test_an_older_link_that_stays_keeps_its_time(store: Store) -> None:
    job = ended(store, cover_url="https://h/c", preview_url="https://h/p")
    store.write_now(lambda tx: tx.jobs.set_links(job, Asset(download_url=signed("d", 9 * HOUR)), at=later(9)))
    row = job_of(store, job)
    assert (row.links_at, row.link_until) == (NOW, NOW + DAY)
    store.write_now(lambda tx: tx.jobs.set_links(job, Asset(), at=later(10)))
    assert job_of(store, job) == row
    store.write_now(lambda tx: tx.jobs.set_links(99, Asset(preview_url="https://h/x"), at=later(10)))


def test_a_fresh_link_that_dies_sooner_is_believed(store: Store) -> None:
    job = ended(store, preview_url=signed("p", 9 * HOUR))
    store.write_now(lambda tx: tx.jobs.set_links(job, Asset(preview_url=signed("p", HOUR)), at=later(9)))
    assert job_of(store, job).link_until == whole(HOUR)


# Links that expire unseen


def expiring(store: Store, *, now: float = 0, within: float = HOUR, limit: int = 100) -> list[int]:
    rows = store.read(lambda tx: tx.jobs.expiring(now=later(now), within=within, limit=limit))
    return [row.id for row in rows]


def remind(store: Store, job: int, *, at: float = 0, routes=REMINDED):
    return store.write_now(lambda tx: tx.jobs.record_link_expiring(job, at=later(at), routing=routes))


def test_the_videos_that_die_within_are_told_of_once(store: Store) -> None:
    soon = ended(store, "soon", preview_url=signed("p", 1800))
    sooner = ended(store, "sooner", "PARTIAL_SUCCEED", preview_url=signed("p", 900))
    ended(store, "later", preview_url=signed("p", 2 * HOUR))
    ended(store, "dead", preview_url=signed("p", -60))
    ended(store, "failed", "FAILED", preview_url=signed("p", 1800))
    ended(store, "bare")
    assert expiring(store) == [sooner, soon]
    assert expiring(store, limit=1) == [sooner]
    recorded = remind(store, soon)
    assert (recorded.transition, recorded.deliveries, recorded.channels) == (None, 1, (A,))
    (row,) = store.read(lambda tx: tx.outbox.list())
    assert (row.key, row.event, row.job, row.due_at) == (
        f"job/{soon}/link_expiring",
        Event.LINK_EXPIRING,
        soon,
        NOW,
    )
    assert row.facts == {
        "state": "SUCCEED",
        "before": None,
        "observed_at": NOW.isoformat(),
        "reported_at": None,
        "link_until": whole(1800).isoformat(),
    }
    assert remind(store, soon) is None
    assert expiring(store) == [sooner]


def test_what_nobody_is_told_of_does_not_come_again(store: Store) -> None:
    job = ended(store, preview_url=signed("p", 1800))
    recorded = remind(store, job, routes=SILENT)
    assert (recorded.deliveries, recorded.channels) == (0, ())
    assert (expiring(store), remind(store, job)) == ([], None)


@pytest.mark.parametrize("what", ["dead", "seen", "failed", "active", "unknown"])
def test_there_may_be_nothing_to_remind_of(store: Store, what: str) -> None:
    job = ended(store, state="FAILED" if what == "failed" else "SUCCEED", preview_url=signed("p", 1800))
    if what == "seen":
        click(store, job)
    if what == "active":
        job = store.write_now(lambda tx: track(tx, "other"))
        store.write_now(lambda tx: record(tx, job, "WAITING", asset=Asset(preview_url="https://h/p")))
    at = 1801 if what == "dead" else 0
    assert remind(store, 99 if what == "unknown" else job, at=at) is None
    assert store.read(lambda tx: tx.outbox.list()) == []


# wrapd's own links


def link(store: Store, job: int, token: str = "one", *, at: float = 0, life: float = 60):
    return store.write_now(lambda tx: tx.links.of_job(job, token=token, at=later(at), life=life))


def click(store: Store, job: int, *, at: float = 0) -> None:
    found = link(store, job, life=1e9)
    store.write_now(lambda tx: tx.links.clicked(found.id, later(at)))


def test_a_job_has_one_link_while_it_lives(store: Store) -> None:
    job = ended(store)
    first = link(store, job)
    assert (first.job, first.token, first.created_at, first.expires_at) == (job, "one", NOW, later(60))
    assert (first.revoked_at, first.clicks, first.last_click_at) == (None, 0, None)
    assert link(store, job, "two", at=59) == first
    assert store.read(lambda tx: (tx.links.by_token("one"), tx.links.get(job))) == (first, first)
    second = link(store, job, "two", at=60)
    assert (second.id, second.token, second.expires_at) == (first.id, "two", later(120))
    assert store.read(lambda tx: tx.links.by_token("one")) is None
    assert store.read(lambda tx: tx.links.get(99)) is None


def test_two_jobs_cannot_have_one_token(store: Store) -> None:
    first, second = ended(store, "job-1"), ended(store, "job-2")
    link(store, first)
    with pytest.raises(StoreRefused, match=r"links\.token"):
        link(store, second)
    link(store, second, "two")
    assert [row.job for row in store.read(lambda tx: tx.links.list())] == [second, first]
    assert [row.job for row in store.read(lambda tx: tx.links.list(limit=1))] == [second]


def test_clicks_count_and_the_first_is_when_it_was_seen(store: Store) -> None:
    job = ended(store)
    click(store, job, at=5)
    click(store, job, at=9)
    row = link(store, job, life=1e9)
    assert (row.clicks, row.last_click_at, job_of(store, job).seen_at) == (2, later(9), later(5))
    store.write_now(lambda tx: tx.links.clicked(99, NOW))


def test_a_revoked_link_stays_so_until_it_is_restored(store: Store) -> None:
    job = ended(store)
    assert store.write_now(lambda tx: tx.links.revoke(job, NOW)) is False
    link(store, job)
    assert store.write_now(lambda tx: (tx.links.revoke(job, later(1)), tx.links.revoke(job, later(2)))) == (
        True,
        False,
    )
    assert link(store, job, "two") is None
    assert link(store, job, "two", at=9999) is None
    revoked = store.read(lambda tx: tx.links.by_token("one"))
    assert revoked is not None
    assert revoked.revoked_at == later(1)
    assert store.write_now(lambda tx: (tx.links.restore(job), tx.links.restore(job))) == (True, False)
    assert link(store, job).token == "one"


@pytest.mark.parametrize("state", ["WAITING", "SUCCEED"])
def test_untracking_revokes_and_tracking_again_restores(store: Store, state: str) -> None:
    job = ended(store, state=state)
    link(store, job, life=HOUR)
    stopped = store.write_now(lambda tx: tx.jobs.untrack(PROJECT, JobId("job-1"), at=later(1)))
    assert stopped == (1 if state == "WAITING" else 0)
    assert link(store, job) is None
    store.write_now(lambda tx: tx.jobs.track(request(), at=later(2)))
    assert link(store, job).token == "one"


def test_tracking_what_is_tracked_does_not_restore_what_a_person_revoked(store: Store) -> None:
    job = ended(store, state="WAITING")
    link(store, job, life=HOUR)
    store.write_now(lambda tx: tx.links.revoke(job, NOW))
    store.write_now(lambda tx: tx.jobs.track(request(), at=later(2)))
    assert link(store, job) is None


# Pictures


def picture(job: int, **more: object) -> PictureRow:
    values = {
        "url": "https://h/c",
        "content_type": "image/png",
        "data": b"\x89PNG",
        "fetched_at": NOW,
        "error": None,
    }
    return PictureRow(job=job, **{**values, **more})  # type: ignore[arg-type]


def test_the_last_picture_of_a_job_is_kept(store: Store) -> None:
    job = ended(store)
    assert store.read(lambda tx: tx.pictures.get(job)) is None
    failed = picture(job, content_type=None, data=None, error="HTTP 404")
    later_one = picture(job, url="https://h/c2", data=b"\x00" * MOST_PICTURE, fetched_at=later(9))
    for each in (failed, later_one):
        store.write_now(lambda tx, each=each: tx.pictures.put(each))
        assert store.read(lambda tx: tx.pictures.get(job)) == each


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"data": b"\x00" * (MOST_PICTURE + 1)}, "data_length"),
        ({"data": b""}, "data_length"),
        ({"data": None}, "data_or_error"),
        ({"error": "x"}, "data_or_error"),
        ({"content_type": None}, "data_has_type"),
        ({"job": 99}, "FOREIGN KEY"),
    ],
)
def test_a_wrong_picture_is_refused(store: Store, wrong: dict[str, object], why: str) -> None:
    job = ended(store)
    with pytest.raises(StoreRefused, match=why):
        store.write_now(lambda tx: tx.pictures.put(picture(**{"job": job, **wrong})))  # type: ignore[arg-type]


def test_an_answer_of_a_move_brings_its_links_in_one_statement(store: Store) -> None:
    job = store.write_now(track)
    seen = Observation(state="SUCCEED", asset=Asset(preview_url=signed("p", HOUR), download_url=signed("d", 60)))
    store.write_now(lambda tx: tx.jobs.record_move(job, move(None, seen), seen, routing=SILENT, due_at=NOW))
    row = job_of(store, job)
    assert (row.link_until, row.links_at, row.asset) == (whole(HOUR), NOW, seen.asset)
    assert row.link_until is not None
    assert row.link_until - NOW < timedelta(hours=1)
