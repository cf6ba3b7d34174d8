"""`wrapd reload`: has the running daemon read its config again, and says what came of it."""

import click

from daemon.app import control_client
from daemon.app.control_address import LONGEST_WORK
from daemon.cli import output
from daemon.cli.session import config_of, daemon_runs, json_option
from daemon.cli.units import stale
from daemon.errors import ConfigFault, WrapdError

_PATIENCE = LONGEST_WORK + 30.0
"""Seconds: what comes first is the daemon's own word that it takes long."""
_NO_DAEMON = "no daemon runs on this database; `wrapd run` or `systemctl start wrapd` starts one with this config"
_SILENT = "the daemon has no control socket: its log says why (control.unavailable). SIGHUP has it reload as well"


@click.command("reload", short_help="Have the running daemon read its config again.")
@json_option
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> None:
    """Have the running daemon read its config again, with secrets and templates.

    Says what changed, what of it takes a restart, and which credentials of systemd's do. A config with a fault
    changes nothing: the daemon goes on with the last good one, and the status is 3.
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
            output.line(f"used after a restart only: {', '.join(later)}")
        if not changed and not faults:
            output.line("nothing has changed")
        for each in old:
            output.line(each)
    if faults:
        listed = "".join(f"\n  {each}" for each in faults)
        raise ConfigFault(f"the daemon goes on with its last good config:{listed}")


def _lines(said: dict[str, object], key: str) -> list[str]:
    value = said.get(key)
    return [str(each) for each in value] if isinstance(value, list) else []
