"""Notifies systemd of readiness, progress, stopping and status, and lists the credentials that it passed in.

Implements sd_notify(3) over a plain Unix datagram socket. It never makes the daemon fail or block: without a
manager nothing is sent, and a lost message is only logged.
"""

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from daemon import logs

log = logs.logger(__name__)

_SEND_TIMEOUT = 1.0
"""Seconds to wait for a manager whose queue is full (it normally drains within microseconds)."""


class Notifier(Struct, frozen=True, kw_only=True):
    """A connection to the service manager.

    `address` is the manager's socket: a path, `@name` for the abstract namespace, or None if there is no manager.
    `watchdog_interval` is the longest time in seconds that the manager allows between two calls of `watchdog`
    (call it at half of that), or None if it does not watch this process.
    """

    address: str | None = None
    watchdog_interval: float | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ, *, pid: int | None = None) -> "Notifier":
        """Read NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID for the process `pid` (this one by default)."""
        address = environ.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")) or address == "@":
            return cls()
        return cls(address=address, watchdog_interval=_watchdog(environ, os.getpid() if pid is None else pid))

    def ready(self, status: str | None = None) -> None:
        """Report that start-up is complete: `systemctl start` returns, and units ordered after this one start."""
        self._send("READY=1", status)

    def stopping(self, status: str | None = None) -> None:
        """Report that shutdown has begun; the watchdog is no longer expected to be fed."""
        self._send("STOPPING=1", status)

    def watchdog(self) -> None:
        """Report progress. Call it only when the daemon makes progress, not just because it is alive."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Set the status line of `systemctl status`."""
        self._send(None, text)

    def _send(self, assignment: str | None, status: str | None = None) -> None:
        if self.address is None:
            return
        lines = [assignment] if assignment else []
        if status is not None:
            lines.append("STATUS=" + " ".join(status.split()))
        where = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
                line.settimeout(_SEND_TIMEOUT)
                line.connect(where)
                line.sendall("\n".join(lines).encode())
        except OSError as error:
            log.warning(logs.LogEvent.MANAGER_UNREACHED, message=lines[0], error=error)


def _watchdog(environ: Mapping[str, str], pid: int) -> float | None:
    """WATCHDOG_USEC in seconds if it is meant for `pid`, by the rules of sd_watchdog_enabled(3)."""
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    try:
        microseconds = int(environ.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    return microseconds / 1_000_000 if microseconds > 0 else None


def credentials(environ: Mapping[str, str] = os.environ) -> dict[str, float]:
    """When each credential of this process was copied for it (Unix time), by the path of the copy."""
    folder = environ.get("CREDENTIALS_DIRECTORY", "")
    try:
        return {str(copy): copy.stat().st_mtime for copy in Path(folder).iterdir()} if folder else {}
    except OSError:
        return {}
