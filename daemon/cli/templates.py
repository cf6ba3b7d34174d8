"""`wrapd templates`: list custom templates, and preview messages with built-in examples. Sends nothing."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import click

from daemon.cli import output
from daemon.cli.asked import RefusedByDaemon, ask, note, note_silence, running_config
from daemon.cli.output import Column, Facts
from daemon.cli.session import CLOCK, config_of, config_path, json_option
from daemon.cli.text import clean
from daemon.config import Config
from daemon.config.values import shown, suggestion
from daemon.errors import Exit, UnknownName, UsageFault

if TYPE_CHECKING:
    from daemon.notify.templates.examples import Preview


@click.group("templates", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List the templates of the config with their channels and events. Reads no secret."""
    if ctx.invoked_subcommand is not None:
        return
    with running_config(ctx, "channels.") as config:
        rows = [
            [name, event, path]
            for name, channel in config.channels.items()
            for event, path in channel.templates.items()
        ]
        columns = [Column(title="CHANNEL"), Column(title="EVENT"), Column(title="FILE", gives=True)]
        empty = "No templates, so all messages are built-in ones; add them in [channels.NAME.templates]."
        output.table(columns, rows, empty=empty)


@command.command("preview", short_help="Show what a channel would get; sends nothing.")
@click.option("--channel", "name", metavar="NAME", required=True, help="The channel to render for.")
@click.option("--event", metavar="EXAMPLE", help="An event, or one of: partial, late, quiet, repeat, diverted, "
              "hostile, digest.")  # fmt: skip
@click.option("--all", "every", is_flag=True, help="Every example.")
@json_option
@click.pass_context
def preview(ctx: click.Context, *, name: str, event: str | None, every: bool, as_json: bool) -> int:
    """Show what a channel would get with the config file, from its template or the built-in message. Sends
    nothing.

    The exit status is 1 if a template fails; the built-in message would then be sent.
    """
    from daemon.notify.templates.examples import EXAMPLES  # noqa: PLC0415

    if every == (event is not None):
        raise UsageFault("which example? Give one with --event, or all with --all")
    if event is not None and event not in EXAMPLES:
        raise UnknownName(f"no example is called {shown(event)}; {suggestion(event, EXAMPLES)}")
    found = _previews(ctx, name, list(EXAMPLES) if event is None else [event])
    if as_json:
        output.document([json_of_preview(each) for each in found])
    else:
        for number, each in enumerate(found):
            for line in ([""] if number else []) + list(_lines(each)):
                click.echo(line)
    return int(Exit.FAILED if any(each.fault for each in found) else Exit.OK)


def _previews(ctx: click.Context, name: str, examples: list[str]) -> "list[Preview]":
    """The previews, made by the daemon if one runs on this file, because only it may have the channel's URL."""
    from daemon.notify.templates.examples import Preview, previews  # noqa: PLC0415

    config = config_of(ctx)
    config.channel(name)
    heard = ask(config_path(ctx), "preview", channel=name, examples=examples)
    note_silence(heard)
    if heard.answer is None:
        from daemon.build import channel as open_channel  # noqa: PLC0415 - Apprise

        return previews(open_channel(config, name, os.environ), examples, now=CLOCK.now(), link=_link(config))
    if heard.answer.refused is not None:
        raise RefusedByDaemon(heard.answer)
    for line in heard.answer.difference(of=(f"channels.{name}", "web.public_url")):
        note(line)
    return [Preview(**each) for each in heard.answer.previews]


def _link(config: Config) -> Callable[[str], str] | None:
    """Makes wrapd's own link from a token, as messages would contain it."""
    from daemon.web import own_url  # noqa: PLC0415 - the web server

    return None if config.web.public_url is None else partial(own_url, config.web.public_url)


def _lines(each: "Preview") -> Iterator[str]:
    by = f"from {each.template}" if each.template and not each.fault else "built-in"
    yield click.style(f"== {each.example}: {clean(by)}", bold=True)
    if each.fault:
        yield f"!! the template fails, so the built-in message is sent: {clean(each.fault)}"
    yield clean(each.title)
    yield ""
    for line in each.body.split("\n"):
        yield clean(line)
    if each.card is not None:
        yield "-- sent to the service as a card; --json shows it"
    if each.facts is not None:
        yield "-- sent to the service with all facts; --json shows them"


def json_of_preview(each: "Preview") -> Facts:
    """What a channel would get for an example, in `templates preview --json`."""
    return {
        "example": each.example,  # name of the example
        "event": each.event,  # its event; `digest` for several
        "template": each.template,  # the template file, or null
        "fault": each.fault,  # why the template is not used, or null
        "title": each.title,  # title of the plain form
        "body": each.body,  # body of the plain form
        "markup": each.markup,  # markup of the plain form: text, html or markdown
        "card": each.card,  # what is posted instead of the plain form, or null
        "facts": each.facts,  # facts that programs get in addition, or null
    }
