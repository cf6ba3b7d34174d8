"""Delivery of alerts from the outbox to their channels: claim, prepare, send, record, wait.

This module holds the settings. All durations are seconds.
"""

from msgspec import Struct

from daemon.domain.jobs import ChannelName


class NotifySettings(Struct, frozen=True, kw_only=True):
    """How all channels are served."""

    send_timeout: float = 20.0
    """Time on the wire for one send, all its requests together."""
    give_up_after: float = 7 * 86400.0
    """Age at which a delivery that still fails is dead. Held deliveries wait indefinitely."""
    retry_base: float = 5.0
    """Wait after the first failure; it doubles with each further one."""
    retry_cap: float = 900.0
    unknown_base: float = 30.0
    """The same for sends that may have arrived. Each further attempt may be a repeat, so it waits longer."""
    unknown_cap: float = 3600.0
    throttled_wait: float = 60.0
    """Wait after "too many requests" where the service does not say how long."""
    throttled_cap: float = 3600.0
    """Upper bound on a wait that a service asks for with Retry-After."""
    probe_base: float = 300.0
    """Wait before a held channel is probed; it doubles with each refusal."""
    probe_cap: float = 3600.0
    look_interval: float = 5.0
    """Longest time between two polls of the outbox. Rows are due by the wall clock, which can be set."""
    idle_interval: float = 20.0
    """The same while nothing waits in the outbox: whatever writes to it wakes the lanes. Below the 30 s after
    which a lane without progress counts as stalled."""
    store_retry_cap: float = 10.0
    """Longest time between two attempts to store an outcome while the database fails."""

    link_margin: float = 3600.0
    """A link that expires within this time is renewed before it is sent."""
    picture_patience: float = 2.0
    """How long a message waits for its picture."""

    @property
    def longest_wait(self) -> float:
        """The longest time for which anything is put off, quiet hours excepted."""
        return max(self.retry_cap, self.unknown_cap, self.throttled_cap, self.throttled_wait, self.probe_cap)


class ChannelPlan(Struct, frozen=True, kw_only=True):
    """How one channel is served."""

    max_per_minute: float | None = None
    """Most messages a minute; None: what the service documents."""
    digest_above: int | None = None
    """More alerts than this within the window are sent as one message. 0: never; None: 6 for channels that people
    read, 0 for those that programs read."""
    digest_window: float = 60.0
    fallback: ChannelName | None = None
    """The channel that also gets the alerts once this one has been held for `fallback_after`."""
    fallback_after: float = 900.0
