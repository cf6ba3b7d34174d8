"""Secrets: each place that one can be kept in, each way that it can be missing, and that logs never show one."""

from pathlib import Path

import pytest

from daemon.config.secrets import MAX_BYTES, Source, parse
from daemon.errors import ConfigFault
from daemon.logs import MASKS

PLACE = "channels.editors.url"


def test_each_form_resolves(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-the-file\n\r\n")
    assert parse("in-the-config").resolve({}, place=PLACE) == "in-the-config"
    assert parse({"env": "NAME"}).resolve({"NAME": "from-the-variable"}, place=PLACE) == "from-the-variable"
    assert parse({"file": "token"}, tmp_path).resolve({}, place=PLACE) == "from-the-file"
    assert parse({"file": str(tmp_path / "token")}, Path("/else")).resolve({}, place=PLACE) == "from-the-file"
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert parse({"credential": "token"}).resolve(environ, place=PLACE) == "from-the-file"


def test_inner_spaces_and_newlines_stay(tmp_path: Path) -> None:
    (tmp_path / "s").write_text(" two\nlines \n")
    assert parse({"file": "s"}, tmp_path).resolve({}, place=PLACE) == " two\nlines "


@pytest.mark.parametrize(
    "value",
    [
        "",
        "  ",
        3,
        True,
        [],
        {},
        {"env": ""},
        {"env": 3},
        {"env": "A=B"},
        {"file": ""},
        {"credential": "a/b"},
        {"credential": "../b"},
        {"credential": ".."},
        {"url": "x"},
        {"env": "A", "file": "B"},
    ],
)
def test_what_is_no_secret_is_refused_unshown(value: object) -> None:
    with pytest.raises(ValueError, match="write") as caught:
        parse(value)
    assert "A=B" not in str(caught.value)


def test_a_missing_secret_names_place_and_mend(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_bytes(b"x" * (MAX_BYTES + 1))
    cases = [
        (parse({"env": "NAME"}), {}, "variable NAME is not set; set it"),
        (parse({"env": "NAME"}), {"NAME": "\n"}, "variable NAME is empty"),
        (parse({"file": "none"}, tmp_path), {}, "cannot read .*none: No such file"),
        (parse({"file": "."}, tmp_path), {}, "cannot read"),
        (parse({"file": "empty"}, tmp_path), {}, "is empty; write the secret into it"),
        (parse({"file": "binary"}, tmp_path), {}, "is not UTF-8"),
        (parse({"file": "large"}, tmp_path), {}, "is larger than"),
        (parse({"credential": "x"}), {}, "LoadCredential=x"),
        (parse({"credential": "x"}), {"CREDENTIALS_DIRECTORY": str(tmp_path)}, "cannot read .*/x"),
    ]
    for secret, environ, says in cases:
        with pytest.raises(ConfigFault, match=f"^{PLACE}: .*{says}"):
            secret.resolve(environ, place=PLACE)


def test_repr_shows_no_secret() -> None:
    secret = parse("hunter2hunter2")
    assert secret.source is Source.TEXT
    assert "hunter2" not in repr(secret)


def test_a_resolved_secret_is_masked_in_logs() -> None:
    parse({"env": "N"}).resolve({"N": "kx7-quite-unusual"}, place=PLACE)
    assert MASKS.apply("it said kx7-quite-unusual!") == "it said ***!"
