"""Reads what commands need that only use the database, without pydantic's schema, which is slow to build.

Checks the names and TOML types of all keys, but only those values that it returns. Anything unexpected is left to
the full check, which reports the faults. A test compares the keys, types and defaults here with the schema.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Union

from daemon.config import values
from daemon.config.file import read_tree
from daemon.errors import UnknownName

if TYPE_CHECKING:
    from daemon.config.schema import Config
    from daemon.domain.routing import Routing

AnyConfig: TypeAlias = Union["Config", "LightConfig"]

_TYPES: Mapping[str, tuple[type, ...]] = {
    "text": (str,),
    "flag": (bool,),
    "number": (int, float),
    "list": (list,),
    "table": (dict,),
    "secret": (str, dict),
}
_Keys: TypeAlias = Mapping[str, tuple[type, ...]]


def _keys(**names: str) -> _Keys:
    return {name: _TYPES[kind] for kind, some in names.items() for name in some.split()}


_QUIET = _keys(text="from to timezone", list="urgent")
KEYS: Mapping[str, _Keys] = {
    "": _keys(table="database polling notify web retention log projects channels", list="operators routes"),
    "database": _keys(text="url", flag="auto_migrate"),
    "polling": _keys(
        text="price strategy feed batch min_interval max_interval blocked_interval not_found_grace give_up_after"
    ),
    "notify": _keys(text="send_timeout give_up_after link_margin link_reminder link_life"),
    "web": _keys(flag="enabled", text="listen public_url", list="hosts", secret="token"),  # noqa: S106 - the name of a key
    "retention": _keys(text="keep"),
    "log": _keys(text="level format"),
    "projects.NAME": _keys(
        text="region endpoint project_id ca_file app_user_id",
        number="requests_per_second max_in_flight",
        secret="proxy",  # noqa: S106 - the name of a key
        table="auth discovery callback",
    ),
    "projects.NAME.discovery": _keys(flag="enabled", text="interval since name batch", list="kinds states tags"),
    "projects.NAME.callback": _keys(text="auth", secret="key", flag="track_unknown"),  # noqa: S106 - likewise
    "channels.NAME": _keys(
        text="timezone language digest_window fallback fallback_after",
        number="max_per_minute digest_above",
        secret="url",  # noqa: S106 - the name of a key
        table="templates quiet",
    ),
    "channels.NAME.quiet": _QUIET,
    "routes[N]": _keys(list="events channels projects kinds tags batches labels", flag="stop", table="quiet"),
    "routes[N].quiet": _QUIET,
}
"""The keys of every section with the types that TOML gives them."""
METHODS: Mapping[str, _Keys] = {
    "aksk": _keys(text="method iam_endpoint", secret="access_key secret_key security_token"),  # noqa: S106
    "token": _keys(text="method iam_endpoint", secret="token"),  # noqa: S106
    "password": _keys(text="method iam_endpoint domain user", secret="password"),  # noqa: S106
}
"""The keys of `auth`, by its method."""
REQUIRED = {
    "projects.NAME.callback": ("key",),
    "channels.NAME": ("url",),
    "channels.NAME.quiet": ("from", "to"),
    "routes[N]": ("channels",),
    "routes[N].quiet": ("from", "to"),
    "token": ("token",),
    "password": ("domain", "user", "password"),
}
"""The required keys of sections and methods."""


class _Database:
    """See `daemon.config.Database`."""

    def __init__(self, url: str, auto_migrate: bool) -> None:
        self.url, self.auto_migrate = url, auto_migrate
        self.path = Path(url.removeprefix("sqlite:///"))


class LightConfig:
    """The part of the config that commands need that only use the database."""

    def __init__(
        self,
        source: Path,
        *,
        database: _Database,
        not_found_grace: float,
        projects: tuple[str, ...],
        channels: tuple[str, ...],
        public_url: str | None,
    ) -> None:
        self.source, self.database, self.not_found_grace = source, database, not_found_grace
        self.projects, self.channels, self.public_url = projects, channels, public_url

    def full(self) -> "Config":
        """The entire config. Raises ConfigFault with all its faults."""
        from daemon.config.checking import load  # noqa: PLC0415 - pydantic is slow to import

        return load(self.source)

    def routing(self) -> "Routing":
        """The routing of events to channels. Raises ConfigFault."""
        return self.full().routing()

    def project(self, name: str) -> None:
        """Raise UnknownName unless there is a project of that name."""
        _require_name("project", name, self.projects)

    def channel(self, name: str) -> None:
        """Raise UnknownName unless there is a channel of that name."""
        _require_name("channel", name, self.channels)


def read_light(path: Path) -> LightConfig:
    """The light config at `path`. Raises ConfigFault with all faults where anything is not as expected."""
    tree = read_tree(path)
    try:
        return _read(tree, path)
    except (AttributeError, KeyError, TypeError, ValueError):
        from daemon.config.checking import load  # noqa: PLC0415 - pydantic is slow to import

        config = load(path)
        return LightConfig(
            path,
            database=_Database(config.database.url, config.database.auto_migrate),
            not_found_grace=config.polling.not_found_grace,
            projects=tuple(config.projects),
            channels=tuple(config.channels),
            public_url=config.web.public_url,
        )


def _read(tree: Mapping[str, Any], path: Path) -> LightConfig:
    """Raises AttributeError, KeyError, TypeError or ValueError for anything unexpected."""
    _require(tree, KEYS[""])
    for section in ("database", "polling", "notify", "web", "retention", "log"):
        _require(tree.get(section, {}), KEYS[section])
    for name, project in tree.get("projects", {}).items():
        values.name(name)
        _require_section(project, "projects.NAME", "discovery", "callback")
        if "region" not in project and "endpoint" not in project:
            raise KeyError("region")
        if "auth" in project:
            method = project["auth"]["method"]
            _require(project["auth"], METHODS[method], REQUIRED.get(method, ()))
    for name, channel in tree.get("channels", {}).items():
        values.name(name)
        _require_section(channel, "channels.NAME", "quiet")
    for route in tree.get("routes", ()):
        _require_section(route, "routes[N]", "quiet")
    database, polling = tree.get("database", {}), tree.get("polling", {})
    url = values.database_url(database.get("url", "sqlite:///wrapd.db"), path.absolute().parent)
    return LightConfig(
        path,
        database=_Database(url, database.get("auto_migrate", True)),
        not_found_grace=values.seconds(polling.get("not_found_grace", "10m")),
        projects=tuple(tree.get("projects", ())),
        channels=tuple(tree.get("channels", ())),
        public_url=tree.get("web", {}).get("public_url"),
    )


def _require_section(table: Mapping[str, Any], place: str, *inner: str) -> None:
    _require(table, KEYS[place], REQUIRED.get(place, ()))
    for section in inner:
        if section in table:
            _require_section(table[section], f"{place}.{section}")


def _require(table: Mapping[str, Any], known: _Keys, needed: tuple[str, ...] = ()) -> None:
    for key, value in table.items():
        if type(value) not in known[key]:
            raise TypeError(key)
    for key in needed:
        table[key]


def _require_name(what: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise UnknownName(f"no {what} is called {values.shown(name)}; {values.suggestion(name, known)}")
