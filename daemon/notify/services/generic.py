"""Services that take plain text: your own webhooks, standard output, and services without a card."""

import sys
import threading
from typing import Any, ClassVar, TextIO

from daemon.notify.message.escape import chat
from daemon.notify.services.answers import Exchange, Hold, Verdict, answer_of, by_key, is_success, sent, unreadable
from daemon.notify.services.base import Carded, Service, Tested

_COLOURS = {"success": "\x1b[32m", "failure": "\x1b[31m", "warning": "\x1b[33m", "info": "\x1b[36m"}
"""By Apprise's notify type."""
_STRONG, _RESET = "\x1b[1m", "\x1b[0m"


class Console(Carded):
    """Writes each alert to a stream, readable for people. Characters that the stream cannot encode do not fail
    a send."""

    service_name = "Console"
    protocol = "console"
    request_rate_per_sec = 0
    title_maxlen = 250

    stream: TextIO | None = None
    """Where to write; None: standard output at the time of the send."""
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def send(self, body: str, title: str = "", notify_type: Any = "info", **_kwargs: Any) -> bool:
        """Write one alert at once, so that alerts of several channels do not mix."""
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
        """Accept everything that begins with console://."""
        return {"schema": "console", "host": "", "secure": False} if url.lower().startswith("console://") else None


def _block(title: str, body: str, colour: str) -> str:
    """The alert with a bar on the left. Assumes no width of the terminal or of any character."""
    strong, reset = (f"{_STRONG}{colour}", _RESET) if colour else ("", "")
    bar = f"{colour}│{reset}" if colour else "│"
    lines = [f"{bar} {line}".rstrip() for line in body.splitlines()]
    return "\n".join([f"{colour}╭─{reset} {strong}{title}{reset}", *lines, f"{colour}╰─{reset}", "", ""])


def _pushover(last: Exchange) -> Verdict | None:
    answer = answer_of(last.body) or {}
    if is_success(last.status):
        return sent(last) if answer.get("status") == 1 else unreadable(last)
    wrong = next((name for name in ("token", "user", "device") if answer.get(name) == "invalid"), None)
    if wrong is not None:
        return Hold(reason=f"HTTP {last.status}: the {wrong} is invalid", status=last.status)
    return None


WEBHOOK = Service(
    examples={"json": ("a webhook of your own, JSON", "jsons://example.com/hook")},
    schemes=("json", "jsons"),
    theirs="custom_json:NotifyJSON",
    limit=32768,
    machine=True,
    shows="text and facts as fields",
    tested=Tested.CONFORMANCE,
)
FORM = Service(
    examples={"form": ("a webhook of your own, form fields", "forms://example.com/hook")},
    schemes=("form", "forms"),
    theirs="custom_form:NotifyForm",
    limit=32768,
    machine=True,
)
XML = Service(
    examples={"xml": ("a webhook of your own, XML", "xmls://example.com/hook")},
    schemes=("xml", "xmls"),
    theirs="custom_xml:NotifyXML",
    limit=32768,
    machine=True,
)
CONSOLE = Service(
    examples={"console": ("standard output of `wrapd run`", "console://")},
    schemes=("console",),
    theirs="base:NotifyBase",
    ours=Console,
    limit=32768,
    shows="coloured title, text",
)
MATRIX = Service(
    examples={"matrix": ("Matrix, one room", "matrixs://user:password@matrix.example.com/#room")},
    schemes=("matrix", "matrixs"),
    theirs="matrix.base:NotifyMatrix",
    escape=chat,
    limit=30000,
    tested=Tested.OPENED,
)
GOTIFY = Service(
    examples={"gotify": ("Gotify", "gotifys://gotify.example.com/TOKEN")},
    schemes=("gotify", "gotifys"),
    theirs="gotify:NotifyGotify",
    limit=32768,
    rule=by_key("id"),
)
PUSHOVER = Service(
    examples={"pover": ("Pushover", "pover://USER_KEY@APP_TOKEN")},
    schemes=("pover",),
    theirs="pushover:NotifyPushover",
    limit=1024,
    rule=_pushover,
)
