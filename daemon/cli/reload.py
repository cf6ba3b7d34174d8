"""`wrapd reload`: makes the running daemon read its config again, and prints the result."""

import click

from daemon.app import control_client
from daemon.app.control_address import LONGEST_WORK
from daemon.cli import output
from daemon.cli.session import config_of, daemon_runs, json_option
from daemon.cli.units import stale
from daemon.errors import ConfigFault, WrapdError

_PATIENCE = LONGEST_WORK + 30.0
"""Seconds; longer than the daemon's own limit, so that its own message about a slow reload comes first."""
_NO_DAEMON = "no daemon uses this database; `wrapd run` or `systemctl start wrapd` starts one with this config"
_SILENT = "the daemon has no control socket; its log says why (control.unavailable). Send it SIGHUP to reload"


@click.command("reload", short_help="Make the running daemon read its config again.")
@json_option
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> None:
    """Make the running daemon read its config again, with secrets and templates.

    Prints what changed and which changes and systemd credentials need a restart. A faulty config changes nothing:
    the daemon continues with the last good one, and the exit status is 3.
    """
    config = config_of(ctx)
    said = control_client.ask(config.database.path.resolve(), {"request": "reload"}, patience=_PATIENCE)
    if said is None:
        raise WrapdError(_SILENT if daemon_runs(config) else _NO_DAEMON)
    old = list(stale(said.get("credentials")))
    changed, faults, later = (_lines(said, key) for key in ("changed", "faults", "needs_restart"))
    if as_json:
        output.document(
            {"ok": not faults, "changed": changed, "faults": faults, "needs_restart": later, "stale": old}
        )
    else:
        for each in changed if not faults else ():
            output.line(each)
        if later:
            output.line(f"applied only after a restart: {', '.join(later)}")
        if not changed and not faults:
            output.line("nothing has changed")
        for each in old:
            output.line(each)
    if faults:
        listed = "".join(f"\n  {each}" for each in faults)
        raise ConfigFault(f"the daemon continues with its last good config:{listed}")


def _lines(said: dict[str, object], key: str) -> list[str]:
    value = said.get(key)
    return [str(each) for each in value] if isinstance(value, list) else []
