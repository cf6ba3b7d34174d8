"""What every test run shares: a clean environment, and no silent skips where none are allowed."""

import os
import signal
from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings

from daemon.logs import MASKS

_OURS = ("WRAPD_", "HUAWEICLOUD_", "NOTIFY_SOCKET", "WATCHDOG_")


def pytest_configure() -> None:
    """Forget what the machine's owner has set for a wrapd of their own: tests say what they need.

    Ctrl-C is ignored by what a shell starts in the background, and by all that it starts in turn: not here.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    no_skips = os.environ.get("WRAPD_NO_SKIPS")
    for name in [name for name in os.environ if name.startswith(_OURS)]:
        del os.environ[name]
    if no_skips:
        os.environ["WRAPD_NO_SKIPS"] = no_skips
    if not os.environ.get("CI"):  # there, Hypothesis takes its own profile "ci": no deadline, and no chance
        settings.register_profile("wrapd", deadline=None)
        settings.load_profile("wrapd")


@pytest.fixture(autouse=True)
def _own_masks() -> Iterator[None]:
    """A secret of one test ("password", say) must not be masked in the messages of the next."""
    before = dict(vars(MASKS))
    yield
    vars(MASKS).update(before)


def _forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """With WRAPD_NO_SKIPS=1 a skip is a failure: a machine meant to run everything has to."""
    if os.environ.get("WRAPD_NO_SKIPS") and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped where no skip is allowed (WRAPD_NO_SKIPS): {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _forbid_skip(report)
    return report
