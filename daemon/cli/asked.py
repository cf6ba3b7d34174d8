"""The running daemon's view of its config file: whether the file is valid, checked with the secrets that only the
daemon has, and how it differs from the config in use.

A command asks the daemon only if both use the same file. If no daemon runs or it cannot answer, the command reads
the file itself.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from daemon import __version__
from daemon.app import control_client
from daemon.app.control_address import identity
from daemon.cli import output
from daemon.cli.session import config_path
from daemon.cli.text import moment
from daemon.config import Config, examine, load, read_tree
from daemon.errors import ConfigFault

PATIENCE = 10.0
"""Seconds to wait for the daemon to read its config."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigAnswer:
    """The daemon's report on its config file.

    `since`: when it read the config in use; `running`: that config, without secrets; `refused`: what is wrong with
    the file, as one text and as separate `faults`; `changed`: what differs from the config in use, of which
    `needs_restart` takes a restart; `credentials`: what systemd passed to it, for `daemon.cli.units.stale`.
    """

    since: datetime
    running: Config | None
    refused: str | None
    faults: tuple[str, ...]
    warnings: tuple[str, ...]
    changed: tuple[str, ...]
    needs_restart: tuple[str, ...]
    credentials: object
    previews: tuple[Mapping[str, Any], ...]

    def difference(self, *, of: tuple[str, ...] = ("",)) -> list[str]:
        """Lines that say how the file differs from the config in use, for keys that begin with one of `of`."""
        at = moment(self.since)
        if self.faults:
            return [f"the file has a fault; the daemon continues with the config it read at {at}"]
        changed = [each for each in self.changed if each.startswith(of)]
        later = [each for each in self.needs_restart if each.startswith(of)]
        if not changed:
            return []
        sooner = any(each.partition(":")[0] not in later for each in changed)
        return [
            f"the daemon runs with the config it read at {at}; the file differs:",
            *(f"  {each}" for each in changed),
            *(["`wrapd reload` applies it"] if sooner else []),
            *([f"applied only after a restart: {', '.join(later)}"] if later else []),
        ]


class RefusedByDaemon(ConfigFault):
    """The daemon reports faults in its config file and continues with the config in use."""

    def __init__(self, answer: ConfigAnswer) -> None:
        super().__init__("\n".join([answer.refused or "", *answer.difference()]))
        self._faults = answer.faults

    @property
    def each(self) -> tuple[str, ...]:
        return self._faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """The daemon's answer, or in `why_not` the reason why a running daemon gave none. `hangs`: it did not
    respond."""

    answer: ConfigAnswer | None = None
    why_not: str | None = None
    hangs: bool = False


def ask(path: Path, request: str = "check", **more: object) -> Heard:
    """Ask the daemon that uses the database of the config at `path`, provided that this is the daemon's config."""
    database = _database(path)
    if database is None:
        return Heard()
    try:
        wanted = {"request": request, "file": identity(path), **more}
        said = control_client.ask(database, wanted, patience=PATIENCE)
    except (control_client.Unanswered, control_client.Declined) as error:
        return Heard(why_not=str(error), hangs=isinstance(error, control_client.Unanswered))
    except OSError:  # the file is gone; reading it later reports that
        return Heard()
    if said is None or said.get("own") is False:
        return Heard()
    version = said.get("version")
    if version != __version__:
        return Heard(why_not=f"it is wrapd {version}, this command is wrapd {__version__}")
    return Heard(answer=_answer(said, path))


def checked(path: Path, heard: Heard) -> tuple[Config, Sequence[str]]:
    """The fully checked config and its warnings, from the daemon if it answered, otherwise checked here. Raises
    ConfigFault with all faults."""
    if heard.answer is None:
        from daemon.build import check_config  # noqa: PLC0415 - the API client and Apprise are slow to import

        return check_config(path, os.environ)
    if heard.answer.refused is not None:
        raise RefusedByDaemon(heard.answer)
    return load(path), heard.answer.warnings


@contextmanager
def running_config(ctx: click.Context, *about: str) -> Iterator[Config]:
    """The config in use by the daemon if one runs on this file, otherwise the file's. On exit, prints to standard
    error how the file differs in keys that begin with one of `about`. Raises ConfigFault if the file has a fault;
    if a daemon runs, only on exit."""
    path = config_path(ctx)
    heard = ask(path)
    note_silence(heard)
    answer = heard.answer
    if answer is None or answer.running is None:
        yield load(path)
        return
    yield answer.running
    if answer.refused is not None:
        raise RefusedByDaemon(answer)
    for line in answer.difference(of=about):
        note(line)


def note(text: str) -> None:
    """Print one line to standard error."""
    output.hint(text)


def note_silence(heard: Heard) -> None:
    """Say so if a daemon runs but did not answer."""
    if heard.why_not is not None:
        note(f"the running daemon could not be asked, so only the file was read: {heard.why_not}")


def _database(path: Path) -> Path | None:
    """The database file, from that section alone because the rest of the config may have faults."""
    try:
        tree = read_tree(path)
    except ConfigFault:
        return None
    config, faults = examine({key: tree[key] for key in ("database",) if key in tree}, path)
    return None if config is None or faults else config.database.path.resolve()


def _answer(said: Mapping[str, Any], path: Path) -> ConfigAnswer:
    source = said.get("running")
    running, faults = examine(source, path) if isinstance(source, dict) and source else (None, [])
    refused = said.get("refused")
    return ConfigAnswer(
        since=datetime.fromisoformat(str(said["since"])),
        running=None if faults else running,
        refused=None if refused is None else str(refused),
        faults=tuple(map(str, said.get("faults", ()))),
        warnings=tuple(map(str, said.get("warnings", ()))),
        changed=tuple(map(str, said.get("changed", ()))),
        needs_restart=tuple(map(str, said.get("needs_restart", ()))),
        credentials=said.get("credentials"),
        previews=tuple(said.get("previews", ())),
    )
