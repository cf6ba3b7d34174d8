"""`wrapd callback-url`: the callback address to give to MetaStudio."""

import click

from daemon.cli import output
from daemon.cli.session import config_of, json_option, project_of


@click.command("callback-url")
@click.argument("project", required=False)
@json_option
@click.pass_context
def command(ctx: click.Context, project: str | None, as_json: bool) -> None:
    """Print the callback_url to give to MetaStudio when creating a job of PROJECT.

    It goes into the request's callback_config together with the auth_type printed next to it. If the project's
    callbacks are not signed, the URL ends in a secret: anyone who has it can report jobs as ended. See
    docs/callbacks.md. PROJECT may be omitted if there is only one.
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
    key = f", key = the key of projects.{name}.callback" if signed else " and no key"
    output.hint(f"in the job's callback_config: this URL, auth_type = {auth_type}{key}")
