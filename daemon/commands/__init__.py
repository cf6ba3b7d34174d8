"""Everything that changes something on a person's or a tool's word: a checked request, one transaction, and a
result that says what it did. The command line, the API, callbacks and discovery call these. Must never print.
"""

from daemon.commands.callback import SignatureUsed, TooManyUnknown, called_back
from daemon.commands.deliveries import Revived, SentFilter, cancel, cancelable, resend, resendable, retry, revive
from daemon.commands.lists import read_list
from daemon.commands.track import Done, discovered, track
from daemon.commands.untrack import Stopped, untrack
from daemon.commands.wanted import Faults, Wanted, WrongRequest, read_job

__all__ = [
    "Done",
    "Faults",
    "Revived",
    "SentFilter",
    "SignatureUsed",
    "Stopped",
    "TooManyUnknown",
    "Wanted",
    "WrongRequest",
    "called_back",
    "cancel",
    "cancelable",
    "discovered",
    "read_job",
    "read_list",
    "resend",
    "resendable",
    "retry",
    "revive",
    "track",
    "untrack",
]
