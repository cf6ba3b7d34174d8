"""The channels, `/channels`: whether each accepts alerts, what it holds, a test message, and the release."""

from datetime import datetime
from typing import Annotated
from urllib.parse import quote, urlencode

from litestar import Response, get, post
from litestar.params import FromPath, QueryParameter
from msgspec import Struct

from daemon import views
from daemon.domain.tokens import ApiScope
from daemon.store import Refusal, Transaction
from daemon.web.access import Context, who
from daemon.web.api.channels import channel_view, known_channel, release_channel, test_channel
from daemon.web.bodies import ApiRequest
from daemon.web.context import WebContext
from daemon.web.pages.login import go, own_session
from daemon.web.pages.rendering import page, read_live
from daemon.web.pages.wording import deliveries_path

Released = Annotated[str, QueryParameter(max_length=200)]


class ChannelItem(Struct, frozen=True, kw_only=True):
    """A channel on the page: its view, its address, since when and why its service refuses it (None: it does not),
    when the next alert is tried, and when the service last accepted one."""

    channel: views.ListedChannel
    path: str
    refusal: Refusal | None
    next_at: datetime | None
    sent_at: datetime | None


@get("/channels")
async def get_channels(request: ApiRequest, context: Context, released: Released = "") -> Response[bytes]:
    """List the channels of the config."""
    changes, items = await read_live(context, lambda tx: items_of(tx, context))
    return page(
        request,
        context,
        "channels.html",
        after=changes,
        items=items,
        may_test=own_session(request).scope.includes(ApiScope.ADMIN),
        released=released if released in context.channels else None,
        deliveries_of=deliveries_path,
    )


@post("/channels/{name:str}/test", status_code=200)
async def post_test(request: ApiRequest, name: FromPath[str], context: Context) -> Response[bytes]:
    """Send a test message, and show what became of it."""
    channel = known_channel(context, name)
    tested, count = await test_channel(context, channel, by=who(request))
    return page(
        request,
        context,
        "channel_test.html",
        here="/channels",
        channel=channel,
        tested=tested,
        count=count,
    )


@post("/channels/{name:str}/release", status_code=303)
async def post_release(request: ApiRequest, name: FromPath[str], context: Context) -> Response[bytes]:
    """Send what the channel holds now."""
    channel = known_channel(context, name)
    await release_channel(context, channel, by=who(request))
    return go(f"/channels?{urlencode({'released': channel})}")


def items_of(tx: Transaction, context: WebContext) -> list[ChannelItem]:
    """The items of all channels."""
    now, counts = context.clock.now(), tx.deliveries.counts(context.channels.keys())
    refusals = tx.queue.refusals(context.channels)
    return [
        ChannelItem(
            channel=channel_view(tx, context, name, counts),
            path=f"/channels/{quote(name, safe='')}",
            refusal=refusals.get(name),
            next_at=tx.outbox.next_due(name, now=now),
            sent_at=tx.deliveries.last_sent(name),
        )
        for name in context.channels
    ]


HANDLERS = (get_channels, post_test, post_release)
