"""What answers look like, for OpenAPI: from the views, which also fill them. Nothing is declared twice."""

from collections.abc import Mapping
from functools import cache
from types import GenericAlias, UnionType
from typing import Any, Union, get_args, get_origin

from litestar import Response
from litestar.openapi.datastructures import ResponseSpec
from msgspec import Struct, defstruct
from msgspec.structs import fields

from daemon import views

URLS = ("cover_url", "preview_url", "download_url")
"""Keys of a job that lists leave out: whoever has such a link can open the video."""
_UNCACHED = {"Cache-Control": "no-store"}


SHAPED: dict[str, tuple[type[Struct], ...]] = {}
"""The views of each shape, by its name."""


@cache
def shape(*some: type[Struct], name: str | None = None, without: tuple[str, ...] = ()) -> type[Struct]:
    """The keys and types of the documents of these views together, under a `name` (that of the first view)."""
    SHAPED[name or some[0].__name__] = some
    keys = [each for view in some for each in fields(view) if each.name not in without]
    assert all(each.required for each in keys), "each key is always there"
    return defstruct(
        name or some[0].__name__,
        [(each.name, _shaped(each.type)) for each in keys],
        rename={each.name: each.name.rstrip("_") for each in keys},
        kw_only=True,
        module=some[0].__module__,
    )


def _shaped(kind: Any) -> Any:
    """A type, with views in it replaced by their shapes."""
    origin, inner = get_origin(kind), tuple(map(_shaped, get_args(kind)))
    if isinstance(kind, type) and issubclass(kind, Struct):
        return shape(kind)
    if origin is Mapping:
        return dict[str, Any]
    if origin in (Union, UnionType):
        return Union[inner]  # noqa: UP007 - of as many as there are
    return kind if origin is None else origin[inner]


def listing(item: type[Struct], name: str) -> type[Struct]:
    """A page of a list."""
    kinds: list[Any] = [("items", GenericAlias(list, (item,))), ("next", str | None), ("as_of", str)]
    return defstruct(name, kinds, kw_only=True, module=item.__module__)


def answers(kind: type, description: str) -> dict[int, ResponseSpec]:
    """The answer of a handler, for its option `responses`."""
    return {200: ResponseSpec(data_container=kind, generate_examples=False, description=description)}


def answer(view: Struct) -> Response[object]:
    """Answer with one view, which is not cached."""
    return Response[object](views.document(view), headers=_UNCACHED)
