"""Every change requested from outside: a checked request, one transaction, and a result that says what was done.
Called by the command line, the API, callbacks and discovery. Prints nothing.
"""

from daemon.commands.change import JobChange, change_job, read_change
from daemon.commands.deliveries import (
    Revived,
    SentFilter,
    cancel,
    cancelable,
    release,
    resend,
    resendable,
    retry,
    revive,
    revoke_link,
)
from daemon.commands.describe import Described, change_tags, read_label, read_note, set_label, set_note
from daemon.commands.entries import JobEntry, RequestFaults, WrongRequest, read_job
from daemon.commands.list_formats import read_list
from daemon.commands.move import movable_deliveries, movable_jobs, move_deliveries, move_jobs
from daemon.commands.mutes import MuteWish, end_mutes, mute
from daemon.commands.pauses import pause, resume
from daemon.commands.tracking import (
    Done,
    SignatureUsed,
    Stopped,
    TooManyUnknown,
    called_back,
    discovered,
    note_asked,
    track,
    untrack,
)

__all__ = [
    "Described",
    "Done",
    "JobChange",
    "JobEntry",
    "MuteWish",
    "RequestFaults",
    "Revived",
    "SentFilter",
    "SignatureUsed",
    "Stopped",
    "TooManyUnknown",
    "WrongRequest",
    "called_back",
    "cancel",
    "cancelable",
    "change_job",
    "change_tags",
    "discovered",
    "end_mutes",
    "movable_deliveries",
    "movable_jobs",
    "move_deliveries",
    "move_jobs",
    "mute",
    "note_asked",
    "pause",
    "read_change",
    "read_job",
    "read_label",
    "read_list",
    "read_note",
    "release",
    "resend",
    "resendable",
    "resume",
    "retry",
    "revive",
    "revoke_link",
    "set_label",
    "set_note",
    "track",
    "untrack",
]
