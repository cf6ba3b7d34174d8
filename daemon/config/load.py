"""Finding and reading the config file.

`load` reports every fault of the file in one run and reads no secret. Changes nothing.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from daemon.config.cross_checks import between_sections
from daemon.config.faults import ConfigFaults, Fault, of_values
from daemon.config.schema import Config
from daemon.errors import ConfigFault

HERE = Path("wrapd.toml")
SYSTEM = Path("/etc/wrapd/config.toml")
MAX_BYTES = 1024 * 1024
"""Largest config that is read."""
_OTHER = "name another with --config FILE or WRAPD_CONFIG"
_MAKE = (
    "make one with `wrapd config init`, or name another: wrapd takes that of --config FILE, else of WRAPD_CONFIG, "
    f"else ./{HERE}, else {SYSTEM}"
)


def locate(option: str | None, environ: Mapping[str, str]) -> Path:
    """The config file: that of `--config`, of WRAPD_CONFIG, ./wrapd.toml, or the system's if only that exists."""
    named = environ.get("WRAPD_CONFIG") if option is None else option
    if named or option is not None:
        return Path(named or "")
    return SYSTEM if not HERE.exists() and SYSTEM.exists() else HERE


def read_tree(path: Path) -> dict[str, Any]:
    """The file as TOML gives it. Raises ConfigFault where there is none or it cannot be read."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise ConfigFault(f"{path}: larger than {MAX_BYTES} bytes, so this is no config; {_OTHER}")
        return tomllib.loads(raw.decode("utf-8-sig"))
    except FileNotFoundError:
        raise ConfigFault(f"there is no config at {path}; {_MAKE}") from None
    except PermissionError as error:
        mend = f"make it readable for this user, or {_OTHER}"
        raise ConfigFault(f"cannot read the config {path}: {error.strerror}; {mend}") from error
    except OSError as error:
        raise ConfigFault(f"cannot read the config {path}: {error.strerror}; {_OTHER}") from error
    except UnicodeDecodeError as error:
        raise ConfigFault(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except (ValueError, RecursionError) as error:  # ValueError: TOMLDecodeError, or a number of 5000 digits
        raise ConfigFault(f"{path}: this is not TOML: {error}; fix the file there (https://toml.io)") from error


def examine(tree: Mapping[str, Any], source: Path) -> tuple[Config | None, list[Fault]]:
    """The config of a raw tree, None where a value is wrong, and all faults. Relative paths count from the
    folder of `source`."""
    config, faults = None, []
    try:
        config = Config.model_validate(tree, context={"folder": source.absolute().parent})
        config._source = source
    except ValidationError as error:
        faults = list(of_values(error, tree))
    return config, [*faults, *between_sections(tree)]


def load(path: Path) -> Config:
    """The config at `path`. Raises ConfigFault that lists every fault of it. No secret is read."""
    config, faults = examine(read_tree(path), path)
    if faults or config is None:
        raise ConfigFaults(path, faults)
    return config
