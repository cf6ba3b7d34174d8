"""What people and tools do to jobs, deliveries, channels and projects, and who did it. Pure."""

from enum import StrEnum
from typing import NewType

Actor = NewType("Actor", str)
"""Who acts: `cli:USER`, `token:NAME` or `session:NAME`; at most 128 characters."""

MOST_ACTOR = 128


class Action(StrEnum):
    """What was done, as kept in the database and shown in lists."""

    TRACK = "track"
    UNTRACK = "untrack"
    MOVE = "move"
    LABEL = "label"
    TAG = "tag"
    BATCH = "batch"
    NOTE = "note"
    ASK = "ask"
    RETRY = "retry"
    CANCEL = "cancel"
    REVIVE = "revive"
    RESEND = "resend"
    RELEASE = "release"
    TEST = "test"
    REVOKE_LINK = "revoke_link"
    MUTE = "mute"
    UNMUTE = "unmute"
    PAUSE = "pause"
    RESUME = "resume"
    PRUNE = "prune"
    CREATE_TOKEN = "create_token"  # noqa: S105 - not a password
    REVOKE_TOKEN = "revoke_token"  # noqa: S105 - the same
    SHARE = "share"
    UNSHARE = "unshare"
    LOGIN = "login"
    LOGOUT = "logout"


def actor(way: str, name: str) -> Actor:
    """Name an actor: the way (`cli`, `token`, `session`) and the name of the user or token there.

    >>> actor("cli", "ann"), len(actor("token", "x" * 500))
    ('cli:ann', 128)
    """
    return Actor(f"{way}:{name}"[:MOST_ACTOR])
