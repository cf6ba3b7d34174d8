"""What each list of the API may be asked for: every filter and order that its handler declares, alone and paired.

The values of the filters are about the rows of `many`, by how much matches.
"""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import combinations, product
from typing import Any, get_args
from urllib.parse import urlencode

from litestar.params import QueryParameter

from daemon.web.app import API
from tests.support.web import NOW


def ago(**back: float) -> str:
    return (NOW - timedelta(**back)).isoformat()


SINCE = {"many": ago(days=90), "few": ago(minutes=2), "none": ago(days=-2)}
PROJECTS = {"many": "main", "share": "other", "none": "nobody"}
BATCHES = {"many": "giant", "few": "batch-9", "none": "nobody", "many, all old": "last-year"}
TAGS = {"many": "spring", "few": "rare", "none": "nobody", "many, all old": "archive"}
VALUES: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "/api/v1/jobs": {
        "project": PROJECTS,
        "kind": {"share": "avatar", "none": "nothing"},
        "state": {"many": "SUCCEED", "share": "FAILED", "few": "BLOCK", "none": "THAWING"},
        "tracking": {"many": "finished", "share": "active", "few": "lost"},
        "tag": TAGS,
        "batch": BATCHES,
        "q": {"many": "春节", "few": "needle", "none": "nowhere"},
        "since": SINCE,
    },
    "/api/v1/deliveries": {
        "status": {"many": "sent", "share": "dead", "few": "pending", "none": "held"},
        "channel": {"many": "team", "none": "nobody"},
        "event": {"many": "succeeded", "share": "failed", "few": "stuck", "none": "lost"},
        "project": PROJECTS,
        "batch": BATCHES,
        "tag": TAGS,
        "q": {"many": "春节", "share": "HTTP 500", "few": "needle", "none": "nowhere"},
        "since": SINCE,
    },
    "/api/v1/batches": {"project": PROJECTS},
    "/api/v1/actions": {"project": PROJECTS, "subject": {"few": "job-7", "one": "job-6", "none": "nobody"}},
    "/api/v1/mutes": {"all": {"yes": "true", "no": "false"}},
    "/api/v1/needs": {"since": SINCE},
    "/api/v1/stats": {"project": PROJECTS, "days": {"one": "1", "most": "366"}},
    "/api/v1/projects": {},
    "/api/v1/channels": {},
    "/api/v1/shares": {},
    "/api/v1/tokens": {},
}
"""For each list and filter what it may be, by how much matches; orders are those that the handlers declare."""


NO_LISTS = ("/api/v1/events", "/api/v1/jobs/ending")
"""The stream, and one estimate from a bounded number of jobs."""


@dataclass(frozen=True)
class Case:
    path: str
    query: Mapping[str, str]
    filters: int

    def __str__(self) -> str:
        return f"{self.path}?{urlencode(self.query)}"


def declared() -> dict[str, dict[str, Any]]:
    """The parameters of each list, with their types. What has no resource in its path is a list."""
    found = {}
    for handler in API:
        [path] = handler.paths
        if "GET" in handler.http_methods and "{" not in path and path not in NO_LISTS:
            found[path] = {
                each.kwarg_definition.name or each.name: each.annotation
                for each in handler.parsed_fn_signature.parameters.values()
                if isinstance(each.kwarg_definition, QueryParameter)
            }
    return found


def cases() -> Iterator[Case]:
    for path, parameters in declared().items():
        filters = VALUES[path]
        sorts = [""] if "sort" not in parameters else [each.value for each in orders(parameters["sort"])]
        for number in range(3):
            for names in combinations(filters, number):
                for values in product(*(filters[name].values() for name in names)):
                    for sort in sorts:
                        if path != "/api/v1/jobs" or "since" not in names or sort == "changed":
                            query = dict(zip(names, values, strict=True)) | ({"sort": sort} if sort else {})
                            yield Case(path, query, number)


def orders(annotation: Any) -> type[enum.Enum]:
    [found] = [
        each
        for each in (annotation, *get_args(annotation))
        if isinstance(each, type) and issubclass(each, enum.Enum)
    ]
    return found
