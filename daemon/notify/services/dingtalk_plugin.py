"""`dingtalk://`: group robots, with a signing secret where the robot has one.

    dingtalk://SECRET@TOKEN          dingtalk://TOKEN/13800138000 calls the owner of that number each time

Source of the address and the signature: open.dingtalk.com, "Custom robot access". Must never log.
"""

import base64
import hashlib
import hmac
import re
from typing import Any
from urllib.parse import unquote

from apprise import NotifyType

from daemon.notify.services.carded import Plugin
from daemon.notify.services.dingtalk import without_buttons
from daemon.notify.services.hosts import base_of


def signature(timestamp: str, secret: str) -> str:
    """The signature of a request, before it is encoded for the query: `timestamp` is milliseconds since 1970, at
    most an hour off."""
    text = f"{timestamp}\n{secret}".encode()
    return base64.b64encode(hmac.new(secret.encode(), text, hashlib.sha256).digest()).decode()


class DingTalk(Plugin):
    """A DingTalk group robot."""

    service_name = "DingTalk"  # type: ignore[assignment]  # Apprise declares it as None
    secure_protocol = "dingtalk"  # type: ignore[assignment]  # as above
    body_maxlen = 19985

    def __init__(self, *, token: str, secret: str, phones: list[str], base: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.address = f"{base}/robot/send"
        self.token = self.part(token, r"[A-Za-z0-9]+")
        self.secret = secret
        self.phones = phones

    def send(self, body: str, title: str = "", notify_type: NotifyType = NotifyType.INFO, **_kwargs: Any) -> bool:
        """Post the card, else the text."""
        text = f"{title}\n{body}" if title else body
        payload = dict(self.card or {"msgtype": "text", "text": {"content": text}})
        if self.phones:
            if self.card is not None:
                payload = without_buttons(payload, last=" ".join(f"@{phone}" for phone in self.phones))
            payload["at"] = {"atMobiles": self.phones, "isAtAll": False}
        params = {"access_token": self.token}
        if self.secret:
            timestamp = str(int(self.clock.now().timestamp() * 1000))
            params |= {"timestamp": timestamp, "sign": signature(timestamp, self.secret)}
        return self.post(self.address, payload, params=params)

    @classmethod
    def parse_url(cls, url: str, *_args: Any, **_kwargs: Any) -> dict[str, Any] | None:
        """The arguments of the constructor; None where it is no URL."""
        parsed = cls.parsed(url)
        if parsed is None:
            return None
        options = parsed["qsd"]
        parsed["token"] = options.get("token") or unquote(parsed["host"])
        parsed["secret"] = options.get("secret") or unquote(parsed.get("user") or "")
        named = [*unquote(parsed["fullpath"] or "").split("/"), *re.split(r"[,\s]+", options.get("to", ""))]
        parsed["phones"] = [phone for text in named if (phone := re.sub(r"\D", "", text))]
        parsed["base"] = base_of("dingtalk", options)
        return parsed
