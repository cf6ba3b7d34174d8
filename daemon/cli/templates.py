"""`wrapd templates`: what messages look like on a channel, by built-in examples. Sends nothing."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from daemon.cli import facts, output
from daemon.cli.output import Column
from daemon.cli.session import CLOCK, config_of, json_option
from daemon.cli.text import clean
from daemon.config import Config
from daemon.config.forms import shown, suggestion
from daemon.errors import Exit, UnknownName, UsageFault

if TYPE_CHECKING:
    from daemon.notify.channels import Channel, Written
    from daemon.notify.message import Message
    from daemon.store import Claimed


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a channel would get for one example. `fault` says why the operator's template is not used."""

    example: str
    message: "Message"
    written: "Written"
    template: str | None
    fault: str | None
    machine: bool


@click.group("templates", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List the templates of the config: which file tells of what, on which channel. Reads no secret."""
    if ctx.invoked_subcommand is not None:
        return
    config = config_of(ctx)
    rows = [
        [name, event, path]
        for name, channel in config.channels.items()
        for event, path in channel.templates.items()
    ]
    columns = [Column(title="CHANNEL"), Column(title="EVENT"), Column(title="FILE", gives=True)]
    output.table(
        columns,
        rows,
        empty="There is no template: all messages are wrapd's own; [channels.NAME.templates] names others.",
    )


@command.command("preview")
@click.option("--channel", "name", metavar="NAME", required=True, help="As it would look there.")
@click.option("--event", metavar="EXAMPLE", help="An event, or one of: partial, late, quiet, repeat, diverted, "
              "hostile, digest.")  # fmt: skip
@click.option("--all", "every", is_flag=True, help="Every example.")
@json_option
@click.pass_context
def preview(ctx: click.Context, *, name: str, event: str | None, every: bool, as_json: bool) -> int:
    """Show what a channel would get, by its template or as wrapd writes it; nothing is sent.

    The exit status is 1 where a template fails: then wrapd's own message would go out.
    """
    from daemon.build import channel as open_channel  # noqa: PLC0415 - Apprise
    from daemon.notify.examples import EXAMPLES  # noqa: PLC0415

    if every == (event is not None):
        raise UsageFault("which example? Name one with --event, or all with --all")
    if event is not None and event not in EXAMPLES:
        raise UnknownName(f"no example is called {shown(event)}; {suggestion(event, EXAMPLES)}")
    config = config_of(ctx)
    channel = open_channel(config, name, os.environ)
    found = [_preview(config, channel, each) for each in (EXAMPLES if event is None else [event])]
    if as_json:
        output.document([facts.of_preview(each) for each in found])
    else:
        for number, each in enumerate(found):
            for line in ([""] if number else []) + list(_lines(each)):
                click.echo(line)
    return int(Exit.FAILED if any(each.fault for each in found) else Exit.OK)


def _preview(config: Config, channel: "Channel", name: str) -> Preview:
    from daemon.notify.compose import Look, compose_digest  # noqa: PLC0415
    from daemon.notify.examples import example  # noqa: PLC0415
    from daemon.notify.templating import TemplateFault  # noqa: PLC0415

    now = CLOCK.now()
    claimed = example(name, now=now)
    look = Look(zone=channel.zone, now=now, language=channel.language, links=_links(config, claimed))
    message = compose_digest(claimed, look)
    fault, template = None, None
    if channel.templates is not None:
        made = channel.templates.attempt(message, channel.form)
        fault = made.reason if isinstance(made, TemplateFault) else None
        path = channel.templates.path(message.event)
        template = None if path is None else str(path)
    return Preview(
        example=name,
        message=message,
        written=channel.write(message),
        template=template,
        fault=fault,
        machine=channel.form.machine,
    )


def _links(config: Config, claimed: "Sequence[Claimed]") -> dict[int, str]:
    """wrapd's own links, as the messages would carry them."""
    from daemon.web import own_url  # noqa: PLC0415 - FastAPI

    url = config.web.public_url
    if url is None:
        return {}
    return {each.job.id: own_url(url, f"EXAMPLE-{each.job.id}") for each in claimed if each.job is not None}


def _lines(each: Preview) -> Iterator[str]:
    by = f"by {each.template}" if each.template and not each.fault else "wrapd's own"
    yield click.style(f"== {each.example}: {clean(by)}", bold=True)
    if each.fault:
        yield f"!! the template fails, so wrapd's own message goes out: {clean(each.fault)}"
    text = each.written.text
    yield clean(text.title)
    yield ""
    for line in text.body.split("\n"):
        yield clean(line)
    if each.written.card is not None:
        yield "-- the service gets this as a card; --json shows it"
    if each.machine:
        yield "-- the service gets the facts too; --json shows them"
