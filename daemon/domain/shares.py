"""Shares of a batch: who has the secret of one sees its names, states and covers until it ends. Pure.

A secret is made and kept as that of a session (`domain.sessions`).
"""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from daemon.domain.actions import Actor
from daemon.domain.jobs import ProjectName

LEAST_SHARE = timedelta(minutes=1)
USUAL_SHARE = timedelta(days=7)
MOST_SHARE = timedelta(days=90)
"""For how long a batch is shared."""
MOST_OPEN = 20
"""Maximum shares of a batch that are open at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchShare:
    """A share as it is kept. `used_at` is to the minute."""

    id: int
    digest: str = field(repr=False)
    project: ProjectName
    batch: str
    created_at: datetime
    created_by: Actor
    expires_at: datetime
    revoked_at: datetime | None = None
    used_at: datetime | None = None


def cover_number(secret: str, number: int) -> int:
    """The number of a job's row in the addresses of a share, and the row of such a number: the rows themselves
    would tell how many jobs there are.

    >>> cover_number("s", 7) != 7, cover_number("s", cover_number("s", 7))
    (True, 7)
    """
    return number ^ int.from_bytes(hashlib.sha256(f"cover {secret}".encode()).digest()[:7])
