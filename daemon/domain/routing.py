"""Which channels hear of which event, and whether now or after their quiet hours. Pure."""

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
    """What an alert is about, as far as routes ask. Of a batch: the kind and the tags that all its jobs share."""

    event: Event
    project: ProjectName | None = None
    kind: str | None = None
    tags: tuple[str, ...] = ()
    batch: str | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """These alerts go to these channels: all conditions that are not empty must hold, of each one any value.

    `labels` are patterns with `*`, `?` and `[…]`, whatever the case. With `stop` no later route is looked at for
    an alert that this one takes.
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
        """The first condition that `subject` does not meet (`event`, `project`, `kind`, `tag`, `batch` or
        `label`); None where the route takes it."""
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
    """A channel that hears of it; `held_until` is when its quiet hours end, None where it hears at once."""

    channel: ChannelName
    held_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteStep:
    """How one route took a subject: `mismatch` is why it did not, `skipped` that one before it said stop."""

    number: int
    """Its place in the config, from 1."""
    route: Route
    mismatch: str | None
    skipped: bool

    @property
    def taken(self) -> bool:
        return self.mismatch is None and not self.skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """Where everything goes: routes for job events, `operators` for events about wrapd itself. `quiet` are the
    channels' own quiet hours."""

    routes: tuple[Route, ...]
    operators: tuple[ChannelName, ...]
    quiet: Mapping[ChannelName, QuietHours] = field(default_factory=dict)

    def targets(self, subject: Subject, *, at: datetime) -> tuple[Target, ...]:
        """The channels that hear of `subject`, each once, in the order of the config. A channel that two routes
        name waits for the quiet hours of a route only where both would have it wait."""
        if subject.event in OPERATOR_EVENTS:
            return tuple(self._target(name, [None], subject.event, at) for name in dict.fromkeys(self.operators))
        ways: dict[ChannelName, list[QuietHours | None]] = {}
        for step in self.steps(subject):
            if step.taken:
                for name in step.route.channels:
                    ways.setdefault(name, []).append(step.route.quiet)
        return tuple(self._target(name, quiets, subject.event, at) for name, quiets in ways.items())

    def steps(self, subject: Subject) -> tuple[RouteStep, ...]:
        """How each route took `subject`: all of them, in order."""
        found: list[RouteStep] = []
        stopped = False
        for number, route in enumerate(self.routes, start=1):
            mismatch = route.mismatch(subject)
            found.append(RouteStep(number=number, route=route, mismatch=mismatch, skipped=stopped))
            stopped = stopped or (mismatch is None and route.stop)
        return tuple(found)

    def hears(self, channel: ChannelName, event: Event) -> bool:
        """Whether any alert of this event may go to the channel."""
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
    """When none of the quiet hours hold any more, None where none does `at`. One may begin before another ends.
    Where together they leave no moment free, the first end of all is as good as any."""
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
    """The routing of a config: without routes every channel gets `DEFAULT_EVENTS`; with `operators` None every
    channel hears of the operators' events."""
    if not routes:
        routes = [Route(events=frozenset(DEFAULT_EVENTS), channels=_unique(channels))]
    return Routing(
        routes=tuple(routes),
        operators=_unique(channels if operators is None else operators),
        quiet=quiet or {},
    )


def _unique(names: Iterable[ChannelName]) -> tuple[ChannelName, ...]:
    return tuple(dict.fromkeys(names))
