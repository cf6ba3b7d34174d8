"""What is not needed is not loaded: packages that import their modules on first use, and libraries without their
optional parts."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module


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


@contextlib.contextmanager
def without(*libraries: str) -> Iterator[None]:
    """Import something as if these optional `libraries` of it were not installed; one that is loaded already stays
    so for all others."""
    hidden = {name: sys.modules.pop(name) for name in libraries if name in sys.modules}
    sys.modules.update(dict.fromkeys(libraries))  # type: ignore[arg-type] # None: what import takes for missing
    try:
        yield
    finally:
        for name in libraries:
            del sys.modules[name]
        sys.modules.update(hidden)
