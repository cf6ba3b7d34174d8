"""Mutes: whose alerts a person has asked not to send for a while, and what becomes of them then. Pure."""

from datetime import timedelta
from enum import StrEnum

LEAST_MUTE = timedelta(minutes=1)
MOST_MUTE = timedelta(days=30)
MOST_COMMENT = 500
"""Maximum length of a mute's comment in characters."""


class MuteScope(StrEnum):
    """What a mute names."""

    JOB = "job"
    BATCH = "batch"  # its jobs and its end
    TAG = "tag"
    CHANNEL = "channel"


class MuteEnd(StrEnum):
    """What becomes of kept alerts when nothing mutes them any more."""

    SEND = "send"
    DROP = "drop"
