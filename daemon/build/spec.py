"""Builds the daemon's spec from a complete config."""

import os
from collections.abc import Mapping
from functools import partial

from daemon.build.channels import channel
from daemon.build.projects import discovery_settings, project_settings
from daemon.build.reading import Reading
from daemon.build.web import heartbeat_settings, web_settings
from daemon.config import Config, ConfigFaults, Fault
from daemon.domain.jobs import ChannelName, ProjectName
from daemon.domain.planning import Strategy
from daemon.notify import NotifySettings
from daemon.spec import Spec
from daemon.watch.settings import PollingPlan

NO_PROJECT = Fault(place="projects", text="there are none to watch; add a section [projects.NAME]")


def build_spec(config: Config, environ: Mapping[str, str] = os.environ) -> Spec:
    """Build the spec. Raises ConfigFault with all faults, also of secrets, templates and channel URLs."""
    reading = Reading(environ)
    projects = [reading.of(partial(project_settings, config, name, environ)) for name in config.projects]
    channels = {name: reading.of(partial(channel, config, name, environ)) for name in config.channels}
    web = reading.of(partial(web_settings, config, environ)) if config.web.enabled else None
    heartbeat = None
    if config.heartbeat is not None:
        heartbeat = reading.of(partial(heartbeat_settings, config.heartbeat, environ))
    if not config.projects:
        reading.faults.append(NO_PROJECT)
    if reading.faults:
        raise ConfigFaults(config.source, reading.faults)
    return Spec(
        database_url=config.database.url,
        auto_migrate=config.database.auto_migrate,
        projects=tuple(each for each in projects if each is not None),
        max_in_flight={ProjectName(name): project.max_in_flight for name, project in config.projects.items()},
        polling=polling_plan(config),
        not_found_grace=config.polling.not_found_grace,
        give_up_after=config.polling.give_up_after,
        channels={ChannelName(name): opened for name, opened in channels.items() if opened is not None},
        routing=config.routing(),
        notify=notify_settings(config),
        web=web,
        discovery={
            ProjectName(name): discovery_settings(project.discovery)
            for name, project in config.projects.items()
            if project.discovery is not None and project.discovery.enabled
        },
        link_reminder=config.notify.link_reminder,
        keep=config.retention.keep,
        covers=config.retention.covers * 2**20,
        heartbeat=heartbeat,
        log_level=config.log.level,
        log_format=config.log.format,
    )


def notify_settings(config: Config) -> NotifySettings:
    """How alerts are sent, for the dispatcher."""
    notify = config.notify
    return NotifySettings(
        send_timeout=notify.send_timeout, give_up_after=notify.give_up_after, link_margin=notify.link_margin
    )


def polling_plan(config: Config) -> PollingPlan:
    """When jobs are polled, for the watcher."""
    polling = config.polling
    return PollingPlan(
        rails=polling.rails,
        price=polling.price,
        strategy=Strategy(polling.strategy),
        feed=polling.feed == "auto",
        batch=polling.batch == "auto",
    )
