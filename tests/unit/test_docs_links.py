"""Every link of the docs within the project has a target."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^()\s]+(?:\([^()\s]*\))?)\)")
ELSEWHERE = ("https://", "http://", "mailto:")


def links(page: Path) -> list[str]:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return [link for link in LINK.findall(text) if not link.startswith(ELSEWHERE)]


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [str(page.relative_to(ROOT)) for page in PAGES])
def test_every_link_leads_to_a_file_and_its_heading(page: str) -> None:
    here = ROOT / page
    wrong = []
    for link in links(here):
        name, _, anchor = unquote(link).partition("#")
        target = (here.parent / name).resolve() if name else here
        if not target.exists() or not target.is_relative_to(ROOT) or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    assert wrong == []


def test_links_are_found_as_they_are_written() -> None:
    """Ensures that the test above does not pass by finding nothing."""
    assert "docs/install.md" in links(ROOT / "README.md")
    assert len([link for page in PAGES for link in links(page)]) > 30
    assert "in-a-container" in anchors(ROOT / "docs/install.md")
    assert "keys-of---json" in anchors(ROOT / "docs/cli.md")
