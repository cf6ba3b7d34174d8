"""The lines below a list of jobs."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from daemon.cli.notices import Notices
from daemon.domain.jobs import Asset, Tracking
from daemon.domain.planning import Reason

NOBODY = "No daemon uses this database: these jobs are not polled. `wrapd run` starts one."


@dataclass(frozen=True)
class Row:
    """The fields of a job that a notice needs."""

    job_id: str = "0123456789abcdef"
    label: str | None = None
    tracking: Tracking = Tracking.ACTIVE
    next_reason: str | None = None
    asset: Asset = field(default_factory=Asset)


def lines(*rows: Row, running: bool = True) -> list[str]:
    notices = Notices(running=running, grace=600)
    pairs = [(cast("Any", row), None) for row in rows]
    assert list(notices.watch(pairs)) == pairs
    return list(notices.lines())


def test_that_no_daemon_runs_is_said_where_somebody_should_ask() -> None:
    assert lines(Row(), running=False) == [NOBODY]
    assert lines(Row()) == []
    assert lines(Row(tracking=Tracking.FINISHED), running=False) == []
    assert lines(running=False) == []


@pytest.mark.parametrize(
    ("count", "named"),
    [(1, "a (01234567)"), (3, "a (01234567), a (01234567), a (01234567)"), (5, "(01234567) and 2 more")],
)
def test_some_that_the_service_does_not_know_are_named(count: int, named: str) -> None:
    [line] = lines(*[Row(label="a", next_reason=Reason.UNKNOWN)] * count)
    assert line.startswith("Not known to the service yet: a (01234567)")
    assert f"{named}. After 10m they are reported as lost." in line


def test_one_without_a_name_is_named_by_its_id_and_an_ended_one_is_not() -> None:
    ended = Row(tracking=Tracking.LOST, next_reason=Reason.UNKNOWN)
    [line] = lines(Row(next_reason=Reason.UNKNOWN), ended)
    assert "yet: 01234567. After" in line
