"""What the generated pages share: the note on top, tables, comments read from the source."""

import re
import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTE = "<!-- Written by docs/generate.py from the program itself: change it there. -->"


def table(titles: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """The lines of a table, and an empty one."""
    head = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    return [*head, *(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows), ""]


def comments(enum: type[Enum]) -> dict[Enum, str]:
    """Each member with the comment beside it in its source."""
    source = Path(str(sys.modules[enum.__module__].__file__)).read_text(encoding="utf-8")
    body = source.partition(f"class {enum.__name__}(")[2]
    found: dict[Enum, str] = {}
    for member in enum:
        line = re.search(rf"^    {member.name} = .*?  # (.*)$", body, re.MULTILINE)
        assert line is not None, f"{enum.__name__}.{member.name} has no comment"
        found[member] = re.sub(r"^noqa: \S+ - .*?; ", "", line[1])
    return found


def joined(lines: Sequence[str]) -> str:
    """The text of a page."""
    return "\n".join(line.rstrip() for line in "\n".join(lines).splitlines()).rstrip() + "\n"
