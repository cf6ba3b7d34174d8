"""Generates the docs pages and other files that come from the program itself; `--check` only compares.

    python docs/generate.py [--check]

Their content is declared once, in the program: the config's schema, the comments next to events, log events, exit
statuses and keys of `--json`, the help of the commands, and the tables of channels, metrics and faults.
"""

import json
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
from daemon.config.json_schema import FILE_NAME, json_schema  # noqa: E402
from daemon.config.keys import Key  # noqa: E402
from daemon.domain.events import DEFAULT_EVENTS, OPERATOR_EVENTS, Event  # noqa: E402
from daemon.errors import Exit  # noqa: E402
from daemon.logs import LogEvent  # noqa: E402
from daemon.views.sheets import COLUMNS  # noqa: E402
from docs import (  # noqa: E402
    alert_rules,
    grafana_board,
    pages_architecture,
    pages_channels,
    pages_messages,
    pages_metrics,
    pages_monitoring,
    pages_simulator,
)
from docs.paper import NOTE, comments, joined, table  # noqa: E402

HELP_WIDTH = 78
"""Width of the commands' help; otherwise it would depend on the terminal."""


def pages() -> dict[Path, str]:
    """Every generated page, by its path in the project."""
    return {
        Path("config.example.toml"): example(),
        Path(FILE_NAME): json.dumps(json_schema(), ensure_ascii=False, indent=2) + "\n",
        Path("docs/config.md"): config_page(),
        Path("docs/cli.md"): cli_page(),
        Path("docs/events.md"): events_page(),
        Path("docs/channels.md"): pages_channels.page(),
        Path("docs/messages.md"): pages_messages.page(),
        Path("docs/logs.md"): logs_page(),
        Path("docs/metrics.md"): pages_metrics.page(),
        Path("packaging/prometheus/rules.yml"): alert_rules.rules_file(),
        Path("packaging/grafana/wrapd.json"): grafana_board.board(),
        Path("docs/monitoring.md"): pages_monitoring.page(),
        Path("docs/architecture.md"): pages_architecture.page(),
        Path("docs/simulator.md"): pages_simulator.page(),
    }


CONFIG_INTRO = """\
One TOML file: `--config`, else `WRAPD_CONFIG`, else `./wrapd.toml`, else `/etc/wrapd/config.toml`. `wrapd config
init` writes one with every key explained. `wrapd config check` reports all faults in one run: unknown keys (with
the closest valid one), invalid values, missing secrets, broken templates, and URLs that Apprise rejects.

- A **duration** is text with units: "100ms", "1s", "10m", "2h", "14d", "1h30m".
- A **secret** is written as "text", `{ env = "NAME" }` (an environment variable), `{ file = "PATH" }` (a file that
  contains only the secret; trailing newlines are ignored) or `{ credential = "NAME" }` (systemd's
  `LoadCredential=NAME:…`). Secrets are read only when needed: `track`, `untrack`, `label`, `tag`, `note`, `ask`,
  `jobs`, `batches`, `needs`, `show`, `watch`, `deliveries`, `mute`, `share`, `routes` and `links` work without
  any.
- A **relative path** starts from the folder of the config file, including that of `database.url`.
- Names of projects and channels are 1 to 64 letters, digits, `_` and `-`.
- Every command checks the whole file, but reads no secret that it does not need.
- For editors, `wrapd config schema > config.schema.json` next to the file writes its JSON Schema (draft 2020-12),
  which the first line of `wrapd config init` names: Taplo and Even Better TOML then complete keys and mark faults.
"""

CLI_INTRO = """\
`wrapd --config FILE COMMAND`. `jobs`, `batches`, `show`, `watch`, `explain`, `stats`, `deliveries`, `channels`,
`routes`, `needs` and `links` work with or without a running daemon; they read the database and never create one.
These commands, `track`, `untrack`, `label`, `tag`, `note`, `ask`, `pause`, `resume`, `mute` and `share` need no
secrets, except `channels test` and, without a daemon, `track --from-api`.

If a daemon runs on the command's config file, `config check`, `doctor` and `templates preview` have the daemon
read the file again with its own secrets; `channels`, `routes` and `routes explain` show the config in use. All of
them report how the file differs from the config in use (on standard error if the output is a table, text or JSON).
The exit status refers to the file: 3 if it has a fault, whatever config is in use. Nothing is changed. For any
other file, or if the daemon does not answer within 10 seconds, only the file is read, with the secrets available
to the command. The daemon is found by the file's `database.url`: if that has changed, or the file is not valid
TOML, no daemon is found.

Errors go to standard error as one message that begins with `wrapd:`. With `WRAPD_DEBUG=1` in the environment, an
internal error includes its traceback, for a report. `wrapd` without a command, and a group such as `wrapd db`
without one, print their help there and exit with status 2.

- **Times** are in the zone of `--tz`, else of `WRAPD_TZ` in the environment, else of the machine. Times of
  `--json` are in UTC.
- **Job ids** can be shortened to a prefix of at least 6 characters, as lists on a terminal show them. An exact id
  takes precedence over a prefix. If a prefix is ambiguous, the error lists the matches and nothing is done.
  `track` needs complete ids.
- **Lists** fit the terminal: names come first, ids are shortened to unique prefixes, the project column is omitted
  if there is only one project, and long texts go under their row. A pipe gets complete ids and all columns, each
  row on one line, free text last; scripts should prefer `--json`.
"""

JSON_INTRO = """\
One JSON document. Keys may be added, but not removed or changed in meaning. Times are ISO 8601 in UTC.

`wrapd jobs --json` is a list of jobs, `wrapd batches --json` of batches. `wrapd show JOB_ID --json` is one job
with three additional keys, `transitions`, `deliveries` and `actions` (the latest 50, oldest first). `wrapd
deliveries --json` is a list of deliveries, `wrapd deliveries show ID --json` is one; there and in `show`, each has
its attempts in `tries`. `wrapd channels --json` is a list of channels, `wrapd routes --json` of routes, `wrapd
routes explain --json` of routings (one, or one for each event), `wrapd templates preview --json` of previews,
`wrapd mute list --json` of mutes, `wrapd share list --json` of shares (`wrapd share --json` is one, with its
address as `url`), `wrapd links list --json` of links, `wrapd tokens list --json` of tokens,
`wrapd stats --json` of stats, one for each project, `wrapd doctor --json` of findings. `wrapd needs --json` is
one object (needs). `wrapd explain JOB_ID --json` is one explanation. `wrapd watch --json` is not one document
but one object a line (followed), the last one says how it ended (conclusion). `wrapd track … --json` is an
object with `jobs`, a list of results (tracked); with `--from-api` it is one account. The body sent to a
`json://` channel is described in [channels.md](channels.md).
"""

CSV_INTRO = """\
`wrapd jobs --csv` and [`GET /api/v1/jobs?format=csv`](api.md#jobs) have these columns, named after the keys
above, and one record for each job (RFC 4180, UTF-8). Times are ISO 8601 in UTC, tags are separated by `; `, and
where there is no value the cell is empty. Links to videos are left out: whoever has one can open the video.

A text that begins like a formula, with `=`, `+`, `-`, `@`, a tab or a line break, spaces before it included, has
an apostrophe before it: names come from outside, and a spreadsheet would execute it. Excel takes a file for UTF-8
only if it begins with a byte order mark: `--csv` and `format=csv` write none, because programs stumble over it;
`format=excel`, to which the page of jobs leads, does.
"""

EVENTS_INTRO = """\
An alert is one event for one channel. Each end of a job is reported once. The end of a batch is reported once, and
again if jobs are added to it later.

Recurring changes (`blocked` and `unblocked`; `project_down`, `project_recovered` and `auth_failed`; `overloaded`)
are reported at once the first two times. After that, the latest one waits for 10 minutes after the last message,
then 20, 40, … up to 2 hours, and says how often it changed. After a day without a message this starts over. The
end of a job never waits.

The text of each message is shown in [messages.md](messages.md).
"""

LOGS_INTRO = """\
The daemon logs to standard error, one line per event, as text or JSON (`log.format`). Secrets of 6 characters or
more, channel URLs and URL queries are masked, even if they appear escaped, encoded or cut in another program's
message or in a traceback.

If standard error goes to systemd's journal, each line has its priority (`journalctl -p warning`), and text has no
timestamp, since the journal adds one. A line that cannot be written (the disk is full, the reader is gone) is
counted in `wrapd_log_lines_lost_total`, and the daemon continues. Only a `wrapd run` in a terminal exits, cleanly,
when its terminal or pipe is closed.
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
        (str(CLOSED_OUTPUT), "the reader of the output has gone away (`wrapd jobs | head`)"),
    ]
    lines = ["# The commands", "", NOTE, "", CLI_INTRO]
    lines += ["## Exit statuses", "", *table(("status", "meaning"), statuses)]
    lines += ["## Keys of `--json`", "", JSON_INTRO, *_json_keys()]
    lines += ["## Columns of `--csv`", "", CSV_INTRO, *_csv_columns()]
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
    lines += ["## Of jobs", "", f"Routes name these. Without routes, every channel gets {default}.", ""]
    lines += [*table(("event", "meaning"), jobs)]
    lines += ["## For operators", ""]
    lines += ["These go to the channels listed in `operators`, by default to every channel.", ""]
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


def _default(key: Key) -> str:
    if key.required:
        return "required"
    return f"`{key.default}`" if key.default == key.toml else key.default


_DOCUMENTS = (
    "job",
    "transition",
    "batch",
    "needs",
    "need",
    "delivery",
    "attempt",
    "act",
    "mute",
    "share",
    "tracked",
    "channel",
    "route",
    "routing",
    "preview",
    "link",
    "token",
    "explanation",
    "stats",
    "followed",
    "conclusion",
    "paused",
    "account",
    "finding",
)


def _json_keys() -> Iterator[str]:
    """The keys of `--json` with the comments next to them, from daemon/views/ and daemon/cli/."""
    shaped, text = (
        "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / folder).glob("*.py")))
        for folder in ("daemon/views", "daemon/cli")
    )
    for name in _DOCUMENTS:
        view = re.search(
            rf'class (?:Listed)?{name.capitalize()}\(.*?\):\n    """.*?"""\n\n(.*?)(?:\n\n|\Z)', shaped, re.DOTALL
        )
        body = re.search(rf"def json_of_{name}\(.*?\n    return \{{\n(.*?)\n    \}}", text, re.DOTALL)
        found = view or body
        assert found is not None, f"{name} is declared neither in views nor in a command as this script expects it"
        rows = _commented_keys(found[1], r"    (\w+?)_?: " if view else r'        "(\w+)":')
        yield from [f"### {name.capitalize()}", "", *table(("key", "value"), rows)]


def _csv_columns() -> list[str]:
    """The columns of a CSV of jobs, with the comments of their keys."""
    source = (ROOT / "daemon/views/jobs.py").read_text(encoding="utf-8")
    said: dict[str, str] = {}
    for view, before in (("Job", ""), ("Remaining", "eta.")):
        body = re.search(rf'class {view}\(.*?\):\n    """.*?"""\n\n(.*?)\n\n', source, re.DOTALL)
        assert body is not None, view
        said |= {f"`{before}{key[1:]}": text for key, text in _commented_keys(body[1], r"    (\w+?)_?: ")}
    return table(("column", "value"), [(f"`{title}`", said[f"`{title}`"]) for title in COLUMNS])


def _commented_keys(body: str, named: str) -> list[tuple[str, ...]]:
    # A key's comment is at the end of its line, or starts on the lines above if that would be too long.
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
    """Write the pages, or with --check list stale ones."""
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
    click.echo(f"written: {', '.join(stale)}" if stale else "all pages are up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
