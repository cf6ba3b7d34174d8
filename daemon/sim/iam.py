"""The two IAM operations that a client of MetaStudio needs: a token for a password, and the project of a region.

Source: the IAM API reference, "Obtaining a User Token Through Password Authentication" and "Querying Project
Information".
"""

from typing import Any

from daemon.sim.answers import encode
from daemon.sim.calls import PROJECTS
from daemon.sim.creation import read_object
from daemon.sim.refusals import ErrorAnswer
from daemon.sim.settings import SettledSettings
from daemon.sim.signing import parse_query
from daemon.sim.tenant import Tenant
from daemon.sim.times import iso_exact
from daemon.sim.wire import Answer


class Iam:
    """Carries out the two operations."""

    def __init__(self, settings: SettledSettings, tenant: Tenant) -> None:
        self._settings = settings
        self._tenant = tenant

    def token(self, body: bytes) -> Answer:
        """Issue a token to the user of the settings, scoped to the project."""
        settings = self._settings
        try:
            auth = _at(read_object(body), "auth")
            password = _at(auth, "identity", "password", "user")
            scope = _at(auth, "scope", "project")
            given = (_text(_at(password, "domain"), "name"), _text(password, "name"), _text(password, "password"))
        except (ErrorAnswer, _Malformed) as error:
            return _keystone(400, "Bad Request", f"The request body is not valid: {error}")
        if not self._tenant.knows(domain=given[0], user=given[1], password=given[2]):
            return _keystone(401, "Unauthorized", "The username or password is wrong.")
        if settings.region != scope.get("name") and settings.project_id != scope.get("id"):
            return _keystone(401, "Unauthorized", "The project of the scope cannot be found.")
        token, issued, expires = self._tenant.issue_token()
        domain = {"id": settings.domain_id, "name": settings.iam_domain}
        shape = {
            "token": {
                "methods": ["password"],
                "expires_at": iso_exact(expires),
                "issued_at": iso_exact(issued),
                "user": {
                    "id": settings.user_id,
                    "name": settings.iam_user,
                    "domain": domain,
                    "password_expires_at": "",
                },
                "project": {"id": settings.project_id, "name": settings.region, "domain": domain},
                "roles": [{"id": "0", "name": "mss_adm"}],
                "catalog": [],
            }
        }
        return Answer(status=201, body=encode(shape), extra=(("X-Subject-Token", token),))

    def projects(self, query: str, base: str) -> Answer:
        """Return the tenant's project, or none if the parameter `name` is another region."""
        settings = self._settings
        wanted = dict(parse_query(query)).get("name", settings.region)
        project = {
            "id": settings.project_id,
            "name": settings.region,
            "description": "",
            "domain_id": settings.domain_id,
            "parent_id": settings.domain_id,
            "is_domain": False,
            "enabled": True,
            "links": {"self": f"{base}{PROJECTS}/{settings.project_id}"},
        }
        shape = {
            "links": {"self": f"{base}{PROJECTS}", "previous": None, "next": None},
            "projects": [project] if wanted == settings.region else [],
        }
        return Answer(status=200, body=encode(shape))


class _Malformed(Exception):
    pass


def _at(value: dict[str, Any], *names: str) -> dict[str, Any]:
    for name in names:
        inner = value.get(name)
        if not isinstance(inner, dict):
            raise _Malformed(f"{name} is missing")
        value = inner
    return value


def _text(value: dict[str, Any], name: str) -> str:
    text = value.get(name)
    if not isinstance(text, str):
        raise _Malformed(f"{name} is missing")
    return text


def _keystone(status: int, title: str, message: str) -> Answer:
    return Answer(status=status, body=encode({"error": {"code": status, "message": message, "title": title}}))
