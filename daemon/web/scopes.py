"""Every route of the web server and who may use it. A route that is not listed here is refused to everyone.

An API route takes a token, or to read also a session; a page takes a session, and to change something also the
token of its form.
"""

from collections.abc import Mapping
from enum import Enum

from daemon.domain.tokens import ApiScope


class Access(Enum):
    """Access without the scope of a token."""

    OPEN = "open"  # to anyone
    LOCAL = "local"  # to clients on this machine; to others with a token that may read


OPEN, LOCAL = Access.OPEN, Access.LOCAL
READ, WRITE, ADMIN = ApiScope

Table = Mapping[str, Mapping[str, Access | ApiScope]]

STATIC = "/static/{name}"
"""Is there for the pages of links, too, where other pages are turned off."""
PAGES: Table = {
    "/login": {"GET": OPEN, "POST": OPEN},
    "/logout": {"POST": READ},
    "/language": {"POST": OPEN},
    STATIC: {"GET": OPEN},
    "/": {"GET": READ},
    "/jobs": {"GET": READ},
    "/jobs/{project}/{job_id}": {"GET": READ},
    "/jobs/{project}/{job_id}/ask": {"POST": WRITE},
    "/jobs/{project}/{job_id}/note": {"POST": WRITE},
    "/jobs/{project}/{job_id}/mute": {"POST": WRITE},
    "/jobs/{project}/{job_id}/unmute": {"POST": WRITE},
    "/jobs/{project}/{job_id}/retry": {"POST": WRITE},
    "/batches": {"GET": READ},
    "/batches/{project}/{name}": {"GET": READ},
    "/batches/{project}/{name}/mute": {"POST": WRITE},
    "/batches/{project}/{name}/unmute": {"POST": WRITE},
    "/batches/{project}/{name}/share": {"POST": WRITE},
    "/batches/{project}/{name}/unshare": {"POST": WRITE},
    "/share/{token}": {"GET": OPEN},
    "/share/{token}/cover/{n}": {"GET": OPEN},
    "/stats": {"GET": READ},
    "/jobs/bulk": {"GET": WRITE, "POST": WRITE},
    "/needs/retry": {"POST": WRITE},
    "/needs/release": {"POST": ADMIN},
    "/needs/resume": {"POST": WRITE},
    "/needs/track": {"POST": WRITE},
    "/needs/resend": {"POST": WRITE},
    "/deliveries": {"GET": READ},
    "/deliveries/retry": {"GET": WRITE, "POST": WRITE},
    "/deliveries/{id}/retry": {"POST": WRITE},
    "/deliveries/{id}/cancel": {"POST": WRITE},
    "/deliveries/{id}/resend": {"POST": WRITE},
    "/channels": {"GET": READ},
    "/channels/{name}/test": {"POST": ADMIN},
    "/channels/{name}/release": {"POST": ADMIN},
    "/projects": {"GET": READ},
    "/projects/{name}/pause": {"POST": WRITE},
    "/projects/{name}/resume": {"POST": WRITE},
    "/account": {"GET": READ},
    "/account/sessions/{id}/end": {"POST": READ},
    "/account/token/revoke": {"POST": READ},
}
"""The pages, and the forms on them."""
ROUTES: Table = {
    **PAGES,
    "/healthz": {"GET": OPEN},
    "/readyz": {"GET": OPEN},
    "/metrics": {"GET": LOCAL},
    "/v/{token}": {"GET": OPEN, "HEAD": OPEN},
    "/v/{token}/download": {"GET": OPEN, "HEAD": OPEN},
    "/v/{token}/cover": {"GET": OPEN, "HEAD": OPEN},
    "/callbacks/{project}": {"POST": OPEN},
    "/callbacks/{project}/{secret}": {"POST": OPEN},
    "/api/v1/jobs": {"GET": READ, "POST": WRITE},
    "/api/v1/jobs/untrack": {"POST": WRITE},
    "/api/v1/jobs/ask": {"POST": WRITE},
    "/api/v1/jobs/ending": {"GET": READ},
    "/api/v1/jobs/{project}/{job_id}": {"GET": READ, "PATCH": WRITE, "DELETE": WRITE},
    "/api/v1/jobs/{project}/{job_id}/ask": {"POST": WRITE},
    "/api/v1/jobs/{project}/{job_id}/transitions": {"GET": READ},
    "/api/v1/actions": {"GET": READ},
    "/api/v1/batches": {"GET": READ},
    "/api/v1/batches/{project}/{name}": {"GET": READ},
    "/api/v1/batches/{project}/{name}/share": {"POST": WRITE},
    "/api/v1/shares": {"GET": READ},
    "/api/v1/shares/{id}": {"DELETE": WRITE},
    "/api/v1/channels": {"GET": READ},
    "/api/v1/channels/{name}": {"GET": READ},
    "/api/v1/channels/{name}/test": {"POST": ADMIN},
    "/api/v1/channels/{name}/release": {"POST": ADMIN},
    "/api/v1/deliveries": {"GET": READ},
    "/api/v1/deliveries/retry": {"POST": WRITE},
    "/api/v1/deliveries/cancel": {"POST": WRITE},
    "/api/v1/deliveries/{id}": {"GET": READ},
    "/api/v1/deliveries/{id}/retry": {"POST": WRITE},
    "/api/v1/deliveries/{id}/cancel": {"POST": WRITE},
    "/api/v1/deliveries/{id}/resend": {"POST": WRITE},
    "/api/v1/events": {"GET": READ},
    "/api/v1/jobs/{project}/{job_id}/answer": {"GET": READ},
    "/api/v1/jobs/{project}/{job_id}/cover": {"GET": READ},
    "/api/v1/jobs/{project}/{job_id}/mute": {"POST": WRITE},
    "/api/v1/mutes": {"GET": READ, "POST": WRITE},
    "/api/v1/mutes/{id}": {"DELETE": WRITE},
    "/api/v1/needs": {"GET": READ},
    "/api/v1/openapi.json": {"GET": OPEN},
    "/api/v1/projects": {"GET": READ},
    "/api/v1/projects/{name}/pause": {"POST": WRITE},
    "/api/v1/projects/{name}/resume": {"POST": WRITE},
    "/api/v1/stats": {"GET": READ},
    "/api/v1/tokens": {"GET": ADMIN, "POST": ADMIN},
    "/api/v1/tokens/{id}": {"DELETE": ADMIN},
}
"""Paths as in OpenAPI. An open route may still need a secret: a link is one, and callbacks have theirs."""
