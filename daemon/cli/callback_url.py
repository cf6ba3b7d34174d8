"""`wrapd callback-url`: the address that MetaStudio is given for callbacks."""

import click

from daemon.cli import output
from daemon.cli.session import config_of, json_option, project_of
from daemon.cli.text import clean


@click.command("callback-url", short_help="Print the callback_url to give to MetaStudio.")
@click.argument("project", required=False)
@json_option
@click.pass_context
def command(ctx: click.Context, project: str | None, as_json: bool) -> None:
    """Print the callback_url to give to MetaStudio when a job of PROJECT is created.

    It goes into the request's callback_config, with the auth_type that is named beside it. That of a project whose
    callbacks are not signed ends in a secret: whoever has it may say that jobs ended. docs/callbacks.md has the
    whole way. PROJECT may be left out where there is one only.
    """
    from daemon.build import callback_settings  # noqa: PLC0415 - the web server's parts: no other command needs them
    from daemon.web import CallbackAuth, callback_url  # noqa: PLC0415

    config = config_of(ctx)
    name = project_of(config, project)
    public_url, settings = callback_settings(config, name)
    url, auth_type = callback_url(public_url, name, settings), settings.auth.name
    if as_json:
        output.document({"project": name, "callback_url": url, "auth_type": auth_type})
        return
    output.line(url)
    signed = settings.auth is CallbackAuth.MSS_A
    key = f", key = that of projects.{name}.callback" if signed else " and no key"
    click.echo(clean(f"in the job's callback_config: this, auth_type = {auth_type}{key}"), err=True)
