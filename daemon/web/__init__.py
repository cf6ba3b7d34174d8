"""The web server of the daemon: health, readiness, metrics."""

from daemon.web.health import Health, Part, Probes, judge_health
from daemon.web.server import WebServer, build_app, listen

__all__ = ["Health", "Part", "Probes", "WebServer", "build_app", "judge_health", "listen"]
