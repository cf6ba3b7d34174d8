"""Pauses projects, so that their service is not asked, and resumes them."""

from datetime import datetime

from daemon.domain.actions import Action, Actor
from daemon.domain.jobs import ProjectName
from daemon.domain.text import note
from daemon.store import PauseRow, Transaction


def pause(
    tx: Transaction, project: ProjectName, *, who: Actor, at: datetime, comment: str | None = None
) -> tuple[PauseRow, bool]:
    """Pause the project from `at` on. Returns its pause, and whether that is new: a paused project keeps the one
    it has. Raises ValueError for a comment that is too long."""
    said = note(comment or "") or None
    new = tx.pauses.begin(project, at=at, who=who, comment=said)
    if new:
        details = None if said is None else {"comment": said}
        tx.actions.note(Action.PAUSE, who=who, at=at, project=project, subject=project, details=details)
    return tx.pauses.all()[project], new


def resume(tx: Transaction, project: ProjectName, *, who: Actor, at: datetime) -> PauseRow | None:
    """Resume the project. Returns the pause that this ends; None if there is none."""
    ended = tx.pauses.all().get(project)
    if ended is not None:
        tx.pauses.end(project)
        seconds = max(0.0, (at - ended.at).total_seconds())
        tx.actions.note(
            Action.RESUME, who=who, at=at, project=project, subject=project, details={"seconds": round(seconds, 3)}
        )
    return ended
