"""Channels with one token share its pace; with a real database and stand-ins, in time that the test moves."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.domain.jobs import ChannelName
from daemon.domain.routing import routing
from daemon.notify.outbox import ChannelPlan
from daemon.notify.transport import ChannelSettings, open_channel
from tests.support.dispatching import Rig, rig
from tests.support.services import SERVICES, Stand

MOST = 20
"""Messages a minute that DingTalk accepts for a robot."""
B = ChannelName("b")
_SINGLY = dict.fromkeys("abc", ChannelPlan(digest_above=0))


@pytest.fixture
def robot() -> Iterator[Stand]:
    with Stand(SERVICES["dingtalk"]) as stand:
        yield stand


def to_one_robot(robot: Stand) -> dict[str, str]:
    """Return two channels of one robot, one of which mentions a person, and a channel of another."""
    return {"a": robot.url("one"), "b": robot.url("one").replace("/?", "/13800138000?"), "c": robot.url("two")}


async def ends(one: Rig, number: int) -> None:
    for job in range(number):
        await one.job_ends(f"job-{job}")


async def watched(one: Rig, robot: Stand, minutes: int) -> list[float]:
    """Return when the robot got its messages, in seconds of the test's clock."""
    came: list[float] = []
    for step in range(minutes * 4):
        await one.later(15)
        came += [step * 15.0] * (len(robot.of("one")) - len(came))
    return came


async def test_two_channels_of_one_token_never_exceed_its_pace_together(tmp_path: Path, robot: Stand) -> None:
    async with rig(tmp_path, to_one_robot(robot), plans=_SINGLY) as one:
        await ends(one, 25)
        came = await watched(one, robot, 4)
        assert len(came) == 50
        assert [len([at for at in came if start <= at < start + 60]) for start in (0, 60, 120)] == [20, 20, 10]
        assert one.statuses("a") == one.statuses("b") == ["sent"] * 25


async def test_another_token_is_not_kept_back(tmp_path: Path, robot: Stand) -> None:
    async with rig(tmp_path, to_one_robot(robot), plans=_SINGLY) as one:
        await ends(one, MOST)
        await one.turn()
        await one.turn()
        assert len(robot.of("one")) == MOST, "of both channels together"
        assert len(robot.of("two")) == MOST


async def test_a_reload_keeps_count(tmp_path: Path, robot: Stand) -> None:
    urls = to_one_robot(robot)
    async with rig(tmp_path, {"a": urls["a"]}, plans=_SINGLY) as one:
        await ends(one, MOST)
        await one.turn()
        one.names = (B,)
        again = open_channel(ChannelSettings(name=B, url=urls["b"], plan=_SINGLY["b"]))
        around = one.dispatcher._around
        one.dispatcher.adopt(
            {B: again},
            settings=around.settings,
            routing=routing([], operators=[], channels=[B]),
            preparer=around.preparer,
        )
        await one.job_ends("another")
        await one.turn()
        assert len(robot.of("one")) == MOST
        await one.later(60)
        assert len(robot.of("one")) == MOST + 1


async def test_a_restart_keeps_count(tmp_path: Path, robot: Stand) -> None:
    urls = to_one_robot(robot)
    async with rig(tmp_path, {"a": urls["a"]}, plans=_SINGLY) as one:
        await ends(one, MOST)
        await one.turn()
        assert len(robot.of("one")) == MOST
        clock = one.clock
    clock.advance(10)
    async with rig(tmp_path, urls, plans=_SINGLY, clock=clock) as one:
        await one.job_ends("another", channels=["b", "c"])
        await one.turn()
        assert (len(robot.of("one")), len(robot.of("two"))) == (MOST, 1)
        await one.later(60)
        assert len(robot.of("one")) == MOST + 1
