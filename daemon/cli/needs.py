"""`wrapd needs`: the one list of what needs a person."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import click

from daemon import views
from daemon.cli import output
from daemon.cli.filters import since_option
from daemon.cli.numbers import Count
from daemon.cli.outlook import learned
from daemon.cli.output import Column
from daemon.cli.session import CLOCK, config_of, daemon_runs, json_option, opened
from daemon.cli.text import about
from daemon.cli.zone import zone_option
from daemon.config import Config
from daemon.domain.jobs import ChannelName
from daemon.errors import Exit
from daemon.views.needs import DYING_WITHIN, FAILED_WITHIN, Around

if TYPE_CHECKING:
    from daemon.store import Transaction

SHOWN = 20
"""Things shown unless asked for more."""


@click.command("needs")
@since_option("Failed, lost and expired jobs", default="1d")
@click.option("--limit", type=Count(), default=SHOWN, metavar="N", help="At most this many. [default: 20]")
@zone_option
@json_option
@click.pass_context
def command(ctx: click.Context, *, since: datetime | None, limit: int, as_json: bool) -> int:
    """List what needs a person, worst first, each with the command that deals with it: no daemon, refused
    credentials, projects that do not answer, refused channels, dead alerts; jobs that failed, are frozen, lost,
    expired or overdue; videos that nobody has opened and whose links expire within a day; projects paused for more
    than a day. Needs no running daemon.

    A failed, lost or expired job leaves the list after a day, or once `wrapd note` has put a note on it. What is
    muted is left out until its mute ends. Whether a video was opened is known only with wrapd's own links
    (web.public_url).

    The exit status is 1 if anything needs a person, 0 if nothing does.
    """
    config, now = config_of(ctx), CLOCK.now()
    around = Around(
        now=now,
        since=since or now - FAILED_WITHIN,
        projects=config.projects,
        running=daemon_runs(config),
        give_up_after=config.polling.give_up_after,
    )
    with opened(config) as store:
        found = store.read(lambda tx: _read(tx, config, around, limit))
    if as_json:
        output.document(views.document(found))
    else:
        _show(found, now, several=len(config.projects) > 1)
    return int(Exit.FAILED if found.count else Exit.OK)


def _read(tx: "Transaction", config: Config, around: Around, limit: int) -> views.Needs:
    channels = [ChannelName(name) for name in config.channels]
    dying = DYING_WITHIN if config.web.public_url is not None else 0.0
    found = tx.needs.read(now=around.now, since=around.since, channels=channels, links_within=dying)
    late = tx.needs.late(views.overdue(found.running, learned(tx), around.now)) if found.running else []
    return views.needed(found, late, around, limit=limit)


def _show(found: views.Needs, now: datetime, *, several: bool) -> None:
    columns = (
        Column(title="NAME", gives=True, least=24, free=True),
        Column(title="NEEDS YOU"),
        Column(title="FOR"),
        Column(title="PROJECT", gives=True, least=12, alike=not several),
        Column(title="WHY", below=True, free=True),
        Column(title="DO", below=True, free=True),
    )
    output.table(columns, [list(_cells(each, now)) for each in found.items], empty="Nothing needs you.")
    rest = found.count - len(found.items)
    more = "" if found.complete else ", perhaps more"
    muted = f"{found.muted} more {'is' if found.muted == 1 else 'are'} muted: `wrapd mute list` shows until when."
    output.notes(
        [
            f"{rest} more{more}: `wrapd needs --limit {found.count}` lists them." if rest else None,
            muted if found.muted else None,
        ]
    )


def _cells(need: views.Need, now: datetime) -> Iterator[str]:
    yield need.name or need.job_id or need.channel or need.project or "-"
    yield need.kind.replace("_", " ")
    at = need.until or need.since
    seconds = 0.0 if at is None else (now - datetime.fromisoformat(at)).total_seconds()
    yield "-" if at is None else about(seconds) if seconds >= 0 else f"ends in {about(-seconds)}"
    yield need.project or "-"
    yield need.text
    yield need.action
