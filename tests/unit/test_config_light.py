"""The light config says the same as the full one, for every file that is right, and words the same faults."""

import tomllib
from pathlib import Path

import pytest

from daemon.config import light, load, read_light, schema_keys
from daemon.config.example import example
from daemon.errors import ConfigFault, UnknownName

SMALL = """
[projects.main]
region = "cn-north-4"
auth = { method = "token", token = { env = "T" } }

[channels.hook]
url = { env = "U" }
"""


def config(folder: Path, text: str) -> Path:
    path = folder / "wrapd.toml"
    path.write_text(text)
    return path


def test_the_keys_their_types_and_which_are_required_are_those_of_the_schema() -> None:
    places = {part.place: part.model for part in schema_keys.parts()}
    assert set(light.KEYS) == set(places)
    for part in (*schema_keys.parts(), *schema_keys.methods()):
        method = next((each for each in schema_keys.METHODS if f'"{each}"' in part.heading), None)
        known = light.KEYS[part.place] if method is None else light.METHODS[method]
        names = {field.alias or name for name, field in part.model.model_fields.items()}
        assert set(known) == names, part.heading
        for key in part.keys:
            assert type(tomllib.loads(f"x = {key.toml}")["x"]) in known[key.name], key.name
        required = {field.alias or name for name, field in part.model.model_fields.items() if field.is_required()}
        assert set(light.REQUIRED.get(method or part.place, ())) == required - {"method"}, part.heading


@pytest.mark.parametrize(
    "text",
    [
        SMALL,
        example(),
        SMALL.replace("[projects", '[database]\nurl = "sqlite:///x/y.db"\nauto_migrate = false\n[projects'),
        SMALL + '[polling]\nnot_found_grace = "1h"\n[web]\npublic_url = "https://h.example"\n',
        SMALL + '[[routes]]\nchannels = ["hook"]\n[channels.b]\nurl = "json://h"\nmax_per_minute = 2.5\n',
        "\ufeff" + SMALL,
        "",
    ],
)
def test_it_says_the_same_as_the_full_one(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = config(tmp_path, text)
    full = load(path)
    monkeypatch.setattr("daemon.config.checking.load", None)  # not what it fell back to
    found = read_light(path)
    assert (found.source, found.database.url, found.database.path) == (path, full.database.url, full.database.path)
    assert found.database.auto_migrate is full.database.auto_migrate
    assert found.not_found_grace == full.polling.not_found_grace
    assert found.give_up_after == full.polling.give_up_after
    assert (found.projects, found.channels) == (tuple(full.projects), tuple(full.channels))
    assert found.public_url == full.web.public_url


@pytest.mark.parametrize(
    "text",
    [
        "[pooling]\nx = 1",
        "polling = 1",
        "[database]\nurl = 1",
        '[database]\nurl = "mysql://x"',
        "[retention]\nkeep = 30",
        '[polling]\nnot_found_grace = "soon"',
        "[projects.main]\nauth = 1",
        '[projects.main]\nregion = "cn-north-4"\nauth = { method = "magic" }',
        '[projects.main]\nregion = "cn-north-4"\nauth = { method = [] }',
        '[projects.main]\nregion = "cn-north-4"\nauth = { method = "token" }',
        '[projects.main]\nauth = { method = "aksk" }',
        '[projects."a b"]\nregion = "cn-north-4"',
        "[channels.hook]\n",
        "[channels]\nhook = 1",
        "routes = [1]",
        "[[routes]]\nevents = []",
        SMALL + '[channels.hook.quiet]\nfrom = "22:00"',
        SMALL + '[projects.main.discovery]\nintervall = "1m"',
    ],
)
def test_what_is_not_as_expected_is_worded_by_the_full_check(tmp_path: Path, text: str) -> None:
    path = config(tmp_path, text)
    with pytest.raises(ConfigFault) as full:
        load(path)
    with pytest.raises(ConfigFault) as found:
        read_light(path)
    assert str(found.value) == str(full.value)


def test_what_only_the_full_check_understands_is_read_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = config(tmp_path, SMALL)
    monkeypatch.setattr(light, "KEYS", {})
    assert read_light(path).projects == ("main",)


def test_names_that_are_not_there_are_told_as_by_the_full_one(tmp_path: Path) -> None:
    path = config(tmp_path, SMALL)
    for name in ("project", "channel"):
        with pytest.raises(UnknownName) as full:
            getattr(load(path), name)("mian")
        with pytest.raises(UnknownName) as found:
            getattr(read_light(path), name)("mian")
        assert str(found.value) == str(full.value)
    assert read_light(path).routing() == load(path).routing()
