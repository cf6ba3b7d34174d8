"""`wecombot://`: WeCom group bots. The key is all: these bots have no signature.

    wecombot://KEY

Source of the address: developer.work.weixin.qq.com, "Group bot configuration". Must never log.
"""

from typing import Any
from urllib.parse import unquote

from apprise import NotifyType

from daemon.notify.services.carded import Plugin
from daemon.notify.services.hosts import base_of


class WeComBot(Plugin):
    """A WeCom group bot."""

    service_name = "WeCom Bot"  # type: ignore[assignment]  # Apprise declares it as None
    secure_protocol = "wecombot"  # type: ignore[assignment]  # as above
    body_maxlen = 2048

    def __init__(self, *, key: str, base: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.address = f"{base}/cgi-bin/webhook/send"
        self.key = self.part(key, r"[A-Za-z0-9_-]+")

    def send(self, body: str, title: str = "", notify_type: NotifyType = NotifyType.INFO, **_kwargs: Any) -> bool:
        """Post the card, else the text."""
        text = f"{title}\n{body}" if title else body
        payload = self.card or {"msgtype": "text", "text": {"content": text}}
        return self.post(self.address, payload, params={"key": self.key})

    @classmethod
    def parse_url(cls, url: str, *_args: Any, **_kwargs: Any) -> dict[str, Any] | None:
        """The arguments of the constructor; None where it is no URL."""
        parsed = cls.parsed(url)
        if parsed is None:
            return None
        parsed["key"] = parsed["qsd"].get("key") or unquote(parsed["host"])
        parsed["base"] = base_of("wecombot", parsed["qsd"])
        return parsed
