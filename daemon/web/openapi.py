"""The API's own description: OpenAPI 3.1 as JSON, made from the handlers at the first request for it.

Litestar describes parameters, bodies and answers. Added here: the errors of each operation, who may use it, the
body that is read by hand, and what docs/cli.md says about each key.
"""

import inspect
import re
from collections.abc import Mapping
from typing import Any, cast

import msgspec
from litestar import Litestar, Response, get
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme

from daemon import __version__
from daemon.commands.entries import KEYS
from daemon.metastudio.kinds import KINDS
from daemon.web.api.shapes import SHAPED, answers
from daemon.web.bodies import PROBLEM
from daemon.web.links import PICTURES
from daemon.web.scopes import LOCAL, OPEN, ROUTES
from daemon.web.tracking import MOST_JOBS

PATH = "/api/v1/openapi.json"
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "error"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string", "description": "The status in words."},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong, and how to fix it."},
        "error": {"type": "string", "description": "The same, for clients of earlier versions."},
        "faults": {
            "type": "array",
            "description": "Each fault with its place, if there may be several.",
            "items": {
                "type": "object",
                "required": ["place", "text"],
                "properties": {"place": {"type": "string"}, "text": {"type": "string"}},
            },
        },
    },
}
_JOB = {
    "type": "object",
    "required": ["job_id"],
    "properties": {
        **{key: {"type": ["string", "null"]} for key in KEYS},
        "job_id": {"type": "string", "description": "As returned by MetaStudio when the job was created."},
        "kind": {"type": ["string", "null"], "enum": [*KINDS, None]},
        "tags": {"type": ["array", "null"], "items": {"type": "string"}},
    },
    "additionalProperties": False,
}
_RETRACK = {"retrack": {"type": ["boolean", "null"], "description": "Track ended jobs again."}}
_ONE_JOB = {**_JOB, "properties": {**cast("dict[str, Any]", _JOB["properties"]), **_RETRACK}}
_JOBS = {
    "type": "object",
    "required": ["jobs"],
    "properties": {
        "jobs": {"type": "array", "minItems": 1, "maxItems": MOST_JOBS, "items": _JOB},
        **_RETRACK,
    },
    "additionalProperties": False,
}
_ERRORS = {
    400: "The body is not JSON.",
    401: "The bearer token is missing, wrong, expired or revoked.",
    403: "The token's scope does not suffice, or there are no tokens at all.",
    404: "There is no such thing.",
    408: "The body did not arrive in time.",
    409: "The number of those that fit is not the expected one.",
    412: "The job is no longer as If-Match says.",
    413: "The body is too large.",
    421: "Not answered under this Host.",
    422: "Parameters or the body have faults.",
    429: "Too many streams of this token are open.",
    503: "The database is not available now, or too many requests are in progress; try again.",
}

_ERROR_OF = {"expect": 409, "If-Match": 412}
"""The error that a parameter brings with it."""
_NAMING = frozenset({("/api/v1/mutes", "POST")})
"""What names in its body, not in its path, what may not exist."""
_TAG = {"description": "The version of the job, for If-Match.", "required": True, "schema": {"type": "string"}}
_TAGGED = {"headers": {"ETag": _TAG}}
_REST = {"description": "Of a CSV that is not the whole list: where its rest is.", "schema": {"type": "string"}}


def describe(handlers: list[HTTPRouteHandler]) -> bytes:
    """The description of an application with these handlers."""
    app = Litestar(
        handlers,
        dependencies={"context": Provide(lambda: None, sync_to_thread=False)},
        logging_config=None,
        openapi_config=OpenAPIConfig(
            title="wrapd",
            version=__version__,
            operation_id_creator=lambda handler, *_: handler.handler_name,
            components=Components(security_schemes={"token": SecurityScheme(type="http", scheme="bearer")}),
        ),
    )
    document = app.openapi_schema.to_schema()
    schemas = document["components"].setdefault("schemas", {})
    schemas["Problem"] = _PROBLEM
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete(path, method.upper(), operation)
    _explain(schemas)
    return msgspec.json.encode(document)


def handler(described: list[HTTPRouteHandler]) -> HTTPRouteHandler:
    """The route of the description of these handlers and of itself."""
    made: list[bytes] = []

    @get(PATH, responses=answers(dict[str, Any], "OpenAPI 3.1."))
    async def openapi() -> Response[bytes]:
        """Return this description."""
        if not made:
            made.append(describe([*described, openapi]))
        return Response(made[0], media_type="application/json")

    return openapi


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    """Add what Litestar does not know of an operation."""
    errors = {421, 503}
    access = ROUTES[path][method]
    if access is not OPEN:
        errors |= {401, 403}
        operation["security"] = [*([{}] if access is LOCAL else []), {"token": []}]
    if path == "/api/v1/jobs" and method == "POST":
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": {"oneOf": [_ONE_JOB, _JOBS]}}},
        }
    if "requestBody" in operation:
        errors |= {400, 408, 413, 422}
    if operation.get("parameters"):
        errors |= {422}
    if "{" in path or (path, method) in _NAMING:
        errors |= {404}
    errors |= {_ERROR_OF[name] for each in operation.get("parameters", ()) if (name := each["name"]) in _ERROR_OF}
    if path.endswith("/events"):
        errors |= {429}
    responses = operation["responses"]
    responses.pop("400", None)
    if path.endswith("/cover"):
        picture = {"schema": {"type": "string", "format": "binary"}}
        responses["200"]["content"] = dict.fromkeys(sorted(PICTURES), picture)
        responses["304"] = {"description": "It is the one that If-None-Match names."}
    if path == "/api/v1/jobs" and method == "GET":
        responses["200"]["content"]["text/csv"] = {"schema": {"type": "string"}}
        responses["200"]["headers"] = {"Link": _REST}
    responses["200"] |= _TAGGED if path.endswith("/{job_id}") and method != "DELETE" else {}
    content = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    responses |= {str(each): {"description": _ERRORS[each], "content": content} for each in sorted(errors)}


def _explain(schemas: Mapping[str, Any]) -> None:
    """Describe the keys of the views by the comments next to them, which docs/cli.md has too."""
    for name, some in SHAPED.items():
        properties = schemas.get(name, {}).get("properties", {})
        said = {key: text for view in some for key, text in _comments(view).items()}
        for key in properties.keys() & said.keys():
            if "$ref" not in properties[key]:
                properties[key]["description"] = said[key]


def _comments(view: type) -> dict[str, str]:
    """The comment of each key of a view."""
    found: dict[str, str] = {}
    above: list[str] = []
    for line in inspect.getsource(view).splitlines():
        if comment := re.fullmatch(r"\s*# (.*)", line):
            above.append(comment[1])
        elif key := re.match(r"    (\w+?)_?: .*?(?:  # (.*))?$", line):
            found[key[1]] = " ".join([*above, *([key[2]] if key[2] else [])])
            above = []
    return found
