"""When lists are trusted and when not: the feed's trust, and how many ids a list may name."""

import pytest

from daemon.watch.trust import FULL_LIST, Feed, FeedTrust, IdListTrust

MINUTES, HOURS = 60.0, 3600.0


def test_a_feed_is_trusted_after_twenty_ends() -> None:
    trust = FeedTrust(on=True)
    assert [trust.showed_end(n) for n in range(20)] == [False] * 19 + [True]
    assert trust.trusted
    assert not trust.showed_end(21), "it is told once"


def test_a_feed_is_trusted_after_two_clean_sweeps() -> None:
    trust = FeedTrust(on=True)
    assert [trust.swept(60), trust.swept(120)] == [False, True]


def test_distrust_lasts_ten_minutes_then_twice_as_long_each_time_up_to_a_day() -> None:
    trust = FeedTrust(on=True)
    now, pauses = 0.0, []
    for _ in range(10):
        trust.distrust("it lied", now)
        assert (trust.standing, trust.reason) == (Feed.DISTRUSTED, "it lied")
        assert not trust.usable(trust.again_at - 1)
        pauses.append(trust.again_at - now)
        now = trust.again_at
        assert trust.usable(now)
        assert trust.standing is Feed.TRIAL
    assert pauses == [10 * MINUTES * 2**n for n in range(8)] + [24 * HOURS] * 2


def test_a_day_of_good_service_makes_a_distrust_short_again() -> None:
    trust = FeedTrust(on=True)
    for now in (0.0, 10 * MINUTES):
        trust.distrust("it lied", now)
    now = trust.again_at
    assert trust.usable(now)
    trust.swept(now)
    trust.swept(now)
    trust.distrust("it lied again", now + 24 * HOURS)
    assert trust.again_at == now + 24 * HOURS + 10 * MINUTES


def test_a_trial_begins_anew_after_a_distrust() -> None:
    trust = FeedTrust(on=True)
    for n in range(19):
        trust.showed_end(n)
    trust.distrust("it lied", 20)
    assert trust.usable(20 + 10 * MINUTES)
    assert not trust.showed_end(700)


def test_reads_that_cannot_be_completed_are_forgiven_twice() -> None:
    trust = FeedTrust(on=True)
    assert not trust.read(complete=False, why="pages do not join", now=1)
    assert not trust.read(complete=False, why="pages do not join", now=2)
    assert not trust.read(complete=True, why="", now=3)
    assert not trust.read(complete=False, why="pages do not join", now=4)
    assert not trust.read(complete=False, why="pages do not join", now=5)
    assert trust.read(complete=False, why="pages do not join", now=6)
    assert trust.reason == "pages do not join"


@pytest.mark.parametrize(("for_good", "failures"), [(True, 1), (False, 3)])
def test_a_feed_that_fails_while_single_queries_work_is_given_up(*, for_good: bool, failures: int) -> None:
    trust = FeedTrust(on=True)
    told = [trust.failed("HTTP 500", n, for_good=for_good) for n in range(failures)]
    assert told == [False] * (failures - 1) + [True]


def test_a_feed_that_is_off_stays_off() -> None:
    trust = FeedTrust(on=False)
    assert not trust.usable(1e9)
    assert trust.standing is Feed.OFF


def test_a_list_that_holds_what_was_asked_keeps_its_size() -> None:
    trust = IdListTrust(on=True)
    assert trust.answered(asked=100, found=100, missing=0, foreign=0, now=0) is None
    assert trust.answered(asked=100, found=92, missing=8, foreign=0, now=1) is None, (
        "a few may be missing: they are asked singly"
    )
    assert trust.answered(asked=100, found=95, missing=5, foreign=40, now=2) is None, (
        "foreign jobs are passed over"
    )
    assert trust.usable(3) == FULL_LIST


def test_a_list_that_is_capped_is_asked_about_as_many_as_it_holds() -> None:
    trust = IdListTrust(on=True)
    assert trust.answered(asked=100, found=10, missing=90, foreign=0, now=0) is not None
    assert trust.usable(1) == 10
    assert trust.answered(asked=10, found=10, missing=0, foreign=0, now=2) is None
    assert trust.usable(10 * MINUTES - 1) == 10
    assert trust.usable(10 * MINUTES) == FULL_LIST, "it gets another trial"
    trust.answered(asked=100, found=10, missing=90, foreign=0, now=10 * MINUTES)
    assert trust.usable(29 * MINUTES) == 10
    assert trust.usable(30 * MINUTES) == FULL_LIST


def test_jobs_that_are_missing_again_are_no_sign_of_a_cap() -> None:
    trust = IdListTrust(on=True)
    trust.answered(asked=100, found=80, missing=20, foreign=0, now=0)
    assert trust.usable(1) == 80
    assert trust.answered(asked=80, found=60, missing=0, foreign=0, now=2) is None
    assert trust.usable(3) == 80


def test_a_list_that_takes_no_notice_of_ids_is_not_asked_about_any() -> None:
    trust = IdListTrust(on=True)
    assert "ignore job_ids" in (trust.answered(asked=50, found=3, missing=47, foreign=97, now=0) or "")
    assert trust.usable(1) == 1


def test_lists_that_come_empty_are_given_up_at_the_third() -> None:
    trust = IdListTrust(on=True)
    assert trust.answered(asked=50, found=0, missing=50, foreign=0, now=0) is None
    assert trust.answered(asked=50, found=0, missing=50, foreign=0, now=1) is None
    assert trust.answered(asked=50, found=0, missing=50, foreign=0, now=2) is not None
    assert trust.usable(3) == 1


def test_a_few_jobs_that_no_list_holds_are_no_doubt_about_lists() -> None:
    trust = IdListTrust(on=True)
    for now in range(10):
        assert trust.answered(asked=3, found=0, missing=3, foreign=0, now=now) is None
    assert trust.usable(11) == FULL_LIST


def test_a_refused_list_is_halved_until_single_queries_remain() -> None:
    trust = IdListTrust(on=True)
    sizes = []
    while trust.size > 1:
        trust.refused(trust.size, 0)
        sizes.append(trust.size)
    assert sizes == [50, 25, 12, 6, 3, 1]


def test_ids_that_are_off_stay_off() -> None:
    trust = IdListTrust(on=False)
    assert trust.usable(1e9) == 1
    assert trust.reason == "polling.batch is off"
