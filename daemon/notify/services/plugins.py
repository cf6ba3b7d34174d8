"""Which plugin serves which scheme: ours where there is a rich form, else Apprise's own.

Owns the table and how a plugin is made from a URL. Modules are imported when a channel needs them: all plugins of
Apprise take 0.2 s and 17 MiB. Must never log, and let no error out that may hold a URL.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import apprise
from apprise.plugins import url_to_dict
from apprise.plugins.base import NotifyBase

_OURS = "daemon.notify.services."
_THEIRS = "apprise.plugins."

PLUGINS: Mapping[str, tuple[str, str]] = {
    scheme: (module, name)
    for schemes, module, name in (
        (("console",), _OURS + "console", "NotifyConsole"),
        (("json", "jsons"), _THEIRS + "custom_json", "NotifyJSON"),
        (("form", "forms"), _THEIRS + "custom_form", "NotifyForm"),
        (("xml", "xmls"), _THEIRS + "custom_xml", "NotifyXML"),
        (("feishu",), _OURS + "feishu_plugin", "Feishu"),
        (("lark",), _OURS + "feishu_plugin", "Lark"),
        (("dingtalk",), _OURS + "dingtalk_plugin", "DingTalk"),
        (("wecombot",), _OURS + "wecom_plugin", "WeComBot"),
        (("slack",), _OURS + "slack_plugin", "Slack"),
        (("workflow", "workflows"), _OURS + "teams_plugin", "Teams"),
        (("discord",), _OURS + "discord_plugin", "Discord"),
        (("tgram",), _OURS + "telegram_plugin", "Telegram"),
        (("mmost", "mmosts"), _OURS + "mattermost_plugin", "Mattermost"),
        (("rocket", "rockets"), _THEIRS + "rocketchat", "NotifyRocketChat"),
        (("gchat",), _THEIRS + "google_chat", "NotifyGoogleChat"),
        (("matrix", "matrixs"), _THEIRS + "matrix.base", "NotifyMatrix"),
        (("mailto", "mailtos"), _OURS + "mail_plugin", "Mail"),
        (("ntfy", "ntfys"), _OURS + "ntfy_plugin", "Ntfy"),
        (("gotify", "gotifys"), _THEIRS + "gotify", "NotifyGotify"),
        (("pover",), _THEIRS + "pushover", "NotifyPushover"),
    )
    for scheme in schemes
}
"""By scheme: the module and the class in it. All other schemes are found by loading every plugin of Apprise."""


def parsed(url: str, scheme: str) -> dict[str, Any] | None:
    """What the plugin makes of `url`; None where it is wrong. What a plugin raises may hold the URL."""
    read: Any = _plugin(scheme).parse_url if scheme in PLUGINS else url_to_dict
    found = read(url)
    return dict(found) if found else None


def made(url: str, scheme: str, asset: apprise.AppriseAsset) -> NotifyBase | None:
    """The one service of `url`; None where it is wrong. What a plugin raises may hold the URL."""
    arguments = parsed(url, scheme)
    if arguments is None:
        return None
    known = scheme if scheme in PLUGINS else str(arguments.get("schema"))
    if known in PLUGINS:
        service = _plugin(known)(**{**arguments, "asset": asset})
    else:
        service = apprise.Apprise.instantiate(arguments, asset=asset)
    return service if isinstance(service, NotifyBase) else None


def _plugin(scheme: str) -> Any:
    module, name = PLUGINS[scheme]
    return getattr(import_module(module), name)
