"""Structured log lines: an event name says what happened, fields say to what.

Owns the list of event names and the logging set-up. The only module that imports structlog. A line never contains
a URL's query, a channel's URL, a key or a token, and writing one never raises.
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

from daemon.late import without
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
    """Every line that wrapd logs. docs/logs.md is generated from the comments."""

    DAEMON_STARTED = "daemon.started"  # all parts run; the fields say what is watched and where the web listens
    DAEMON_STOPPING = "daemon.stopping"  # a signal arrived; work in progress is finished first
    DAEMON_STOPPED = "daemon.stopped"  # everything is stored
    SIGNAL_IGNORED = "signal.ignored"  # SIGHUP arrived, but this daemon was started without a config to reload
    CONFIG_RELOADED = "config.reloaded"  # the config was read again and is in use; the fields say what changed
    CONFIG_REFUSED = "config.refused"  # the config to be reloaded has a fault; the last good one stays in use
    CONTROL_UNAVAILABLE = "control.unavailable"  # no control socket could be created: `wrapd reload` does not work
    CONFIG_ORPHANED = "config.orphaned"  # jobs or alerts belong to a project or channel missing from the config
    CONFIG_DOUBTFUL = "config.doubtful"  # the config is valid, but unwise; the line says why
    DATABASE_MIGRATED = "database.migrated"  # the schema was migrated to this version's revision
    DATABASE_FAILED = "database.failed"  # a transaction failed and will be retried; nothing is decided by it
    DATABASE_REPLACED = "database.replaced"  # its file was deleted or replaced; wrapd exits, to be started again
    DEFECT = "defect"  # an unexpected error, with its traceback; repeats are logged once in ten seconds
    TASK_FAILED = "task.failed"  # background work ended with an error that was reported where it arose
    TICK_FAILED = "tick.failed"  # a recurring task raised an error; it runs again at its next time
    CLOCK_STEPPED = "clock.stepped"  # the wall clock was set; due times are not affected
    JOB_TAKEN = "job.taken"  # a job was tracked (or resumed) while the daemon runs; of many at once, the number
    JOBS_FOUND = "discovery.found"  # jobs from the service's list were tracked
    LIST_FAILED = "discovery.failed"  # the service's list could not be read completely; it is read again next time
    JOB_DROPPED = "job.dropped"  # tracking was stopped while the daemon runs; of many at once, the number
    JOBS_STRAY = "job.stray"  # active jobs of a project or kind that the config does not have; they are not polled
    JOB_MOVED = "job.moved"  # a job's state changed
    KIND_FOUND = "job.kind_found"  # the service revealed the kind of a job whose kind had been a guess
    JOB_MISSING = "job.missing"  # the service does not know the job; it is polled until the grace period ends
    JOB_LOST = "job.lost"  # the grace period ended; tracking ends
    JOB_EXPIRED = "job.expired"  # give_up_after passed; tracking ends
    JOB_STUCK = "job.stuck"  # production takes much longer than that of similar jobs
    LIST_LACKS = "list.lacks"  # a list by ids lacks a requested job; the job is polled singly
    BATCH_LIMITED = "batch.limited"  # lists by ids misbehave; each covers fewer jobs for a while
    FEED_TRUSTED = "feed.trusted"  # the list of ended jobs has proved reliable: it is now the source of news
    FEED_DISTRUSTED = "feed.distrusted"  # it missed or distorted something; other queries are used for a while
    STATE_UNKNOWN = "state.unknown"  # the service returned a state that wrapd does not know
    POLL_FAILED = "poll.failed"  # a query had no usable answer; the job is polled again later
    AUTH_REFUSED = "auth.refused"  # the service refused the credentials
    AUTH_PAUSED = "auth.paused"  # requests with this key pair pause for a while, so that it does not get locked
    TOKEN_RENEWED = "auth.token_renewed"  # noqa: S105 - a name, not a token; a new IAM token was fetched
    CLOCK_SKEWED = "auth.clock_skewed"  # this machine's clock is off; signatures use the service's clock
    PROJECT_DOWN = "project.down"  # a project's API has given no usable answer for a while
    PROJECT_RECOVERED = "project.recovered"  # it answers again
    PROJECT_PAUSED = "project.paused"  # a person has paused a project: it is not asked until they resume it
    PROJECT_RESUMED = "project.resumed"  # it is asked again
    FEATURE_OFF = "project.feature_off"  # the endpoint does not offer an operation; wrapd continues without it
    OVERLOADED = "project.overloaded"  # jobs are polled later than planned: the request budget is too small
    DELIVERY_SENT = "delivery.sent"  # a chat service accepted a message
    DELIVERY_RETRY = "delivery.retry"  # a send failed; it will be retried
    DELIVERY_UNKNOWN = "delivery.unknown"  # it may or may not have arrived; it is sent again, marked as such
    DELIVERY_RESCUED = "delivery.rescued"  # marked as being sent, but no part was sending it; it is sent again
    DELIVERY_DEAD = "delivery.dead"  # given up; `wrapd deliveries retry` sends it again
    MUTE_ENDED = "mute.ended"  # the time of a mute is over; what it kept is sent or dropped
    DELIVERY_DIVERTED = "delivery.diverted"  # a channel has been held for long: its fallback is alerted as well
    LINK_NOT_RENEWED = "link.not_renewed"  # fresh links could not be obtained; the message has the old ones
    PICTURE_FAILED = "picture.failed"  # a cover could not be fetched; messages go out without it
    TEMPLATE_FAILED = "template.failed"  # an operator's template could not be used; the built-in message goes out
    CARD_FAILED = "card.failed"  # a bug: the rich form of a message could not be built; it goes out as plain text
    CHANNEL_HELD = "channel.held"  # a chat service refuses a channel; its messages wait
    CHANNEL_RELEASED = "channel.released"  # the channel works again
    RETENTION_PRUNED = "retention.pruned"  # rows that ended more than `retention.keep` ago were deleted
    WEB_LISTENING = "web.listening"  # the address of the web server
    WEB_FAILED = "web.failed"  # the web server failed and is restarted, or a request hit a bug
    WEB_REFUSED = "web.refused"  # strangers: not HTTP, a wrong Host, or too much; logged once in ten seconds
    CALLBACK_TAKEN = "callback.taken"  # the service reports that a job ended; the job is polled at once
    CALLBACK_REFUSED = "callback.refused"  # a callback with a wrong or old signature; logged once in ten seconds
    HEARTBEAT_FAILED = "heartbeat.failed"  # the dead man's switch could not be pinged; logged once until it can
    HEARTBEAT_WITHHELD = "heartbeat.withheld"  # no progress, so no ping; logged once until there is progress again
    HEARTBEAT_SENT = "heartbeat.sent"  # the first ping since the start, or since one failed or was withheld
    MANAGER_UNREACHED = "systemd.unreached"  # a message to systemd was lost; a start may time out


Level = Literal["debug", "info", "warning", "error"]
Format = Literal["text", "json"]


class Logger(Protocol):
    """The methods of a module's logger, one for each level; fields are keyword arguments."""

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
        for handler in logging.getLogger().handlers:
            if isinstance(handler, _Late):
                set_up(level=handler.wanted)
        return cast("Logger", _structlog().stdlib.get_logger(self._name))

    def debug(self, event: LogEvent, **fields: object) -> None:
        self._real.debug(event, **fields)

    def info(self, event: LogEvent, **fields: object) -> None:
        self._real.info(event, **fields)

    def warning(self, event: LogEvent, **fields: object) -> None:
        self._real.warning(event, **fields)

    def error(self, event: LogEvent, **fields: object) -> None:
        self._real.error(event, **fields)


def _structlog() -> Any:
    """Import structlog without Rich, which is only for tracebacks (wrapd formats these itself, and Rich takes
    3.5 MiB and a third of the import time), and without greenlet, in whose threads nothing here runs."""
    with without("rich", "greenlet"):
        import structlog  # noqa: PLC0415
    return structlog


_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_LEAST_PRIORITY = 7
_DEPTH = 4
"""Levels of nested lists and dicts in a field that are masked."""
_OWN = frozenset({"level", "timestamp"})
"""Fields that never contain text from outside."""


class Output:
    """Counts the lines that could not be written, and reports each."""

    def __init__(self) -> None:
        self.lost = 0
        self.on_lost: Callable[[BaseException], None] | None = None

    def lose(self, error: BaseException) -> None:
        """Count a line that could not be written."""
        self.lost += 1
        if self.on_lost is not None:
            with contextlib.suppress(Exception):  # the listener must not cause a second failure
                self.on_lost(error)


OUTPUT = Output()


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines; never raises, whatever the stream or a field does."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        del record
        error = sys.exc_info()[1]
        if error is not None:
            OUTPUT.lose(error)


class _Late(_Handler):
    """Sets up the real handler at the first line that a library writes."""

    def __init__(self, level: Level) -> None:
        super().__init__(sys.stderr)
        self.wanted = level

    def emit(self, record: logging.LogRecord) -> None:
        set_up(level=self.wanted)
        logging.getLogger(record.name).handle(record)


class _Finished(logging.Formatter):
    """Masks each complete line last, whatever was in it, and adds its priority if the journal is the reader."""

    def __init__(self, inner: logging.Formatter, *, journal: bool) -> None:
        super().__init__()
        self._inner, self._journal = inner, journal

    def format(self, record: logging.LogRecord) -> str:
        text = MASKS.apply(self._inner.format(record))
        return prefixed(text, record.levelno) if self._journal else text


def prefixed(text: str, level: int) -> str:
    """Put syslog's priority for a level of `logging` before each line of `text` (sd-daemon(3))."""
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
    """Mask a field's value. Texts are masked one by one, since a cut secret is only recognized at a text's end."""
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
    """An error's type and text, not yet masked."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - a failing __str__ must not cause another error
        return type(error).__name__


def set_up(*, level: Level = "info", output: Format = "text", stream: TextIO | None = None) -> None:
    """Send all lines, including those of libraries, to `stream` (standard error by default).

    Libraries log from WARNING on, whatever `level` is; Apprise not at all, since its lines contain URLs. If the
    journal reads the stream, each line gets its priority, and text lines no timestamp.
    """
    structlog = _structlog()
    stream = stream or sys.stderr
    journal = is_journal(stream)
    without_time = journal and output == "text"
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        *([] if without_time else [structlog.processors.TimeStamper(fmt="iso", utc=True)]),
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
        else structlog.dev.ConsoleRenderer(colors=_has_colours(stream), pad_event_to=0, sort_keys=False)
    )
    handler = _Handler(stream)
    inner = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler.setFormatter(_Finished(inner, journal=journal))
    _install(handler, level)


def _has_colours(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


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
    """Set the level from which wrapd's own lines are written."""
    logging.getLogger("daemon").setLevel(level.upper())


def take_hooks() -> None:
    """Log uncaught exceptions like everything else, masked: those that end the program or a thread, and those that
    Python can only print. Called once when the process starts."""

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
