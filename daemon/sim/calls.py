"""A request's operation and the parts of it that later steps need.

Owns the map from methods and paths to operations. Leaves the caller's identity to `tenant`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from daemon.sim.kinds import KINDS, Kind
from daemon.sim.signing import parse_query

TOKENS: Final = "/v3/auth/tokens"
PROJECTS: Final = "/v3/projects"
_SEGMENTS: Final = {kind.segment: kind for kind in KINDS.values()}
_HEX: Final = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A received request. `path` and `query` are undecoded; `base` is the address the caller used
    (`http://host:port`). The last three fields have no meaning for the operations "file", "token", "projects" and
    "unknown", which are not under a project."""

    operation: str
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    base: str
    project_id: str
    kind: Kind | None
    item: str

    def job_ids(self) -> list[str]:
        """Return the job ids that the request names in its path or query."""
        if self.operation != "list":
            return [self.item]
        pairs = parse_query(self.query)
        values = [value for name, value in pairs if name in ("job_ids", "job_id")]
        return [part for value in values for part in value.split(",")]


Route = tuple[str, str, Kind | None, str]
"""(operation, project id, kind, item)."""


def route(method: str, path: str) -> Route:
    """Return the route of a method and an undecoded path; the operation is "unknown" if the API has none there."""
    parts = path.split("/")
    if len(parts) >= 4 and parts[1] == "v1":
        return _gets(parts) if method == "GET" else _posts(parts) if method == "POST" else _UNKNOWN
    if (method, path) == ("POST", TOKENS):
        return "token", "", None, ""
    if (method, path) == ("GET", PROJECTS):
        return "projects", "", None, ""
    if method in ("GET", "HEAD") and len(parts) == 4 and len(parts[2]) == 32 and _HEX.issuperset(parts[2]):
        return "file", "", None, parts[2]
    return _UNKNOWN


_UNKNOWN: Final[Route] = ("unknown", "", None, "")


def _gets(parts: list[str]) -> Route:
    segment = parts[3]
    if len(parts) == 4:
        return ("list", parts[2], None, "") if segment == "digital-human-videos" else _UNKNOWN
    item = parts[-1]
    if len(parts) > 5:
        segment = "/".join(parts[3:-1])
    if not item:
        return _UNKNOWN
    kind = _SEGMENTS.get(segment)
    if kind is not None:
        return "show", parts[2], kind, item
    return ("asset", parts[2], None, item) if segment == "digital-assets" else _UNKNOWN


def _posts(parts: list[str]) -> Route:
    kind = _SEGMENTS.get(parts[3])
    if kind is None or not kind.listed:
        return _UNKNOWN
    if len(parts) == 4:
        return "create", parts[2], kind, ""
    if len(parts) == 6 and parts[4] and parts[5] == "cancel":
        return "cancel", parts[2], kind, parts[4]
    return _UNKNOWN
