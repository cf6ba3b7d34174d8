"""The fenced blocks of README.md and docs/, and the commands in those of a shell."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import click

from daemon.cli import wrapd
from tests.support.programs import ROOT

PAGES = ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
_FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_HERE = re.compile(r"<<-?\s*'?(\w+)'?")
_ENDS = frozenset({";", "&", "&&", "|", "||", "(", ")", "<(", "$(", ";;", ")>", ">("})
_RESERVED = frozenset(
    {"if", "then", "else", "elif", "fi", "while", "until", "do", "done", "case", "esac", "in", "!"}
)
_SETS = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
_ANOTHER_USER = frozenset({"docker", "runuser", "sudo", "systemd-run"})
"""Programs that run the command which follows, elsewhere or as another user."""


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block. `line` is that of its fence in the page, from 1."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: str, text: str) -> list[Block]:
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found[1], found[2]) for found in _FENCE.finditer(text)
    ]


@cache
def every_block() -> tuple[Block, ...]:
    """All blocks of all pages, in order."""
    found = [each for page in PAGES for each in blocks_of(page, (ROOT / page).read_text(encoding="utf-8"))]
    return tuple(found)


def blocks(language: str) -> list[Block]:
    return [each for each in every_block() if each.language == language]


def lines_of(script: str) -> Iterator[list[str]]:
    """The logical lines of a script as words and operators, without comments and here-documents. A quoted text may
    span lines."""
    lines = iter(script.splitlines())
    for line in lines:
        whole = line
        while (words := _words(whole)) is None or whole.endswith("\\"):
            whole = whole.removesuffix("\\") + ("\n" if words is None else "") + next(lines)
        if ends := _HERE.search(whole):
            while next(lines) != ends[1]:
                continue
        if words:
            yield words


def _words(line: str) -> list[str] | None:
    """None if a quote is still open."""
    read = shlex.shlex(line[: _comment_at(line)], posix=True, punctuation_chars=True)
    read.commenters, read.whitespace_split = "", True
    try:
        return list(read)
    except ValueError:
        return None


def _comment_at(line: str) -> int | None:
    """Where a comment begins outside of quotes."""
    quote = ""
    for at, letter in enumerate(line):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "#" and (at == 0 or line[at - 1].isspace()):
            return at
    return None


def commands_of(script: str) -> list[list[str]]:
    """The simple commands of a script, each without assignments before it and redirections."""
    found: list[list[str]] = []
    for line in lines_of(script):
        current: list[str] = []
        skip = False
        for word in [*line, ";"]:
            if skip:
                skip = False
            elif word in _ENDS or set(word) <= set(";&|()"):
                found += [current] if current else []
                current = []
            elif set(word) <= set("<>&"):
                skip = True
                current = current[:-1] if current and current[-1].isdigit() else current
            elif current or not (_SETS.fullmatch(word) or word in _RESERVED):
                current.append(word)
    return found


def wrapd_arguments(command: list[str]) -> list[str] | None:
    """The arguments that a command gives to `wrapd`, itself or through another program; None if it does not."""
    if command[0] == "wrapd" or command[0].endswith("/bin/wrapd"):
        return command[1:]
    if command[0] not in _ANOTHER_USER:
        return None
    places = [at for at, word in enumerate(command) if re.fullmatch(r"(.*/)?wrapd(:local)?", word)]
    rest = command[places[-1] + 1 :] if places else []
    return rest if rest[:1] and (rest[0] in wrapd.list_commands(_ROOT) or rest[0] == "--config") else None


_ROOT = click.Context(wrapd, info_name="wrapd")


def parse(arguments: list[str]) -> str:
    """The name of the command that `wrapd` would run. Raises click.UsageError if it would refuse them; runs
    nothing."""
    command: click.Command = wrapd
    context: click.Context | None = None
    name, rest = "wrapd", list(arguments)
    while True:
        try:
            context = command.make_context(name, rest, parent=context)
        except click.exceptions.Exit:  # --help, --version
            return name
        given = [*getattr(context, "_protected_args", ()), *context.args]
        if not isinstance(command, click.Group) or not given:
            return context.command_path
        found, sub, rest = command.resolve_command(context, given)
        if sub is None or found is None:
            raise click.UsageError(f"no command in {arguments}")
        name, command = found, sub
