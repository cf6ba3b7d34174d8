"""Checks a config file. `load` reports every fault of the file in one run and reads no secret.

Owns the faults between keys and sections, each with its place and remedy. They are found in the raw tree, so that
an invalid value does not hide what else is wrong. Invalid values are put into words by `faults`, and skipped here.
Never shows the value of a key that holds a secret.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from daemon.config import values
from daemon.config.faults import ConfigFaults, Fault, Place, spell, worded
from daemon.config.file import read_tree
from daemon.config.keys import Parsing
from daemon.config.schema import Config
from daemon.domain.hosts import is_loopback


def load(path: Path) -> Config:
    """The config at `path`. Raises ConfigFault that lists all its faults. Reads no secret."""
    config, faults = examine(read_tree(path), path)
    if faults or config is None:
        raise ConfigFaults(path, faults)
    return config


def examine(tree: Mapping[str, Any], source: Path) -> tuple[Config | None, list[Fault]]:
    """The config of a raw tree (None if a value is invalid) and all its faults. Relative paths start from the
    folder of `source`."""
    parsing, between = Parsing(source.absolute().parent), [*_between_sections(tree)]
    config = Config.read(tree, (), parsing)
    if parsing.wrong:
        return None, [*worded(parsing.wrong, tree), *between]
    return Config({**vars(config), "source": source}), between


def _between_sections(tree: Mapping[str, Any]) -> Iterator[Fault]:
    yield from _intervals(_table(tree.get("polling")))
    projects, channels = _table(tree.get("projects")), _table(tree.get("channels"))
    web = _table(tree.get("web"))
    for name, project in projects.items():
        if isinstance(project, dict):
            yield from _project(("projects", name), project)
            yield from _callback(("projects", name, "callback"), project.get("callback"), web)
    yield from _web(web)
    yield from _named(("operators",), tree.get("operators"), "channel", channels)
    for name, channel in channels.items():
        if isinstance(channel, dict):
            yield from _quiet(("channels", name, "quiet"), channel.get("quiet"))
            yield from _fallback(name, channels)
    routes = tree.get("routes")
    for index, route in enumerate(routes if isinstance(routes, list) else []):
        if isinstance(route, dict):
            yield from _route(("routes", index), route, projects, channels)


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _intervals(polling: Mapping[str, Any]) -> Iterator[Fault]:
    given: dict[str, float] = {}
    for name in ("min_interval", "max_interval", "blocked_interval"):
        try:
            given[name] = values.seconds(polling[name])
        except (KeyError, TypeError, ValueError):
            continue
    least = given.get("min_interval")
    for name in ("max_interval", "blocked_interval"):
        most = given.get(name)
        if least is not None and most is not None and most < least:
            yield Fault(
                place=f"polling.{name}",
                text=f"{values.spoken(most)} is shorter than min_interval ({values.spoken(least)}); write at "
                f'least "{values.spoken(least)}", or a shorter min_interval',
            )


def _discovery(place: Place, discovery: Mapping[str, Any]) -> Iterator[Fault]:
    try:
        interval = values.seconds(discovery.get("interval", "1m"))
        since = values.seconds(discovery.get("since", "24h"))
    except (TypeError, ValueError):
        return  # reported by `faults`
    if since < interval:
        yield Fault(
            place=spell([*place, "since"]),
            text=f"{values.spoken(since)} is shorter than interval ({values.spoken(interval)}), so jobs would be "
            f'missed; write at least "{values.spoken(interval)}"',
        )


def _project(place: Place, project: Mapping[str, Any]) -> Iterator[Fault]:
    auth = _table(project.get("auth"))
    yield from _discovery([*place, "discovery"], _table(project.get("discovery")))
    if "region" not in project and "endpoint" not in project:
        yield Fault(place=spell(place), text='region or endpoint is required; add region = "cn-north-4"')
    if auth.get("method") == "password" and "region" not in project and "iam_endpoint" not in auth:
        yield Fault(
            place=spell([*place, "auth"]),
            text='no address to fetch tokens from; add iam_endpoint = "https://…", or a region to the project',
        )
    pair = {"access_key", "secret_key"}
    if auth.get("method") == "aksk" and len(pair & set(auth)) == 1:
        (lacking,) = pair - set(auth)
        yield Fault(
            place=spell([*place, "auth"]),
            text=f"{lacking} is missing; give both keys, or neither to use those of the environment",
        )
    if auth.get("method") == "aksk" and "security_token" in auth and not pair & set(auth):
        yield Fault(
            place=spell([*place, "auth"]),
            text="security_token needs keys; add access_key and secret_key, or leave out all three",
        )


def _web(web: Mapping[str, Any]) -> Iterator[Fault]:
    off = web.get("enabled") is False
    try:
        host = values.listen(web.get("listen", "")).host
    except (AttributeError, TypeError, ValueError):
        host = ""
    if host and not off and not is_loopback(host) and "token" not in web:
        port = str(web["listen"]).rpartition(":")[2]
        yield Fault(
            place="web.listen",
            text=f"{values.shown(web['listen'])} is reachable from other machines, but there is no web.token; "
            f'add token = {{ env = "WRAPD_WEB_TOKEN" }}, or write "127.0.0.1:{port}" with a proxy in front of it',
        )
    if off and "public_url" in web:
        yield Fault(
            place="web.public_url",
            text="web.enabled is false, so it would not work; remove the key, or enable web",
        )


def _callback(place: Place, callback: object, web: Mapping[str, Any]) -> Iterator[Fault]:
    if not isinstance(callback, dict):
        return
    if web.get("enabled") is False:
        yield Fault(
            place=spell(place),
            text="web.enabled is false, so no callback can arrive; remove the section, or enable web",
        )
    elif "public_url" not in web:
        yield Fault(
            place=spell(place),
            text="MetaStudio has no address to reach wrapd; add public_url to [web], such as "
            'public_url = "https://wrapd.example.com"',
        )


def _quiet(place: Place, quiet: object) -> Iterator[Fault]:
    if not isinstance(quiet, dict):
        return
    if "from" in quiet and quiet["from"] == quiet.get("to"):
        yield Fault(
            place=spell([*place, "to"]),
            text="is the same as from, so nothing would ever be sent; write when the quiet hours end",
        )


def _fallback(name: str, channels: Mapping[str, Any]) -> Iterator[Fault]:
    place = ("channels", name, "fallback")
    chosen = channels[name].get("fallback")
    if not isinstance(chosen, str):
        return
    if chosen == name:
        yield Fault(place=spell(place), text="is the channel itself; name another one")
        return
    if chosen not in channels:
        yield _unknown(place, chosen, "channel", channels)
        return
    way = [name]
    while isinstance(chosen, str) and chosen not in way:
        way.append(chosen)
        chosen = _table(channels.get(chosen)).get("fallback")
    # Each circle is reported once, at its first channel in the file.
    if chosen == name and name == min(way, key=list(channels).index):
        yield Fault(
            place=spell(place),
            text=f"goes in a circle ({' → '.join([*way, name])}); remove the key from one of them",
        )


def _route(
    place: Place, route: Mapping[str, Any], projects: Mapping[str, Any], channels: Mapping[str, Any]
) -> Iterator[Fault]:
    yield from _named([*place, "channels"], route.get("channels"), "channel", channels)
    yield from _named([*place, "projects"], route.get("projects"), "project", projects)
    quiet = route.get("quiet")
    yield from _quiet([*place, "quiet"], quiet)
    if isinstance(quiet, dict) and "timezone" not in quiet:
        named = route.get("channels")
        tables = [_table(channels.get(each)) for each in (named if isinstance(named, list) else []) if _text(each)]
        zones = {str(each.get("timezone", "UTC")) for each in tables}
        if len(zones) > 1:
            yield Fault(
                place=spell([*place, "quiet"]),
                text=f"its channels are in different time zones ({', '.join(sorted(zones))}); "
                "add timezone to say which one applies",
            )


def _text(value: object) -> bool:
    return isinstance(value, str)


def _named(place: Place, value: object, what: str, known: Iterable[str]) -> Iterator[Fault]:
    names = [*known]
    for index, name in enumerate(value if isinstance(value, list) else []):
        if isinstance(name, str) and name not in names:
            yield _unknown([*place, index], name, what, names)


def _unknown(place: Sequence[str | int], name: str, what: str, known: Iterable[str]) -> Fault:
    names = [*known]
    remedy = values.suggestion(name, names) if names else f"add a section [{what}s.NAME]"
    return Fault(place=spell(place), text=f"no {what} is called {values.shown(name)}; {remedy}")
