"""Jobs of a project that the config does not have: nobody asks about them, and nothing says that somebody will."""

from dataclasses import replace
from typing import TYPE_CHECKING

from daemon.config import Config
from daemon.domain.jobs import Tracking
from daemon.domain.orphans import move_command

if TYPE_CHECKING:
    from daemon.store import JobRow


def is_orphaned(row: "JobRow", config: Config) -> bool:
    """Whether the job is to be asked about, but nobody does."""
    return row.tracking is Tracking.ACTIVE and row.project not in config.projects


def why_orphaned(row: "JobRow", config: Config) -> str | None:
    """Why nobody asks about the job, and what to do; None where that is not so."""
    if not is_orphaned(row, config):
        return None
    command = move_command("project", row.project, config.projects)
    return f"none: the config has no project {row.project}, so nobody asks; `{command}` moves its jobs"


def kept(row: "JobRow", config: Config) -> "JobRow":
    """The job without a plan that nobody keeps."""
    return replace(row, next_poll_at=None, next_reason=None) if is_orphaned(row, config) else row
