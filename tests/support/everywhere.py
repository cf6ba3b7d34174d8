"""Every route of the web server with its placeholders filled in, from the router's table: a new route is in all
tests that go through it, and one with an unknown placeholder fails there."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from daemon.web.scopes import ROUTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What stands in the database behind a server."""

    project: str
    job_id: str
    batch: str
    channel: str
    delivery: int
    link: str
    """The token of wrapd's own link to the job's video."""
    share: str = "none"
    """The token of a share of the batch."""
    cover: str = "1"
    """The number of a cover on the page of the share."""

    def filled(self, route: str) -> str:
        """The path of a route. Raises KeyError for a placeholder that is not known here."""
        parts = route.split("/")
        named = {"batches": self.batch, "channels": self.channel, "projects": self.project, "static": "wrapd.css"}
        values = {
            "{project}": self.project,
            "{job_id}": self.job_id,
            "{id}": str(self.delivery),
            "{token}": self.share if "share" in parts else self.link,
            "{secret}": "wrong",
            "{n}": self.cover,
        }
        if "{name}" in parts:
            values["{name}"] = named[next(part for part in parts if part in named)]
        return "/".join(quote(values[part], safe="") if part.startswith("{") else part for part in parts)


def reads(names: Names) -> Iterator[tuple[str, str]]:
    """The route and path of everything that can be read, in each of its forms."""
    for route, methods in ROUTES.items():
        if "GET" in methods:
            yield from ((route, names.filled(route) + query) for query in QUERIES.get(route, ("",)))


QUERIES: Mapping[str, Sequence[str]] = {
    "/api/v1/jobs": ("", "?format=csv", "?format=excel"),
    "/jobs": ("", "?view=wall", "?show=failed", "?q=none"),
    "/jobs/bulk": tuple(f"?what={what}&of=all" for what in ("ask", "mute", "untrack", "retry")),
    "/deliveries": ("", "?status=dead"),
    "/deliveries/retry": ("?status=dead",),
    "/login": ("", "?once=none"),
}
"""What is asked of a route whose answers differ by it; nothing of the others."""


def changes(names: Names) -> Iterator[tuple[str, str]]:
    """The method and path of everything else."""
    for route, methods in ROUTES.items():
        for method in methods.keys() - {"GET", "HEAD"}:
            yield method, names.filled(route)
