"""Which plugin serves which scheme: ours where there is a rich form, else Apprise's own.

Owns the table and how a plugin is made from a URL. Modules are imported when a channel needs them: all plugins of
Apprise take 0.2 s and 17 MiB. Must never log, and let no error out that may hold a URL.
"""

import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import apprise
from apprise.plugins import url_to_dict
from apprise.plugins.base import NotifyBase

_OURS = "daemon.notify.channels."
_THEIRS = "apprise.plugins."

PLUGINS: Mapping[str, tuple[str, str]] = {
    scheme: (module, name)
    for schemes, module, name in (
        (("console",), _OURS + "console", "NotifyConsole"),
        (("json", "jsons"), _THEIRS + "custom_json", "NotifyJSON"),
        (("form", "forms"), _THEIRS + "custom_form", "NotifyForm"),
        (("xml", "xmls"), _THEIRS + "custom_xml", "NotifyXML"),
        (("feishu",), _OURS + "feishu", "Feishu"),
        (("lark",), _OURS + "feishu", "Lark"),
        (("dingtalk",), _OURS + "dingtalk", "DingTalk"),
        (("wecombot",), _OURS + "wecom", "WeComBot"),
        (("slack",), _OURS + "slack", "Slack"),
        (("workflow", "workflows"), _OURS + "teams", "Teams"),
        (("discord",), _OURS + "discord", "Discord"),
        (("tgram",), _OURS + "telegram", "Telegram"),
        (("mmost", "mmosts"), _OURS + "mattermost", "Mattermost"),
        (("rocket", "rockets"), _THEIRS + "rocketchat", "NotifyRocketChat"),
        (("gchat",), _THEIRS + "google_chat", "NotifyGoogleChat"),
        (("matrix", "matrixs"), _THEIRS + "matrix.base", "NotifyMatrix"),
        (("mailto", "mailtos"), _OURS + "mail", "Mail"),
        (("ntfy", "ntfys"), _OURS + "ntfy", "Ntfy"),
        (("gotify", "gotifys"), _THEIRS + "gotify", "NotifyGotify"),
        (("pover",), _THEIRS + "pushover", "NotifyPushover"),
    )
    for scheme in schemes
}
"""By scheme: the module and the class in it. All other schemes are found by loading every plugin of Apprise."""

_NATIVE = (
    (re.compile(r"https://open\.feishu\.cn/open-apis/bot/v2/hook/([\w-]+)/?(?:\?(.*))?", re.I), "feishu"),
    (re.compile(r"https://open\.larksuite\.com/open-apis/bot/v2/hook/([\w-]+)/?(?:\?(.*))?", re.I), "lark"),
    (re.compile(r"https://oapi\.dingtalk\.com/robot/send/?\?access_token=(\w+)(?:&(.*))?", re.I), "dingtalk"),
    (
        re.compile(r"https://qyapi\.weixin\.qq\.com/cgi-bin/webhook/send/?\?key=([\w-]+)(?:&(.*))?", re.I),
        "wecombot",
    ),
)
"""The addresses that these services show to people, to be copied; `&secret=` may follow."""


def translated(url: str) -> str:
    """The URL of the plugin for an address that one of our services shows; any other URL as it is."""
    for pattern, scheme in _NATIVE:
        found = pattern.fullmatch(url)
        if found is not None:
            return f"{scheme}://{found[1]}/" + (f"?{found[2]}" if found[2] else "")
    return url


def made(url: str, scheme: str, asset: apprise.AppriseAsset) -> NotifyBase | None:
    """The one service of `url`; None where it is wrong. What a plugin raises may hold the URL."""
    if scheme in PLUGINS:
        plugin = _plugin(scheme)
        return _instance(plugin, plugin.parse_url(url.replace("/#", "/%23")), asset)
    parsed = url_to_dict(url, secure_logging=True)  # type: ignore[no-untyped-call]  # Apprise's helper has no types
    if parsed and parsed.get("schema") in PLUGINS:  # an address that a service shows to people
        return _instance(_plugin(parsed["schema"]), parsed, asset)
    found = apprise.Apprise.instantiate(parsed, asset=asset) if parsed else None
    return found if isinstance(found, NotifyBase) else None


def _plugin(scheme: str) -> Any:
    module, name = PLUGINS[scheme]
    return getattr(import_module(module), name)


def _instance(plugin: Any, parsed: dict[str, Any] | None, asset: apprise.AppriseAsset) -> NotifyBase | None:
    service = plugin(**{**parsed, "asset": asset}) if parsed else None
    return service if isinstance(service, NotifyBase) else None
