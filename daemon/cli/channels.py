"""`wrapd channels`: the channels, their alerts, and test messages."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from daemon.cli import output
from daemon.cli.asked import running_config
from daemon.cli.output import Column, Facts
from daemon.cli.routes import json_of_quiet
from daemon.cli.session import CLOCK, full_config_of, has_database, json_option, opened, who
from daemon.cli.text import ago, count, stamp
from daemon.config import Channel as Section
from daemon.config import Config, ConfigFaults
from daemon.config.values import spoken
from daemon.domain.events import JOB_EVENTS
from daemon.domain.jobs import ChannelName
from daemon.domain.quiet import QuietHours
from daemon.errors import Exit, UsageFault

if TYPE_CHECKING:
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
        standings = store.read(lambda transaction: _standings(transaction, config))
    listed = [json_of_channel(name, channel, standings[name]) for name, channel in config.channels.items()]
    if as_json:
        output.document(listed)
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
    for name, channel in config.channels.items():
        each = standings[name]
        since = "" if each.held_since is None else f" ({ago(each.held_since, now)})"
        rows.append(
            [
                name,
                channel.timezone,
                str(each.count("sent")),
                str(each.count("pending", "sending", "held")),
                f"{each.refused}{since}",
                str(each.count("dead")),
                ", ".join(each.events) or "-",
                "; ".join(_plan(channel)) or "-",
            ]
        )
    output.table(columns, rows, empty="There is no channel in the config; add a section [channels.NAME].")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSummary:
    """The state of a channel: the events it gets, its quiet hours, the number of alerts by status, and since when
    its service has refused it."""

    events: tuple[str, ...]
    quiet: QuietHours | None
    counts: Mapping[str, int]
    held_since: datetime | None

    @property
    def refused(self) -> int:
        """The number of alerts held back because the service refuses the channel: all that are not sent yet."""
        return 0 if self.held_since is None else self.count("pending", "sending", "held")

    def count(self, *statuses: str) -> int:
        """The number of alerts with one of these statuses."""
        return sum(self.counts.get(status, 0) for status in statuses)


def _standings(transaction: "Transaction", config: Config) -> dict[str, ChannelSummary]:
    counts, routing = transaction.outbox.counts(), config.routing()
    found = {}
    for name in map(ChannelName, config.channels):
        events = [event.value for event in JOB_EVENTS if routing.hears(name, event)]
        found[str(name)] = ChannelSummary(
            events=(*events, *(["operators"] if name in routing.operators else [])),
            quiet=routing.quiet.get(name),
            counts={str(status): number for (channel, status), number in counts.items() if channel == name},
            held_since=transaction.outbox.held_since(name),
        )
    return found


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
    config = full_config_of(ctx)
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


def json_of_channel(name: str, channel: Section, standing: ChannelSummary) -> Facts:
    """A channel of the config, in `channels --json`."""
    counts = standing.counts
    return {
        "channel": name,  # name of the channel in the config
        "timezone": channel.timezone,  # time zone of its messages
        "language": channel.language,  # language of its messages: en or zh
        "events": list(standing.events),  # events it gets; `operators` stands for all operator events
        "max_per_minute": channel.max_per_minute,  # from the config; null: the service's documented limit
        "digest_above": channel.digest_above,  # from the config; null: 6 for people, 0 for programs
        "digest_window": channel.digest_window,  # seconds
        "fallback": channel.fallback,  # channel that also gets the alerts while this one is refused, or null
        "fallback_after": channel.fallback_after,  # seconds
        # its own quiet hours: `from`, `to` (HH:MM), `timezone`, `urgent` (events sent anyway); null if it
        "quiet": None if standing.quiet is None else json_of_quiet(standing.quiet),  # has none
        "templates": sorted(channel.templates),  # events that have a custom template
        "sent": counts.get("sent", 0),  # alerts accepted by the chat service
        "waiting": counts.get("pending", 0) + counts.get("sending", 0),  # alerts still to be sent
        # all alerts that wait because the service refuses the channel: those `waiting` plus those it refused;
        "held": standing.refused,  # 0 if it does not refuse the channel
        "held_since": stamp(standing.held_since),  # since when it has refused the channel, or null
        "dead": counts.get("dead", 0),  # alerts that were given up
    }
