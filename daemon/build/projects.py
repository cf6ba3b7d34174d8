"""Builds the settings of a project's API client and discovery from its config section, resolving secrets."""

import os
import stat
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import assert_never

from msgspec import Struct

from daemon.build.reading import Reading
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
    secrets,
)
from daemon.domain.jobs import ProjectName
from daemon.errors import ConfigFault
from daemon.logs import MASKS
from daemon.metastudio import settings as metastudio
from daemon.metastudio.credentials import SdkCredentials, sdk_credentials
from daemon.watch.wishes import DiscoverySettings, Filters

_PROXIES = frozenset({"http_proxy", "https_proxy"})
"""Variables that name a proxy, in lower case."""
NO_ID = "project_id is missing; add it, or the region by which it can be looked up"


def project_settings(
    config: Config, name: str, environ: Mapping[str, str] = os.environ
) -> metastudio.ProjectSettings:
    """The settings of a project's API client. Raises ConfigFault with all faults, and UnknownName."""
    project = config.project(name)
    place = f"projects.{name}"
    reading = Reading(environ)
    found = None
    if isinstance(project.auth, AkSkAuth) and project.auth.access_key is None:
        found = reading.of(partial(sdk_keys, environ, f"{place}.auth"))
    auth = _auth(project.auth, found, place=f"{place}.auth", reading=reading)
    proxy = reading.of(lambda: _proxy(project, place, environ))
    ca_file = reading.of(lambda: read_ca_file(project.ca_file, place))
    project_id, iam_endpoint = project.project_id, project.auth.iam_endpoint
    if found is not None and len(config.projects) == 1:
        project_id = project_id or found.project_id
        iam_endpoint = iam_endpoint or found.iam_endpoint
    if project_id is None and project.region is None:
        reading.faults.append(Fault(place=place, text=NO_ID))
    if reading.faults:
        raise ConfigFaults(config.source, reading.faults)
    assert auth is not None, "there would be a fault"
    settings = metastudio.ProjectSettings(
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
    _check_environment(settings, place, environ)
    return settings


def discovery_settings(discovery: Discovery) -> DiscoverySettings:
    """What is tracked from a project's list, for the watcher."""
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


def _auth(auth: Auth, found: SdkCredentials | None, *, place: str, reading: Reading) -> metastudio.Auth | None:
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


class AsSecrets(Struct, frozen=True):
    """Reads the official SDK's credentials by the same rules as all other secrets."""

    place: str

    def file(self, path: Path) -> str:
        return secrets.read_text(path, self.place)

    def value(self, text: str, source: str) -> str:
        return secrets.single_line(text, self.place, source)


def sdk_keys(environ: Mapping[str, str], place: str) -> SdkCredentials:
    """The credentials that the official SDK would find. Raises ConfigFault."""
    try:
        found = sdk_credentials(environ, Path(environ.get("HOME") or "/"), AsSecrets(place))
    except ConfigFault as error:
        text = str(error)
        raise ConfigFault(text if text.startswith(f"{place}: ") else f"{place}: {text}") from error
    MASKS.add(filter(None, [found.keys.access_key, found.keys.secret_key, found.keys.security_token]))
    return found


def _proxy(project: Project, place: str, environ: Mapping[str, str]) -> str | None:
    if project.proxy is None:
        return None
    from daemon.transport import is_proxy  # noqa: PLC0415 - httpx and aiohttp

    url = project.proxy.resolve(environ, place=f"{place}.proxy")
    if not url.startswith(("http://", "https://")) or not is_proxy(url):
        raise ConfigFault(f"{place}.proxy: this is not an HTTP proxy; write http://HOST:PORT")
    return url


def read_ca_file(path: str | None, place: str) -> str | None:
    """Return `path` after checking that it is a PEM file. Raises ConfigFault."""
    if path is None:
        return None
    try:
        regular = stat.S_ISREG(Path(path).stat().st_mode)  # reading a device or pipe might never end
        text = Path(path).read_bytes() if regular else b""
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "this is no path"
        raise ConfigFault(f"{place}.ca_file: cannot read {path}: {reason}; name a PEM file") from error
    if b"-----BEGIN" not in text:
        raise ConfigFault(f"{place}.ca_file: {path} is not in PEM; name a file with certificates in PEM")
    from daemon.transport import check_ca_file  # noqa: PLC0415 - httpx and aiohttp

    try:
        check_ca_file(path)
    except ConfigFault as error:
        raise ConfigFault(f"{place}.{error}") from error
    return path


def _check_environment(settings: metastudio.ProjectSettings, place: str, environ: Mapping[str, str]) -> None:
    """Raise ConfigFault if the environment sets an unusable proxy for the project."""
    if settings.proxy is not None or not any(name.lower() in _PROXIES for name in environ):
        return
    from daemon.transport import environment_proxy  # noqa: PLC0415 - httpx and aiohttp

    for url in (settings.api_url, settings.iam_url):
        try:
            environment_proxy(url or "", environ)
        except ConfigFault as error:
            raise ConfigFault(f"{place}: {error}") from error
