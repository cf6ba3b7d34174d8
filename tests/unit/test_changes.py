"""Differences between two configs, listed by the config's own names and without secrets."""

from pathlib import Path

import pytest

from daemon.app.changes import changes
from daemon.build import load_spec
from daemon.spec import Spec

BASE = """
operators = ["a"]
[polling]
max_interval = "30s"
[projects.main]
region = "cn-north-4"
project_id = "0123456789abcdef0123456789abcdef"
auth = { method = "token", token = "first-secret-token" }
[channels.a]
url = "json://h.example.com/first-secret-path"
[[routes]]
channels = ["a"]
[web]
listen = "127.0.0.1:0"
token = "first-secret-of-the-web"
"""


def plan(folder: Path, text: str) -> Spec:
    path = folder / "wrapd.toml"
    path.write_text(text)
    path.chmod(0o600)
    return load_spec(path, {})[0]


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ('max_interval = "30s"', 'max_interval = "45s"', ["polling.max_interval: 45 s instead of 30 s"]),
        ("first-secret-token", "other-secret-token", ["projects.main.auth: changed (not shown)"]),
        ("first-secret-path", "other-secret-path", ["channels.a.url: changed (not shown)"]),
        ("first-secret-of-the-web", "other-secret-of-the-web", ["web.token: changed (not shown)"]),
        ('channels = ["a"]', 'channels = ["a"]\nevents = ["failed"]', ["routes[0]: changed"]),
        (
            'first-secret-path"',
            'first-secret-path"\nquiet = { from = "22:00", to = "07:00" }',
            ["channels.a.quiet: 22:00-07:00 UTC, except failed, blocked instead of none"],
        ),
        (
            "[web]",
            '[channels.b]\nurl = "json://h.example.com/b-secret-path"\n[web]',
            ["channels.b: added"],
        ),
        (
            "[projects.main]",
            "[projects.main]\nmax_in_flight = 3",
            ["projects.main.max_in_flight: 3 instead of 16"],
        ),
    ],
)
def test_each_change_is_one_line_without_a_secret(tmp_path: Path, old: str, new: str, lines: list[str]) -> None:
    assert BASE.count(old) == 1
    before, after = plan(tmp_path, BASE), plan(tmp_path, BASE.replace(old, new))
    said = changes(before, after)
    assert list(said) == lines
    assert "secret" not in "".join(said)


def test_the_same_config_is_no_change(tmp_path: Path) -> None:
    assert changes(plan(tmp_path, BASE), plan(tmp_path, BASE)) == ()
