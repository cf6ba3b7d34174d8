"""From the config to the parts: reads the secrets, and makes each part's own settings.

The only place where a config's values and secrets come together. Every function collects all faults before it
raises, so that a person mends them in one go.
"""

import contextlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar, assert_never

from daemon.config import (
    AkSkAuth,
    Auth,
    Config,
    ConfigFaults,
    Discovery,
    Fault,
    PasswordAuth,
    Project,
    Secret,
    TokenAuth,
    examine,
    read_tree,
)
from daemon.config.faults import spell
from daemon.config.forms import nearest
from daemon.config.secrets import Source, parse
from daemon.domain.jobs import ChannelName, ProjectName
from daemon.domain.planning import Strategy
from daemon.errors import ConfigFault
from daemon.logs import MASKS
from daemon.metastudio import settings as metastudio
from daemon.metastudio.credentials import SdkCredentials, sdk_credentials
from daemon.notify import NotifySettings
from daemon.notify.channels import Channel, ChannelSettings, open_channel
from daemon.service import Plan
from daemon.watch.discovery import DiscoverySettings, Filters
from daemon.watch.settings import PollingPlan

T = TypeVar("T")

_NO_PROJECT = Fault(place="projects", text="there is none to watch; add a section [projects.NAME]")
_NO_ID = "project_id is missing; add it, or the region by which it can be looked up"
_SECRETS = frozenset({"access_key", "secret_key", "security_token", "token", "password", "proxy", "url"})
"""Keys that hold a secret."""


def build_plan(config: Config, environ: Mapping[str, str] = os.environ) -> Plan:
    """Everything that the daemon is to do. Raises ConfigFault with all faults of secrets, keys and channel URLs,
    or where there is no project."""
    reading = _Reading(environ)
    projects = [reading.of(partial(project_settings, config, name, environ)) for name in config.projects]
    channels = {name: reading.of(partial(channel, config, name, environ)) for name in config.channels}
    if not config.projects:
        reading.faults.append(_NO_PROJECT)
    if reading.faults:
        raise ConfigFaults(config.source, reading.faults)
    return Plan(
        database_url=config.database.url,
        auto_migrate=config.database.auto_migrate,
        projects=tuple(each for each in projects if each is not None),
        max_in_flight={ProjectName(name): project.max_in_flight for name, project in config.projects.items()},
        polling=polling_plan(config),
        not_found_grace=config.polling.not_found_grace,
        give_up_after=config.polling.give_up_after,
        channels={ChannelName(name): opened for name, opened in channels.items() if opened is not None},
        routing=config.routing(),
        notify=NotifySettings(send_timeout=config.notify.send_timeout, give_up_after=config.notify.give_up_after),
        web=(config.web.listen.host, config.web.listen.port) if config.web.enabled else None,
        discovery={
            ProjectName(name): discovery_settings(project.discovery)
            for name, project in config.projects.items()
            if project.discovery is not None and project.discovery.enabled
        },
    )


def polling_plan(config: Config) -> PollingPlan:
    """When to ask, as the watch takes it."""
    polling = config.polling
    return PollingPlan(
        rails=polling.rails,
        price=polling.price,
        strategy=Strategy(polling.strategy),
        feed=polling.feed == "auto",
        batch=polling.batch == "auto",
    )


def discovery_settings(discovery: Discovery) -> DiscoverySettings:
    """What is taken from a project's list, as the watch takes it."""
    return DiscoverySettings(
        filters=Filters(
            kinds=discovery.kinds,
            states=tuple(map(str, discovery.states)),
            since=discovery.since,
            name=discovery.name,
        ),
        interval=discovery.interval,
        tags=discovery.tags,
        batch=discovery.batch,
    )


def check_config(path: Path, environ: Mapping[str, str] = os.environ) -> tuple[Config, list[str]]:
    """The config at `path`, wholly checked, with what is allowed but unwise. Raises ConfigFault with every fault:
    those of the file, and, for whatever of it can be read, those of secrets, keys and channel URLs."""
    tree = read_tree(path)
    config, faults = examine(tree, path)
    if config is None or faults:
        raise ConfigFaults(path, [*faults, *_faults_of_secrets(tree, path, environ)])
    build_plan(config, environ)
    return config, list(_warnings(config))


def project_settings(
    config: Config, name: str, environ: Mapping[str, str] = os.environ
) -> metastudio.ProjectSettings:
    """What the API client of a project needs, secrets read. Raises ConfigFault (all its faults), UnknownName."""
    project = config.project(name)
    place = f"projects.{name}"
    reading = _Reading(environ)
    found = None
    if isinstance(project.auth, AkSkAuth) and project.auth.access_key is None:
        found = reading.of(partial(_sdk_credentials, environ, f"{place}.auth"))
    auth = _auth(project.auth, found, place=f"{place}.auth", reading=reading)
    proxy = reading.of(lambda: _proxy(project, place, environ))
    ca_file = reading.of(lambda: _ca_file(project.ca_file, place))
    project_id, iam_endpoint = project.project_id, project.auth.iam_endpoint
    if found is not None and len(config.projects) == 1:
        project_id = project_id or found.project_id
        iam_endpoint = iam_endpoint or found.iam_endpoint
    if project_id is None and project.region is None:
        reading.faults.append(Fault(place=place, text=_NO_ID))
    if reading.faults:
        raise ConfigFaults(config.source, reading.faults)
    assert auth is not None, "without a fault there are keys"
    return metastudio.ProjectSettings(
        name=ProjectName(name),
        auth=auth,
        region=project.region,
        endpoint=project.endpoint,
        iam_endpoint=iam_endpoint,
        project_id=project_id,
        rate=project.rate,
        proxy=proxy,
        ca_file=ca_file,
        app_user_id=project.app_user_id,
    )


def channel(config: Config, name: str, environ: Mapping[str, str] = os.environ) -> Channel:
    """A channel, its URL read and accepted by Apprise. Raises ConfigFault (never with the URL), UnknownName."""
    chosen = config.channel(name)
    url = chosen.url.resolve(environ, place=f"channels.{name}.url")
    return open_channel(ChannelSettings(name=ChannelName(name), url=url, timezone=chosen.timezone))


class _Reading:
    """Reads one thing after the other and keeps the faults."""

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


def _auth(auth: Auth, found: SdkCredentials | None, *, place: str, reading: _Reading) -> metastudio.Auth | None:
    match auth:
        case AkSkAuth(access_key=Secret() as access_key, secret_key=Secret() as secret_key):
            token = auth.security_token
            return metastudio.AkSk(
                access_key=reading.secret(access_key, f"{place}.access_key"),
                secret_key=reading.secret(secret_key, f"{place}.secret_key"),
                security_token=None if token is None else reading.secret(token, f"{place}.security_token"),
            )
        case AkSkAuth():
            return None if found is None else found.keys
        case TokenAuth():
            return metastudio.GivenToken(token=reading.secret(auth.token, f"{place}.token"))
        case PasswordAuth():
            return metastudio.Password(
                domain=auth.domain, user=auth.user, password=reading.secret(auth.password, f"{place}.password")
            )
        case _:
            assert_never(auth)


def _sdk_credentials(environ: Mapping[str, str], place: str) -> SdkCredentials:
    try:
        found = sdk_credentials(environ, Path(environ.get("HOME") or "/"))
    except ConfigFault as error:
        raise ConfigFault(f"{place}: {error}") from error
    MASKS.add(filter(None, [found.keys.access_key, found.keys.secret_key, found.keys.security_token]))
    return found


def _proxy(project: Project, place: str, environ: Mapping[str, str]) -> str | None:
    if project.proxy is None:
        return None
    url = project.proxy.resolve(environ, place=f"{place}.proxy")
    if not url.startswith(("http://", "https://")):
        raise ConfigFault(f"{place}.proxy: this is not an HTTP proxy; write http://HOST:PORT")
    return url


def _ca_file(path: str | None, place: str) -> str | None:
    if path is None:
        return None
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise ConfigFault(f"{place}.ca_file: cannot read {path}: {error.strerror}; name a PEM file") from error
    if b"-----BEGIN" not in text:
        raise ConfigFault(f"{place}.ca_file: {path} is not in PEM; name a file with certificates in PEM")
    return path


def _faults_of_secrets(tree: Mapping[str, object], path: Path, environ: Mapping[str, str]) -> list[Fault]:
    """The faults of secrets in a config that is wrong elsewhere: those of each section that is right by itself,
    and, of the others, those of each secret by itself."""
    reading = _Reading(environ)
    if not tree.get("projects"):
        reading.faults.append(_NO_PROJECT)
    for kind, make in (("channels", channel), ("projects", project_settings)):
        sections = tree.get(kind)
        for name, section in (sections if isinstance(sections, dict) else {}).items():
            config, faults = examine({kind: {name: section}}, path)
            if config is not None and not faults:
                reading.of(partial(make, config, name, environ))
            elif isinstance(section, dict):
                _read_each(section, [kind, name], path.absolute().parent, reading)
    return reading.faults


def _read_each(section: Mapping[str, object], place: list[str], folder: Path, reading: _Reading) -> None:
    """Read what can be read of a section that is wrong elsewhere. What is wrong in form has been told already."""
    for key, value in section.items():
        where = spell([*place, key])
        if key == "auth" and isinstance(value, dict):
            _read_each(value, [*place, key], folder, reading)
        elif key == "ca_file" and isinstance(value, str) and value.isprintable():
            reading.of(partial(_ca_file, str(folder / value), spell(place)))
        elif key in _SECRETS:
            with contextlib.suppress(ValueError):
                secret = reading.secret(parse(value, folder), where)
                if key == "url" and secret:
                    settings = ChannelSettings(name=ChannelName(place[-1]), url=secret, timezone="UTC")
                    reading.of(partial(open_channel, settings))
    if place[0] == "projects" and len(place) == 2:
        own_keys = section.get("auth", {"method": "aksk"}) != {"method": "aksk"}
        if not own_keys:
            reading.of(partial(_sdk_credentials, reading.environ, f"{spell(place)}.auth"))
        elif "endpoint" in section and not any(nearest(key, ["region", "project_id"]) for key in section):
            reading.faults.append(Fault(place=spell(place), text=_NO_ID))


def _warnings(config: Config) -> Iterator[str]:
    for name, project in config.projects.items():
        limit = project.place.query_limit if project.place else None
        if limit is not None and project.rate > limit:
            yield (
                f"projects.{name}.requests_per_second: {project.rate:g} is over the documented limit of "
                f"{project.region}, {limit:g} for the whole tenant: the service will refuse some requests"
            )
    if not config.channels:
        yield "channels: there is none, so nobody is told; add a section [channels.NAME]"
    routed = {name for route in config.routes for name in route.channels} | set(config.operators or ())
    for name in config.channels:
        if config.routes and config.operators is not None and name not in routed:
            yield f"channels.{name}: no route and no operator goes there, so nothing is sent to it"
    if _holds_secrets(config) and _readable_by_all(config.source):
        yield f"{config.source}: holds secrets and everybody on this machine can read it; chmod o-r it"


def _holds_secrets(config: Config) -> bool:
    held = [channel.url for channel in config.channels.values()]
    for project in config.projects.values():
        held += [value for _, value in project.auth if isinstance(value, Secret)]
    return any(secret.source is Source.TEXT for secret in held)


def _readable_by_all(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
