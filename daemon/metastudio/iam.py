"""IAM requests: a token for a user, and the id of a region's project.

Owns their bodies and the parsing of answers; `session` sends them. Source: IAM's public documentation.
"""

import json
from datetime import datetime

from msgspec import Struct

from daemon.metastudio.auth import FetchedToken, canonical_query
from daemon.metastudio.errors import ProjectFault, Unavailable, http_date
from daemon.metastudio.settings import Password
from daemon.metastudio.wire import UnusableAnswer, read_object, read_text, read_time
from daemon.transport import Answer

TOKENS_PATH = "/v3/auth/tokens"
PROJECTS_PATH = "/v3/projects"
_DEFAULT_LIFE = 3600.0
"""Assumed lifetime in seconds of a token whose answer does not state one (documented: 24 hours)."""
_LONGEST_LIFE = 86400.0
"""Documented maximum lifetime of a token in seconds."""


class TokenScope(Struct, frozen=True, kw_only=True):
    """The project that a token is valid for, by its id or else by its region's name."""

    project_id: str | None
    region: str | None


def token_request(user: Password, scope: TokenScope) -> bytes:
    """The body of POST /v3/auth/tokens."""
    project = {"id": scope.project_id} if scope.project_id else {"name": scope.region}
    identity = {
        "methods": ["password"],
        "password": {"user": {"name": user.user, "password": user.password, "domain": {"name": user.domain}}},
    }
    return json.dumps({"auth": {"identity": identity, "scope": {"project": project}}}).encode()


def read_token(answer: Answer, *, now: datetime) -> FetchedToken:
    """Read the token of a good answer. Its lifetime counts from the service's clock if known, else from `now`.

    Raises Unavailable for an answer without a token.
    """
    token = answer.headers.get("x-subject-token", "").strip()
    if not token:
        raise Unavailable("IAM's answer has no token", status=answer.status)
    try:
        described = read_object(answer.body).get("token")
    except UnusableAnswer:
        described = None
    fields = described if isinstance(described, dict) else {}
    ends = read_time(fields.get("expires_at"))
    begins = http_date(answer.headers.get("date")) or read_time(fields.get("issued_at")) or now
    life = _DEFAULT_LIFE if ends is None else min((ends - begins).total_seconds(), _LONGEST_LIFE)
    project = fields.get("project")
    project_id = read_text(project.get("id")) if isinstance(project, dict) else None
    return FetchedToken(token=token, life=max(life, 0.0), project_id=project_id)


def projects_query(region: str) -> str:
    """The canonical query of GET /v3/projects for a region's project."""
    return canonical_query((("name", region),))


def read_project_id(answer: Answer, region: str) -> str:
    """The id of the project named like the region. Raises ProjectFault if absent, Unavailable without a list."""
    try:
        projects = read_object(answer.body).get("projects")
    except UnusableAnswer as error:
        raise Unavailable(f"IAM's answer lists no projects: {error}", status=answer.status) from None
    if not isinstance(projects, list):
        raise Unavailable("IAM's answer lists no projects", status=answer.status)
    for project in projects:
        if isinstance(project, dict) and project.get("name") == region:
            found = read_text(project.get("id"))
            if found is not None:
                return found
    raise ProjectFault(
        f"this account has no project in {region}; enable the region in the account or set `project_id`",
        status=answer.status,
    )
