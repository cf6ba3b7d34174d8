"""Pages of lists: their cursors and limits, and the query parameters that several lists have."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from litestar import Response
from litestar.params import QueryParameter

from daemon.domain.text import clean, closest, stamp
from daemon.store import Page, Place
from daemon.web.bodies import ApiRequest, HttpError, machine_answer

Limit = Annotated[int, QueryParameter(ge=1, le=200, description="At most this many items.")]
Cursor = Annotated[
    str | None, QueryParameter(max_length=200, description="The value of `next` of the page before, unchanged.")
]
Since = Annotated[
    str | None,
    QueryParameter(
        max_length=64,
        description="An ISO 8601 time; in UTC, if it names no zone.",
        schema_extra={"format": "date-time"},
    ),
]
USUAL = 50
"""Items on a page, unless a limit is given."""
_MOST_ID = 2**62


def word(description: str) -> QueryParameter:
    """A filter that compares texts."""
    return QueryParameter(min_length=1, max_length=200, description=description)


class _Cursor(msgspec.Struct, array_like=True):
    of: str
    run: int
    at: int | None
    id: int


def read_cursor(cursor: str | None, given: Mapping[str, object]) -> Place | None:
    """The place that a cursor names, in the list with these filters and this order. Raises HttpError."""
    if cursor is None:
        return None
    try:
        found = msgspec.json.decode(base64.urlsafe_b64decode(cursor.encode()), type=_Cursor)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        found = None
    if found is None or found.of != _mark(given) or max(abs(found.id), abs(found.at or 0), found.run) > _MOST_ID:
        raise wrong("cursor", "it is not the `next` of this list; begin again without it")
    return Place(found.run, found.at, found.id)


def page_answer(
    page: Page[Any], items: Sequence[object], given: Mapping[str, object], *, now: datetime
) -> Response[object]:
    """A page of a list with these filters and this order, as of `now`."""
    return machine_answer({"items": items, "next": cursor_after(page, given), "as_of": stamp(now)})


def cursor_after(page: Page[Any], given: Mapping[str, object]) -> str | None:
    """The cursor of the next page of a list with these filters; None if this is the last."""
    after = None if page.after is None else _Cursor(_mark(given), *page.after)
    return None if after is None else base64.urlsafe_b64encode(msgspec.json.encode(after)).decode()


def whole_answer(items: Sequence[object], *, now: datetime) -> Response[object]:
    """A list that is always whole."""
    return machine_answer({"items": items, "next": None, "as_of": stamp(now)})


def read_since(given: str | None) -> datetime | None:
    """A time as an aware one in UTC. Raises HttpError."""
    try:
        return None if given is None else in_utc(datetime.fromisoformat(given))
    except ValueError:
        raise wrong("since", 'it is not a time; write one such as "2026-01-05T23:30:00Z"') from None
    except OverflowError:
        raise wrong("since", "it is too far in the past or in the future") from None


def in_utc(given: datetime) -> datetime:
    """The same time in UTC, which is meant if it names no zone. Raises OverflowError."""
    return (given if given.tzinfo else given.replace(tzinfo=UTC)).astimezone(UTC)


async def require_known_parameters(request: ApiRequest) -> None:
    """Refuse a query with a parameter that the route does not have: a mistyped filter would fit everything. Raises
    HttpError."""
    if request.scope["query_string"]:
        known = [
            each.kwarg_definition.name or each.name
            for each in request.route_handler.parsed_fn_signature.parameters.values()
            if isinstance(each.kwarg_definition, QueryParameter)
        ]
        for name in request.query_params:
            if name not in known:
                near = closest(name[:64], known)
                remedy = f"did you mean {near}?" if near else f"there are {', '.join(known) or 'none'}"
                raise wrong(clean(name[:64]), f"there is no such parameter; {remedy}")


def wrong(place: str, text: str) -> HttpError:
    """The refusal of one parameter."""
    return HttpError(422, f"{place}: {text}", faults=[{"place": place, "text": text}], key=f"wrong_{place}")


def _mark(given: Mapping[str, object]) -> str:
    """Tells lists apart, so that a cursor is not used for another one."""
    text = "\n".join(f"{name}={value}" for name, value in sorted(given.items()) if value is not None)
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=6).hexdigest()
