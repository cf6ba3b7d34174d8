"""`feishu://` and `lark://`: group bots, with a signing secret where the bot has one.

    feishu://TOKEN?secret=SECRET

Source of the address and the signature: open.feishu.cn, "Custom bot usage guide". Must never log.
"""

import base64
import hashlib
import hmac
from typing import Any
from urllib.parse import unquote

from apprise import NotifyType

from daemon.notify.services.carded import Plugin
from daemon.notify.services.hosts import base_of


def signature(timestamp: str, secret: str) -> str:
    """The signature of a request: `timestamp` is seconds since 1970, at most an hour old. The text to sign is the
    key, and what is signed is nothing.

    >>> signature("1599360473", "demo")
    'l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8='
    """
    return base64.b64encode(hmac.new(f"{timestamp}\n{secret}".encode(), b"", hashlib.sha256).digest()).decode()


class Feishu(Plugin):
    """A Feishu group bot."""

    service_name = "Feishu"  # type: ignore[assignment]  # Apprise declares it as None
    secure_protocol = "feishu"  # type: ignore[assignment]  # as above
    body_maxlen = 19985

    def __init__(self, *, token: str, secret: str, base: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.address = f"{base}/open-apis/bot/v2/hook/{self.part(token, r'[A-Za-z0-9_-]+')}"
        self.secret = secret

    def send(self, body: str, title: str = "", notify_type: NotifyType = NotifyType.INFO, **_kwargs: Any) -> bool:
        """Post the card, else the text."""
        text = f"{title}\n{body}" if title else body
        payload = dict(self.card or {"msg_type": "text", "content": {"text": text}})
        if self.secret:
            timestamp = str(int(self.clock.now().timestamp()))
            payload = {"timestamp": timestamp, "sign": signature(timestamp, self.secret), **payload}
        return self.post(self.address, payload)

    @classmethod
    def parse_url(cls, url: str, *_args: Any, **_kwargs: Any) -> dict[str, Any] | None:
        """The arguments of the constructor; None where it is no URL."""
        parsed = cls.parsed(url)
        if parsed is None:
            return None
        options = parsed["qsd"]
        parsed["token"] = options.get("token") or unquote(parsed["host"])
        parsed["secret"] = options.get("secret", "")
        parsed["base"] = base_of(str(cls.secure_protocol), options)
        return parsed


class Lark(Feishu):
    """A Lark group bot: the same service for the rest of the world."""

    service_name = "Lark"
    secure_protocol = "lark"
