"""The way of an alert from the outbox to its channel: claim, prepare, send, record, wait.

Here stands how that is done: plain values, durations in seconds.
"""

from dataclasses import dataclass

from daemon.domain.jobs import ChannelName


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifySettings:
    """All durations are seconds."""

    send_timeout: float = 20.0
    """The most that a channel's service may take for one send, all its requests together."""
    give_up_after: float = 7 * 86400.0
    """A delivery that still fails this long after it was written is dead. Held ones wait without end."""
    retry_base: float = 5.0
    """The wait after the first failure; it doubles with each further one."""
    retry_cap: float = 900.0
    unknown_base: float = 30.0
    """The same for sends that may have arrived: each further try may be a repeat, so it waits longer."""
    unknown_cap: float = 3600.0
    throttled_wait: float = 60.0
    """The wait after "too many requests" where the service does not say for how long."""
    throttled_cap: float = 3600.0
    """The most that a service can make a channel wait by Retry-After."""
    probe_base: float = 300.0
    """The wait before a held channel is tried; it doubles with each refusal."""
    probe_cap: float = 3600.0
    look_interval: float = 5.0
    """The most between two looks at the outbox: the wall clock, by which rows are due, can be set."""
    store_retry_cap: float = 10.0
    """The most between two tries to write an outcome that the database did not take."""

    link_margin: float = 3600.0
    """A link that dies within this is renewed before it is sent."""
    picture_patience: float = 2.0
    """The most that a text waits for its picture."""

    @property
    def longest_wait(self) -> float:
        """The most that anything is put off for, but for quiet hours."""
        return max(self.retry_cap, self.unknown_cap, self.throttled_cap, self.throttled_wait, self.probe_cap)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelPlan:
    """How one channel is served. Durations are seconds."""

    max_per_minute: float | None = None
    """Messages a minute at most; None: what the service documents."""
    digest_above: int | None = None
    """Alerts within the window above which they come in one message; 0: never; None: 6 where people read, 0 where
    programs do."""
    digest_window: float = 60.0
    fallback: ChannelName | None = None
    """The channel that is told as well while this one has been held for `fallback_after`."""
    fallback_after: float = 900.0
