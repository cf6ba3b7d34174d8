"""Secrets: where each is stored, and reading it when it is needed.

A resolved secret is added to `logs.MASKS`. No message or repr here shows one.
"""

import codecs
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from daemon.errors import ConfigFault
from daemon.masks import MASKS

MAX_BYTES = 64 * 1024
"""Maximum size of a secret file in bytes."""

FORMS = '"text", { env = "NAME" }, { file = "PATH" } or { credential = "NAME" }'
_NO_TEXT = {"Cc", "Zl", "Zp"}
"""Character categories not allowed in a secret: controls, line and paragraph separators."""
_CREDENTIAL = re.compile(r"(?!\.)[A-Za-z0-9_.-]{1,255}", re.ASCII)


class SecretSource(StrEnum):
    """Where a secret is stored."""

    TEXT = "text"  # in the config itself
    ENV = "env"  # in an environment variable
    FILE = "file"  # in a file
    CREDENTIAL = "credential"  # in systemd's $CREDENTIALS_DIRECTORY


SHAPE: dict[str, object] = {
    "anyOf": [
        {"type": "string", "pattern": r"\S"},
        {
            "type": "object",
            "properties": {
                source.value: {"type": "string", "minLength": 1}
                for source in SecretSource
                if source is not SecretSource.TEXT
            },
            "additionalProperties": False,
            "minProperties": 1,
            "maxProperties": 1,
        },
    ]
}
"""What `parse` accepts, in the words of JSON Schema and as far as these can say it."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A reference to a secret. `where` is the variable, path or name, or the text itself for
    `SecretSource.TEXT`."""

    source: SecretSource
    where: str = field(repr=False)

    def resolve(self, environ: Mapping[str, str], *, place: str) -> str:
        """The secret, without a byte order mark and trailing newlines. Raises ConfigFault that begins with `place`
        if it cannot be read or is not a single line of text."""
        match self.source:
            case SecretSource.TEXT:
                found = single_line(self.where, place, "the text")
            case SecretSource.ENV:
                found = from_env(environ, self.where, place)
            case SecretSource.FILE:
                found = _from_file(Path(self.where), place)
            case SecretSource.CREDENTIAL:
                found = _from_credential(environ, self.where, place)
        MASKS.add([found])
        return found


def parse(value: object, folder: Path | None = None) -> Secret:
    """A secret in the config's notation. A relative file starts from `folder`. Raises ValueError, which never
    shows the value."""
    if isinstance(value, str):
        if not value.strip():
            raise ValueError(f"the text is empty; write {FORMS}")
        return Secret(SecretSource.TEXT, value)
    if not isinstance(value, dict) or len(value) != 1:
        raise ValueError(f"write exactly one of {FORMS}")
    ((kind, where),) = value.items()
    if (
        kind not in {SecretSource.ENV, SecretSource.FILE, SecretSource.CREDENTIAL}
        or not isinstance(where, str)
        or not where
    ):
        raise ValueError(f"write exactly one of {FORMS}")
    source = SecretSource(kind)
    if source is SecretSource.FILE:
        where = str((folder or Path()).absolute() / where)
    if source is SecretSource.ENV and ("=" in where or "\0" in where):
        raise ValueError('env takes the name of a variable; write { env = "NAME" }')
    if source is SecretSource.CREDENTIAL and _CREDENTIAL.fullmatch(where) is None:
        raise ValueError('credential takes the name given to LoadCredential=; write { credential = "NAME" }')
    return Secret(source, where)


def from_env(environ: Mapping[str, str], name: str, place: str) -> str:
    """The secret in an environment variable. Raises ConfigFault that begins with `place`."""
    if not environ.get(name, "").strip():
        state = "is empty" if name in environ else "is not set"
        raise ConfigFault(f"{place}: the environment variable {name} {state}; set it for wrapd, or change {place}")
    return single_line(environ[name], place, f"the environment variable {name}")


def read_text(path: Path, place: str) -> str:
    """The text of a small UTF-8 file, with or without a byte order mark. Raises ConfigFault that begins with
    `place`, and FileNotFoundError."""
    try:
        with path.open("rb") as opened:
            raw = opened.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a valid path"
        raise ConfigFault(
            f"{place}: cannot read {path}: {reason}; make the file readable for wrapd, or change {place}"
        ) from error
    if len(raw) > MAX_BYTES:
        raise ConfigFault(
            f"{place}: {path} is larger than {MAX_BYTES} bytes; use a file that contains only the secret"
        )
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ConfigFault(f"{place}: {path} is UTF-16 text, not UTF-8; save it as UTF-8")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigFault(f"{place}: {path} is not UTF-8 text; write only the secret into it") from None


def single_line(text: str, place: str, source: str) -> str:
    """A secret without a byte order mark and trailing newlines, which editors add. `source` says in messages where
    it is stored. Raises ConfigFault that begins with `place` and never shows the secret."""
    found = text.removeprefix("\ufeff").rstrip("\r\n")
    if not found.strip():
        raise ConfigFault(f"{place}: {source} is empty; write the secret into it")
    kinds = {unicodedata.category(character) for character in found}
    if "Cs" in kinds:
        raise ConfigFault(f"{place}: {source} is not UTF-8 text; write only the secret into it")
    if kinds & _NO_TEXT or "\ufeff" in found:
        raise ConfigFault(
            f"{place}: {source} contains a line end, a tab or another control character; write only the secret "
            "into it, on one line"
        )
    return found


def _from_file(path: Path, place: str) -> str:
    try:
        text = read_text(path, place)
    except FileNotFoundError as error:
        raise ConfigFault(
            f"{place}: cannot read {path}: {error.strerror}; make the file readable for wrapd, or change {place}"
        ) from error
    return single_line(text, place, str(path))


def _from_credential(environ: Mapping[str, str], name: str, place: str) -> str:
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise ConfigFault(
            f"{place}: no systemd credentials (CREDENTIALS_DIRECTORY is not set); add LoadCredential={name}:… to "
            "the unit, or run this command as the unit does"
        )
    path = Path(folder) / name
    try:
        text = read_text(path, place)
    except FileNotFoundError as error:
        raise ConfigFault(
            f"{place}: systemd passed no credential {name} to this service; add LoadCredential={name}:… to the "
            "unit and restart it"
        ) from error
    return single_line(text, place, str(path))
