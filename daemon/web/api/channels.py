"""Channels: `/api/v1/channels`, what they hold, test messages, and the release of what they hold."""

from collections.abc import Mapping

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath

from daemon import views
from daemon.commands import release
from daemon.domain.actions import Actor
from daemon.domain.jobs import ChannelName
from daemon.domain.routing import Routing
from daemon.store import DeliveryStatus, Transaction
from daemon.web.access import Context, who
from daemon.web.api.lists import whole_answer
from daemon.web.api.shapes import answer, answers, listing, shape
from daemon.web.bodies import ApiRequest, HttpError, machine_answer
from daemon.web.context import SentTest, WebContext

ChannelItem = shape(views.ListedChannel, name="Channel")
_NOWHERE = Routing(routes=(), operators=())
_CHANNEL = "/api/v1/channels/{name:str}"


class Released(msgspec.Struct, kw_only=True):
    """How many alerts that the channel held are due now."""

    count: int


class TestAnswer(msgspec.Struct, kw_only=True):
    """What became of a test message, and how many alerts that the channel held are due now."""

    sent: bool
    reason: str | None
    seconds: float
    count: int


@get("/api/v1/channels", responses=answers(listing(ChannelItem, "Channels"), "All channels of the config."))
async def list_channels(context: Context) -> Response[object]:
    """List the channels."""

    def read(tx: Transaction) -> list[views.ListedChannel]:
        counts = tx.deliveries.counts(context.channels.keys())
        return [channel_view(tx, context, name, counts) for name in context.channels]

    found = await context.store.read_async(read)
    return whole_answer(list(map(views.document, found)), now=context.clock.now())


@get(_CHANNEL, responses=answers(ChannelItem, "The channel."))
async def get_channel(name: FromPath[str], context: Context) -> Response[object]:
    """Return a channel."""
    wanted = known_channel(context, name)
    return answer(
        await context.store.read_async(
            lambda tx: channel_view(tx, context, wanted, tx.deliveries.counts([wanted]))
        )
    )


@post(f"{_CHANNEL}/test", status_code=200, responses=answers(TestAnswer, "What became of it."))
async def post_test(request: ApiRequest, name: FromPath[str], context: Context) -> Response[object]:
    """Send a real test message. If it arrives, all alerts held for the channel are sent too."""
    tested, count = await test_channel(context, known_channel(context, name), by=who(request))
    return machine_answer(
        {"sent": tested.sent, "reason": tested.reason, "seconds": round(tested.seconds, 3), "count": count}
    )


@post(f"{_CHANNEL}/release", status_code=200, responses=answers(Released, "How many are sent."))
async def post_release(request: ApiRequest, name: FromPath[str], context: Context) -> Response[object]:
    """Send what the channel holds now, without a test."""
    count = await release_channel(context, known_channel(context, name), by=who(request))
    return machine_answer({"count": count})


async def test_channel(context: WebContext, channel: ChannelName, *, by: Actor) -> tuple[SentTest, int]:
    """Send a test message, and if it arrives, what the channel holds. Returns what became of the message, and how
    many alerts are due now."""
    tested, at = await context.test(channel), context.clock.now()
    if not tested.sent:
        return tested, 0
    return tested, await context.store.write(lambda tx: release(tx, channel, at=at, who=by, tested=True))


async def release_channel(context: WebContext, channel: ChannelName, *, by: Actor) -> int:
    """Send what the channel holds. Returns how many alerts are due now."""
    at = context.clock.now()
    return await context.store.write(lambda tx: release(tx, channel, at=at, who=by))


def known_channel(context: WebContext, name: str) -> ChannelName:
    """The channel of the config. Raises HttpError 404."""
    if name not in context.channels:
        raise HttpError(404, "the config has no such channel", key="no_channel")
    return ChannelName(name)


def channel_view(
    tx: Transaction,
    context: WebContext,
    name: ChannelName,
    counts: Mapping[tuple[ChannelName, DeliveryStatus], int],
) -> views.ListedChannel:
    """The view of a channel of the config; `counts` are those of all deliveries."""
    routing = context.routing or _NOWHERE
    return views.channel(name, context.channels[name], routing, counts, tx.outbox.held_since(name))


HANDLERS = (list_channels, get_channel, post_test, post_release)
