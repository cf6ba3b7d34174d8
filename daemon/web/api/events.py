"""Live events: `/api/v1/events`."""

from typing import Annotated

from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter, QueryParameter
from litestar.response import Stream

from daemon.domain.sessions import WebSession
from daemon.domain.tokens import CONFIG_TOKEN, KnownToken
from daemon.web.access import Context
from daemon.web.bodies import ApiRequest, HttpError
from daemon.web.connections import HEAD, STREAM
from daemon.web.live import HEADERS, TooManyStreams

_TYPE = "text/event-stream"
_LATER = {"Retry-After": "5"}
_MOST_ID = 2**53


@get(
    "/api/v1/events",
    responses={
        200: ResponseSpec(
            data_container=str,
            media_type=_TYPE,
            generate_examples=False,
            description="Server-sent events, until the client leaves, the daemon stops, or the token ends.",
        )
    },
)
async def stream_events(
    request: ApiRequest,
    context: Context,
    last_event_id: Annotated[
        str | None,
        HeaderParameter(name="Last-Event-ID", description="The id of the last event got, to resume after it."),
    ] = None,
    after: Annotated[
        int | None,
        QueryParameter(
            ge=0, le=_MOST_ID, description="The id of a change, to begin after it; Last-Event-ID goes before it."
        ),
    ] = None,
) -> Response[object] | Stream:
    """Stream what changes: jobs, deliveries, channels, projects, mutes, and how much needs a person."""
    if request.scope["state"].get(HEAD, False):
        return Response(b"", media_type=_TYPE, headers=HEADERS)
    user: KnownToken | WebSession | None = request.user
    key, expires_in = CONFIG_TOKEN, None
    if user is not None:
        key = user.id
        end = user.ends_at if isinstance(user, WebSession) else user.expires_at
        if end is not None:
            expires_in = (end - context.clock.now()).total_seconds()
    last = last_event_id or (None if after is None else str(after))
    try:
        stream = await context.live.open(key, last, expires_in=expires_in)
    except TooManyStreams as error:
        raise HttpError(429 if error.own else 503, str(error), headers=_LATER) from None
    request.scope["state"][STREAM] = True
    return Stream(stream, media_type=_TYPE, headers=HEADERS)


HANDLERS = (stream_events,)
