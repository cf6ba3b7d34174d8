"""Describes the differences between two plans for people, using the names of config keys. Pure.

Secrets are never shown: for keys, tokens, and URLs of channels and proxies it only says that they changed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from daemon.domain.events import Event
from daemon.domain.jobs import ChannelName, ProjectName
from daemon.domain.quiet import QuietHours
from daemon.metastudio.settings import ProjectSettings
from daemon.notify.transport import Channel
from daemon.spec import HeartbeatSettings, Spec
from daemon.watch.wishes import DiscoverySettings
from daemon.web import CallbackSettings, WebSettings

T = TypeVar("T")
Value = str | float | bool | Sequence[str] | None
Read = Callable[[T], Value]


def _seconds(value: float) -> str:
    return f"{value:.15g} s"


_SPEC: dict[str, Read[Spec]] = {
    "database.auto_migrate": lambda spec: spec.auto_migrate,
    "polling.price": lambda spec: _seconds(spec.polling.price),
    "polling.strategy": lambda spec: spec.polling.strategy.value,
    "polling.feed": lambda spec: "auto" if spec.polling.feed else "off",
    "polling.batch": lambda spec: "auto" if spec.polling.batch else "off",
    "polling.min_interval": lambda spec: _seconds(spec.polling.rails.min_interval),
    "polling.max_interval": lambda spec: _seconds(spec.polling.rails.max_interval),
    "polling.blocked_interval": lambda spec: _seconds(spec.polling.rails.blocked_interval),
    "polling.not_found_grace": lambda spec: _seconds(spec.not_found_grace),
    "polling.give_up_after": lambda spec: _seconds(spec.give_up_after),
    "notify.send_timeout": lambda spec: _seconds(spec.notify.send_timeout),
    "notify.give_up_after": lambda spec: _seconds(spec.notify.give_up_after),
    "notify.link_margin": lambda spec: _seconds(spec.notify.link_margin),
    "notify.link_reminder": lambda spec: _seconds(spec.link_reminder),
    "retention.keep": lambda spec: _seconds(spec.keep),
    "retention.covers": lambda spec: spec.covers // 2**20,
    "log.level": lambda spec: spec.log_level,
    "log.format": lambda spec: spec.log_format,
    "operators": lambda spec: spec.routing.operators,
}
_PROJECT: dict[str, Read[ProjectSettings]] = {
    "region": lambda project: project.region,
    "endpoint": lambda project: project.endpoint,
    "auth.iam_endpoint": lambda project: project.iam_endpoint,
    "project_id": lambda project: project.project_id,
    "requests_per_second": lambda project: project.requests_per_second,
    "ca_file": lambda project: project.ca_file,
    "app_user_id": lambda project: project.app_user_id,
}
_DISCOVERY: dict[str, Read[DiscoverySettings]] = {
    "interval": lambda found: _seconds(found.interval),
    "kinds": lambda found: found.filters.kinds,
    "states": lambda found: found.filters.states,
    "since": lambda found: _seconds(found.filters.since),
    "name": lambda found: found.filters.name,
    "tags": lambda found: found.tags,
    "batch": lambda found: found.batch,
}
_CHANNEL: dict[str, Read[Channel]] = {
    "timezone": lambda channel: str(channel.zone),
    "language": lambda channel: channel.language.value,
    "max_per_minute": lambda channel: channel.plan.max_per_minute,
    "digest_above": lambda channel: channel.plan.digest_above,
    "digest_window": lambda channel: _seconds(channel.plan.digest_window),
    "fallback": lambda channel: channel.plan.fallback,
    "fallback_after": lambda channel: _seconds(channel.plan.fallback_after),
}
_WEB: dict[str, Read[WebSettings]] = {
    "web.listen": lambda web: f"{web.host}:{web.port}",
    "web.public_url": lambda web: web.public_url,
    "web.hosts": lambda web: web.hosts,
    "web.pages": lambda web: web.pages,
    "notify.link_life": lambda web: _seconds(web.link_life),
}


def changes(old: Spec, new: Spec) -> tuple[str, ...]:
    """One line for each difference; empty if the plans are equivalent."""
    return tuple(_lines(old, new))


def _lines(old: Spec, new: Spec) -> Iterator[str]:
    if old.database_url != new.database_url:
        yield "database.url: changed"  # other kinds of URLs can contain a password
    yield from _plain("", _SPEC, old, new)
    yield from _projects(old, new)
    yield from _channels(old, new)
    yield from _routes(old, new)
    yield from _web(old.web, new.web)
    yield from _heartbeat(old.heartbeat, new.heartbeat)


def _projects(old: Spec, new: Spec) -> Iterator[str]:
    before, after = ({each.name: each for each in spec.projects} for spec in (old, new))
    yield from _added_or_removed("projects", before, after)
    for name, was in before.items():
        if (now := after.get(name)) is None:
            continue
        place = f"projects.{name}."
        yield from _plain(place, _PROJECT, was, now)
        yield from _changed(f"{place}max_in_flight", old.max_in_flight[name], new.max_in_flight[name])
        yield from _hidden(f"{place}auth", was.auth, now.auth)
        yield from _hidden(f"{place}proxy", was.proxy, now.proxy)
        yield from _discovery(place, old.discovery.get(name), new.discovery.get(name))
        yield from _callback(name, old.web, new.web)


def _discovery(place: str, was: DiscoverySettings | None, now: DiscoverySettings | None) -> Iterator[str]:
    if was is not None and now is not None:
        yield from _plain(f"{place}discovery.", _DISCOVERY, was, now)
    else:
        yield from _changed(f"{place}discovery.enabled", was is not None, now is not None)


def _callback(name: ProjectName, old: WebSettings | None, new: WebSettings | None) -> Iterator[str]:
    was, now = (None if web is None else web.callbacks.get(name) for web in (old, new))
    if (was is None) != (now is None):
        yield f"projects.{name}.callback: {'added' if was is None else 'removed'}"
    elif isinstance(was, CallbackSettings) and isinstance(now, CallbackSettings):
        place = f"projects.{name}.callback"
        yield from _changed(f"{place}.auth", was.auth.value, now.auth.value)
        yield from _changed(f"{place}.track_unknown", was.track_unknown, now.track_unknown)
        yield from _hidden(f"{place}.key", was.key, now.key)


def _channels(old: Spec, new: Spec) -> Iterator[str]:
    yield from _added_or_removed("channels", old.channels, new.channels)
    for name, was in old.channels.items():
        if (now := new.channels.get(name)) is None:
            continue
        place = f"channels.{name}."
        if not was.leads_to(now):
            yield f"{place}url: changed (not shown)"
        yield from _plain(place, _CHANNEL, was, now)
        yield from _changed(f"{place}quiet", *(_hours(spec.routing.quiet.get(name)) for spec in (old, new)))
        yield from _hidden(f"{place}templates", *(_templates(each) for each in (was, now)), shown="changed")


def _templates(channel: Channel) -> object:
    return None if channel.templates is None else channel.templates.sources


def _routes(old: Spec, new: Spec) -> Iterator[str]:
    was, now = old.routing.routes, new.routing.routes
    if len(was) != len(now):
        yield f"routes: {len(now)} instead of {len(was)}"
    for number, (before, after) in enumerate(zip(was, now, strict=False), start=1):
        if before != after:
            yield f"routes[{number - 1}]: changed"


def _web(was: WebSettings | None, now: WebSettings | None) -> Iterator[str]:
    if was is None or now is None:
        yield from _changed("web.enabled", was is not None, now is not None)
    else:
        yield from _plain("", _WEB, was, now)
        yield from _hidden("web.token", was.token, now.token)


def _heartbeat(was: HeartbeatSettings | None, now: HeartbeatSettings | None) -> Iterator[str]:
    yield from _hidden("heartbeat.url", was and was.url, now and now.url)
    if was is not None and now is not None:
        yield from _changed("heartbeat.interval", _seconds(was.interval), _seconds(now.interval))


def _added_or_removed(
    section: str,
    before: Mapping[ProjectName, object] | Mapping[ChannelName, object],
    after: Mapping[ProjectName, object] | Mapping[ChannelName, object],
) -> Iterator[str]:
    yield from (f"{section}.{name}: removed" for name in before if name not in after)
    yield from (f"{section}.{name}: added" for name in after if name not in before)


def _plain(place: str, reads: Mapping[str, Read[T]], old: T, new: T) -> Iterator[str]:
    for key, read in reads.items():
        yield from _changed(f"{place}{key}", read(old), read(new))


def _changed(place: str, was: Value, now: Value) -> Iterator[str]:
    if was != now:
        yield f"{place}: {_text(now)} instead of {_text(was)}"


def _hidden(place: str, was: object, now: object, *, shown: str = "changed (not shown)") -> Iterator[str]:
    if was != now:
        yield f"{place}: {'added' if was is None else 'removed' if now is None else shown}"


def _text(value: Value) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int() | float():
            return f"{value:.15g}"
        case _:
            return ", ".join(value) or "nothing"


def _hours(quiet: QuietHours | None) -> str | None:
    if quiet is None:
        return None
    urgent = ", ".join(event.value for event in Event if event in quiet.urgent)
    return f"{quiet.start:%H:%M}-{quiet.end:%H:%M} {quiet.zone}, except {urgent or 'nothing'}"
