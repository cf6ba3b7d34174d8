"""One read of the feed, page by page: how far it goes, when it is complete, and what counts as a violation."""

import math
from datetime import UTC, datetime

import pytest

from daemon.domain.jobs import JobId
from daemon.metastudio.listing import Listed, Summary
from daemon.metastudio.wire import PolledTask
from daemon.watch.feed import _JOIN, _MAX_PAGES, OVERLAP, _Read
from daemon.watch.trust import FULL_LIST

T = 1_800_000_000.0


def entry(number: int, at: float | None, state: str = "SUCCEED") -> Summary:
    return Summary(JobId(f"j{number}"), state, at, None, PolledTask(state=state))


def ended(count: int, *, newest: float = T, apart: float = 1.0) -> list[Summary]:
    """Return ends, latest first, `apart` seconds from each other."""
    return [entry(number, newest - number * apart) for number in range(count)]


def page(entries: list[Summary], *, server: float | None = None, skipped: int = 0) -> Listed:
    time = None if server is None else datetime.fromtimestamp(server, UTC)
    return Listed(entries=entries, server_time=time, skipped=skipped)


def read_all(read: _Read, whole: list[Summary]) -> _Read:
    """Read `whole` as a service pages it."""
    while not read.done:
        read.page(page(whole[read.offset : read.offset + FULL_LIST], server=T + 1))
    return read


def test_the_first_read_takes_one_page_and_says_how_far_it_is_whole() -> None:
    read = read_all(_Read(None), ended(500))
    assert (read.pages, read.fault, read.violation) == (1, None, None)
    assert (read.newest, read.oldest) == (T, T - 99)
    assert read.server_time == T + 1


def test_a_short_page_is_the_end_of_the_list_and_covers_all_time() -> None:
    read = read_all(_Read(None), ended(30))
    assert (read.pages, read.oldest) == (1, -math.inf)


def test_an_empty_list_is_complete() -> None:
    read = read_all(_Read(T - 50), [])
    assert (read.done, read.fault, read.violation, read.newest, read.oldest) == (True, None, None, None, -math.inf)


def test_entries_that_cannot_be_used_count_as_part_of_a_full_page() -> None:
    read = _Read(T - 500)
    read.page(page(ended(90), skipped=10))
    assert not read.done
    assert read.offset == FULL_LIST - _JOIN


@pytest.mark.parametrize(("mark", "pages"), [(T - 50, 1), (T - 85, 1), (T - 95, 2), (T - 300, 4)])
def test_a_read_goes_back_to_what_was_seen_and_a_little_further(mark: float, pages: int) -> None:
    read = read_all(_Read(mark), ended(1000))
    assert read.pages == pages
    assert read.oldest < mark - OVERLAP
    assert (read.fault, read.violation) == (None, None)


def test_many_ends_at_one_instant_are_read_to_the_last() -> None:
    burst = [entry(number, T) for number in range(250)] + [entry(1000 + n, T - 60 - n) for n in range(200)]
    read = read_all(_Read(T - 30), burst)
    assert {each.job_id for each in burst[:250]} <= read.ids
    assert (read.fault, read.violation) == (None, None)


def test_rare_ends_at_the_seam_of_two_pages_are_no_disorder() -> None:
    """The entries that two pages share may violation far apart: 100 ends in a night."""
    read = read_all(_Read(T - 20_000), ended(300, apart=120.0))
    assert read.pages == 2
    assert (read.fault, read.violation) == (None, None)


def test_pages_that_shift_while_they_are_read_still_join() -> None:
    whole, late = ended(300), [entry(5000 + n, T + 1) for n in range(40)]
    read = _Read(T - 150)
    read.page(page(whole[:FULL_LIST]))
    whole = late + whole  # 40 jobs ended meanwhile
    while not read.done:
        read.page(page(whole[read.offset : read.offset + FULL_LIST]))
    assert (read.fault, read.violation) == (None, None)
    assert {f"j{number}" for number in range(160)} <= read.ids


def test_a_few_that_left_the_list_between_two_pages_cost_nothing() -> None:
    whole = ended(300)
    read = _Read(T - 150)
    read.page(page(whole[:FULL_LIST]))
    whole = whole[_JOIN - 1 :]  # frozen jobs that thawed
    read.page(page(whole[read.offset : read.offset + FULL_LIST]))
    assert (read.done, read.fault) == (True, None)
    assert {f"j{number}" for number in range(160)} <= read.ids


def test_pages_that_leave_some_out_are_not_complete() -> None:
    read = _Read(T - 150)
    read.page(page(ended(300)[:FULL_LIST]))
    read.page(page(ended(300)[FULL_LIST + 3 : 2 * FULL_LIST + 3]))
    assert read.fault == "pages do not join"


def test_pages_that_repeat_end_the_read() -> None:
    read = _Read(T - 150)
    for _ in range(2):
        read.page(page(ended(300)[:FULL_LIST]))
    assert (read.done, read.pages, read.fault) == (True, 2, "pages repeat")


def test_a_read_that_would_take_too_many_pages_ends_and_says_how_far_it_is_whole() -> None:
    read = read_all(_Read(T - 1e6), ended(10_000))
    assert (read.pages, read.fault) == (_MAX_PAGES, None)
    assert T - 1e6 < read.oldest < T - 1800
    assert read_all(_Read(T - 1e6, most_pages=50), ended(10_000)).pages == 50


@pytest.mark.parametrize(
    ("entries", "violation"),
    [
        ([entry(1, T - 5), entry(2, T)], "it is not sorted by update time"),
        ([entry(1, T), entry(2, None)], "it does not say when jobs were updated"),
        ([entry(1, T), entry(2, T - 1, "PROCESSING")], "it ignores the requested states"),
        ([entry(1, T), entry(2, T - 1, "WAITING")], "it ignores the requested states"),
    ],
)
def test_what_is_not_as_documented_is_a_lie(entries: list[Summary], violation: str) -> None:
    read = _Read(None)
    read.page(page(entries))
    assert read.violation == violation


def test_a_second_page_with_newer_ends_that_the_first_did_not_hold_is_a_lie() -> None:
    read = _Read(T - 500)
    read.page(page(ended(FULL_LIST)))
    new = [entry(2000 + number, T - number) for number in range(FULL_LIST - 1)]
    read.page(page([entry(99, T - 99), *new]))
    assert read.violation == "it is not sorted by update time"


def test_equal_times_and_frozen_jobs_are_as_documented() -> None:
    read = _Read(None)
    read.page(page([entry(1, T), entry(2, T, "BLOCK"), entry(3, T, "FAILED"), entry(4, T, "CANCELED")]))
    assert read.violation is None
