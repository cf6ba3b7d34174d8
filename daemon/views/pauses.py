"""The view of a pause. docs/cli.md is generated from the comments. Pure."""

from typing import TYPE_CHECKING

from msgspec import Struct

from daemon.domain.text import stamp

if TYPE_CHECKING:  # SQLAlchemy is slow to import
    from daemon.store import PauseRow


class Paused(Struct, frozen=True, kw_only=True):
    """A pause of a project, in `stats --json` under `paused`."""

    project: str  # name of the project in the config
    since: str | None  # when it was paused
    who: str  # who paused it: `cli:USER`, `token:NAME` or `session:NAME`
    comment: str | None  # why, as given by `pause --comment`, or null


def paused(row: "PauseRow") -> Paused:
    """The view of a pause."""
    return Paused(project=row.project, since=stamp(row.at), who=row.who, comment=row.comment)
