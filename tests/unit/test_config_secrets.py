"""Secrets: every place to keep them, every way to be missing, and that logs never show them."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from daemon.build.projects import sdk_keys
from daemon.config.secrets import MAX_BYTES, Secret, SecretSource, parse
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


def test_spaces_stay(tmp_path: Path) -> None:
    (tmp_path / "s").write_text(" two words \n")
    assert parse({"file": "s"}, tmp_path).resolve({}, place=PLACE) == " two words "


Kept = Callable[[bytes, Path], tuple[Secret, Mapping[str, str]]]
WAYS: dict[str, Kept | None] = {
    "text": lambda raw, folder: (parse(raw.decode()), {}),
    "env": lambda raw, folder: (parse({"env": "NAME"}), {"NAME": os.fsdecode(raw)}),
    "file": lambda raw, folder: (parse({"file": "secret"}, folder), {}),
    "credential": lambda raw, folder: (parse({"credential": "secret"}), {"CREDENTIALS_DIRECTORY": str(folder)}),
    "sdk environment": None,
    "sdk file": None,
}


def read(way: str, raw: bytes, folder: Path) -> str:
    """Read the secret `raw`, stored in this way."""
    (folder / "secret").write_bytes(raw)
    if way == "sdk environment":
        environ = {"HUAWEICLOUD_SDK_AK": "AK\r\n", "HUAWEICLOUD_SDK_SK": os.fsdecode(raw)}
        return sdk_keys(environ, PLACE).keys.secret_key
    if way == "sdk file":
        bom = b"\xef\xbb\xbf" if raw.startswith(b"\xef\xbb\xbf") else b""
        (folder / "ini").write_bytes(bom + b"[basic]\r\nak = AK\r\nsk = " + raw + b"\r\n")
        return sdk_keys({"HUAWEICLOUD_SDK_CREDENTIALS_FILE": f"{folder}/ini\n"}, PLACE).keys.secret_key
    kept = WAYS[way]
    assert kept is not None
    secret, environ = kept(raw, folder)
    return secret.resolve(environ, place=PLACE)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n\n", b"\r\n\r\n", b"\r"])
def test_what_editors_put_around_a_secret_is_no_part_of_it(
    way: str, start: bytes, end: bytes, tmp_path: Path
) -> None:
    assert read(way, start + b"kx7-quite-unusual" + end, tmp_path) == "kx7-quite-unusual"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "inside", ["one-half\nother-half", "one-half\tother-half", "one-half\0other-half", "one-half\u2028other-half"]
)
def test_a_secret_in_pieces_is_a_fault_with_its_place(way: str, inside: str, tmp_path: Path) -> None:
    if way == "sdk file" and "\n" in inside:
        inside = inside.replace("\n", "\n  ")  # the continuation syntax of such a file
    with pytest.raises(ConfigFault, match=f"^{PLACE}: .*(control character|not UTF-8)") as caught:
        read(way, inside.encode(), tmp_path)
    assert "half" not in str(caught.value)


@pytest.mark.parametrize("way", ["file", "credential"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "latin-1"])
def test_a_secret_in_another_encoding_is_a_fault_with_its_place(way: str, encoding: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigFault, match=f"^{PLACE}: .*(UTF-16|not UTF-8|control)"):
        read(way, "kx7-ü-unusual".encode(encoding), tmp_path)


def test_an_sdk_file_in_another_encoding_is_a_fault_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "ini").write_text("[basic]\nak = AK\nsk = SK\n", encoding="utf-16")
    with pytest.raises(ConfigFault, match=f"^{PLACE}: .*UTF-16 text, not UTF-8; save it as UTF-8"):
        sdk_keys({"HUAWEICLOUD_SDK_CREDENTIALS_FILE": str(tmp_path / "ini")}, PLACE)


@pytest.mark.parametrize("blank", ["", "\n", "  ", " \r\n", "\t"])
def test_a_blank_is_no_secret(blank: str, tmp_path: Path) -> None:
    for way in ("env", "file", "credential"):
        with pytest.raises(ConfigFault, match=f"^{PLACE}: .*is empty"):
            read(way, blank.encode(), tmp_path)


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
    (tmp_path / "binary").write_bytes(b"\x80\x81")
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
        (
            parse({"credential": "x"}),
            {"CREDENTIALS_DIRECTORY": str(tmp_path)},
            "passed no credential x to this service",
        ),
    ]
    for secret, environ, says in cases:
        with pytest.raises(ConfigFault, match=f"^{PLACE}: .*{says}"):
            secret.resolve(environ, place=PLACE)


def test_repr_shows_no_secret() -> None:
    secret = parse("hunter2hunter2")
    assert secret.source is SecretSource.TEXT
    assert "hunter2" not in repr(secret)


def test_a_resolved_secret_is_masked_in_logs() -> None:
    parse({"env": "N"}).resolve({"N": "kx7-quite-unusual"}, place=PLACE)
    assert MASKS.apply("it said kx7-quite-unusual!") == "it said ***!"
