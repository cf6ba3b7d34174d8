"""Finds and reads the config file. `load` reports every fault of the file in one run and reads no secret."""

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
"""Maximum size of a config in bytes."""
_OTHER = "choose another with --config FILE or WRAPD_CONFIG"
_MAKE = (
    "create one with `wrapd config init`, or choose another: wrapd reads --config FILE, else WRAPD_CONFIG, "
    f"else ./{HERE}, else {SYSTEM}"
)


def locate(option: str | None, environ: Mapping[str, str]) -> Path:
    """The config file: `--config`, else WRAPD_CONFIG, else ./wrapd.toml, or the system's if only that exists."""
    named = environ.get("WRAPD_CONFIG") if option is None else option
    if named or option is not None:
        return Path(named or "")
    return SYSTEM if not HERE.exists() and SYSTEM.exists() else HERE


def read_tree(path: Path) -> dict[str, Any]:
    """The parsed TOML of the file. Raises ConfigFault if it is missing or cannot be read."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise ConfigFault(f"{path}: larger than {MAX_BYTES} bytes, so this is not a config; {_OTHER}")
        return tomllib.loads(raw.decode("utf-8-sig"))
    except FileNotFoundError:
        raise ConfigFault(f"there is no config at {path}; {_MAKE}") from None
    except PermissionError as error:
        remedy = f"make it readable for this user, or {_OTHER}"
        raise ConfigFault(f"cannot read the config {path}: {error.strerror}; {remedy}") from error
    except OSError as error:
        raise ConfigFault(f"cannot read the config {path}: {error.strerror}; {_OTHER}") from error
    except UnicodeDecodeError as error:
        raise ConfigFault(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except (ValueError, RecursionError) as error:  # ValueError: TOMLDecodeError, or a number of 5000 digits
        raise ConfigFault(f"{path}: not valid TOML: {error}; fix the file there (https://toml.io)") from error


def examine(tree: Mapping[str, Any], source: Path) -> tuple[Config | None, list[Fault]]:
    """The config of a raw tree (None if a value is invalid) and all its faults. Relative paths start from the
    folder of `source`."""
    config, faults = None, []
    try:
        config = Config.model_validate(tree, context={"folder": source.absolute().parent})
        config._source = source
    except ValidationError as error:
        faults = list(of_values(error, tree))
    return config, [*faults, *between_sections(tree)]


def load(path: Path) -> Config:
    """The config at `path`. Raises ConfigFault that lists all its faults. Reads no secret."""
    config, faults = examine(read_tree(path), path)
    if faults or config is None:
        raise ConfigFaults(path, faults)
    return config
