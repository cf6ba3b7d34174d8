"""Checks a config file. `load` reports every fault of the file in one run and reads no secret."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from daemon.config.cross_checks import between_sections
from daemon.config.faults import ConfigFaults, Fault, of_values
from daemon.config.file import read_tree
from daemon.config.schema import Config


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
