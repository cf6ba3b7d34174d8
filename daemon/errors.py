"""Base classes of all errors shown to people, with the exit statuses of the command. Imports nothing of wrapd."""

from enum import IntEnum


class Exit(IntEnum):
    """Exit statuses of `wrapd`; documented in docs/cli.md."""

    OK = 0  # all that was asked is done
    FAILED = 1  # a check or a send failed, or something needs a person; the message says which
    USAGE = 2  # the command line is wrong (click's own status)
    CONFIG = 3  # the config, or a secret that it names
    DATABASE = 4  # the database cannot be used now: missing, full, damaged, or another file than before
    RUNNING = 5  # another daemon works on the same database
    UNKNOWN = 6  # no such job, delivery, project or channel
    UNUSABLE = 7  # the database is foreign, newer, or not for this user: only a person can help
    JOB_CANCELED = 10  # of `watch`, where the highest one counts: a job was canceled
    JOB_PARTIAL = 11  # of `watch`: a job succeeded in part
    JOB_OPEN = 12  # of `watch`: a job is frozen, lost, expired or no longer tracked
    JOB_FAILED = 13  # of `watch`: a job failed
    TIMED_OUT = 124  # of `watch`: some jobs still run at the end of --timeout, or with --once


class WrapdError(Exception):
    """An error that a person has to fix. `str()` is the complete message: place, fault, remedy."""

    exit_status: Exit = Exit.FAILED
    key: str | None = None

    def __init__(self, text: str = "", *, key: str | None = None) -> None:
        """`key` names the error for the pages, which say some in the reader's language."""
        super().__init__(text)
        self.key = key


class UsageFault(WrapdError):
    """The command line asks for something impossible."""

    exit_status = Exit.USAGE


class ConfigFault(WrapdError):
    """The config file, or a secret that it refers to, is wrong."""

    exit_status = Exit.CONFIG

    @property
    def each(self) -> tuple[str, ...]:
        """The individual faults."""
        return (str(self),)


class DatabaseFault(WrapdError):
    """The database cannot be used at the moment."""

    exit_status = Exit.DATABASE


class DatabaseUnusable(DatabaseFault):
    """The database cannot be used until a person changes something; waiting does not help."""

    exit_status = Exit.UNUSABLE


class AlreadyRunning(WrapdError):
    """Another daemon uses the same database."""

    exit_status = Exit.RUNNING


class UnknownName(WrapdError):
    """No job, delivery, project or channel has this name."""

    exit_status = Exit.UNKNOWN
