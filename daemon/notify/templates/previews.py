"""What a channel would get for a built-in example. Sends nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from daemon.notify.message.compose import Look, compose_digest
from daemon.notify.templates.examples import example
from daemon.notify.templates.template import TemplateFault
from daemon.notify.transport import Channel


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a channel would get for one example, in plain values that JSON can carry.

    `template`: the operator's file, and `fault` why it is not used; `title`, `body` and `markup`: the plain form;
    `card`: what is posted instead; `facts`: what programs get beside it.
    """

    example: str
    event: str
    template: str | None
    fault: str | None
    title: str
    body: str
    markup: str
    card: Mapping[str, Any] | None
    facts: Mapping[str, Any] | None


def previews(
    channel: Channel, names: Sequence[str], *, now: datetime, link: Callable[[str], str] | None
) -> list[Preview]:
    """One for each example. `link` makes wrapd's own link of a token; None: messages carry the service's."""
    return [_preview(channel, name, now=now, link=link) for name in names]


def _preview(channel: Channel, name: str, *, now: datetime, link: Callable[[str], str] | None) -> Preview:
    claimed = example(name, now=now)
    links = (
        {}
        if link is None
        else {each.job.id: link(f"EXAMPLE-{each.job.id}") for each in claimed if each.job is not None}
    )
    message = compose_digest(claimed, Look(zone=channel.zone, now=now, language=channel.language, links=links))
    fault, template = None, None
    if channel.templates is not None:
        made = channel.templates.attempt(message, channel.service)
        fault = made.reason if isinstance(made, TemplateFault) else None
        path = channel.templates.path(message.event)
        template = None if path is None else str(path)
    written = channel.write(message)
    return Preview(
        example=name,
        event=message.event,
        template=template,
        fault=fault,
        title=written.text.title,
        body=written.text.body,
        markup=str(written.text.markup),
        card=written.card,
        facts=dict(message.facts) if channel.service.machine else None,
    )
