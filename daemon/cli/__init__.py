"""The command `wrapd`: finds and runs the subcommand, and turns every expected error into one message and a
status.

Each subcommand lives in its own module with an attribute `command`, listed in `commands`. Modules are imported on
demand and import what is slow (the API client, the web server, Apprise) inside their functions, because `wrapd
jobs` in a script would pay for it on every call.
"""

import contextlib
import errno
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import click

from daemon import __version__, logs
from daemon.cli.text import clean
from daemon.config.values import nearest
from daemon.errors import Exit, WrapdError

commands: list[str] = [
    "run",
    "demo",
    "track",
    "untrack",
    "label",
    "tag",
    "jobs",
    "batches",
    "show",
    "explain",
    "stats",
    "deliveries",
    "channels",
    "routes",
    "templates",
    "links",
    "callback-url",
    "config",
    "reload",
    "db",
    "doctor",
    "completion",
    "sim",
]
"""The subcommands in help order. Each is `command` in the module daemon.cli.<name> (`_` for `-`)."""

INTERRUPTED = 130
"""Exit status after Ctrl-C: 128 + SIGINT, the shell convention."""
CLOSED_OUTPUT = 141
"""Exit status when the reader of the output has gone away: 128 + SIGPIPE, the shell convention."""

_CANNOT_WRITE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


class ClosedOutput(Exception):
    """The reader of the output has gone away (`wrapd jobs | head`): exit quietly."""


class Commands(click.Group):
    """Subcommands by name, imported on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return commands

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in commands:
            return None
        command: click.Command = importlib.import_module(f"daemon.cli.{cmd_name.replace('-', '_')}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in commands and not ctx.resilient_parsing:
            near = nearest(args[0], commands)
            remedy = f"Did you mean {near!r}?" if near else "`wrapd --help` lists them."
            ctx.fail(f"There is no command {clean(args[0])!r}. {remedy}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        try:
            result: object = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError as error:
            raise ClosedOutput from error
        return result


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--config",
    "config_path",
    metavar="FILE",
    type=click.Path(readable=False),
    help="Config file. [default: $WRAPD_CONFIG, else ./wrapd.toml, else /etc/wrapd/config.toml]",
)
@click.version_option(__version__, prog_name="wrapd")
@click.pass_context
def wrapd(ctx: click.Context, config_path: str | None) -> None:
    """Watch MetaStudio video jobs and alert your team in its own chat when one finishes, fails or freezes."""
    ctx.obj = config_path


def main(args: Sequence[str] | None = None) -> int:
    """Run a command line (the process's own by default) and return its exit status."""
    _settle_streams()
    logs.set_up(level="warning")
    if args is None:
        logs.take_hooks()
    try:
        return _run(args)
    except Exception as error:  # noqa: BLE001 - unexpected; users should see one line, not a traceback
        _complain_of_defect(error)
        return int(Exit.FAILED)
    finally:
        _forget_if_broken(sys.stderr)


def _run(args: Sequence[str] | None) -> int:
    try:
        result = wrapd.main(args=None if args is None else list(args), prog_name="wrapd", standalone_mode=False)
    except WrapdError as error:
        _complain(str(error))
        return int(error.exit_status)
    except click.ClickException as error:
        _complain_of_usage(error)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except ClosedOutput:
        _forget(sys.stdout)
        return CLOSED_OUTPUT
    except OSError as error:
        if error.errno not in _CANNOT_WRITE or error.filename is not None:
            raise
        _complain(f"the output cannot be written: {error.strerror}")
        _forget(sys.stdout)
        return int(Exit.FAILED)
    return result if isinstance(result, int) else 0


def _settle_streams() -> None:
    """Make the standard streams usable however wrapd was started."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # closed streams now go to /dev/null; otherwise the database could be opened as standard error
    os.close(descriptor)
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for good
    sys.stderr = sys.stderr or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for good
    for stream in (sys.stdout, sys.stderr):
        # A non-UTF-8 terminal or pipe shows what it can: a job's name must not abort a command.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def _complain(message: str, *, usage: click.Context | None = None) -> None:
    lines = [clean(line) for line in message.splitlines()] or ["something went wrong"]
    hint = f"\nTry `{usage.command_path} --help`." if usage is not None else ""
    text = f"wrapd: {chr(10).join(lines)}{hint}"
    if logs.is_journal(sys.stderr):
        text = logs.prefixed(text, logging.ERROR)
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr)  # noqa: T201 - the one place for errors


def _complain_of_usage(error: click.ClickException) -> None:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):  # no command given: print the help
        with contextlib.suppress(OSError, ValueError):
            error.show()
        return
    message = error.format_message()
    if isinstance(error, click.NoSuchOption) and error.option_name == "--config":
        message += " It goes before the command: `wrapd --config FILE COMMAND`."
    _complain(message, usage=getattr(error, "ctx", None))


def _complain_of_defect(error: Exception) -> None:
    """Print what to report: the error and where it was raised, and with WRAPD_DEBUG set the traceback."""
    from daemon.tasks import where_of  # noqa: PLC0415 - needed only here

    if os.environ.get("WRAPD_DEBUG"):
        _complain(logs.MASKS.apply("".join(traceback.format_exception(error))))
    text = " ".join(logs.MASKS.apply(str(error)).split())
    _complain(
        f"internal error at {where_of(error)}: {text}. Please report it with the output of the same command run "
        "with WRAPD_DEBUG=1 in its environment"
    )


def _forget_if_broken(stream: TextIO) -> None:
    try:
        stream.flush()
    except (OSError, ValueError):
        _forget(stream)


def _forget(stream: TextIO) -> None:
    """Point a broken stream at /dev/null: the interpreter's final flush would fail and change the exit status."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
