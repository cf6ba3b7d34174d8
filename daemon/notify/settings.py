"""How the dispatcher behaves: plain values, durations in seconds."""

from dataclasses import dataclass


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
