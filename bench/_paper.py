"""Blocks of pages that benchmarks generate. The rest of these pages is written by hand."""

from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def replace_block(path: Path, name: str, text: str) -> None:
    """Put `text` between the markers of the block `name` of the page at `path`.

    Raises ValueError unless the page has exactly one pair of markers, each on its own line:
    `<!-- begin NAME … -->` and `<!-- end NAME -->`.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    begins = [i for i, line in enumerate(lines) if line.startswith(f"<!-- begin {name}")]
    ends = [i for i, line in enumerate(lines) if line.startswith(f"<!-- end {name}")]
    if len(begins) != 1 or len(ends) != 1 or begins[0] > ends[0]:
        raise ValueError(f"{path} must have one block {name!r}: <!-- begin {name} --> … <!-- end {name} -->")
    lines[begins[0] + 1 : ends[0]] = ["", *text.strip().splitlines(), ""]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns except the first are numbers."""
    mark = "|---|" + "---:|" * (len(titles) - 1)
    return "\n".join([f"| {' | '.join(titles)} |", mark, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"
