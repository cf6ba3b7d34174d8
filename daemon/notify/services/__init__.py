"""The table of chat services, and the lookup from a URL to its service. Everything about one service is in its
own module.

A service without a row gets plain text from Apprise's own plugin. Apprise's modules are imported when a channel
needs them: all its plugins take 0.2 s and 17 MiB. Logs nothing and lets no error out that may contain a URL.
"""

import re
from typing import TYPE_CHECKING, Any

from daemon.notify.message.escape import chat
from daemon.notify.services import (
    dingtalk,
    discord,
    feishu,
    generic,
    googlechat,
    mail,
    mattermost,
    ntfy,
    rocketchat,
    slack,
    teams,
    telegram,
    wecom,
)
from daemon.notify.services.base import Service, options_of

if TYPE_CHECKING:
    from apprise import AppriseAsset
    from apprise.plugins.base import NotifyBase

SERVICES: tuple[Service, ...] = (
    generic.WEBHOOK,
    generic.FORM,
    generic.XML,
    generic.CONSOLE,
    feishu.SERVICE,
    dingtalk.SERVICE,
    wecom.SERVICE,
    slack.SERVICE,
    discord.SERVICE,
    mattermost.SERVICE,
    telegram.SERVICE,
    teams.SERVICE,
    googlechat.SERVICE,
    rocketchat.SERVICE,
    mail.SERVICE,
    generic.MATRIX,
    ntfy.SERVICE,
    generic.GOTIFY,
    generic.PUSHOVER,
)

BY_SCHEME = {scheme: service for service in SERVICES for scheme in service.schemes}


def service_for(scheme: str, *, limit: int) -> Service:
    """The service of a scheme; one without a row takes text of at most `limit` characters."""
    return BY_SCHEME.get(scheme) or Service(schemes=(scheme,), escape=chat, limit=limit)


def translated(url: str) -> str:
    """The plugin's URL for an address as one of our services shows it; any other URL unchanged. Raises
    ValueError for a retired address."""
    for service in SERVICES:
        for pattern, hint in service.ended.items():
            if pattern.match(url):
                raise ValueError(hint)
    found = re.fullmatch(r"https://(?P<host>[^/?#@]+)(?P<path>/[^?#]*)(?:\?(?P<query>[^#]*))?(?:#.*)?", url, re.I)
    if found is None:
        return url
    host, path = found["host"].lower().removesuffix(":443"), found["path"].rstrip("/")
    given = {option.key: option for option in options_of(found["query"] or "")}
    made = (service.pasted(host, path, given) for service in SERVICES if service.pasted is not None)
    return next((each for each in made if each is not None), url)


def repaired(url: str) -> str:
    """Add to a URL in its plugin's form what the service's current hosts need."""
    service = BY_SCHEME.get(url.partition("://")[0].lower())
    return url if service is None else service.repaired(url)


def parsed(url: str, scheme: str) -> dict[str, Any] | None:
    """The plugin's arguments for `url`; None if it is malformed. Exceptions of a plugin may contain the URL."""
    from apprise.plugins import url_to_dict  # noqa: PLC0415 - cards need no Apprise

    service = BY_SCHEME.get(scheme)
    read: Any = url_to_dict if service is None else service.plugin().parse_url
    found = read(url)
    return dict(found) if found else None


def made(url: str, scheme: str, asset: "AppriseAsset") -> "NotifyBase | None":
    """A new plugin object for `url`; None if it is malformed. Exceptions of a plugin may contain the URL."""
    import apprise  # noqa: PLC0415 - cards need no Apprise
    from apprise.plugins.base import NotifyBase  # noqa: PLC0415 - as above

    arguments = parsed(url, scheme)
    if arguments is None:
        return None
    service = BY_SCHEME.get(scheme) or BY_SCHEME.get(str(arguments.get("schema")))
    if service is not None:
        plugin = service.plugin()(**{**arguments, "asset": asset})
    else:
        plugin = apprise.Apprise.instantiate(arguments, asset=asset)
    return plugin if isinstance(plugin, NotifyBase) else None
