"""The view of an action: who did what. docs/cli.md is generated from the comments. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from daemon.domain.events import Json
from daemon.domain.text import stamp

if TYPE_CHECKING:  # SQLAlchemy is slow to import
    from daemon.store import ActionRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What a person or tool did, in `show --json` and the API under `actions`."""

    at: str | None  # when
    who: str  # `cli:` and the user of the machine, or `token:` and the name of the API's token
    what: str  # track, untrack, label, tag, retry, cancel, revive, resend, revoke_link, mute, unmute, …
    project: str | None  # the project, or null if it is about several or none
    subject: str | None  # the job's id, or a batch, tag or channel; null if it is about several
    count: int  # number of jobs or deliveries changed
    details: Mapping[str, Json] | None  # more about it, such as the new label, or null


def act(row: "ActionRow") -> Act:
    """The view of an action."""
    return Act(
        at=stamp(row.at),
        who=row.who,
        what=row.what,
        project=row.project,
        subject=row.subject,
        count=row.count,
        details=row.details,
    )
