"""What the running daemon says of its own config file: whether it is in order, by the secrets that only the daemon
has, and how it differs from what runs.

A command asks only where it means the same file as the daemon. Where none runs, or it cannot answer, the file is
looked at here.
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
from daemon.cli.session import config_path
from daemon.cli.text import clean, moment
from daemon.config import Config, examine, load, read_tree
from daemon.errors import ConfigFault

PATIENCE = 10.0
"""Seconds that a daemon is given to read its config."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigAnswer:
    """What the daemon says of its config file.

    `since`: when it read the config that runs; `running`: that config, without secrets; `refused`: what is wrong
    with the file, as one text and as single `faults`; `changed`: what differs from what runs, of which
    `needs_restart` takes a restart; `credentials`: what systemd handed to it, for `daemon.cli.units.stale`.
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
        """How the file differs from what runs, in lines; only keys that begin with one of `of`."""
        at = moment(self.since)
        if self.faults:
            return [f"the file has a fault; the daemon goes on with the config that it read at {at}"]
        changed = [each for each in self.changed if each.startswith(of)]
        later = [each for each in self.needs_restart if each.startswith(of)]
        if not changed:
            return []
        sooner = any(each.partition(":")[0] not in later for each in changed)
        return [
            f"the daemon runs with the config that it read at {at}; the file differs:",
            *(f"  {each}" for each in changed),
            *(["`wrapd reload` takes it into use"] if sooner else []),
            *([f"used after a restart only: {', '.join(later)}"] if later else []),
        ]


class RefusedByDaemon(ConfigFault):
    """The daemon's word that its config file has faults, and that it goes on without it."""

    def __init__(self, answer: ConfigAnswer) -> None:
        super().__init__("\n".join([answer.refused or "", *answer.difference()]))
        self._faults = answer.faults

    @property
    def each(self) -> tuple[str, ...]:
        return self._faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """The daemon's answer; without one `why_not` says why a daemon that runs gave none. `hangs`: it had to."""

    answer: ConfigAnswer | None = None
    why_not: str | None = None
    hangs: bool = False


def ask(path: Path, request: str = "check", **more: object) -> Heard:
    """Ask the daemon that works on the database of the config at `path`, if that config is its own."""
    database = _database(path)
    if database is None:
        return Heard()
    try:
        asked = {"request": request, "file": identity(path), **more}
        said = control_client.ask(database, asked, patience=PATIENCE)
    except (control_client.Unanswered, control_client.Declined) as error:
        return Heard(why_not=str(error), hangs=isinstance(error, control_client.Unanswered))
    except OSError:  # the file is gone: whoever reads it says so
        return Heard()
    if said is None or said.get("own") is False:
        return Heard()
    version = said.get("version")
    if version != __version__:
        return Heard(why_not=f"it is wrapd {version}, and this is wrapd {__version__}")
    return Heard(answer=_answer(said, path))


def checked(path: Path, heard: Heard) -> tuple[Config, Sequence[str]]:
    """The config, wholly checked, and what is allowed but unwise: by the daemon where it has answered, else here.
    Raises ConfigFault with all faults."""
    if heard.answer is None:
        from daemon.build import check_config  # noqa: PLC0415 - the API client and Apprise are slow to import

        return check_config(path, os.environ)
    if heard.answer.refused is not None:
        raise RefusedByDaemon(heard.answer)
    return load(path), heard.answer.warnings


@contextmanager
def running_config(ctx: click.Context, *about: str) -> Iterator[Config]:
    """The config that the daemon runs with, where one runs on this file, else that of the file. At the end it is
    said on standard error how the file differs in the keys that begin with one of `about`. Raises ConfigFault
    where the file has a fault, at the end where the daemon goes on without it."""
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
    """One line beside the output."""
    click.echo(clean(text), err=True)


def note_silence(heard: Heard) -> None:
    """Say where a daemon runs and could not be asked."""
    if heard.why_not is not None:
        note(f"the running daemon could not be asked, so this is by the file alone: {heard.why_not}")


def _database(path: Path) -> Path | None:
    """The database's file by that section alone: the rest of the config may have faults."""
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
