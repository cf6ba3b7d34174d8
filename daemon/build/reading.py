"""Reads settings one by one and collects their faults, so that they can be fixed in one go."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from daemon.config import ConfigFaults, Fault, Secret
from daemon.errors import ConfigFault

T = TypeVar("T")


class Reading:
    """Collects the faults of everything read through it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.faults: list[Fault] = []

    def of(self, read: Callable[[], T]) -> T | None:
        """The result of `read`, or None after recording its fault."""
        try:
            return read()
        except ConfigFaults as error:
            self.faults.extend(error.faults)
        except ConfigFault as error:
            self.faults.append(Fault(place="", text=str(error)))
        return None

    def secret(self, secret: Secret, place: str) -> str:
        """The secret, or an empty string after recording its fault."""
        return self.of(lambda: secret.resolve(self.environ, place=place)) or ""
