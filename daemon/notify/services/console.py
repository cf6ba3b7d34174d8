"""`console://`: each alert on standard output (or a stream of the caller), as a person would read it.

For `wrapd demo` and for trying out a config. Must never fail a send because a terminal cannot show a character.
"""

import sys
import threading
from typing import Any, ClassVar, TextIO

from apprise import NotifyType
from apprise.plugins.base import NotifyBase

_COLOURS = {
    NotifyType.SUCCESS: "\x1b[32m",
    NotifyType.FAILURE: "\x1b[31m",
    NotifyType.WARNING: "\x1b[33m",
    NotifyType.INFO: "\x1b[36m",
}
_STRONG, _RESET = "\x1b[1m", "\x1b[0m"


class NotifyConsole(NotifyBase):  # type: ignore[no-untyped-call]  # Apprise's hook has no types
    """Writes to a stream."""

    service_name = "Console"  # type: ignore[assignment]  # Apprise declares it as None
    protocol = "console"  # type: ignore[assignment]  # Apprise declares it as None
    request_rate_per_sec = 0
    title_maxlen = 250

    stream: TextIO | None = None
    """Where to write; None: standard output as it is at the moment of the send."""
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def send(self, body: str, title: str = "", notify_type: NotifyType = NotifyType.INFO, **_kwargs: Any) -> bool:
        """Write one alert whole; alerts of several channels do not mix."""
        stream = self.stream or sys.stdout
        text = _block(title, body, _COLOURS[notify_type] if stream.isatty() else "")
        with self._lock:
            try:
                stream.write(text)
            except UnicodeEncodeError:
                encoding = getattr(stream, "encoding", None) or "ascii"
                stream.write(text.encode(encoding, "replace").decode(encoding))
            stream.flush()
        return True

    def url(self, privacy: bool = False, *_args: Any, **_kwargs: Any) -> str:
        return "console://"

    @staticmethod
    def parse_url(url: str, *_args: Any, **_kwargs: Any) -> dict[str, Any] | None:
        """Anything that begins with console:// is the console."""
        return {"schema": "console", "host": "", "secure": False} if url.lower().startswith("console://") else None


def _block(title: str, body: str, colour: str) -> str:
    """The alert with a bar at its left: no width is assumed, of the terminal or of a character."""
    strong, reset = (f"{_STRONG}{colour}", _RESET) if colour else ("", "")
    bar = f"{colour}│{reset}" if colour else "│"
    lines = [f"{bar} {line}".rstrip() for line in body.splitlines()]
    return "\n".join([f"{colour}╭─{reset} {strong}{title}{reset}", *lines, f"{colour}╰─{reset}", "", ""])
