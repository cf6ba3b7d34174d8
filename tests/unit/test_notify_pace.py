"""How fast channels may send, alone and with others of the same token."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from daemon.domain.jobs import ChannelName
from daemon.notify.outbox import ChannelPlan
from daemon.notify.outbox.pace import Pace, Paces
from daemon.notify.services.base import Counted
from daemon.notify.transport import Channel, ChannelSettings, open_channel

A, B = ChannelName("a"), ChannelName("b")


def bound(most: int, seconds: float = 60.0, key: str = "token") -> Counted:
    return Counted(key=key, most=most, seconds=seconds)


def alone(*bounds: Counted) -> Pace:
    return Paces().of(A, bounds)


def send(pace: Pace, now: float) -> bool:
    """Send at once if allowed."""
    if pace.book(now) > 0:
        return False
    pace.sent(now)
    return True


def test_without_a_bound_nothing_waits() -> None:
    pace = alone()
    assert all(send(pace, 0.0) for _ in range(1000))


def test_so_many_go_at_once_and_the_next_when_the_first_is_a_minute_old() -> None:
    pace = alone(bound(3))
    assert all(send(pace, at) for at in (0.0, 10.0, 20.0))
    assert [pace.wait(at) for at in (20.0, 59.0, 60.0)] == [40.0, 1.0, 0.0]
    assert send(pace, 60.0)
    assert pace.wait(60.0) == 10.0


def test_a_second_a_minute_and_a_day_hold_at_once() -> None:
    pace = alone(bound(2, 1.0), bound(5), bound(8, 86400.0))
    sent = [at / 4 for at in range(4 * 200) if send(pace, at / 4)]
    assert sent == [0.0, 0.25, 1.0, 1.25, 2.0, 60.0, 60.25, 61.0]
    assert pace.wait(200.0) == 86400.0 - 200.0
    assert send(pace, 86400.0)


def test_channels_of_one_token_share_its_pace_and_others_do_not() -> None:
    paces = Paces()
    one, same, other = paces.of(A, [bound(2)]), paces.of(B, [bound(2)]), paces.of(B, [bound(2, key="another")])
    assert send(one, 0.0)
    assert send(same, 10.0)
    assert (one.wait(10.0), same.wait(10.0), other.wait(10.0)) == (50.0, 50.0, 0.0)


def test_a_place_is_booked_once_and_counts_for_all_until_it_is_free() -> None:
    paces = Paces()
    one, same = paces.of(A, [bound(1)]), paces.of(B, [bound(1)])
    assert (one.book(0.0), one.book(0.0), same.book(0.0)) == (0.0, 0.0, 60.0)
    one.free()
    one.free()
    assert same.book(0.0) == 0.0
    same.sent(7.0)
    assert one.wait(7.0) == 60.0, "it counts from the end of the send"


def test_what_was_sent_before_counts_once() -> None:
    paces = Paces()
    one = paces.of(A, [bound(3)])
    one.before([-50.0, -10.0])
    paces.of(A, [bound(3)]).before([-50.0, -10.0])
    assert one.wait(0.0) == 0.0
    paces.of(B, [bound(3)]).before([-20.0])
    assert one.wait(0.0) == 10.0


def test_a_new_lane_of_the_channel_goes_on_with_other_limits() -> None:
    paces = Paces()
    first = paces.of(A, [bound(2)])
    assert all(send(first, at) for at in (0.0, 1.0))
    assert paces.of(A, [bound(1)]).wait(2.0) == 59.0
    assert paces.of(A, [bound(9)]).wait(2.0) == 0.0


@given(
    most=st.integers(1, 40),
    seconds=st.floats(1.0, 120.0),
    steps=st.lists(st.tuples(st.booleans(), st.floats(0, 30), st.floats(0, 3)), min_size=1, max_size=200),
)
def test_no_window_holds_more_than_the_bound(
    most: int, seconds: float, steps: list[tuple[bool, float, float]]
) -> None:
    """Two channels of one token, whose sends take a while."""
    paces, now, arrived = Paces(), 0.0, []
    both = paces.of(A, [bound(most, seconds)]), paces.of(B, [bound(most, seconds)])
    for second, pause, takes in steps:
        pace = both[second]
        now += pause
        now += pace.wait(now)
        assert pace.book(now) <= 1e-6
        arrived.append(now + takes / 2)  # sometime between the start of a send and its end
        now += takes
        pace.sent(now)
    for first, last in zip(arrived, arrived[most:], strict=False):
        assert last - first >= seconds - 1e-6


# ------------------------------------------------------------------------------------- what services count


def channel(url: str, name: ChannelName = A, max_per_minute: float | None = None) -> Channel:
    return open_channel(ChannelSettings(name=name, url=url, plan=ChannelPlan(max_per_minute=max_per_minute)))


HOOK = "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
BOT = "tgram://123456789:abcdefg_hijklmnop/"
TOGETHER = [
    ("feishu://abc?secret=SECRET12", "https://open.feishu.cn/open-apis/bot/v2/hook/abc", [100, 5]),
    ("dingtalk://SECRET12@abc", "dingtalk://abc/13800138000", [20]),
    ("wecombot://abc", "wecombot://?key=abc", [20]),
    (HOOK, HOOK + "?footer=no", [60, 1]),
    ("ntfys://ntfy.sh/one", "ntfy://two", [12, 250]),
    ("ntfys://ntfy.sh/one", "ntfys://user:password@ntfy.sh/two", [12]),
    ("ntfys://chat.example.com/one", "ntfys://user:password@chat.example.com/two", [12]),
    (BOT + "1", BOT + "2", [30]),
    (BOT + "1", BOT + "1?silent=yes", [20, 1, 30]),
    ("slack://xoxb-1234-1234-4ddbc191d40ee098cbaae6f3523ada2d/#a",) * 2 + ([60, 1],),
    (
        "slack://xoxb-1234-1234-4ddbc191d40ee098cbaae6f3523ada2d/#a",
        "slack://xoxb-1234-1234-4ddbc191d40ee098cbaae6f3523ada2d/#b",
        [],
    ),
    ("feishu://abc", "feishu://abd", []),
    ("feishu://abc", "lark://abc", []),
    ("ntfys://ntfy.sh/one", "ntfys://chat.example.com/one", []),
    ("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js", "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_jt", []),
]


@pytest.mark.parametrize(("one", "other", "shared"), TOGETHER)
def test_what_two_channels_share(one: str, other: str, shared: list[int]) -> None:
    first, second = channel(one).limits, channel(other, B).limits
    assert [limit.most for limit in first if limit in second] == shared


def test_fewer_a_minute_are_the_channels_own_and_more_take_the_place_of_the_services() -> None:
    (documented,) = channel("wecombot://abc").limits
    fewer = channel("wecombot://abc", max_per_minute=5).limits
    assert fewer == (documented, Counted(key="channel a", most=5, seconds=60.0))
    more = channel("wecombot://abc", max_per_minute=90).limits
    assert more == (replace(documented, most=90), Counted(key="channel a", most=90, seconds=60.0))


@pytest.mark.parametrize(
    ("own", "most", "seconds"), [(1, 1, 60.0), (0.5, 1, 120.0), (2.5, 2, 48.0), (20, 20, 60.0)]
)
def test_less_than_a_whole_one_a_minute_takes_longer(own: float, most: int, seconds: float) -> None:
    assert channel("json://h/", max_per_minute=own).limits == (
        Counted(key="channel a", most=most, seconds=seconds),
    )
