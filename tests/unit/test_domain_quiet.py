"""Quiet hours: over midnight, in any zone, and on nights with a clock change."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.domain.events import Event
from daemon.domain.quiet import URGENT, QuietHours

BERLIN = ZoneInfo("Europe/Berlin")
SHANGHAI = ZoneInfo("Asia/Shanghai")
NIGHT = QuietHours(start=time(22), end=time(8), zone=BERLIN)


def local(text: str, zone: ZoneInfo = BERLIN, *, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold)


def until(quiet: QuietHours, at: datetime) -> datetime | None:
    return quiet.until(at.astimezone(UTC), Event.SUCCEEDED)


@pytest.mark.parametrize(
    ("at", "end"),
    [
        ("2026-01-10 21:59:59", None),
        ("2026-01-10 22:00:00", "2026-01-11 08:00:00"),
        ("2026-01-11 00:00:00", "2026-01-11 08:00:00"),
        ("2026-01-11 07:59:59", "2026-01-11 08:00:00"),
        ("2026-01-11 08:00:00", None),
        ("2026-01-11 12:00:00", None),
    ],
)
def test_a_night_begins_and_ends_on_the_minute(at: str, end: str | None) -> None:
    assert until(NIGHT, local(at)) == (None if end is None else local(end))


def test_hours_within_one_day() -> None:
    lunch = QuietHours(start=time(12, 30), end=time(13, 15), zone=SHANGHAI)
    assert until(lunch, local("2026-01-10 12:29:59", SHANGHAI)) is None
    assert until(lunch, local("2026-01-10 13:00:00", SHANGHAI)) == local("2026-01-10 13:15:00", SHANGHAI)
    assert until(lunch, local("2026-01-10 13:15:00", SHANGHAI)) is None
    assert until(lunch, local("2026-01-10 00:00:00", SHANGHAI)) is None


def test_the_end_is_in_utc() -> None:
    night = QuietHours(start=time(22), end=time(8), zone=SHANGHAI)
    end = night.until(datetime(2026, 1, 10, 15, tzinfo=UTC), Event.SUCCEEDED)
    assert end == datetime(2026, 1, 11, 0, tzinfo=UTC)
    assert end is not None
    assert end.tzinfo is UTC


def test_urgent_events_pass() -> None:
    at = local("2026-01-10 23:00:00").astimezone(UTC)
    for event in Event:
        assert (NIGHT.until(at, event) is None) == (event in URGENT)
    assert {Event.FAILED, Event.BLOCKED} == URGENT
    strict = QuietHours(start=time(22), end=time(8), zone=BERLIN, urgent=frozenset())
    assert all(strict.until(at, event) is not None for event in Event)


def test_the_night_when_clocks_go_forward_is_an_hour_shorter() -> None:
    begun = local("2026-03-28 22:00:00")
    end = until(NIGHT, begun)
    assert end == local("2026-03-29 08:00:00")
    assert end is not None
    assert end - begun.astimezone(UTC) == timedelta(hours=9)


def test_the_night_when_clocks_go_back_is_an_hour_longer() -> None:
    begun = local("2026-10-24 22:00:00")
    end = until(NIGHT, begun)
    assert end == local("2026-10-25 08:00:00")
    assert end is not None
    assert end - begun.astimezone(UTC) == timedelta(hours=11)


def test_hours_that_the_night_skips_last_no_longer_for_it() -> None:
    """02:30 does not exist on 29 March: clocks go from 02:00 to 03:00, and then it has passed."""
    early = QuietHours(start=time(1), end=time(2, 30), zone=BERLIN)
    assert until(early, local("2026-03-29 01:59:00")) == datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert until(early, local("2026-03-29 03:00:00")) is None
    assert until(early, local("2026-03-29 03:30:00")) is None
    late = QuietHours(start=time(2, 30), end=time(6), zone=BERLIN)
    assert until(late, local("2026-03-29 01:59:00")) is None
    assert until(late, local("2026-03-29 03:30:00")) == local("2026-03-29 06:00:00")


def test_hours_that_the_night_has_twice() -> None:
    """02:30 occurs twice on 25 October: quiet hours over it include both."""
    over = QuietHours(start=time(1), end=time(4), zone=BERLIN)
    for fold in (0, 1):
        assert until(over, local("2026-10-25 02:30:00", fold=fold)) == local("2026-10-25 04:00:00")
    upto = QuietHours(start=time(1), end=time(2, 30), zone=BERLIN)
    assert until(upto, local("2026-10-25 02:29:00")) == local("2026-10-25 02:30:00").astimezone(UTC)
    assert until(upto, local("2026-10-25 02:30:00").astimezone(UTC)) is None


@given(
    start=st.integers(0, 1439),
    end=st.integers(0, 1439),
    zone=st.sampled_from(["UTC", "Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    minutes=st.integers(0, 3 * 366 * 1440),
)
def test_an_end_always_lies_ahead_within_a_day_and_what_waited_for_it_passes(
    start: int, end: int, zone: str, minutes: int
) -> None:
    if start == end:
        return
    quiet = QuietHours(
        start=time(*divmod(start, 60)), end=time(*divmod(end, 60)), zone=ZoneInfo(zone), urgent=frozenset()
    )
    at = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    found = quiet.until(at, Event.SUCCEEDED)
    local_minute = at.astimezone(quiet.zone).hour * 60 + at.astimezone(quiet.zone).minute
    inside = start <= local_minute < end if start < end else local_minute >= start or local_minute < end
    if found is None:
        # Outside, or in the hour of a clock change.
        assert not inside or _changes(at, quiet.zone)  # type: ignore[arg-type]
        return
    assert at < found <= at + timedelta(hours=25)
    again = quiet.until(found, Event.SUCCEEDED)
    assert again is None or _changes(found, quiet.zone)  # type: ignore[arg-type]


def _changes(at: datetime, zone: ZoneInfo) -> bool:
    before, after = ((at + timedelta(hours=shift)).astimezone(zone).utcoffset() for shift in (-25, 25))
    return before != after


ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Shanghai")
MINUTE = timedelta(minutes=1)


def transitions(zone: ZoneInfo) -> list[datetime]:
    """Return the minutes (UTC) of the zone's clock changes from 1980 to 2037."""
    found, hour = [], timedelta(hours=1)
    at, last = datetime(1980, 1, 1, tzinfo=UTC), datetime(2037, 12, 31, tzinfo=UTC)
    while at < last:
        following = at + 24 * hour
        if at.astimezone(zone).utcoffset() != following.astimezone(zone).utcoffset():
            minute = at
            while at.astimezone(zone).utcoffset() == (minute + MINUTE).astimezone(zone).utcoffset():
                minute += MINUTE
            found.append(minute + MINUTE)
        at = following
    return found


def first_showing(shown: datetime, zone: ZoneInfo, *, near: datetime) -> datetime:
    """Return the first minute, checking each, at which the clocks show `shown` or later."""
    at = near - timedelta(hours=40)
    while at.astimezone(zone).replace(tzinfo=None) < shown:
        at += MINUTE
    return at


@pytest.mark.parametrize("name", ZONES)
def test_quiet_hours_end_when_clocks_first_show_their_end_at_each_change_of_clocks(name: str) -> None:
    """Ends before, within and after the hour that is skipped or repeated."""
    zone = ZoneInfo(name)
    changes = transitions(zone)
    assert len(changes) >= 12
    for change in changes[:: max(1, len(changes) // 12)]:
        for shift in (-61, -30, -1, 0, 1, 15, 29, 30, 59, 61):
            shown = change.astimezone(zone).replace(tzinfo=None) + shift * MINUTE
            end = first_showing(shown, zone, near=change)
            start = end - timedelta(hours=5)
            hours = QuietHours(start=start.astimezone(zone).time(), end=shown.time(), zone=zone)
            assert until(hours, end - MINUTE) == end
            after = until(hours, end)
            assert after is None or after - end > timedelta(hours=12)


@given(seconds=st.integers(0, 86399), name=st.sampled_from(ZONES), year=st.integers(1986, 2036), data=st.data())
def test_no_end_comes_later_than_clocks_show_it(seconds: int, name: str, year: int, data: st.DataObject) -> None:
    zone = ZoneInfo(name)
    day = datetime.fromisoformat(f"{year}-01-01") + timedelta(days=data.draw(st.integers(0, 364)))
    shown = day + timedelta(seconds=seconds)
    hours = QuietHours(start=(shown - timedelta(hours=6)).time(), end=shown.time(), zone=zone)
    inside = (shown - timedelta(hours=2)).replace(tzinfo=zone).astimezone(UTC)
    end = until(hours, inside)
    if end is not None:
        assert end.astimezone(zone).replace(tzinfo=None) >= shown
        assert (end - timedelta(seconds=1)).astimezone(zone).replace(tzinfo=None) < shown
