"""Checks a config file. `load` reports every fault of the file in one run and reads no secret."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daemon.config.cross_checks import between_sections
from daemon.config.faults import ConfigFaults, Fault, worded
from daemon.config.file import read_tree
from daemon.config.keys import Parsing
from daemon.config.schema import Config


def examine(tree: Mapping[str, Any], source: Path) -> tuple[Config | None, list[Fault]]:
    """The config of a raw tree (None if a value is invalid) and all its faults. Relative paths start from the
    folder of `source`."""
    parsing = Parsing(source.absolute().parent)
    config = Config.read(tree, (), parsing)
    if parsing.wrong:
        return None, [*worded(parsing.wrong, tree), *between_sections(tree)]
    return Config({**vars(config), "source": source}), [*between_sections(tree)]


def load(path: Path) -> Config:
    """The config at `path`. Raises ConfigFault that lists all its faults. Reads no secret."""
    config, faults = examine(read_tree(path), path)
    if faults or config is None:
        raise ConfigFaults(path, faults)
    return config
