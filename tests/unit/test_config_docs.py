"""Docs generated from the program are up to date, and explain every key."""

import re
from pathlib import Path

import pytest

from daemon.config import load, schema_keys
from daemon.config.delivery import Quiet
from daemon.config.example import example
from daemon.config.keys import Section
from docs.generate import ROOT, pages


@pytest.mark.parametrize("path", sorted(map(str, pages())))
def test_a_generated_page_is_not_stale(path: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == pages()[Path(path)], "run python docs/generate.py"


def every_key() -> list[tuple[str, str]]:
    """Return all keys of the schema, collected without the tables used for the docs."""
    bases = {Quiet}
    return [
        (model.__name__, name)
        for model in (*Section.__subclasses__(), *Quiet.__subclasses__())
        if model not in bases
        for name in model.keys
    ]


SECTIONS = {
    *(
        ("Config", key)
        for key in (
            "database",
            "polling",
            "notify",
            "web",
            "heartbeat",
            "retention",
            "log",
            "projects",
            "channels",
            "routes",
        )
    ),
    ("Project", "discovery"),
    ("Project", "callback"),
    ("Channel", "quiet"),
    ("Route", "quiet"),
}
"""Keys that are sections."""


def test_every_key_is_explained_in_the_example_and_the_page() -> None:
    keys = [pair for pair in every_key() if pair not in SECTIONS]
    assert len(keys) > 75
    by_model = {part.model.__name__: part for part in (*schema_keys.parts(), *schema_keys.methods())}
    page = (ROOT / "docs/config.md").read_text(encoding="utf-8")
    text = " ".join(line.removeprefix("#").strip() for line in example().splitlines())
    for name, key in keys:
        if key == "method":
            continue
        explained = next(each for each in by_model[name].keys if each.name == key)
        assert f"| `{key}` | {explained.about}" in page
        assert " ".join(explained.about.split()) in text
        assert explained.toml in text


def test_the_example_sets_the_defaults_and_loads(tmp_path: Path) -> None:
    path = tmp_path / "wrapd.toml"
    path.write_text(example())
    written = load(path)
    path.write_text("")
    bare = load(path)
    for section in ("database", "polling", "notify", "web", "retention", "log"):
        assert getattr(written, section) == getattr(bare, section)


def test_every_commented_key_of_the_example_is_right_when_it_is_taken_in(tmp_path: Path) -> None:
    lines = [
        re.sub(r"^# (\w+ = |\[(?:projects|channels|routes|heartbeat))", r"\1", line)
        for line in example().splitlines()
    ]
    taken = [line for line, old in zip(lines, example().splitlines(), strict=True) if line != old]
    assert len(taken) >= 35
    path = tmp_path / "wrapd.toml"
    # The only key that refers to something missing in the example: a second channel.
    path.write_text("\n".join(lines) + '\n[channels.mail]\nurl = "mailto://mail.example.com"\n')
    config = load(path)
    project = config.project("main")
    assert project.endpoint is not None
    assert project.requests_per_second == 5
    assert project.proxy is not None
    assert config.operators == ("editors",)
    assert project.discovery is not None
    assert project.discovery.name == "promo *"
    assert project.callback is not None
    assert project.callback.auth == "mss_a"
    assert config.notify.link_reminder == 4 * 3600
    assert config.heartbeat is not None
    assert config.heartbeat.interval == 60
    assert config.channel("editors").fallback == "mail"
    assert config.channel("editors").quiet is not None
    assert config.routes[0].labels == ("Episode *",)
    assert config.routes[0].stop


def test_a_section_that_turns_something_on_is_commented_out(tmp_path: Path) -> None:
    path = tmp_path / "wrapd.toml"
    path.write_text(example())
    config = load(path)
    for section in (
        "heartbeat",
        "projects.main.discovery",
        "projects.main.callback",
        "channels.editors.quiet",
        "routes.quiet",
    ):
        assert f"# [{section}]" in example().splitlines()
    assert config.heartbeat is None
    assert config.project("main").discovery is None
    assert config.project("main").callback is None
    assert config.channel("editors").quiet is None
    assert config.routes[0].quiet is None
