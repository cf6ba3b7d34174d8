"""What is not needed is not loaded: packages that import their modules on first use, and libraries without their
optional parts."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any


def late(package: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    """The `__getattr__` (PEP 562) of `package`: `homes` has the names of each module, separated by spaces."""
    modules = {name: module for module, names in homes.items() for name in names.split()}

    def find(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{modules[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    return find


def without(*libraries: str) -> AbstractContextManager[None]:
    """Import something as if these optional `libraries` of it were not installed; one that is loaded already stays
    so for all others."""
    return _replacing(sys.modules, dict.fromkeys(libraries))  # None: what import takes for missing


def no_public_cas() -> AbstractContextManager[None]:
    """Import something whose own TLS contexts hold no public CAs: OpenSSL reads them from where two variables
    say."""
    return _replacing(os.environ, dict.fromkeys(("SSL_CERT_FILE", "SSL_CERT_DIR"), os.devnull))


@contextlib.contextmanager
def _replacing(values: MutableMapping[str, Any], others: Mapping[str, Any]) -> Iterator[None]:
    """Give `values` these `others` during the block."""
    before = {name: values[name] for name in others if name in values}
    values.update(others)
    try:
        yield
    finally:
        for name in others:
            del values[name]
        values.update(before)
