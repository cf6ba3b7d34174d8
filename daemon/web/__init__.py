"""The daemon's web server: probes, tracking over HTTP, MetaStudio's callbacks, and wrapd's own links.

`daemon.web.server` is not imported here: FastAPI takes 12 MiB, which a daemon without a web server saves.
"""

from daemon.web.context import WebContext
from daemon.web.health import Health, Part, Probes, judge_health
from daemon.web.settings import CallbackAuth, CallbackSettings, WebSettings, callback_url, listen, own_url

__all__ = [
    "CallbackAuth",
    "CallbackSettings",
    "Health",
    "Part",
    "Probes",
    "WebContext",
    "WebSettings",
    "callback_url",
    "judge_health",
    "listen",
    "own_url",
]
