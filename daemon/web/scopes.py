"""Every route of the web server and who may use it. A route that is not listed here is refused to everyone."""

from collections.abc import Mapping
from enum import Enum

from daemon.domain.tokens import ApiScope


class Access(Enum):
    """Access without the scope of a token."""

    OPEN = "open"  # to anyone
    LOCAL = "local"  # to clients on this machine; to others with a token that may read


OPEN, LOCAL = Access.OPEN, Access.LOCAL
READ, WRITE, ADMIN = ApiScope

ROUTES: Mapping[str, Mapping[str, Access | ApiScope]] = {
    "/healthz": {"GET": OPEN},
    "/readyz": {"GET": OPEN},
    "/metrics": {"GET": LOCAL},
    "/v/{token}": {"GET": OPEN, "HEAD": OPEN},
    "/v/{token}/download": {"GET": OPEN, "HEAD": OPEN},
    "/v/{token}/cover": {"GET": OPEN, "HEAD": OPEN},
    "/callbacks/{project}": {"POST": OPEN},
    "/callbacks/{project}/{secret}": {"POST": OPEN},
    "/api/v1/jobs": {"POST": WRITE},
    "/api/v1/jobs/{project}/{job_id}": {"GET": READ},
}
"""Paths as in OpenAPI. An open route may still need a secret: a link is one, and callbacks have theirs."""
