"""Failed transactions: each is counted, and one every ten seconds is logged."""

from structlog.testing import capture_logs

from daemon.clock import ManualClock
from daemon.logs import LogEvent
from daemon.metrics import Metrics
from daemon.store import StoreFailed
from daemon.store_errors import StoreErrors


def test_a_disk_that_is_full_for_a_minute_is_told_six_times() -> None:
    clock, metrics = ManualClock(), Metrics()
    trouble = StoreErrors(clock=clock, metrics=metrics)
    with capture_logs() as lines:
        for _ in range(60):
            trouble.note(StoreFailed("the disk is full"), project="main", job="j1")
            clock.advance(1)
    assert {line["event"] for line in lines} == {LogEvent.DATABASE_FAILED}
    levels = [line["log_level"] for line in lines]
    assert (levels.count("error"), levels.count("debug")) == (6, 54)
    assert levels[0] == "error"
    assert lines[0]["job"] == "j1"
    assert metrics.registry.get_sample_value("wrapd_store_errors_total") == 60
