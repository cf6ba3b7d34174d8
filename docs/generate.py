"""Writes the pages that are made from the program itself, and config.example.toml; `--check` only compares.

    python docs/generate.py [--check]

What these pages say is declared once, in the program: the config's schema, the comments beside the events, the log
events and the exit statuses, the comments beside the keys of `--json`, the help of the commands, the tables of
channels, metrics and faults.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from daemon.cli import CLOSED_OUTPUT, INTERRUPTED, wrapd  # noqa: E402 - a checkout need not be installed
from daemon.config import schema_keys  # noqa: E402
from daemon.config.example import example  # noqa: E402
from daemon.domain.events import DEFAULT_EVENTS, OPERATOR_EVENTS, Event  # noqa: E402
from daemon.errors import Exit  # noqa: E402
from daemon.logs import LogEvent  # noqa: E402
from docs import pages_channels, pages_messages, pages_metrics, pages_simulator  # noqa: E402
from docs.paper import NOTE, comments, joined, table  # noqa: E402

HELP_WIDTH = 78
"""Columns of the help of commands: without it, those of whoever's terminal."""


def pages() -> dict[Path, str]:
    """Every page that is written, by its path in the project."""
    return {
        Path("config.example.toml"): example(),
        Path("docs/config.md"): config_page(),
        Path("docs/cli.md"): cli_page(),
        Path("docs/events.md"): events_page(),
        Path("docs/channels.md"): pages_channels.page(),
        Path("docs/messages.md"): pages_messages.page(),
        Path("docs/logs.md"): logs_page(),
        Path("docs/metrics.md"): pages_metrics.page(),
        Path("docs/simulator.md"): pages_simulator.page(),
    }


CONFIG_INTRO = """\
One TOML file: that of `--config`, else of `WRAPD_CONFIG`, else `./wrapd.toml`, else `/etc/wrapd/config.toml`.
`wrapd config init` writes one with every key explained. `wrapd config check` names everything that is wrong in one
run: unknown keys (with the nearest right one), wrong values, missing secrets, templates that cannot work, URLs
that Apprise does not take.

- A **duration** is text with units: "100ms", "1s", "10m", "2h", "14d", "1h30m".
- A **secret** is written as "text", `{ env = "NAME" }` (an environment variable), `{ file = "PATH" }` (a file that
  holds it alone; newlines at its end do not count) or `{ credential = "NAME" }` (systemd's
  `LoadCredential=NAME:…`). Secrets are read when they are needed: `track`, `untrack`, `label`, `tag`, `jobs`,
  `batches`, `show`, `deliveries`, `routes` and `links` work without any.
- A **relative path** counts from the folder of the config file, that of `database.url` too.
- Names of projects and channels are 1 to 64 letters, digits, `_` and `-`.
"""

CLI_INTRO = """\
`wrapd --config FILE COMMAND`. `jobs`, `batches`, `show`, `explain`, `stats`, `deliveries`, `channels`, `routes`
and `links` need no running daemon and work beside one; they read the database and never make one. They, `track`,
`untrack`, `label` and `tag` need no secrets (but `track --from-api` where no daemon runs, and `channels test`).

Where a daemon runs on the config file that a command means, `config check`, `doctor` and `templates preview` have
the daemon read that file anew, with the secrets that only the daemon has; `channels`, `routes` and `routes
explain` show what the daemon runs with. All of them say where the file differs from what runs (on standard error
where the output is a table, a text or JSON), and the exit status is about the file: 3 where it has a fault,
whatever runs. Asking changes nothing. Of any other file, and where no daemon answers within 10 seconds, the file
is all that is looked at, with the secrets that the command itself can read. A running daemon is found by the
`database.url` of the file: where that has changed, or the file is no TOML, none is found.

Errors go to standard error, as one message that begins with `wrapd:`; with `WRAPD_DEBUG=1` in the environment, an
error of wrapd itself comes with its traceback, for a report. `wrapd` alone, and a group such as `wrapd db` alone,
print their help there and end with status 2.

- **Times** are in the zone of `--tz`, else of `WRAPD_TZ` in the environment, else of the machine. Those of
  `--json` are in UTC.
- **Job ids** may be cut to their beginning, at least 6 characters, as lists on a terminal show them. An id that is
  the whole of one job's means that job. Where several begin so, an error names them and nothing is done. `track`
  takes ids as they are.
- **Lists** fit a terminal: names come first, ids are as short as tells them apart, the project is left out where
  there is only one, and long texts stand under their row. A pipe gets whole ids and all columns, each row on one
  line, free text last; scripts had better take `--json`.
"""

JSON_INTRO = """\
One JSON document. Keys may be added; none goes or changes its meaning. Times are ISO 8601 in UTC.

`wrapd jobs --json` is a list of jobs, `wrapd batches --json` of batches. `wrapd show JOB_ID --json` is one job
with two keys more: `transitions` and `deliveries`. `wrapd deliveries --json` is a list of deliveries,
`wrapd deliveries show ID --json` is one; here and in `show` each has its attempts as `tries`.
`wrapd channels --json` is a list of channels, `wrapd routes --json` of routes, `wrapd routes explain --json` of
routings (one, or one for each event), `wrapd templates preview --json` of previews, `wrapd links list --json` of
links, `wrapd stats --json` of stats, one for each project, `wrapd doctor --json` of findings.
`wrapd explain JOB_ID --json` is one explanation, `wrapd track … --json` an object with `jobs`, a list of what
became of each (tracked); with `--from-api` it is one account of what was found.
What a `json://` channel gets is in [channels.md](channels.md).
"""

EVENTS_INTRO = """\
An alert is one event for one channel. Each end of a job is told once in its life. That of a batch is told once,
and once more where jobs come to it later.

What comes and goes (`blocked` and `unblocked`; `project_down`, `project_recovered` and `auth_failed`;
`overloaded`) is told twice at once; then it waits for 10 minutes after the last message, then 20, 40, … up to
2 hours, and the latest of it is told with how often it changed. After a day without a message it begins anew,
and an end never waits.

What each message says is shown in [messages.md](messages.md).
"""

LOGS_INTRO = """\
The daemon writes to standard error, one line for each event, as text or (`log.format`) as JSON. Secrets of 6
characters or more, channel URLs and the queries of URLs are masked, also where they stand escaped, encoded or cut
in another program's words, and in tracebacks.

Where systemd's journal reads standard error, each line has its priority (`journalctl -p warning`), and text has no
time of its own, since the journal keeps one. A line that cannot be written (the disk is full, the reader is gone)
is counted in `wrapd_log_lines_lost_total`, and the daemon goes on. Only a `wrapd run` in a terminal ends, cleanly,
when its terminal or its pipe is closed.
"""


def config_page() -> str:
    """docs/config.md: every key of the schema."""
    lines = ["# The config", "", NOTE, "", CONFIG_INTRO]
    for part in schema_keys.parts():
        lines += [f"## {f'`{part.heading}`' if part.heading else 'Top level'}", ""]
        lines += [part.about, ""] if part.heading else []
        lines += _keys(part)
        if part.place == "projects.NAME":
            for method in schema_keys.methods():
                lines += [f"### `auth` with `{method.heading}`", "", method.about, "", *_keys(method)]
    return joined(lines)


def cli_page() -> str:
    """docs/cli.md: exit statuses, keys of `--json`, the help of every command."""
    statuses = [(str(each.value), text) for each, text in comments(Exit).items()]
    statuses += [
        (str(INTERRUPTED), "interrupted by Ctrl-C"),
        (str(CLOSED_OUTPUT), "the reader of the output went away (`wrapd jobs | head`)"),
    ]
    lines = ["# The commands", "", NOTE, "", CLI_INTRO]
    lines += ["## Exit statuses", "", *table(("status", "meaning"), statuses)]
    lines += ["## Keys of `--json`", "", JSON_INTRO, *_json_keys()]
    root = click.Context(wrapd, info_name="wrapd", terminal_width=HELP_WIDTH)
    lines += ["## Help", "", "```text", wrapd.get_help(root), "```", ""]
    for command in _commands(wrapd, root):
        lines += [f"### `{command.command_path}`", "", "```text", command.command.get_help(command), "```", ""]
    return joined(lines)


def events_page() -> str:
    """docs/events.md: the events of daemon/domain/events.py."""
    meanings = comments(Event)
    default = ", ".join(f"`{event}`" for event in DEFAULT_EVENTS)
    jobs = [(f"`{event}`", text) for event, text in meanings.items() if event not in OPERATOR_EVENTS]
    operators = [(f"`{event}`", text) for event, text in meanings.items() if event in OPERATOR_EVENTS]
    lines = ["# Events", "", NOTE, ""]
    lines += [EVENTS_INTRO]
    lines += ["## Of jobs", "", f"A route names these. Without routes every channel gets {default}.", ""]
    lines += [*table(("event", "meaning"), jobs)]
    lines += ["## For operators", ""]
    lines += ["These go to the channels named in `operators`, to every channel by default.", ""]
    return joined([*lines, *table(("event", "meaning"), operators)])


def logs_page() -> str:
    """docs/logs.md: the events of daemon/logs.py."""
    rows = [(f"`{event}`", text) for event, text in comments(LogEvent).items()]
    return joined(["# Log events", "", NOTE, "", LOGS_INTRO, *table(("event", "meaning"), rows)])


def _commands(group: click.Group, parent: click.Context) -> Iterator[click.Context]:
    for name in group.list_commands(parent):
        command = group.get_command(parent, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=parent, terminal_width=HELP_WIDTH)
        yield context
        if isinstance(command, click.Group):
            yield from _commands(command, context)


def _keys(part: schema_keys.SectionDoc) -> list[str]:
    rows = [(f"`{key.name}`", key.about, _default(key), f"`{key.toml}`") for key in part.keys]
    return table(("key", "meaning", "default", "example"), rows)


def _default(key: schema_keys.Key) -> str:
    if key.required:
        return "required"
    return f"`{key.default}`" if key.default == key.toml else key.default


_DOCUMENTS = (
    "job",
    "transition",
    "batch",
    "delivery",
    "attempt",
    "tracked",
    "channel",
    "route",
    "routing",
    "preview",
    "link",
    "explanation",
    "stats",
    "account",
    "finding",
)


def _json_keys() -> Iterator[str]:
    """The keys of `--json` with the comments beside them, in daemon/views/ and in the commands."""
    shaped, text = (
        "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / folder).glob("*.py")))
        for folder in ("daemon/views", "daemon/cli")
    )
    for name in _DOCUMENTS:
        view = re.search(rf'class {name.capitalize()}:\n    """.*?"""\n\n(.*?)(?:\n\n|\Z)', shaped, re.DOTALL)
        body = re.search(rf"def json_of_{name}\(.*?\n    return \{{\n(.*?)\n    \}}", text, re.DOTALL)
        found = view or body
        assert found is not None, f"{name} is declared neither in views nor in a command as this script expects it"
        rows = _commented_keys(found[1], r"    (\w+?)_?: " if view else r'        "(\w+)":')
        yield from [f"### {name.capitalize()}", "", *table(("key", "value"), rows)]


def _commented_keys(body: str, named: str) -> list[tuple[str, ...]]:
    # A key's comment stands at the end of its line, or above it where the line would be too long.
    rows: list[tuple[str, ...]] = []
    above: list[str] = []
    for line in body.splitlines():
        if comment := re.fullmatch(r"\s*# (.*)", line):
            above.append(comment[1])
        elif key := re.match(rf"{named}(?:.*  # (.*))?", line):
            said = " ".join([*above, *([key[2]] if key[2] else [])])
            assert said, f"nothing explains the key {key[1]}"
            rows.append((f"`{key[1]}`", said))
            above = []
    return rows


def main() -> int:
    """Write the pages, or with --check name those that are stale."""
    stale = []
    for path, text in pages().items():
        target = ROOT / path
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            stale.append(str(path))
            if "--check" not in sys.argv[1:]:
                target.write_text(text, encoding="utf-8")
    if stale and "--check" in sys.argv[1:]:
        click.echo(f"stale: {', '.join(stale)}; run python docs/generate.py", err=True)
        return 1
    click.echo(f"written: {', '.join(stale)}" if stale else "all pages are as the program is")
    return 0


if __name__ == "__main__":
    sys.exit(main())
