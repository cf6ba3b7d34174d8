"""The day sums of a database, and what its ended jobs make of them."""

from collections import Counter, defaultdict
from datetime import date

import pytest

from daemon.domain.jobs import Tracking
from daemon.domain.production import samples_of
from daemon.store import Store, Transaction

Key = tuple[date, str, str, str]


def kept(store: Store) -> dict[Key, tuple[int, int, float]]:
    """Return jobs, timed jobs and seconds, by day, project, kind and state."""
    rows = store.read(lambda tx: tx.day_sums.since(date(1970, 1, 1)))
    return {(row.day, row.project, row.kind, row.state): (row.jobs, row.timed, row.seconds) for row in rows}


def recounted(store: Store) -> dict[Key, tuple[int, int, float]]:
    """Return the same from the ended jobs themselves, by the rules of learning."""

    def count(tx: Transaction) -> dict[Key, tuple[int, int, float]]:
        ended: Counter[Key] = Counter()
        for row in tx.jobs.list(tracking=Tracking.FINISHED):
            assert row.state is not None
            assert row.state_since is not None
            ended[row.state_since.date(), row.project, row.kind, row.state] += 1
        times: defaultdict[Key, list[float]] = defaultdict(list)
        for (project, kind), rows in tx.jobs.finished(limit=10_000).items():
            for each in rows:
                key = (each.state_since.date(), project, kind, each.state)
                times[key] += [sample.seconds for sample in samples_of([each])]
        return {key: (n, len(times[key]), sum(times[key])) for key, n in ended.items()}

    return store.read(count)


def assert_summed(store: Store) -> None:
    """Every sum is that of the jobs."""
    found, wanted = kept(store), recounted(store)
    assert found.keys() == wanted.keys()
    for key, (jobs, timed, seconds) in wanted.items():
        assert found[key] == (jobs, timed, pytest.approx(seconds, abs=1e-3)), key
