"""Builds the message of a delivery from its rows, in its channel's language and time zone. Pure.

Owns what is said about a job and about wrapd itself, and in which order. The words are in message/language;
markup is left to the services. Every foreign value in a message is cleaned, except links, which are kept as
received.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from daemon.domain.events import OPERATOR_EVENTS, Event, Json
from daemon.domain.jobs import DAY
from daemon.domain.text import MAX_NOTE
from daemon.notify.message import Field, Link, Message
from daemon.notify.message.digest import batch_message, digest_message
from daemon.notify.message.escape import clean, is_web
from daemon.notify.message.facts import (
    NAME_LIMIT,
    TEXT_LIMIT,
    JobAlert,
    delivery_facts,
    expiry,
    iso,
    job_alert,
    job_facts,
    number,
    observed,
    seconds,
    text,
)
from daemon.notify.message.language import MARKS, OTHER, PARTIAL, MessageContext
from daemon.notify.message.lateness import job_late, late, notes

if TYPE_CHECKING:
    from daemon.store import Claimed, DeliveryRow

__all__ = ["MessageContext", "compose", "compose_digest", "compose_plain"]

_WITH_LINKS = frozenset({Event.SUCCEEDED, Event.LINK_EXPIRING})
_WHEN = {
    Event.SUCCEEDED: "ended",
    Event.FAILED: "failed",
    Event.CANCELED: "canceled",
    Event.STARTED: "started",
    Event.LINK_EXPIRING: "",
}


def compose(claimed: "Claimed", context: MessageContext) -> Message:
    """The message of a claimed delivery. Never raises, whatever a row contains."""
    delivery = claimed.delivery
    if delivery.event is Event.BATCH_FINISHED:
        return batch_message(delivery, context)
    if claimed.job is None or delivery.event in OPERATOR_EVENTS:
        return operator_message(delivery, context)
    return _job_message(job_alert(claimed, claimed.job), context)


def compose_plain(claimed: "Claimed") -> Message:
    """A minimal message, used when `compose` fails because of a bug: the event and what it is about."""
    delivery, job = claimed.delivery, claimed.job
    batch = delivery.facts.get("batch")
    about = f"job {job.job_id}" if job is not None else f"batch {batch}" if batch else delivery.project or "wrapd"
    name = clean(about, limit=NAME_LIMIT)
    return Message(
        event=delivery.event,
        severity=MARKS.get(delivery.event, OTHER)[1],
        emoji=MARKS.get(delivery.event, OTHER)[0],
        title=f"{delivery.event.value}: {name}",
        headline=clean(job.label if job is not None and job.label else about, limit=NAME_LIMIT),
        subject=name,
        facts={**delivery_facts(delivery), "job_id": None if job is None else job.job_id},
    )


def compose_digest(claimed: Sequence["Claimed"], context: MessageContext) -> Message:
    """One message for one or more claimed deliveries of a channel. A single delivery gets its own message."""
    if len(claimed) == 1:
        return compose(claimed[0], context)
    return digest_message([(one, compose(one, context)) for one in claimed], context)


def _job_message(alert: JobAlert, context: MessageContext) -> Message:
    texts, event = context.voice.texts, alert.event
    emoji, severity = PARTIAL if alert.partial else MARKS[event]
    title = texts.title_partial if alert.partial else texts.titles[event]
    happened = texts.verb_partial if alert.partial else texts.verbs[event]
    return Message(
        event=event,
        severity=severity,
        emoji=emoji,
        title=title.format(name=alert.name),
        headline=_headline(alert, context),
        subject=f"job {alert.job.job_id}",
        fields=_fields(alert, context),
        links=_links(alert, context) if event in _WITH_LINKS or _has_result_anyway(alert) else (),
        notes=notes(alert.delivery, context, job_late(alert, happened, context)),
        facts=job_facts(alert, context),
        cover=context.cover,
        language=context.language,
    )


def _headline(alert: JobAlert, context: MessageContext) -> str:  # noqa: PLR0911, C901 - one sentence for each event
    voice, texts = context.voice, context.voice.texts
    match alert.event:
        case Event.SUCCEEDED:
            partly = texts.partly if alert.partial else ""
            return voice.sentences(partly, _made(alert, context), _link_later(alert, context))
        case Event.FAILED:
            said = clean(alert.job.error_msg or "", limit=TEXT_LIMIT)
            return texts.failed.format(said=said) if said else texts.failed_unsaid
        case Event.CANCELED:
            text = texts.canceled_made if _has_result_anyway(alert) else texts.canceled
            return text.format(product=voice.product(alert.job.kind))
        case Event.BLOCKED:
            return texts.blocked
        case Event.UNBLOCKED:
            return texts.unblocked.format(state=voice.state(alert.state))
        case Event.STARTED:
            return voice.sentences(texts.started, _remaining(alert, context))
        case Event.STUCK:
            return _overdue(alert, context)
        case Event.LOST:
            kind = voice.kind(alert.job.kind)
            return texts.lost if alert.job.answered else texts.lost_never.format(kind=kind)
        case Event.EXPIRED:
            return texts.expired.format(since=voice.moment(alert.job.tracked_at))
        case Event.LINK_EXPIRING:
            return _expiring(alert, context)
        case _:
            return voice.reason(alert.reason)


def _made(alert: JobAlert, context: MessageContext) -> str:
    voice, texts, job = context.voice, context.voice.texts, alert.job
    long = voice.length(job.duration) if job.duration is not None and job.duration > 0 else ""
    took = voice.length(alert.times.took) if alert.times.took is not None else ""
    if took:
        took = (texts.exactly if alert.times.reported else texts.about).format(length=took)
    if long and took:
        said = texts.made.format(length=long, took=took)
    elif long:
        said = texts.made_long.format(length=long)
    elif took:
        said = texts.made_took.format(took=took)
    else:
        said = texts.finished.format(product=voice.product(job.kind))
    return f"{said[0].upper()}{said[1:]}"


def _link_later(alert: JobAlert, context: MessageContext) -> str:
    """Say where the link will be, if the alert goes out before it is known."""
    asset = alert.job.asset
    if asset.asset_id is None or asset.preview_url or asset.download_url or alert.job.id in context.links:
        return ""
    return context.voice.texts.link_later


def _remaining(alert: JobAlert, context: MessageContext) -> str:
    voice, eta = context.voice, alert.eta
    if eta is None:
        return ""
    return voice.texts.started_eta.format(
        median=voice.rough(eta.median), low=voice.rough(eta.low), high=voice.rough(eta.high)
    )


def _overdue(alert: JobAlert, context: MessageContext) -> str:
    voice = context.voice
    elapsed, median, high = (alert.number(each) for each in ("elapsed", "normal_median", "normal_high"))
    if elapsed is None or median is None or high is None:
        return voice.texts.stuck
    return voice.texts.stuck_normal.format(
        elapsed=voice.length(elapsed), median=voice.rough(median), high=voice.rough(high)
    )


def _expiring(alert: JobAlert, context: MessageContext) -> str:
    """What to do about an expiring link: nothing if wrapd's own link goes on working, else save the video in
    time."""
    voice, texts, until = context.voice, context.voice.texts, alert.link_until
    if until is None:
        return texts.link_soon
    if until <= context.now:
        return texts.link_expired.format(until=voice.moment(until))
    text = texts.link_unseen if alert.job.id in context.links else texts.link_expiring
    left = voice.rough((until - context.now).total_seconds())
    return text.format(product=voice.product(alert.job.kind), until=voice.moment(until), left=left)


def _fields(alert: JobAlert, context: MessageContext) -> tuple[Field, ...]:
    """The named values, most important first: a chat with little room drops the last ones."""
    voice, job, event = context.voice, alert.job, alert.event
    label = clean(job.label or "", limit=NAME_LIMIT)
    kind = voice.texts.brackets.format(text=voice.kind(job.kind))
    pairs = (
        ("error", clean(job.error_code or "", limit=64) if event is Event.FAILED else ""),
        ("reason", clean(voice.reason(alert.reason), limit=200)),
        ("note", clean(job.note or "", limit=MAX_NOTE)),
        ("state", voice.state(alert.state) if event in {Event.LOST, Event.EXPIRED} else ""),
        (_WHEN.get(event, "seen"), voice.moment(alert.times.ended)),
        ("expected", _expected(alert, context)),
        ("label", label if label != alert.name else ""),
        ("batch", clean(job.batch or "", limit=NAME_LIMIT)),
        ("tags", clean(", ".join(job.tags), limit=200)),
        ("project", f"{clean(job.project, limit=64)}{kind}"),
        ("job", job.job_id),
        ("asset", clean(job.asset.asset_id or "", limit=128) if event in _WITH_LINKS else ""),
    )
    return tuple(voice.field(name, value) for name, value in pairs if name and value)


def _expected(alert: JobAlert, context: MessageContext) -> str:
    """When a job that has started should end."""
    if alert.event is not Event.STARTED or alert.eta is None:
        return ""
    began = alert.times.ended
    return context.voice.span(began + timedelta(seconds=alert.eta.low), began + timedelta(seconds=alert.eta.high))


def _has_result_anyway(alert: JobAlert) -> bool:
    """Whether a canceled job has links to a result anyway."""
    asset = alert.job.asset
    return alert.event is Event.CANCELED and any(is_web(url) for url in (asset.preview_url, asset.download_url))


def _links(alert: JobAlert, context: MessageContext) -> tuple[Link, ...]:
    """Only wrapd's own link if there is one, because it works as long as the video exists; else the service's
    links."""
    job, names = alert.job, context.voice.texts.link_names
    own = context.links.get(job.id)
    if own == "":  # revoked: show no other link either
        return ()
    if own is not None:
        is_video = context.voice.product(job.kind) == context.voice.texts.product_video
        return (Link(name=names["watch" if is_video else "open"], url=own),)
    fetched = job.links_at or alert.times.ended
    found = (
        ("preview", job.asset.preview_url, DAY),
        ("download", job.asset.download_url, DAY),
        ("cover", job.asset.cover_url, None),
    )
    return tuple(
        Link(name=names[name], url=url, note=_validity(url, fetched, life, context))
        for name, url, life in found
        if url and is_web(url)
    )


def _validity(url: str, fetched: datetime, life: timedelta | None, context: MessageContext) -> str:
    voice, until = context.voice, expiry(url, fetched, life)
    if until is None:
        return ""
    text = voice.texts.link_gone if until <= context.now else voice.texts.link_until
    return text.format(until=voice.moment(until))


_OPERATOR_FACTS = ("state", "job_id", "reason", "late_seconds", "jobs", "deliveries", "part", "command")


def operator_message(delivery: "DeliveryRow", context: MessageContext) -> Message:
    """The message of an operator event."""
    facts, voice, texts = delivery.facts, context.voice, context.voice.texts
    emoji, severity = MARKS.get(delivery.event, OTHER)
    words = texts.operators.get(delivery.event, texts.operator_other)
    if facts.get("partly") is True:
        words = texts.held_partly
    elif delivery.event is Event.ORPHANED and "channel" in facts:
        words = texts.orphaned_channel
    names = {
        "project": text(facts, "project", NAME_LIMIT) or clean(delivery.project or "", limit=NAME_LIMIT),
        "channel": text(facts, "channel", NAME_LIMIT),
        "state": text(facts, "state", 64),
        "command": text(facts, "command", TEXT_LIMIT),
        "event": delivery.event.value,
    }
    at = observed(delivery)
    return Message(
        event=delivery.event,
        severity=severity,
        emoji=emoji,
        title=words.title.format(**names),
        headline=words.headline.format(**names),
        subject=names["channel"] or names["project"],
        fields=_operator_fields(facts, at, context),
        notes=notes(delivery, context, late(delivery, voice.texts.verb_other, at, context)),
        facts={
            **delivery_facts(delivery),
            "observed_at": iso(at),
            **{key: facts.get(key) for key in _OPERATOR_FACTS},
            "held_channel": facts.get("channel"),
        },
        language=context.language,
    )


def _operator_fields(facts: Mapping[str, Json], at: datetime, context: MessageContext) -> tuple[Field, ...]:
    voice, delay, jobs = context.voice, seconds(facts, "late_seconds"), number(facts, "jobs")
    pairs = (
        ("reason", voice.reason(text(facts, "reason", TEXT_LIMIT))),
        ("job", text(facts, "job_id", 128)),
        ("late", voice.length(delay) if delay is not None else ""),
        ("jobs", str(jobs) if jobs else ""),
        ("deliveries", str(dead) if (dead := number(facts, "deliveries")) else ""),
        ("part", text(facts, "part", NAME_LIMIT)),
        ("since", voice.moment(at)),
    )
    return tuple(voice.field(name, value) for name, value in pairs if value)
