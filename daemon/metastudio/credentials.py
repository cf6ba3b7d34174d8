"""Access keys that a user of the official SDK has already set: environment variables, or its credentials file.

Owns the reading of both. It must never keep or show what it reads. Source: the official SDK's providers.
"""

import configparser
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from daemon.errors import ConfigFault
from daemon.metastudio.settings import AkSk

ACCESS_KEY = "HUAWEICLOUD_SDK_AK"
SECRET_KEY = "HUAWEICLOUD_SDK_SK"  # noqa: S105 - the variable's name
SECURITY_TOKEN = "HUAWEICLOUD_SDK_SECURITY_TOKEN"  # noqa: S105 - the variable's name
PROJECT_ID = "HUAWEICLOUD_SDK_PROJECT_ID"
CREDENTIALS_FILE = "HUAWEICLOUD_SDK_CREDENTIALS_FILE"
_SECTION = "basic"


@dataclass(frozen=True, slots=True, kw_only=True)
class SdkCredentials:
    """A key pair, and what its source tells beside it. `source` names the source, for messages."""

    keys: AkSk
    project_id: str | None
    iam_endpoint: str | None
    source: str


def sdk_credentials(environ: Mapping[str, str], home: Path) -> SdkCredentials:
    """The keys of the environment where both are there, else those of the credentials file.

    The file is the one that HUAWEICLOUD_SDK_CREDENTIALS_FILE names, else .huaweicloud/credentials in `home`.
    Raises ConfigFault where neither gives both keys; a half-set environment is a fault, not a reason to look on.
    """
    access_key, secret_key = environ.get(ACCESS_KEY), environ.get(SECRET_KEY)
    if bool(access_key) != bool(secret_key):
        there, missing = (ACCESS_KEY, SECRET_KEY) if access_key else (SECRET_KEY, ACCESS_KEY)
        raise ConfigFault(f"the environment variable {there} is set but {missing} is not: set both, or none.")
    if access_key and secret_key:
        return SdkCredentials(
            keys=AkSk(
                access_key=access_key,
                secret_key=secret_key,
                security_token=environ.get(SECURITY_TOKEN) or None,
            ),
            project_id=environ.get(PROJECT_ID) or None,
            iam_endpoint=None,
            source="the environment",
        )
    named = environ.get(CREDENTIALS_FILE)
    found = read_credentials_file(Path(named) if named else home / ".huaweicloud" / "credentials")
    from_environ = environ.get(PROJECT_ID) or None
    return SdkCredentials(
        keys=found.keys,
        project_id=from_environ or found.project_id,
        iam_endpoint=found.iam_endpoint,
        source=found.source,
    )


def read_credentials_file(path: Path) -> SdkCredentials:
    """The section `basic` of an SDK credentials file (INI). Raises ConfigFault."""
    parser = configparser.ConfigParser(interpolation=None)  # a key may hold a %
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigFault(
            f"no access keys: give `access_key` and `secret_key`, or set {ACCESS_KEY} and {SECRET_KEY}, "
            f"or write {path}."
        ) from None
    except OSError as error:
        raise ConfigFault(f"{path} cannot be read: {error.strerror}. Let wrapd's user read it.") from None
    except (configparser.Error, UnicodeDecodeError) as error:
        where = f" (line {error.lineno})" if isinstance(error, configparser.MissingSectionHeaderError) else ""
        raise ConfigFault(f"{path} is not an SDK credentials file{where}: begin it with [{_SECTION}].") from None
    if not parser.has_section(_SECTION):
        raise ConfigFault(f"{path} has no section [{_SECTION}]: put ak and sk there.")
    values = dict(parser.items(_SECTION))
    missing = [name for name in ("ak", "sk") if not values.get(name)]
    if missing:
        raise ConfigFault(f"{path}: [{_SECTION}] has no {' and no '.join(missing)}.")
    return SdkCredentials(
        keys=AkSk(
            access_key=values["ak"],
            secret_key=values["sk"],
            security_token=values.get("security_token") or None,
        ),
        project_id=values.get("project_id") or None,
        iam_endpoint=values.get("iam_endpoint") or None,
        source=str(path),
    )
