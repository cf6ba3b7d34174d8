"""What is said of each send: the log's line, and the alert that a channel is held. Must never decide anything."""

from datetime import datetime

from daemon.domain.events import Event, Json, OperatorAlert
from daemon.domain.jobs import ChannelName
from daemon.logs import LogEvent, logger
from daemon.notify.outbox.claims import Load
from daemon.notify.transport import SendReport
from daemon.notify.transport.verdicts import Hold, Sent, arrived
from daemon.store import AttemptOutcome, Outcome

log = logger(__name__)

_LINES = {
    AttemptOutcome.RETRY: LogEvent.DELIVERY_RETRY,
    AttemptOutcome.UNKNOWN: LogEvent.DELIVERY_UNKNOWN,
    AttemptOutcome.DEAD: LogEvent.DELIVERY_DEAD,
}


def log_send(
    channel: ChannelName, load: Load, report: SendReport, outcome: Outcome, *, pause: float, told: bool
) -> None:
    """Log what came of it: for how many seconds the channel rests now, and whether its trouble was told before."""
    first = load.first
    fields: dict[str, object] = {
        "channel": channel,
        "delivery": first.delivery.id,
        "told": first.delivery.event.value,
        "attempt": first.attempt,
    }
    if len(load.claimed) > 1:
        fields |= {"told": "digest", "deliveries": [each.delivery.id for each in load.claimed]}
    match report.verdict:
        case Sent():
            if told:
                log.info(LogEvent.CHANNEL_RELEASED, channel=channel)
            log.info(LogEvent.DELIVERY_SENT, **fields, seconds=round(report.seconds, 3))
        case Hold():
            if not told:
                log.error(LogEvent.CHANNEL_HELD, **fields, reason=outcome.reason)
        case _:
            log.warning(_LINES[outcome.kind], **fields, reason=outcome.reason, pause=round(pause, 1))


def held_alert(channel: ChannelName, load: Load, report: SendReport, *, at: datetime) -> OperatorAlert:
    """One alert for each time that the channel is held, however many deliveries wait."""
    first = load.first
    partly: dict[str, Json] = {"partly": True} if arrived(report.verdict) else {}
    return OperatorAlert(
        event=Event.CHANNEL_HELD,
        key=f"channel/{channel}/held/{first.delivery.id}/{first.attempt}",
        facts={"channel": channel, "reason": report.reason, "observed_at": at.isoformat(), **partly},
    )
