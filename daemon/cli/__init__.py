"""The command `wrapd`: finds and runs the subcommand, and turns every expected error into one message and a
status.

Each subcommand lives in its own module with an attribute `command`, listed in `commands`. Modules are imported on
demand and import what is slow (the API client, the web server, Apprise) inside their functions, because `wrapd
jobs` in a script would pay for it on every call.
"""

import contextlib
import errno
import gc
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import click
from click.shell_completion import CompletionItem

from daemon import __version__
from daemon.errors import Exit, WrapdError

commands = {
    "run": "Watch tracked jobs and deliver alerts until stopped.",
    "demo": "Try wrapd with a simulated MetaStudio; needs no account.",
    "track": "Watch jobs from now on, and alert the channels when they end.",
    "untrack": "Stop watching jobs, and revoke wrapd's own links to them.",
    "label": "Set the label of jobs.",
    "ask": "Have jobs asked about now.",
    "note": "Put a line on a job, which its messages carry.",
    "tag": "Add tags to jobs or remove them.",
    "jobs": "List jobs, ended ones included, newest first.",
    "batches": "List batches: how many jobs have ended, when the last will.",
    "needs": "List what needs a person, each with its one action.",
    "pause": "Stop asking about a project's jobs for a while.",
    "resume": "Ask about a paused project's jobs again.",
    "show": "Show everything known about one job.",
    "watch": "Follow jobs until each has ended; the status says how.",
    "explain": "Explain why a job was polled, and when it will be next.",
    "stats": "Show job counts, polling and production times by project.",
    "deliveries": "List alerts, each for one channel, newest first.",
    "mute": "Mute alerts for a while; list and end mutes.",
    "share": "Share batches by an address; list and revoke shares.",
    "channels": "List channels with their alerts.",
    "routes": "List routes: which events go to which channels.",
    "templates": "List your own templates, or preview messages.",
    "links": "List or revoke wrapd's own links to videos.",
    "tokens": "Create, list or revoke tokens of the HTTP API.",
    "web": "Log in to the pages without a token.",
    "callback-url": "Print the callback_url to give to MetaStudio.",
    "config": "Create or check the config.",
    "reload": "Make the running daemon read its config again.",
    "db": "Upgrade, check, back up, restore or prune the database.",
    "doctor": "Check the entire installation and say what to fix.",
    "completion": "Print a Tab completion script: bash, zsh, fish.",
    "sim": "Serve a simulated MetaStudio until Ctrl-C.",
}
"""The subcommands with their help lines, in order. Each is `command` in daemon.cli.<name> (`_` for `-`)."""

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
        return list(commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The same list as click's, without importing every command."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(commands.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The same completions as click's, without importing every command."""
        named = [CompletionItem(name, help=text) for name, text in commands.items() if name.startswith(incomplete)]
        return [*named, *click.Command.shell_complete(self, ctx, incomplete)]

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
            from daemon.cli.text import clean  # noqa: PLC0415 - for errors only
            from daemon.config.values import nearest  # noqa: PLC0415

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
    own_process, ctx.obj = ctx.obj, config_path
    if ctx.invoked_subcommand == "completion":
        return  # it reads nothing, so it has nothing to log
    from daemon import logs  # noqa: PLC0415 - `--help` and `--version` need none

    logs.set_up_late(level="warning")
    if own_process:
        logs.take_hooks()


def main(args: Sequence[str] | None = None) -> int:
    """Run a command line (the process's own by default) and return its exit status."""
    _settle_streams()
    if args is None:
        gc.disable()  # until the modules are there: nothing of them is garbage
    try:
        status = _run(args)
    except SystemExit as end:  # so click ends a completion
        status = int(end.code or 0)
    except Exception as error:  # noqa: BLE001 - unexpected; users should see one line, not a traceback
        _complain_of_defect(error)
        status = int(Exit.FAILED)
    finally:
        _forget_if_broken(sys.stderr)
    return status


def _run(args: Sequence[str] | None) -> int:
    try:
        given = None if args is None else list(args)
        result = wrapd.main(args=given, prog_name="wrapd", standalone_mode=False, obj=args is None)
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
    import logging  # noqa: PLC0415 - for errors only

    from daemon import logs  # noqa: PLC0415
    from daemon.cli.output import fit  # noqa: PLC0415
    from daemon.cli.text import clean  # noqa: PLC0415

    lines = [clean(line) for line in message.splitlines()] or ["something went wrong"]
    advice = f"\nTry `{usage.command_path} --help`." if usage is not None else ""
    text = fit(f"wrapd: {chr(10).join(lines)}{advice}", sys.stderr)
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
    import traceback  # noqa: PLC0415 - for errors only

    from daemon import logs  # noqa: PLC0415
    from daemon.tasks import where_of  # noqa: PLC0415

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
