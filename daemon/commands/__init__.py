"""Every change requested from outside: a checked request, one transaction, and a result that says what was done.
Called by the command line, the API, callbacks and discovery. Prints nothing.
"""

from typing import TYPE_CHECKING

from daemon.late import late

if TYPE_CHECKING:
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
    from daemon.commands.describe import (
        Described,
        JobChange,
        change_job,
        change_tags,
        read_change,
        read_label,
        read_note,
        set_label,
        set_note,
    )
    from daemon.commands.entries import JobEntry, RequestFaults, WrongRequest, read_job
    from daemon.commands.list_formats import read_list
    from daemon.commands.move import movable_deliveries, movable_jobs, move_deliveries, move_jobs
    from daemon.commands.mutes import MuteWish, end_mutes, mute
    from daemon.commands.tracking import (
        Done,
        SignatureUsed,
        Stopped,
        TooManyUnknown,
        called_back,
        discovered,
        note_asked,
        pause,
        resume,
        track,
        untrack,
    )
else:
    __getattr__ = late(
        __name__,
        {
            "deliveries": (
                "Revived SentFilter cancel cancelable release resend resendable retry revive revoke_link"
            ),
            "describe": (
                "Described JobChange change_job change_tags read_change read_label read_note set_label set_note"
            ),
            "entries": "JobEntry RequestFaults WrongRequest read_job",
            "list_formats": "read_list",
            "move": "movable_deliveries movable_jobs move_deliveries move_jobs",
            "mutes": "MuteWish end_mutes mute",
            "tracking": (
                "Done SignatureUsed Stopped TooManyUnknown called_back discovered note_asked pause resume "
                "track untrack"
            ),
        },
    )
