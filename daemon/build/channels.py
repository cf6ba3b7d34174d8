"""Opens a channel from its config section: reads and checks its URL and templates."""

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from daemon.build.reading import Reading
from daemon.config import Channel as Section
from daemon.config import Config, ConfigFaults
from daemon.config.faults import spell
from daemon.domain.jobs import ChannelName
from daemon.errors import ConfigFault
from daemon.notify.message import Language
from daemon.notify.outbox import ChannelPlan
from daemon.notify.transport import Channel, ChannelSettings, open_channel

if TYPE_CHECKING:
    from daemon.notify.templates import Templates


def channel(config: Config, name: str, environ: Mapping[str, str] = os.environ) -> Channel:
    """Open a channel. Raises ConfigFault with all faults, which never show the URL, and UnknownName."""
    chosen = config.channel(name)
    place = f"channels.{name}"
    reading = Reading(environ)
    loaded = read_templates(chosen.templates, f"{place}.templates", reading)
    url = reading.secret(chosen.url, f"{place}.url")
    settings = ChannelSettings(
        name=ChannelName(name),
        url=url,
        timezone=chosen.timezone,
        language=Language(chosen.language),
        plan=channel_plan(chosen),
        templates=loaded,
    )
    opened = reading.of(partial(open_channel, settings)) if url else None
    if opened is None or reading.faults:
        raise ConfigFaults(config.source, reading.faults)
    return opened


def channel_plan(chosen: Section) -> ChannelPlan:
    """A channel's settings for the dispatcher."""
    return ChannelPlan(
        max_per_minute=chosen.max_per_minute,
        digest_above=chosen.digest_above,
        digest_window=chosen.digest_window,
        fallback=None if chosen.fallback is None else ChannelName(chosen.fallback),
        fallback_after=chosen.fallback_after,
    )


def read_templates(files: Mapping[str, str], place: str, reading: Reading) -> "Templates | None":
    """Load a channel's templates from its files; None if it has none. Faults name file and line."""
    if not files:
        return None
    from daemon.notify.templates import Templates  # noqa: PLC0415 - loads Jinja2, which few channels need

    def load(event: str, path: str) -> None:
        try:
            Templates.load({event: Path(path)})
        except ConfigFault as error:
            raise ConfigFault(f"{place}.{spell([event])}: {error}") from error

    before = len(reading.faults)
    for event, path in files.items():
        reading.of(partial(load, event, path))
    if len(reading.faults) > before:
        return None
    return Templates.load({event: Path(path) for event, path in files.items()})
