"""Builds the settings of the web server and the heartbeat from their sections and those of callbacks, resolving
secrets."""

import os
from collections.abc import Mapping
from functools import partial
from urllib.parse import urlsplit

from daemon.build.reading import Reading
from daemon.config import Callback, Config, ConfigFaults, Fault, Heartbeat
from daemon.config.values import web_address
from daemon.domain.jobs import ProjectName
from daemon.errors import ConfigFault
from daemon.logs import MASKS
from daemon.spec import HeartbeatSettings
from daemon.web import CallbackAuth, CallbackSettings, WebSettings
from daemon.web.settings import callback_secret

LEAST_KEY = 16
"""Minimum length of a callback key in characters."""
_LEAST_TOKEN = 10
"""Minimum length in characters of what may be the secret part of a heartbeat's path: a UUID, a token."""


def web_settings(config: Config, environ: Mapping[str, str] = os.environ) -> WebSettings:
    """The web server's settings. Raises ConfigFault with all faults."""
    web = config.web
    reading = Reading(environ)
    token = None if web.token is None else reading.secret(web.token, "web.token") or None
    callbacks: dict[ProjectName, CallbackSettings] = {}
    for name, project in config.projects.items():
        if project.callback is not None:
            made = reading.of(partial(_callback, name, project.callback, environ))
            if made is not None:
                callbacks[ProjectName(name)] = made
    if reading.faults:
        raise ConfigFaults(config.source, reading.faults)
    return WebSettings(
        host=web.listen.host,
        port=web.listen.port,
        token=token,
        public_url=web.public_url,
        callbacks=callbacks,
        link_life=config.notify.link_life,
        hosts=web.hosts,
        pages=web.pages,
    )


def heartbeat_settings(heartbeat: Heartbeat, environ: Mapping[str, str] = os.environ) -> HeartbeatSettings:
    """The heartbeat's settings. Raises ConfigFault, which does not show the URL."""
    url = heartbeat.url.resolve(environ, place="heartbeat.url")
    if web_address(url) is None or "@" in urlsplit(url).netloc or "#" in url:
        raise ConfigFault(
            'heartbeat.url: not a web address; write the one that the service shows, such as "https://hc-ping.com/…"'
        )
    parts = urlsplit(url)
    MASKS.add([parts.path, *(each for each in parts.path.split("/") if len(each) >= _LEAST_TOKEN)])
    return HeartbeatSettings(url=url, interval=heartbeat.interval)


def callback_settings(
    config: Config, name: str, environ: Mapping[str, str] = os.environ
) -> tuple[str, CallbackSettings]:
    """The public address, and a project's callback settings. Raises ConfigFault if one is missing; UnknownName."""
    callback = config.project(name).callback
    place = f"projects.{name}.callback"
    if callback is None:
        fault = Fault(place=place, text="there is no such section; add it, with a key, to accept callbacks")
        raise ConfigFaults(config.source, [fault])
    if config.web.public_url is None:
        fault = Fault(place="web.public_url", text="the key is missing; callbacks are sent to this address")
        raise ConfigFaults(config.source, [fault])
    return config.web.public_url, _callback(name, callback, environ)


def _callback(name: str, callback: Callback, environ: Mapping[str, str]) -> CallbackSettings:
    place = f"projects.{name}.callback.key"
    key = callback.signing_key.resolve(environ, place=place)
    if len(key) < LEAST_KEY:
        raise ConfigFault(f"{place}: shorter than {LEAST_KEY} characters; `openssl rand -hex 24` makes one")
    settings = CallbackSettings(auth=CallbackAuth(callback.auth), key=key, track_unknown=callback.track_unknown)
    MASKS.add([callback_secret(ProjectName(name), settings)])
    return settings
