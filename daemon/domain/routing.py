"""Routing of events to channels, immediately or after quiet hours."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from daemon.domain.events import DEFAULT_EVENTS, OPERATOR_EVENTS, Event
from daemon.domain.jobs import ChannelName, ProjectName
from daemon.domain.quiet import QuietHours

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The attributes of an alert that routes match. A batch has the kind and the tags that all its jobs share."""

    event: Event
    project: ProjectName | None = None
    kind: str | None = None
    tags: tuple[str, ...] = ()
    batch: str | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Send alerts that match every non-empty condition, each by any of its values, to `channels`.

    `labels` are case-insensitive patterns with `*`, `?` and `[…]`. With `stop`, later routes ignore the alerts
    that this one matches.
    """

    events: frozenset[Event]
    channels: tuple[ChannelName, ...]
    projects: tuple[ProjectName, ...] = ()
    kinds: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    batches: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    stop: bool = False
    quiet: QuietHours | None = None

    def mismatch(self, subject: Subject) -> str | None:
        """The first failed condition (`event`, `project`, `kind`, `tag`, `batch` or `label`); None for a match."""
        if subject.event not in self.events:
            return "event"
        conditions = (
            ("project", self.projects, [subject.project]),
            ("kind", self.kinds, [subject.kind]),
            ("tag", self.tags, subject.tags),
            ("batch", self.batches, [subject.batch]),
        )
        for name, wanted, given in conditions:
            if wanted and not any(each in wanted for each in given):
                return name
        if self.labels and not any(_fits(subject.label, pattern) for pattern in self.labels):
            return "label"
        return None


def _fits(label: str | None, pattern: str) -> bool:
    return label is not None and fnmatchcase(label.casefold(), pattern.casefold())


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A channel for an alert. `held_until` is the end of its quiet hours; None sends at once."""

    channel: ChannelName
    held_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteStep:
    """The result of one route for a subject."""

    number: int  # position in the config, from 1
    route: Route
    mismatch: str | None
    skipped: bool  # an earlier route stopped the routing

    @property
    def taken(self) -> bool:
        return self.mismatch is None and not self.skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """The routing table: `routes` for job events, `operators` for operator events, and channels' quiet hours."""

    routes: tuple[Route, ...]
    operators: tuple[ChannelName, ...]
    quiet: Mapping[ChannelName, QuietHours] = field(default_factory=dict)

    def targets(self, subject: Subject, *, at: datetime) -> tuple[Target, ...]:
        """The channels for `subject`, each once, in config order. A channel named by several routes waits for
        quiet hours only if every one of these routes would make it wait."""
        if subject.event in OPERATOR_EVENTS:
            return tuple(self._target(name, [None], subject.event, at) for name in dict.fromkeys(self.operators))
        ways: dict[ChannelName, list[QuietHours | None]] = {}
        for step in self.steps(subject):
            if step.taken:
                for name in step.route.channels:
                    ways.setdefault(name, []).append(step.route.quiet)
        return tuple(self._target(name, quiets, subject.event, at) for name, quiets in ways.items())

    def steps(self, subject: Subject) -> tuple[RouteStep, ...]:
        """The result of every route for `subject`, in order."""
        found: list[RouteStep] = []
        stopped = False
        for number, route in enumerate(self.routes, start=1):
            mismatch = route.mismatch(subject)
            found.append(RouteStep(number=number, route=route, mismatch=mismatch, skipped=stopped))
            stopped = stopped or (mismatch is None and route.stop)
        return tuple(found)

    def hears(self, channel: ChannelName, event: Event) -> bool:
        """Whether an alert for this event can go to the channel."""
        if event in OPERATOR_EVENTS:
            return channel in self.operators
        return any(event in route.events and channel in route.channels for route in self.routes)

    def _target(
        self, name: ChannelName, quiets: Sequence[QuietHours | None], event: Event, at: datetime
    ) -> Target:
        own = self.quiet.get(name)
        ends = [_silence(at, event, [each for each in (own, quiet) if each is not None]) for quiet in quiets]
        held_until = None if None in ends else min(end for end in ends if end is not None)
        return Target(channel=name, held_until=held_until)


def _silence(at: datetime, event: Event, quiets: Sequence[QuietHours]) -> datetime | None:
    """The first moment from `at` outside all quiet hours, which may overlap; None if `at` is such a moment. If
    they cover the entire day between them, any end will do and this is the first."""
    moment = first = _last_end(at, event, quiets)
    while moment is not None and moment - at < _DAY:
        later = _last_end(moment, event, quiets)
        if later is None:
            return moment
        moment = later
    return first


def _last_end(at: datetime, event: Event, quiets: Sequence[QuietHours]) -> datetime | None:
    ends = [quiet.until(at, event) for quiet in quiets]
    return max((end for end in ends if end is not None), default=None)


def routing(
    routes: Sequence[Route],
    *,
    operators: Sequence[ChannelName] | None,
    channels: Sequence[ChannelName],
    quiet: Mapping[ChannelName, QuietHours] | None = None,
) -> Routing:
    """The routing table of a config. Without routes every channel gets `DEFAULT_EVENTS`; if `operators` is None,
    every channel gets the operator events."""
    if not routes:
        routes = [Route(events=frozenset(DEFAULT_EVENTS), channels=_unique(channels))]
    return Routing(
        routes=tuple(routes),
        operators=_unique(channels if operators is None else operators),
        quiet=quiet or {},
    )


def _unique(names: Iterable[ChannelName]) -> tuple[ChannelName, ...]:
    return tuple(dict.fromkeys(names))
