"""Checks a config completely: reports every fault in one run, however wrong the rest is, and unwise settings."""

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from daemon.build.channels import channel, read_templates
from daemon.build.projects import NO_ID, project_settings, read_ca_file, sdk_keys
from daemon.build.reading import Reading
from daemon.build.spec import NO_PROJECT, build_spec
from daemon.build.web import heartbeat_settings, web_settings
from daemon.config import Config, ConfigFaults, Fault, Secret, examine, read_tree
from daemon.config.faults import spell
from daemon.config.schema_keys import without_secrets
from daemon.config.secrets import SecretSource, parse
from daemon.config.values import nearest, template_name
from daemon.domain.events import Event
from daemon.domain.hosts import is_loopback
from daemon.domain.jobs import ChannelName
from daemon.errors import ConfigFault
from daemon.logs import MASKS
from daemon.notify.transport import ChannelSettings, open_channel, proxy_doubts, proxy_passwords
from daemon.spec import Spec
from daemon.web import listen

_SECRETS = frozenset({"access_key", "secret_key", "security_token", "token", "password", "proxy", "url", "key"})
"""Keys whose value is a secret."""
_INNER = ("auth", "callback")
"""Sections of a project that contain secrets."""


def check_config(path: Path, environ: Mapping[str, str] = os.environ) -> tuple[Config, list[str]]:
    """Check the config at `path` completely; returns it with its warnings. Raises ConfigFault with all faults of
    the file and, as far as it can be read, of its secrets, keys, templates and channel URLs."""
    config, _, doubts = _checked(path, environ)
    return config, doubts


def load_spec(path: Path, environ: Mapping[str, str] = os.environ) -> tuple[Spec, list[str]]:
    """The same, but returns the resulting spec."""
    _, spec, doubts = _checked(path, environ)
    return spec, doubts


def _checked(path: Path, environ: Mapping[str, str]) -> tuple[Config, Spec, list[str]]:
    tree = read_tree(path)
    config, faults = examine(tree, path)
    if config is None or faults:
        raise ConfigFaults(path, [*faults, *_faults_of_secrets(tree, path, environ)])
    MASKS.add(proxy_passwords(environ))
    spec = replace(build_spec(config, environ), source=without_secrets(tree))
    doubts = [doubt for channel in spec.channels.values() for doubt in channel.doubts]
    return config, spec, [*warnings(config), *doubts, *(proxy_doubts(environ) if config.channels else ())]


def _faults_of_secrets(tree: Mapping[str, object], path: Path, environ: Mapping[str, str]) -> list[Fault]:
    """Faults of secrets in a config with other faults: by section if that is valid, otherwise secret by secret."""
    reading = Reading(environ)
    if not tree.get("projects"):
        reading.faults.append(NO_PROJECT)
    web = tree.get("web")
    base: dict[str, object] = {"web": web} if isinstance(web, dict) else {}
    config, faults = examine(base, path)
    if config is not None and not faults:
        reading.of(partial(web_settings, config, environ))
    else:
        base = {}
        if isinstance(web, dict):
            _read_each(web, ["web"], path.absolute().parent, reading)
    heartbeat = tree.get("heartbeat")
    alone, _ = examine({"heartbeat": heartbeat} if isinstance(heartbeat, dict) else {}, path)
    if alone is not None and alone.heartbeat is not None:
        reading.of(partial(heartbeat_settings, alone.heartbeat, environ))
    for kind in ("channels", "projects"):
        sections = tree.get(kind)
        for name, section in (sections if isinstance(sections, dict) else {}).items():
            if isinstance(section, dict):
                _read_section((kind, name), section, base, path, reading)
    return reading.faults


def _read_section(
    place: tuple[str, str], section: dict[str, object], base: Mapping[str, object], path: Path, reading: Reading
) -> None:
    kind, name = place
    alone = {key: value for key, value in section.items() if key != "fallback"}  # refers to another section
    config, faults = examine({**base, kind: {name: alone}}, path)
    if config is None or faults:
        _read_each(section, [kind, name], path.absolute().parent, reading)
    elif kind == "channels":
        reading.of(partial(channel, config, name, reading.environ))
    else:
        reading.of(partial(project_settings, config, name, reading.environ))
        if config.project(name).callback is not None:
            reading.of(partial(web_settings, config, reading.environ))


def _read_each(section: Mapping[str, object], place: list[str], folder: Path, reading: Reading) -> None:
    """Read whatever is readable in a section with faults. Faults of form have already been reported."""
    for key, value in section.items():
        where = spell([*place, key])
        if key in _INNER and isinstance(value, dict):
            _read_each(value, [*place, key], folder, reading)
        elif key == "ca_file" and isinstance(value, str) and value.isprintable() and "://" not in value:
            reading.of(partial(read_ca_file, str(folder / value), spell(place)))
        elif key == "templates" and place[0] == "channels" and isinstance(value, dict):
            read_templates(_template_files(value, folder), where, reading)
        elif key in _SECRETS:
            with contextlib.suppress(ValueError):
                secret = reading.secret(parse(value, folder), where)
                if key == "url" and secret:
                    settings = ChannelSettings(name=ChannelName(place[-1]), url=secret, timezone="UTC")
                    reading.of(partial(open_channel, settings))
    if place[0] == "projects" and len(place) == 2:
        own_keys = section.get("auth", {"method": "aksk"}) != {"method": "aksk"}
        if not own_keys:
            reading.of(partial(sdk_keys, reading.environ, f"{spell(place)}.auth"))
        elif "endpoint" in section and not any(nearest(key, ["region", "project_id"]) for key in section):
            reading.faults.append(Fault(place=spell(place), text=NO_ID))


def _template_files(section: Mapping[str, object], folder: Path) -> dict[str, str]:
    """The well-formed template entries of a channel that has other faults."""
    files: dict[str, str] = {}
    for event, path in section.items():
        with contextlib.suppress(ValueError):
            if isinstance(path, str) and path and "\0" not in path:
                files[template_name(event)] = str(folder / path)
    return files


def warnings(config: Config) -> Iterator[str]:
    """Warnings about valid but unwise settings."""
    for name, project in config.projects.items():
        limit = project.place.query_limit if project.place else None
        if limit is not None and project.rate > limit:
            yield (
                f"projects.{name}.requests_per_second: {project.rate:g} is over the documented limit of "
                f"{project.region}, {limit:g} for the whole tenant: the service will refuse some requests"
            )
    yield from _unused_channels(config)
    yield from _links(config)
    yield from _address(config)
    if _holds_secrets(config) and _readable_by_all(config.source):
        yield f"{config.source}: contains secrets and every user of this machine can read it; chmod o-r it"


def _unused_channels(config: Config) -> Iterator[str]:
    if not config.channels:
        yield "channels: there are none, so no one is alerted; add a section [channels.NAME]"
    routing = config.routing()
    fallbacks = {channel.fallback for channel in config.channels.values()}
    for name, chosen in config.channels.items():
        heard = {event for event in Event if routing.hears(ChannelName(name), event)}
        if not heard and name not in fallbacks:
            yield f"channels.{name}: no route and no operator setting names it, so nothing is sent to it"
        elif name not in fallbacks:
            for event in chosen.templates:
                if event not in {"*", "digest"} and Event(event) not in heard:
                    yield f"channels.{name}.templates.{event}: no route sends that event there"


def _links(config: Config) -> Iterator[str]:
    reminded = any(Event.LINK_EXPIRING in route.events for route in config.routes)
    if config.notify.link_reminder > 0 and not reminded:
        yield "notify.link_reminder: no route names link_expiring, so no one is reminded; add it to a route"
    if reminded and config.notify.link_reminder == 0:
        yield 'routes: link_expiring is named but never occurs; set notify.link_reminder, such as "4h"'
    url = config.web.public_url
    if reminded and config.notify.link_reminder > 0 and url is None:
        yield (
            "notify.link_reminder: without web.public_url clicks are not seen, so every video causes a reminder; "
            "set web.public_url"
        )
    if url is not None and url.startswith("http://") and not _is_local(url):
        yield "web.public_url: http:// sends links to videos, and callbacks, in the clear; put TLS in front of it"


def _address(config: Config) -> Iterator[str]:
    """Check that the address belongs to this machine. The port may be in use, by the running daemon."""
    if config.web.enabled:
        try:
            listen(config.web.listen.host, 0).close()
        except ConfigFault as error:
            yield f"web.listen: not an address of this machine: {error.__cause__}"


def _is_local(url: str) -> bool:
    host = url.removeprefix("http://").partition("/")[0]
    return is_loopback(host.rpartition(":")[0].strip("[]") or host) or is_loopback(host)


def _holds_secrets(config: Config) -> bool:
    held: list[Secret | None] = [channel.url for channel in config.channels.values()]
    held += [config.web.token, None if config.heartbeat is None else config.heartbeat.url]
    for project in config.projects.values():
        held += [value for value in vars(project.auth).values() if isinstance(value, Secret)]
        held.append(None if project.callback is None else project.callback.signing_key)
    return any(secret is not None and secret.source is SecretSource.TEXT for secret in held)


def _readable_by_all(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
