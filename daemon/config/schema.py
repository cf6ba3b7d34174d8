"""The config as typed, frozen sections. Every key is declared once, with its type, default and description: here,
for projects in `projects`, and for delivery in `delivery`.

docs/config.md and config.example.toml are generated from these. Never reads a file or a secret.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from daemon.config import values
from daemon.config.delivery import Channel, Heartbeat, Notify, Retention, Route, Web
from daemon.config.keys import (
    WORDS,
    YEARS,
    Section,
    duration,
    flag,
    in_folder,
    key,
    named,
    one_of,
    section,
    some,
)
from daemon.config.projects import Project
from daemon.domain import routing as domain_routing
from daemon.domain.jobs import ChannelName, ProjectName
from daemon.errors import UnknownName
from daemon.logs import Format, Level

if TYPE_CHECKING:  # few commands need it
    from daemon.domain.planning import Rails


class Database(Section):
    """Where wrapd stores jobs, transitions and deliveries."""

    url: str = key(
        in_folder(values.database_url),
        "The SQLite file. Three slashes: relative to the folder of this config file. Four: absolute.",
        toml='"sqlite:///wrapd.db"',
        default="sqlite:///wrapd.db",
    )
    auto_migrate: bool = key(
        flag,
        "Whether an older database is upgraded at start. With false, use `wrapd db upgrade`.",
        toml="true",
        default=True,
    )

    @property
    def path(self) -> Path:
        """The SQLite file, absolute."""
        return Path(self.url.removeprefix("sqlite:///"))


class Polling(Section):
    """When jobs are polled."""

    price: float = key(
        duration(0.01, 3600),
        "How much delay a request is worth. A job is polled once the expected delay of noticing its end reaches "
        "this; a lower price means more polls and less delay. The price rises automatically while there are more "
        "jobs than the request budget allows for.",
        toml='"1s"',
        default="1s",
    )
    strategy: Literal["learned", "fixed"] = key(
        one_of(
            (
                "learned",
                "fixed",
            )
        ),
        '"learned" polls when similar jobs usually end, by the production times seen so far; "fixed" polls at '
        "intervals that grow with the time a job has been in its state.",
        toml='"learned"',
        default="learned",
    )
    feed: Literal["auto", "off"] = key(
        one_of(
            (
                "auto",
                "off",
            )
        ),
        '"auto": the list of recently ended jobs reports all ends at once, as long as it proves to be complete; '
        '"off": the list is not used.',
        toml='"auto"',
        default="auto",
    )
    batch: Literal["auto", "off"] = key(
        one_of(
            (
                "auto",
                "off",
            )
        ),
        '"auto": up to 100 jobs are polled in one request, as long as the service answers correctly; "off": each '
        "job is polled individually.",
        toml='"auto"',
        default="auto",
    )
    min_interval: float = key(
        duration(0.1, YEARS),
        "The minimum time between two polls of a job, at least 100ms. The default yields to a given max_interval.",
        toml='"1s"',
        default="1s",
    )
    max_interval: float = key(
        duration(0.1, YEARS),
        "The maximum time between two polls of a job that waits or is in production. If the list of ended jobs is "
        "used and there are very many jobs, one second per 100 jobs.",
        toml='"60s"',
        default="60s",
    )
    blocked_interval: float = key(
        duration(0.1, YEARS),
        "The maximum time between two polls of a frozen job (state BLOCK).",
        toml='"10m"',
        default="10m",
    )
    not_found_grace: float = key(
        duration(),
        "How long the service may report a job as unknown before the job counts as lost.",
        toml='"10m"',
        default="10m",
    )
    give_up_after: float = key(
        duration(0.1, YEARS),
        "A job that has not ended this long after it was tracked expires: wrapd reports it and stops polling.",
        toml='"14d"',
        default="14d",
    )

    @classmethod
    def completed(cls, tree: Mapping[str, object]) -> Mapping[str, object]:
        """Adjust the other intervals' defaults to a given interval, so that one key alone never contradicts
        them."""
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
    def rails(self) -> "Rails":
        """The intervals for the planner."""
        from daemon.domain.planning import Rails  # noqa: PLC0415 - as above

        return Rails(
            min_interval=self.min_interval,
            max_interval=self.max_interval,
            blocked_interval=self.blocked_interval,
        )


def _quiet_seconds(value: object) -> float | None:
    """The duration in seconds; None if missing or invalid (which is reported elsewhere)."""
    try:
        return values.seconds(value) if isinstance(value, str) else None
    except ValueError:
        return None


class Log(Section):
    """What the daemon logs to standard error."""

    level: Level = key(
        one_of(get_args(Level)),
        'The minimum level: "debug", "info", "warning" or "error".',
        toml='"info"',
        default="info",
    )
    format: Format = key(
        one_of(get_args(Format)),
        '"text" for people, "json" for machines: one object per line.',
        toml='"text"',
        default="text",
    )


class Config(Section):
    """The entire config."""

    operators: tuple[str, ...] | None = key(
        WORDS,
        "The channels that get events about wrapd itself (project_down, auth_failed, channel_held, …). This key "
        "goes above the first section. An empty list: none.",
        toml='["editors"]',
        default=None,
        usual="every channel",
    )
    database: Database = section(Database, default={})
    polling: Polling = section(Polling, default={})
    notify: Notify = section(Notify, default={})
    web: Web = section(Web, default={})
    heartbeat: Heartbeat | None = section(Heartbeat, default=None)
    retention: Retention = section(Retention, default={})
    log: Log = section(Log, default={})
    projects: dict[str, Project] = key(named(values.name, Project.read), "", toml="", default={})
    channels: dict[str, Channel] = key(named(values.name, Channel.read), "", toml="", default={})
    routes: tuple[Route, ...] = key(some(Route.read), "", toml="", default=())
    source: Path
    """The file that the config was read from."""

    def routing(self) -> domain_routing.Routing:
        """The routing of events to channels."""
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
        # A route without a time zone has that of its channels; load() ensures that they agree.
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
        """The named project. Raises UnknownName."""
        if name not in self.projects:
            raise UnknownName(
                f"no project is called {values.shown(name)}; {values.suggestion(name, self.projects)}"
            )
        return self.projects[name]

    def channel(self, name: str) -> Channel:
        """The named channel. Raises UnknownName."""
        if name not in self.channels:
            raise UnknownName(
                f"no channel is called {values.shown(name)}; {values.suggestion(name, self.channels)}"
            )
        return self.channels[name]
