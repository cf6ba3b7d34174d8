"""The config as typed, frozen sections: every key with its form, default and explanation, declared once: here,
those of a project in `projects`, those of delivery in `delivery`.

docs/config.md and config.example.toml are generated from these. Never reads a file or a secret.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    PrivateAttr,
    model_validator,
)

from daemon.config import values
from daemon.config.delivery import Channel, Notify, Retention, Route, Web
from daemon.config.keys import (
    AS_TUPLE,
    YEARS,
    Duration,
    Name,
    Section,
    Words,
    between,
    key,
    read_database,
)
from daemon.config.projects import Project
from daemon.domain import routing as domain_routing
from daemon.domain.jobs import ChannelName, ProjectName
from daemon.domain.planning import Rails
from daemon.errors import UnknownName
from daemon.logs import Format, Level


class Database(Section):
    """Where wrapd keeps jobs, transitions and deliveries."""

    url: Annotated[str, AfterValidator(read_database)] = key(
        "The SQLite file. Three slashes: a path from the folder of this config file. Four: from the root.",
        toml='"sqlite:///wrapd.db"',
        default="sqlite:///wrapd.db",
    )
    auto_migrate: bool = key(
        "Bring an older database to this program's schema at start. With false, `wrapd db upgrade` does it.",
        toml="true",
        default=True,
    )

    @property
    def path(self) -> Path:
        """The SQLite file, absolute."""
        return Path(self.url.removeprefix("sqlite:///"))


class Polling(Section):
    """When the API is asked about which jobs."""

    price: Annotated[Duration, AfterValidator(between(0.01, 3600))] = key(
        "How many seconds of delay a request is worth. A job is asked about when the delay that is to be expected "
        "without asking reaches this: with less, wrapd asks more often and knows sooner. It rises by itself while "
        "there are more jobs than the request budget allows for.",
        toml='"1s"',
        default="1s",
    )
    strategy: Literal["learned", "fixed"] = key(
        '"learned" asks when jobs like it usually end, by the production times seen so far; "fixed" asks in steps '
        "that grow with the time a job has been in its state, whatever was learned.",
        toml='"learned"',
        default="learned",
    )
    feed: Literal["auto", "off"] = key(
        '"auto": the list of the jobs that ended last tells of all ends at once, for as long as it proves to be '
        'complete; "off" never asks for it.',
        toml='"auto"',
        default="auto",
    )
    batch: Literal["auto", "off"] = key(
        '"auto": up to 100 jobs are asked about in one request, for as long as the service answers as it should; '
        '"off" asks about each job by itself.',
        toml='"auto"',
        default="auto",
    )
    min_interval: Annotated[Duration, AfterValidator(between(0.1, YEARS))] = key(
        "The least time between two looks at a job; from 100ms on. A default gives way to a given max_interval.",
        toml='"1s"',
        default="1s",
    )
    max_interval: Annotated[Duration, AfterValidator(between(0.1, YEARS))] = key(
        "The most time between two looks at a job that waits or is produced. Where the list of ended jobs carries "
        "the news, and there are very many jobs, a second for each 100 of them.",
        toml='"60s"',
        default="60s",
    )
    blocked_interval: Annotated[Duration, AfterValidator(between(0.1, YEARS))] = key(
        "The most time between two looks at a frozen job (state BLOCK).", toml='"10m"', default="10m"
    )
    not_found_grace: Duration = key(
        "For how long the service may say that it does not know a job before the job counts as lost.",
        toml='"10m"',
        default="10m",
    )
    give_up_after: Annotated[Duration, AfterValidator(between(0.1, YEARS))] = key(
        "A job that has not ended this long after it was tracked expires: wrapd says so and stops asking.",
        toml='"14d"',
        default="14d",
    )

    @model_validator(mode="before")
    @classmethod
    def _defaults_give_way(cls, tree: Any) -> Any:
        """A given interval moves the others' defaults, so that one key alone never contradicts a default."""
        if not isinstance(tree, dict):
            return tree
        least = _quiet_seconds(tree.get("min_interval"))
        others = [_quiet_seconds(tree.get(key)) for key in ("max_interval", "blocked_interval")]
        moved = dict(tree)
        if "min_interval" not in tree:
            moved["min_interval"] = values.spoken(min([1.0, *(each for each in others if each)]))
        if least is not None:
            moved.setdefault("max_interval", values.spoken(max(60.0, least)))
            moved.setdefault("blocked_interval", values.spoken(max(600.0, least)))
        return moved

    @property
    def rails(self) -> Rails:
        """The intervals as the plan takes them."""
        return Rails(
            min_interval=self.min_interval,
            max_interval=self.max_interval,
            blocked_interval=self.blocked_interval,
        )


def _quiet_seconds(value: object) -> float | None:
    """The duration, or None where there is none or a wrong one (which is reported elsewhere)."""
    try:
        return values.seconds(value) if isinstance(value, str) else None
    except ValueError:
        return None


class Log(Section):
    """What the daemon writes to standard error."""

    level: Level = key(
        'The least level that is written: "debug", "info", "warning" or "error".', toml='"info"', default="info"
    )
    format: Format = key(
        '"text" for people, "json" for machines: one object for each line.', toml='"text"', default="text"
    )


class Config(Section):
    """The whole config."""

    operators: Words | None = key(
        "The channels that hear of wrapd's own troubles (project_down, auth_failed, channel_held, …). It stands "
        "above the first section. An empty list: nobody.",
        toml='["editors"]',
        default=None,
        usual="every channel",
    )
    database: Database = Field(default_factory=dict, validate_default=True)
    polling: Polling = Field(default_factory=dict, validate_default=True)
    notify: Notify = Field(default_factory=dict, validate_default=True)
    web: Web = Field(default_factory=dict, validate_default=True)
    retention: Retention = Field(default_factory=dict, validate_default=True)
    log: Log = Field(default_factory=dict, validate_default=True)
    projects: dict[Name, Project] = Field(default_factory=dict)
    channels: dict[Name, Channel] = Field(default_factory=dict)
    routes: Annotated[tuple[Route, ...], AS_TUPLE] = ()
    _source: Path = PrivateAttr(default=Path())

    @property
    def source(self) -> Path:
        """The file that this came from."""
        return self._source

    def routing(self) -> domain_routing.Routing:
        """Where each event goes."""
        return domain_routing.routing(
            [self._route(route) for route in self.routes],
            operators=None if self.operators is None else [ChannelName(each) for each in self.operators],
            channels=[ChannelName(each) for each in self.channels],
            quiet={
                ChannelName(name): channel.quiet.hours(channel.timezone)
                for name, channel in self.channels.items()
                if channel.quiet is not None
            },
        )

    def _route(self, route: Route) -> domain_routing.Route:
        # Without a time zone of its own a route has that of its channels, which is one: load() sees to it.
        zone = self.channels[route.channels[0]].timezone
        return domain_routing.Route(
            events=frozenset(route.events),
            channels=tuple(ChannelName(each) for each in route.channels),
            projects=tuple(ProjectName(each) for each in route.projects or ()),
            kinds=route.kinds or (),
            tags=route.tags or (),
            batches=route.batches or (),
            labels=route.labels or (),
            stop=route.stop,
            quiet=None if route.quiet is None else route.quiet.hours(zone),
        )

    def project(self, name: str) -> Project:
        """The project of that name. Raises UnknownName."""
        if name not in self.projects:
            raise UnknownName(
                f"no project is called {values.shown(name)}; {values.suggestion(name, self.projects)}"
            )
        return self.projects[name]

    def channel(self, name: str) -> Channel:
        """The channel of that name. Raises UnknownName."""
        if name not in self.channels:
            raise UnknownName(
                f"no channel is called {values.shown(name)}; {values.suggestion(name, self.channels)}"
            )
        return self.channels[name]
