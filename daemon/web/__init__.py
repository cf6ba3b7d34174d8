"""The daemon's web server: probes, tracking over HTTP, MetaStudio's callbacks, and wrapd's own links.

`context` and `server` are not imported here, so that code which needs only settings loads neither store nor
Litestar.
"""

from daemon.web.health import Health, Part, Probes, judge_health
from daemon.web.settings import CallbackAuth, CallbackSettings, WebSettings, callback_url, listen, own_url

__all__ = [
    "CallbackAuth",
    "CallbackSettings",
    "Health",
    "Part",
    "Probes",
    "WebSettings",
    "callback_url",
    "judge_health",
    "listen",
    "own_url",
]
