"""Orphans: jobs or alerts of a project or channel that the config lacks, which are neither polled nor sent."""

import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from daemon.domain.events import Json

What: TypeAlias = Literal["project", "channel"]
"""What the config lacks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphaned:
    """How many active jobs or unsent alerts a missing project or channel has."""

    what: What
    name: str
    count: int


def orphaned_facts(found: Orphaned, known: Collection[str]) -> Mapping[str, Json]:
    """The alert's facts; `known` are the names that the config defines."""
    return {
        found.what: found.name,
        "jobs" if found.what == "project" else "deliveries": found.count,
        "command": move_command(found.what, found.name, known),
    }


def move_command(what: What, name: str, known: Collection[str]) -> str:
    """The command that moves the rows of `name` to the only project or channel in the config. If the config has
    several, the command contains the placeholder NEW.

    >>> move_command("project", "old", ["main"])
    'wrapd jobs move --project old main'
    >>> move_command("channel", "the old", ["a", "b"])
    "wrapd deliveries move --channel 'the old' NEW"
    """
    new = next(iter(known)) if len(known) == 1 else "NEW"
    rows = "jobs" if what == "project" else "deliveries"
    return f"wrapd {rows} move --{what} {shlex.quote(name)} {shlex.quote(new)}"
