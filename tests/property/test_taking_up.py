"""However jobs are stored: the short way by which a start takes up ordinary ones makes of each what the long way
makes of it."""

import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.clock import ManualClock
from daemon.domain.jobs import KindSource, ProjectName
from daemon.metastudio.kinds import KINDS
from daemon.store import NO_GROUP, ActivePage, Store
from daemon.watch.job import Watched
from daemon.watch.stored import Instant, watched_of, watched_of_all
from tests.support.store import NOW, open_store, track

MINUTES = st.sampled_from([None, -61 * 1440, -60 * 1440, -2.001, -2, 0, 0.5, 2, 2.001])
"""Before and after wrapd saw the state: about what is credible, and far from it."""
JOBS = st.tuples(
    st.sampled_from(["main", "main", "main", "other", "gone"]),
    st.sampled_from(["avatar", "avatar", "avatar", "photo", "unheard-of"]),
    st.sampled_from(["given", "given", "given", "found", "guessed"]),
    st.sampled_from([None, "WAITING", *["PROCESSING"] * 6, "BLOCK", "A\nnew state"]),
    st.sampled_from([-300.0, 0.0, 1.0, 600.0]),
    st.tuples(st.none() | MINUTES, MINUTES, MINUTES),
    st.sampled_from([None, 0.0, 31.7, 1e6]),
    st.sampled_from([1, 1, 1, 2]),
)
Stored = tuple[str, str, str, str | None, float, tuple[float | None, ...], float | None, int]
LIVES = {ProjectName("main"): 3600.0, ProjectName("other"): 60.0}


def put(database: sqlite3.Connection, job: int, stored: Stored) -> None:
    project, kind, source, state, since, offsets, length, episode = stored
    seen = None if state is None else int((NOW.timestamp() + since) * 1e6)
    times = (None if seen is None or each is None else seen + int(each * 60e6) for each in offsets)
    database.execute(
        "UPDATE jobs SET project = ?, kind = ?, kind_source = ?, state = ?, state_since = ?, created_at = ?,"
        " started_at = ?, reported_at = ?, expected_length = ?, episode = ?, changed = 1 WHERE id = ?",
        (project, kind, source, state, seen, *times, length, episode, job),
    )


def pages(store: Store, moment: Instant, limit: int) -> Iterator[ActivePage]:
    last, usual = 0, NO_GROUP
    while True:
        page = store.read(
            lambda tx, after=last, same=usual: tx.jobs.active(
                after=after, limit=limit, ahead=moment.ahead, usual=same
            )
        )
        if not page.last:
            return
        yield page
        last, usual = page.last, page.following


def shown(watched: Watched) -> dict[str, object]:
    shared = watched.start is watched.since
    return {name: getattr(watched, name) for name in Watched.__struct_fields__} | {"shared": shared}


@settings(max_examples=60, deadline=None)
@given(st.lists(JOBS, min_size=6, max_size=12), st.integers(1, 5))
def test_both_ways_of_taking_up_a_job_agree(stored: list[Stored], limit: int) -> None:
    moment, strays, short = Instant(ManualClock(NOW)), Counter[tuple[str, str]](), dict[int, dict[str, object]]()
    refused: list[object] = []
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder))
        try:
            jobs = store.write_now(lambda tx: [track(tx, f"job-{number}") for number in range(len(stored))])
            with closing(sqlite3.connect(Path(folder) / "wrapd.db")) as database, database:
                for job, each in zip(jobs, stored, strict=True):
                    put(database, job, each)
            aside = set()
            for page in pages(store, moment, limit):
                aside |= {row.id for row in page.others}
                found = watched_of_all(page, moment, LIVES, strays, lambda *what: refused.append(what))
                for (project, listed), each in found.items():
                    short |= {watched.job: shown(watched) | {"of": project, "listed": listed} for watched in each}
            rows = store.write_now(lambda tx: tx.jobs.take_changes())
        finally:
            store.close()
    ordinary = [row for row in rows if row.id not in aside]
    known = [row for row in ordinary if row.project in LIVES and row.kind in KINDS]
    assert short == {
        row.id: shown(watched_of(row, KINDS[row.kind], moment, LIVES[row.project]))
        | {"of": row.project, "listed": KINDS[row.kind].listed}
        for row in known
    }
    assert strays == Counter((row.project, row.kind) for row in ordinary if row not in known)
    assert aside == {
        row.id for row in rows if row.state is None or row.episode > 1 or row.kind_source is KindSource.GUESSED
    }
    assert not refused
