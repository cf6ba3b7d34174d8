"""`wrapd channels`: where alerts go, and whether they get there."""

import os
from zoneinfo import ZoneInfo

import click

from daemon.cli import facts, output
from daemon.cli.output import Column
from daemon.cli.session import CLOCK, config_of, json_option, opened
from daemon.config import Config
from daemon.domain.events import OPERATOR_EVENTS, Event
from daemon.domain.jobs import ChannelName
from daemon.errors import ConfigFault, Exit, UsageFault


@click.group("channels", invoke_without_command=True)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List the channels of the config: what goes there, and how many alerts wait or could not be sent. Reads no
    secret."""
    if ctx.invoked_subcommand is not None:
        return
    config = config_of(ctx)
    with opened(config) as store:
        counts = store.read(lambda transaction: transaction.outbox.counts())
    listed = [
        facts.of_channel(
            name,
            channel.timezone,
            _events(config, name),
            {str(status): number for (told, status), number in counts.items() if told == name},
        )
        for name, channel in config.channels.items()
    ]
    if as_json:
        output.document(listed)
        return
    columns = [
        Column(title="CHANNEL"),
        Column(title="TIMEZONE"),
        Column(title="SENT"),
        Column(title="WAITING"),
        Column(title="HELD"),
        Column(title="DEAD"),
        Column(title="EVENTS", gives=True),
    ]
    shown = ("channel", "timezone", "sent", "waiting", "held", "dead")
    rows = [[*(str(each[key]) for key in shown), _words(each["events"])] for each in listed]
    output.table(columns, rows, empty="There is no channel in the config; add a section [channels.NAME].")


@command.command("test")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "every", is_flag=True, help="All channels of the config.")
@click.pass_context
def test(ctx: click.Context, names: tuple[str, ...], every: bool) -> int:
    """Really send a test message. Where it arrives, alerts that were held for that channel are sent too."""
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


test.__test__ = False  # type: ignore[attr-defined]  # pytest takes the name for a test


def _test(config: Config, name: str) -> Exit:
    """Test one channel, and say how it went."""
    from daemon.build import channel as open_channel  # noqa: PLC0415 - Apprise
    from daemon.notify.channels import test_message  # noqa: PLC0415
    from daemon.notify.verdicts import Sent  # noqa: PLC0415

    try:
        channel = open_channel(config, name, os.environ)
    except ConfigFault as error:
        output.verdict(name, "fail", str(error))
        return Exit.CONFIG
    now = CLOCK.now().astimezone(ZoneInfo(config.channel(name).timezone))
    report = channel.send(
        test_message(channel.name, now_text=now.isoformat(timespec="seconds")),
        timeout=config.notify.send_timeout,
    )
    if not isinstance(report.verdict, Sent):
        output.verdict(name, "fail", report.reason or "not sent")
        return Exit.FAILED
    output.verdict(name, "ok", f"sent in {report.seconds:.1f} s")
    _release(config, ChannelName(name))
    return Exit.OK


def _release(config: Config, name: ChannelName) -> None:
    if not config.database.path.exists():
        return
    with opened(config) as store:
        released = store.write_now(lambda transaction: transaction.outbox.release(name, at=CLOCK.now()))
    if released:
        output.line(f"{name}: {released} held alert{'' if released == 1 else 's'} will be sent now")


def _events(config: Config, name: str) -> list[str]:
    routing = config.routing()
    heard = [str(event) for event in Event if event not in OPERATOR_EVENTS and name in routing.channels_for(event)]
    return [*heard, *(["operators"] if name in routing.operators else [])]


def _words(value: object) -> str:
    return ", ".join(map(str, value)) or "-" if isinstance(value, list) else str(value)
