"""Reading one thing after the other, and keeping the faults: a person mends them in one go."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from daemon.config import ConfigFaults, Fault, Secret
from daemon.errors import ConfigFault

T = TypeVar("T")


class Reading:
    """Reads, and keeps the faults."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.faults: list[Fault] = []

    def of(self, read: Callable[[], T]) -> T | None:
        """What `read` gives, None where it is at fault."""
        try:
            return read()
        except ConfigFaults as error:
            self.faults.extend(error.faults)
        except ConfigFault as error:
            self.faults.append(Fault(place="", text=str(error)))
        return None

    def secret(self, secret: Secret, place: str) -> str:
        """A secret, empty where it is at fault."""
        return self.of(lambda: secret.resolve(self.environ, place=place)) or ""
