"""The config's JSON Schema. tests/conftest.py checks that each config which another test has accepted fits it."""

import json
import re
import tomllib

import jsonschema_rs
import pytest

from daemon.config import schema_keys
from daemon.config.example import example
from daemon.config.json_schema import DRAFT, FILE_NAME, json_schema
from daemon.config.schema import Config
from docs.generate import ROOT
from tests.support.cli_runner import Runner

SCHEMA = json_schema()
VALIDATOR = jsonschema_rs.Draft202012Validator(SCHEMA)

BASE = """
[projects.main]
region = "cn-north-4"
[channels.editors]
url = { env = "URL" }
"""


def places(text: str) -> set[str]:
    """Where the schema finds a fault."""
    return {".".join(map(str, error.instance_path)) for error in VALIDATOR.iter_errors(tomllib.loads(text))}


def test_it_is_a_schema_of_its_draft() -> None:
    assert SCHEMA["$schema"] == DRAFT
    jsonschema_rs.meta.validate(SCHEMA)


def test_it_has_every_key_with_its_default() -> None:
    for part in (*schema_keys.parts(), *schema_keys.methods()):
        found = SCHEMA if part.model is Config else SCHEMA["$defs"][part.model.__name__]
        assert found["properties"].keys() == part.model.keys.keys()
        assert set(found["required"]) == {name for name, key in part.model.keys.items() if key.required}
        for key in part.keys:
            shown = found["properties"][key.name]
            assert shown["description"].startswith(key.about)
            inner = jsonschema_rs.Draft202012Validator({**shown, "$defs": SCHEMA["$defs"]})
            assert inner.is_valid(shown["examples"][0])
            assert "default" not in shown or inner.is_valid(shown["default"])


def test_the_example_fits_and_names_the_schema() -> None:
    lines = example().splitlines()
    assert lines[0] == f"#:schema ./{FILE_NAME}"
    assert (ROOT / "config.example.toml").with_name(FILE_NAME).exists()
    assert places(example()) == set()
    key = re.compile(r"^# (\w+ = |\[(?:projects|channels|routes|heartbeat))")
    taken_in = "\n".join(key.sub(r"\1", line) for line in lines)
    assert len(tomllib.loads(taken_in)["heartbeat"]) == 2
    assert places(taken_in) == set()


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (("cn-north-4", "cn-nort-4"), "projects.main.region"),
        (("region =", "regoin ="), "projects.main"),
        (("[channels.editors]\nurl", "[channels.editors]\nulr"), "channels.editors"),
        (('{ env = "URL" }', '{ evn = "URL" }'), "channels.editors.url"),
        (('{ env = "URL" }', '{ env = "URL", file = "x" }'), "channels.editors.url"),
        (("[channels.editors]", "[channels.editors]\nlanguage = 'zn'"), "channels.editors.language"),
        (("[channels.editors]", "[channels.editors]\ndigest_above = '6'"), "channels.editors.digest_above"),
        (("[channels.editors]", "[channels.'a b']"), "channels"),
        (("[channels", "[chanels"), ""),
        (("[projects.main]", "[polling]\nmin_interval = 5\n[projects.main]"), "polling.min_interval"),
        (("[projects.main]", "[polling]\nmin_interval = '5'\n[projects.main]"), "polling.min_interval"),
        (("[projects.main]", "[web]\nenabled = 'true'\n[projects.main]"), "web.enabled"),
        (("[projects.main]", "[heartbeat]\ninterval = '1m'\n[projects.main]"), "heartbeat"),
        (
            ("[projects.main]", "[[routes]]\nevents = ['suceeded']\nchannels = ['a']\n[projects.main]"),
            "routes.0.events.0",
        ),
        (("[projects.main]", "[routes]\nchannels = ['a']\n[projects.main]"), "routes"),
        (("[projects.main]", "[projects.main]\nauth = { method = 'aksks' }"), "projects.main.auth"),
        (("[projects.main]", "[projects.main]\nauth = { method = 'token' }"), "projects.main.auth"),
        (("[projects.main]", "[projects.main]\nrequests_per_second = 0"), "projects.main.requests_per_second"),
    ],
)
def test_a_typical_typo_is_refused(change: tuple[str, str], place: str) -> None:
    assert places(BASE) == set()
    assert change[0] in BASE
    assert place in places(BASE.replace(*change))


def test_the_command_prints_it(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    done = Runner(tmp_path, capsys)("config", "schema")
    assert json.loads(done.out) == SCHEMA
