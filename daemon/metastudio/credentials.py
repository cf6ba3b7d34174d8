"""Access keys configured for the official SDK, in environment variables or its credentials file.

Owns the names and places of the keys. Never stores or displays their values. Source: the official SDK's providers.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from daemon.errors import ConfigFault
from daemon.metastudio.settings import AkSk

ACCESS_KEY = "HUAWEICLOUD_SDK_AK"
SECRET_KEY = "HUAWEICLOUD_SDK_SK"  # noqa: S105 - the variable's name
SECURITY_TOKEN = "HUAWEICLOUD_SDK_SECURITY_TOKEN"  # noqa: S105 - the variable's name
PROJECT_ID = "HUAWEICLOUD_SDK_PROJECT_ID"
CREDENTIALS_FILE = "HUAWEICLOUD_SDK_CREDENTIALS_FILE"
_SECTION = "basic"


class SdkCredentials(Struct, frozen=True, kw_only=True):
    """A key pair and related settings from the same source. `source` names it in messages."""

    keys: AkSk
    project_id: str | None
    iam_endpoint: str | None
    source: str


class Reader(Protocol):
    """Reads secrets from files and values. Both methods raise ConfigFault."""

    def file(self, path: Path) -> str:
        """The text of a file. Also raises FileNotFoundError."""
        ...

    def value(self, text: str, source: str) -> str:
        """The meaning of a value; `source` names its place in messages."""
        ...


def sdk_credentials(environ: Mapping[str, str], home: Path, read: Reader) -> SdkCredentials:
    """The keys from the environment if both are set, else from the credentials file.

    The file is the one named by HUAWEICLOUD_SDK_CREDENTIALS_FILE, else .huaweicloud/credentials in `home`. Raises
    ConfigFault if neither has both keys, and also if the environment has only one.
    """

    def variable(name: str) -> str | None:
        text = environ.get(name, "")
        return read.value(text, f"the environment variable {name}").strip() if text.strip() else None

    access_key, secret_key, project_id = map(variable, (ACCESS_KEY, SECRET_KEY, PROJECT_ID))
    if access_key and secret_key:
        keys = AkSk(access_key=access_key, secret_key=secret_key, security_token=variable(SECURITY_TOKEN))
        return SdkCredentials(keys=keys, project_id=project_id, iam_endpoint=None, source="the environment")
    if access_key or secret_key:
        present, missing = (ACCESS_KEY, SECRET_KEY) if access_key else (SECRET_KEY, ACCESS_KEY)
        raise ConfigFault(f"the environment variable {present} is set but {missing} is not: set both or neither.")
    named = variable(CREDENTIALS_FILE)
    found = read_credentials_file(Path(named) if named else home / ".huaweicloud" / "credentials", read)
    return SdkCredentials(
        keys=found.keys,
        project_id=project_id or found.project_id,
        iam_endpoint=found.iam_endpoint,
        source=found.source,
    )


def read_credentials_file(path: Path, read: Reader) -> SdkCredentials:
    """Read the section `basic` of an SDK credentials file (INI). Raises ConfigFault."""
    import configparser  # noqa: PLC0415 - for this file only

    parser = configparser.ConfigParser(interpolation=None)  # a key may hold a %
    try:
        parser.read_string(read.file(path))
    except FileNotFoundError:
        raise ConfigFault(
            f"no access keys: configure `access_key` and `secret_key`, set {ACCESS_KEY} and {SECRET_KEY}, "
            f"or create {path}."
        ) from None
    except configparser.Error as error:
        where = f" (line {error.lineno})" if isinstance(error, configparser.MissingSectionHeaderError) else ""
        raise ConfigFault(f"{path} is not an SDK credentials file{where}: begin it with [{_SECTION}].") from None
    if not parser.has_section(_SECTION):
        raise ConfigFault(f"{path} has no section [{_SECTION}]: put ak and sk there.")
    values = {
        name: read.value(text, f"{name} in {path}").strip()
        for name, text in parser.items(_SECTION)
        if text.strip()
    }
    missing = [name for name in ("ak", "sk") if not values.get(name)]
    if missing:
        raise ConfigFault(f"{path}: [{_SECTION}] has no {' and no '.join(missing)}.")
    return SdkCredentials(
        keys=AkSk(
            access_key=values["ak"],
            secret_key=values["sk"],
            security_token=values.get("security_token"),
        ),
        project_id=values.get("project_id"),
        iam_endpoint=values.get("iam_endpoint"),
        source=str(path),
    )
