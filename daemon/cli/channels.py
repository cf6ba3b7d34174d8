"""`wrapd channels`: the channels, their alerts, and test messages."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from daemon import views
from daemon.cli import output
from daemon.cli.asked import running_config
from daemon.cli.output import Column
from daemon.cli.session import CLOCK, config_of, has_database, json_option, opened, who
from daemon.cli.text import ago, count
from daemon.config import Channel as Section
from daemon.config import Config, ConfigFaults
from daemon.config.values import spoken
from daemon.domain.jobs import ChannelName
from daemon.errors import Exit, UsageFault

if TYPE_CHECKING:
    from datetime import datetime

    from daemon.store import Transaction


@click.group("channels", invoke_without_command=True)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List the channels that the daemon uses (those of the config if none runs), with the events they get and the
    number of alerts that wait or could not be sent."""
    if ctx.invoked_subcommand is not None:
        return
    with running_config(ctx, "channels.", "routes", "operators") as config:
        _list(config, as_json=as_json)


def _list(config: Config, *, as_json: bool) -> None:
    with opened(config) as store:
        found = store.read(lambda transaction: _read(transaction, config))
    if as_json:
        output.document([views.document(each) for each, _, _ in found])
        return
    columns = [
        Column(title="CHANNEL"),
        Column(title="TIMEZONE", spare=1),
        Column(title="SENT"),
        Column(title="WAITING"),
        Column(title="HELD"),
        Column(title="DEAD"),
        Column(title="EVENTS", below=True),
        Column(title="PLAN", below=True),
    ]
    now = CLOCK.now()
    rows = []
    for each, unsent, held in found:
        rows.append(
            [
                each.channel,
                each.timezone,
                str(each.sent),
                str(unsent),
                f"{each.held}{'' if held is None else f' ({ago(held, now)})'}",
                str(each.dead),
                ", ".join(each.events) or "-",
                "; ".join(_plan(config.channels[each.channel])) or "-",
            ]
        )
    output.table(columns, rows, empty="There is no channel in the config; add a section [channels.NAME].")


def _read(transaction: "Transaction", config: Config) -> "list[tuple[views.ListedChannel, int, datetime | None]]":
    """The channels of the config, with the number of alerts not sent yet, and since when it is refused."""
    counts, routing = transaction.deliveries.counts(), config.routing()
    found = []
    for name in map(ChannelName, config.channels):
        unsent = sum(n for (of, status), n in counts.items() if of == name and str(status) in _UNSENT)
        since = transaction.outbox.held_since(name)
        shown = views.channel(name, _facts(config.channels[name]), routing, counts, since)
        found.append((shown, unsent, since))
    return found


_UNSENT = ("pending", "sending", "held")


def _facts(channel: Section) -> "views.ChannelFacts":
    return views.ChannelFacts(
        timezone=channel.timezone,
        language=channel.language,
        max_per_minute=channel.max_per_minute,
        digest_above=channel.digest_above,
        digest_window=channel.digest_window,
        fallback=channel.fallback,
        fallback_after=channel.fallback_after,
        templates=tuple(channel.templates),
    )


def _plan(channel: Section) -> Iterator[str]:
    """The channel's settings that differ from the defaults, in words."""
    if channel.language != "en":
        yield f"language {channel.language}"
    if channel.max_per_minute is not None:
        yield f"{channel.max_per_minute:g} a minute"
    if channel.digest_above is not None:
        above = f"above {channel.digest_above} in {spoken(channel.digest_window)}"
        yield f"digests {above}" if channel.digest_above else "no digests"
    if channel.quiet is not None:
        quiet = channel.quiet
        yield f"quiet {quiet.from_:%H:%M}-{quiet.to:%H:%M} {quiet.timezone or channel.timezone}"
    if channel.fallback is not None:
        yield f"then {channel.fallback} after {spoken(channel.fallback_after)}"
    if channel.templates:
        yield "own templates"


@command.command("test", short_help="Send a real test message.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "every", is_flag=True, help="All channels of the config.")
@click.pass_context
def test(ctx: click.Context, names: tuple[str, ...], every: bool) -> int:
    """Send a real test message. If it arrives, all alerts held for that channel are sent too."""
    config = config_of(ctx)
    if bool(names) == every:
        raise UsageFault("name the channels to test, or --all")
    chosen = list(config.channels) if every else list(dict.fromkeys(names))
    for name in chosen:
        config.channel(name)
    if not chosen:
        raise UsageFault(f"{config.source}: there is no channel; add a section [channels.NAME]")
    ends = {_test(config, name) for name in chosen}
    return int(next((end for end in (Exit.FAILED, Exit.CONFIG) if end in ends), Exit.OK))


test.__test__ = False  # type: ignore[attr-defined]  # otherwise pytest collects it


def _test(config: Config, name: str) -> Exit:
    """Test one channel and print the result."""
    from daemon.build import channel as open_channel  # noqa: PLC0415 - Apprise
    from daemon.notify.transport import test_message  # noqa: PLC0415
    from daemon.notify.transport.verdicts import Sent  # noqa: PLC0415

    try:
        channel = open_channel(config, name, os.environ)
    except ConfigFaults as error:
        output.verdict(name, "fail", "; ".join(map(str, error.faults)))
        return Exit.CONFIG
    now = CLOCK.now().astimezone(ZoneInfo(config.channel(name).timezone))
    report = channel.send(
        test_message(channel.name, now_text=now.isoformat(timespec="seconds"), language=channel.language),
        timeout=config.notify.send_timeout,
    )
    if not isinstance(report.verdict, Sent):
        output.verdict(name, "fail", report.reason or "not sent")
        return Exit.FAILED
    output.verdict(name, "ok", f"sent in {report.seconds:.1f} s")
    _release(config, ChannelName(name))
    return Exit.OK


def _release(config: Config, name: ChannelName) -> None:
    """Release the channel's held alerts and print how many will be sent."""
    if not has_database(config):
        return

    from daemon.commands import release  # noqa: PLC0415 - SQLAlchemy

    with opened(config) as store:
        following = store.write_now(lambda tx: release(tx, name, at=CLOCK.now(), who=who(), tested=True))
    if following:
        output.line(f"{name}: {count(following, 'held alert')} will be sent now")
