"""Which channels hear of which event."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from daemon.domain.events import DEFAULT_EVENTS, OPERATOR_EVENTS, Event
from daemon.domain.jobs import ChannelName


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """These events go to these channels."""

    events: frozenset[Event]
    channels: tuple[ChannelName, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """Where everything goes: routes for job events, `operators` for events about wrapd itself."""

    routes: tuple[Route, ...]
    operators: tuple[ChannelName, ...]

    def channels_for(self, event: Event) -> tuple[ChannelName, ...]:
        """The channels that hear of `event`, each once, in the order of the config."""
        if event in OPERATOR_EVENTS:
            return self.operators
        return _unique(name for route in self.routes if event in route.events for name in route.channels)


def routing(
    routes: Sequence[Route], *, operators: Sequence[ChannelName] | None, channels: Sequence[ChannelName]
) -> Routing:
    """The routing of a config: without routes every channel gets `DEFAULT_EVENTS`; with `operators` None every
    channel hears of the operators' events."""
    if not routes:
        routes = [Route(events=frozenset(DEFAULT_EVENTS), channels=tuple(channels))]
    return Routing(routes=tuple(routes), operators=tuple(channels if operators is None else operators))


def _unique(names: Iterable[ChannelName]) -> tuple[ChannelName, ...]:
    return tuple(dict.fromkeys(names))
