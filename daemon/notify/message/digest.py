"""One message of many alerts: counts, and a row for each, failures first, then in the order of time. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from daemon.domain.events import Event, Json
from daemon.domain.jobs import DAY
from daemon.notify.message.context import DIGEST, Look
from daemon.notify.message.facts import NOTHING
from daemon.notify.message.lateness import diverted_from, is_resent, late
from daemon.notify.message.model import Link, Message, Row, Severity
from daemon.notify.message.reading import Telling, expiry, moment, observed, telling
from daemon.notify.text.clean import clean
from daemon.store import Claimed

_RANK = {Severity.BAD: 0, Severity.WARNING: 1, Severity.GOOD: 2, Severity.INFO: 3}
_DETAIL = 120
"""Characters of what a row says of an alert."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Alert:
    """An alert, the message that it would be by itself, and when it happened; `of` is None where it is about no
    job."""

    claimed: Claimed
    message: Message
    of: Telling | None
    at: datetime

    @property
    def way(self) -> str:
        """As `counts` names it."""
        partial = self.of is not None and self.of.partial
        return "partial" if partial else self.claimed.delivery.event.value

    @property
    def place(self) -> tuple[bool, datetime, int]:
        """Its place in the table."""
        return self.message.severity is not Severity.BAD, self.at, self.claimed.delivery.id


def digest_message(alerts: Sequence[tuple[Claimed, Message]], look: Look) -> Message:
    """The message of two alerts or more; beside each stands the message that it would be by itself."""
    found = [_alert(claimed, message) for claimed, message in alerts]
    counts = _counts(found)
    title = look.voice.texts.title_digest.format(counts=_summary(counts, look))
    return Message(
        event="digest",
        severity=min((alert.message.severity for alert in found), key=_RANK.__getitem__),
        emoji=DIGEST,
        title=title,
        headline=_headline(found, look),
        subject=title,
        notes=_notes(found, look),
        rows=tuple(_row(alert, look) for alert in sorted(found, key=lambda alert: alert.place)),
        facts=_facts(found, counts),
        language=look.language,
    )


def _alert(claimed: Claimed, message: Message) -> _Alert:
    delivery, job = claimed.delivery, claimed.job
    if job is None or delivery.event is Event.BATCH_FINISHED:
        at = moment(delivery.facts, "ended") or observed(delivery)
        return _Alert(claimed=claimed, message=message, of=None, at=at)
    of = telling(claimed, job)
    return _Alert(claimed=claimed, message=message, of=of, at=of.times.ended)


def _counts(alerts: Sequence[_Alert]) -> dict[str, int]:
    """How many alerts of which event, in the order of events."""
    found = Counter(alert.way for alert in alerts)
    order = [way for event in Event for way in (event.value, *(("partial",) if event is Event.SUCCEEDED else ()))]
    return {way: found[way] for way in order if found[way]}


def _summary(counts: Mapping[str, int], look: Look) -> str:
    """ "12 finished, 2 failed"; events that have no word of their own are counted together."""
    texts = look.voice.texts
    said = [texts.counts[way].say(n) for way, n in counts.items() if way in texts.counts]
    others = sum(n for way, n in counts.items() if way not in texts.counts)
    return texts.comma.join([*said, *([texts.other.say(others)] if others else [])])


def _headline(alerts: Sequence[_Alert], look: Look) -> str:
    voice = look.voice
    first, last = min(alert.at for alert in alerts), max(alert.at for alert in alerts)
    span = voice.span(first, last) if voice.moment(first) != voice.moment(last) else voice.moment(first)
    quiet = any(alert.claimed.delivery.held_until is not None for alert in alerts)
    text = voice.texts.digest_quiet if quiet else voice.texts.digest
    return text.format(n=len(alerts), span=span)


def _notes(alerts: Sequence[_Alert], look: Look) -> tuple[str, ...]:
    texts = look.voice.texts
    first = min(alerts, key=lambda alert: alert.at)
    rows = [alert.claimed.delivery for alert in alerts]
    others = dict.fromkeys(name for row in rows if (name := diverted_from(row)))
    found = (
        texts.resent_some if any(map(is_resent, rows)) else "",
        texts.repeat_some if any(row.possible_repeat for row in rows) else "",
        *(texts.diverted.format(channel=name) for name in others),
        ""
        if is_resent(first.claimed.delivery)
        else late(first.claimed.delivery, texts.verb_first, first.at, look),
    )
    return tuple(filter(None, found))


def _row(alert: _Alert, look: Look) -> Row:
    of, texts, event = alert.of, look.voice.texts, alert.claimed.delivery.event
    verb = texts.verb_partial if of is not None and of.partial else texts.verbs.get(event, texts.verb_other)
    when = verb.format(at=look.voice.clock(alert.at))
    detail = _detail(of, look) if of is not None else ""
    return Row(
        emoji=alert.message.emoji,
        name=of.name if of is not None else alert.message.title,
        text=f"{when}{detail}",
        link=_best(alert.message.links, of, look.now),
    )


def _detail(of: Telling, look: Look) -> str:
    """What a row says beside when it happened."""
    texts, job = look.voice.texts, of.job
    if of.event is Event.SUCCEEDED and job.duration is not None and job.duration > 0:
        return f"{texts.comma}{texts.row_length.format(length=look.voice.length(job.duration))}"
    if of.event is Event.FAILED:
        said = clean(job.error_msg or job.error_code or "", limit=_DETAIL)
        return f"{texts.colon}{said}" if said else ""
    return ""


def _best(links: Sequence[Link], of: Telling | None, now: datetime) -> Link | None:
    """The first link that still works, else the first of all: a row has room for one."""
    if of is None or not links:
        return None
    fetched = of.job.links_at or of.times.ended
    living = (link for link in links if _lives(link.url, fetched, now))
    return next(living, links[0])


def _lives(url: str, fetched: datetime, now: datetime) -> bool:
    until = expiry(url, fetched, DAY)
    return until is None or until > now


def _facts(alerts: Sequence[_Alert], counts: Mapping[str, int]) -> dict[str, Json]:
    rows = [alert.claimed.delivery for alert in alerts]
    return {
        **NOTHING,
        "event": "digest",
        "possible_repeat": any(row.possible_repeat for row in rows),
        "attempt": max(row.attempts for row in rows),
        "channel": rows[0].channel,
        "counts": dict(counts),
        "shared": len(rows),
        "alerts": [dict(alert.message.facts) for alert in alerts],
    }
