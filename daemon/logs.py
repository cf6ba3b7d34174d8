"""Log lines as events with fields: a constant names what happened, fields say to whom and how.

Owns the list of event names and the set-up of logging. The only place that imports structlog. A line must never
carry a URL's query, a channel's URL, a key or a token, and writing one must never fail.
"""

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping, MutableMapping
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal, Protocol, TextIO, cast

from daemon.masks import MASKS

__all__ = [
    "MASKS",
    "OUTPUT",
    "Format",
    "Level",
    "LogEvent",
    "Logger",
    "is_journal",
    "logger",
    "prefixed",
    "said",
    "set_up",
    "set_up_late",
    "take_hooks",
]


class LogEvent(StrEnum):
    """Every line that wrapd logs. The comment is what docs/logs.md says of it."""

    DAEMON_STARTED = "daemon.started"  # all parts run; fields tell what is watched and where the web listens
    DAEMON_STOPPING = "daemon.stopping"  # a signal arrived; what is under way is finished first
    DAEMON_STOPPED = "daemon.stopped"  # everything is stored
    SIGNAL_IGNORED = "signal.ignored"  # SIGHUP arrived where no config is read: nothing is changed by it
    CONFIG_RELOADED = "config.reloaded"  # the config was read again and is in use; fields tell what changed
    CONFIG_REFUSED = "config.refused"  # a config that was to be reloaded has a fault; the last good one stays
    CONTROL_UNAVAILABLE = "control.unavailable"  # no control socket can be made: `wrapd reload` cannot ask
    CONFIG_ORPHANED = "config.orphaned"  # jobs or alerts are of a project or channel that the config does not have
    CONFIG_DOUBTFUL = "config.doubtful"  # the config is allowed, but unwise; the line says why
    DATABASE_MIGRATED = "database.migrated"  # the schema was brought to this program's revision
    DATABASE_FAILED = "database.failed"  # a transaction failed; it is tried again, nothing is decided by it
    DATABASE_REPLACED = "database.replaced"  # its file was deleted or replaced; wrapd ends, to be started again
    DEFECT = "defect"  # an error that nobody foresaw, with its traceback; the same one is told once in ten seconds
    TASK_FAILED = "task.failed"  # background work ended with an error that was told where it arose
    TICK_FAILED = "tick.failed"  # a recurring task raised; it runs again at its next time
    CLOCK_STEPPED = "clock.stepped"  # the wall clock was set; due times are not affected
    JOB_TAKEN = "job.taken"  # a job was tracked (or taken up again) while the daemon runs; of many, their number
    JOBS_FOUND = "discovery.found"  # jobs were taken from the service's list
    LIST_FAILED = "discovery.failed"  # the service's list could not be read wholly; the next look reads it again
    JOB_DROPPED = "job.dropped"  # tracking was stopped while the daemon runs; of many together, their number
    JOBS_STRAY = "job.stray"  # active jobs whose project or kind the config does not have; nobody asks about them
    JOB_MOVED = "job.moved"  # a job's state changed
    KIND_FOUND = "job.kind_found"  # the service said of what kind a job is whose kind was a guess
    JOB_MISSING = "job.missing"  # the service does not know the job; it is asked again until the grace ends
    JOB_LOST = "job.lost"  # the grace ended; tracking ends
    JOB_EXPIRED = "job.expired"  # give_up_after passed; tracking ends
    JOB_STUCK = "job.stuck"  # production takes much longer than that of jobs like it
    LIST_LACKS = "list.lacks"  # a list that was asked about a job does not hold it; it is asked singly
    BATCH_LIMITED = "batch.limited"  # lists by ids do not do what they should; fewer jobs share one for a while
    FEED_TRUSTED = "feed.trusted"  # the list of ended jobs proved itself: it carries the news now
    FEED_DISTRUSTED = "feed.distrusted"  # it missed or bent something; other questions carry the news for a while
    STATE_UNKNOWN = "state.unknown"  # the service named a state that wrapd does not know
    POLL_FAILED = "poll.failed"  # a query had no usable answer; the job is asked again later
    AUTH_REFUSED = "auth.refused"  # the service refused the credentials
    AUTH_PAUSED = "auth.paused"  # no request is sent with this key pair for a while, so that it is not locked
    TOKEN_RENEWED = "auth.token_renewed"  # noqa: S105 - a name, not a token; a new IAM token was fetched
    CLOCK_SKEWED = "auth.clock_skewed"  # this machine's clock is off; signing follows the service's clock
    PROJECT_DOWN = "project.down"  # a project's API has given no usable answer for a while
    PROJECT_RECOVERED = "project.recovered"  # it answers again
    FEATURE_OFF = "project.feature_off"  # the endpoint does not offer an operation; wrapd goes on without it
    OVERLOADED = "project.overloaded"  # jobs are asked later than planned: the request budget is too small
    DELIVERY_SENT = "delivery.sent"  # a chat service took a message
    DELIVERY_RETRY = "delivery.retry"  # a send failed; it is tried again
    DELIVERY_UNKNOWN = "delivery.unknown"  # nobody can say whether it arrived; it is sent again, marked so
    DELIVERY_RESCUED = "delivery.rescued"  # it was being sent by no part of wrapd any more; it is sent again
    DELIVERY_DEAD = "delivery.dead"  # given up; `wrapd deliveries retry` sends it again
    DELIVERY_DIVERTED = "delivery.diverted"  # a channel is held for long: its fallback is told as well
    LINK_NOT_RENEWED = "link.not_renewed"  # fresh links could not be had; the message goes with the old ones
    PICTURE_FAILED = "picture.failed"  # a cover could not be had; messages go without it
    TEMPLATE_FAILED = "template.failed"  # an operator's template could not be used; the built-in message goes out
    CARD_FAILED = "card.failed"  # a bug: a message's rich form could not be built; it goes out as plain text
    CHANNEL_HELD = "channel.held"  # a chat service refuses a channel; its messages wait
    CHANNEL_RELEASED = "channel.released"  # the channel works again
    RETENTION_PRUNED = "retention.pruned"  # what was over for longer than `retention.keep` was deleted
    WEB_LISTENING = "web.listening"  # the address that the web server took
    WEB_FAILED = "web.failed"  # the web server broke and is started again, or a request met a bug
    WEB_REFUSED = "web.refused"  # strangers: no HTTP, a wrong Host, or too much; told once in ten seconds
    CALLBACK_TAKEN = "callback.taken"  # the service says that a job ended; it is asked about at once
    CALLBACK_REFUSED = "callback.refused"  # a callback with a wrong or old signature; told once in ten seconds
    MANAGER_UNREACHED = "systemd.unreached"  # a message to systemd was lost; a start may time out


Level = Literal["debug", "info", "warning", "error"]
Format = Literal["text", "json"]


class Logger(Protocol):
    """What a module needs of its logger: one method for each level; fields are keywords."""

    def debug(self, event: LogEvent, **fields: object) -> None: ...
    def info(self, event: LogEvent, **fields: object) -> None: ...
    def warning(self, event: LogEvent, **fields: object) -> None: ...
    def error(self, event: LogEvent, **fields: object) -> None: ...


def logger(name: str) -> Logger:
    """The logger of a module; call it with `__name__`."""
    return _LateLogger(name)


class _LateLogger:
    """Opens the real logger at its first line: structlog is slow to import, and most commands log nothing."""

    def __init__(self, name: str) -> None:
        self._name = name

    @cached_property
    def _real(self) -> Logger:
        import structlog  # noqa: PLC0415 - slow to import

        for handler in logging.getLogger().handlers:
            if isinstance(handler, _Late):
                set_up(level=handler.wanted)
        return cast("Logger", structlog.stdlib.get_logger(self._name))

    def debug(self, event: LogEvent, **fields: object) -> None:
        self._real.debug(event, **fields)

    def info(self, event: LogEvent, **fields: object) -> None:
        self._real.info(event, **fields)

    def warning(self, event: LogEvent, **fields: object) -> None:
        self._real.warning(event, **fields)

    def error(self, event: LogEvent, **fields: object) -> None:
        self._real.error(event, **fields)


_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_LEAST_PRIORITY = 7
_DEPTH = 4
"""Levels of lists and tables in a field that are looked into."""
_OWN = frozenset({"level", "timestamp"})
"""Fields that hold nothing from outside."""


class Output:
    """What becomes of the lines: how many could not be written, and who is told of each."""

    def __init__(self) -> None:
        self.lost = 0
        self.on_lost: Callable[[BaseException], None] | None = None

    def lose(self, error: BaseException) -> None:
        """A line could not be written."""
        self.lost += 1
        if self.on_lost is not None:
            with contextlib.suppress(Exception):  # whoever is told must not be a second reason to fail
                self.on_lost(error)


OUTPUT = Output()


class _Lines(logging.StreamHandler[TextIO]):
    """Writes lines; never raises, whatever the stream or a field does."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        del record
        error = sys.exc_info()[1]
        if error is not None:
            OUTPUT.lose(error)


class _Late(_Lines):
    """Sets up the real handler at the first line that a library writes."""

    def __init__(self, level: Level) -> None:
        super().__init__(sys.stderr)
        self.wanted = level

    def emit(self, record: logging.LogRecord) -> None:
        set_up(level=self.wanted)
        logging.getLogger(record.name).handle(record)


class _Finished(logging.Formatter):
    """The last step for a line: masked as a whole, whatever it contains, with priorities where the
    journal reads."""

    def __init__(self, inner: logging.Formatter, *, journal: bool) -> None:
        super().__init__()
        self._inner, self._journal = inner, journal

    def format(self, record: logging.LogRecord) -> str:
        text = MASKS.apply(self._inner.format(record))
        return prefixed(text, record.levelno) if self._journal else text


def prefixed(text: str, level: int) -> str:
    """`text` with syslog's priority before each line (sd-daemon(3)), by the level of `logging`."""
    priority = next((number for least, number in _PRIORITIES if level >= least), _LEAST_PRIORITY)
    return "\n".join(f"<{priority}>{line}" for line in text.split("\n"))


def is_journal(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether systemd's journal reads the stream: JOURNAL_STREAM names its device and inode."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError, AttributeError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def _mask(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in fields.items():
        if name not in _OWN and not isinstance(value, LogEvent):
            fields[name] = _masked(value, _DEPTH)
    return fields


def _masked(value: object, depth: int) -> object:
    """A field's value; each text in it by itself, for a part of a secret shows only at a text's end."""
    if isinstance(value, str):
        return MASKS.apply(value)
    if isinstance(value, BaseException):
        return MASKS.apply(said(value))
    if isinstance(value, list | tuple | set | frozenset) and depth:
        return [_masked(each, depth - 1) for each in value]
    if isinstance(value, dict) and depth:
        return {_masked(key, 0): _masked(each, depth - 1) for key, each in value.items()}
    return value


def said(error: BaseException) -> str:
    """The type of an error and its text, which may hold secrets yet."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - an error that cannot be shown is no reason for another one
        return type(error).__name__


def set_up(*, level: Level = "info", output: Format = "text", stream: TextIO | None = None) -> None:
    """Send all lines, those of libraries included, to `stream` (standard error by default).

    Libraries speak from WARNING on (Apprise not at all: its lines carry URLs), whatever `level` is. Where the
    journal reads the stream, each line has its priority, and text no time of its own.
    """
    import structlog  # noqa: PLC0415 - slow to import

    stream = stream or sys.stderr
    journal = is_journal(stream)
    timeless = journal and output == "text"
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        *([] if timeless else [structlog.processors.TimeStamper(fmt="iso", utc=True)]),
        structlog.processors.format_exc_info,
        _mask,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderer: Any = (
        structlog.processors.JSONRenderer(default=str, ensure_ascii=False)
        if output == "json"
        else structlog.dev.ConsoleRenderer(colors=stream.isatty(), pad_event_to=0, sort_keys=False)
    )
    handler = _Lines(stream)
    inner = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler.setFormatter(_Finished(inner, journal=journal))
    _install(handler, level)


def set_up_late(level: Level) -> None:
    """The same for text on standard error, but only once there is a line: structlog is slow to import."""
    if "structlog" in sys.modules:
        set_up(level=level)
    else:
        _install(_Late(level), level)


def _install(handler: logging.Handler, level: Level) -> None:
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    set_level(level)
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)


def set_level(level: Level) -> None:
    """Write lines from this level on, for wrapd's own."""
    logging.getLogger("daemon").setLevel(level.upper())


def take_hooks() -> None:
    """Have what nobody caught logged like everything else, masked: an exception that ends the program or a thread,
    or that nobody could be told of. For the process's own start."""

    def log_unraisable(found: "sys.UnraisableHookArgs") -> None:
        _log_uncaught(found.exc_value, str(found.err_msg or "ignored"))

    def log_of_thread(found: threading.ExceptHookArgs) -> None:
        if found.exc_type is not SystemExit:
            _log_uncaught(found.exc_value, "thread" if found.thread is None else found.thread.name)

    sys.excepthook = lambda _, error, __: _log_uncaught(error, "main")
    sys.unraisablehook = log_unraisable
    threading.excepthook = log_of_thread


def _log_uncaught(error: BaseException | None, place: str) -> None:
    with contextlib.suppress(Exception):
        logger("daemon").error(LogEvent.DEFECT, part=place, error=error, exc_info=error)
