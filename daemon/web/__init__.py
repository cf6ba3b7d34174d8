"""The daemon's web server: probes, tracking over HTTP, MetaStudio's callbacks, and wrapd's own links."""

from daemon.web.context import WebContext
from daemon.web.health import Health, Part, Probes, judge_health
from daemon.web.server import WebServer, build_app, listen
from daemon.web.settings import CallbackAuth, CallbackSettings, WebSettings, callback_url, own_url

__all__ = [
    "CallbackAuth",
    "CallbackSettings",
    "Health",
    "Part",
    "Probes",
    "WebContext",
    "WebServer",
    "WebSettings",
    "build_app",
    "callback_url",
    "judge_health",
    "listen",
    "own_url",
]
