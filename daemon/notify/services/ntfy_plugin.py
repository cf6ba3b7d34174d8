"""`ntfys://`: Apprise's plugin with our title, text, tag, click, buttons and picture in one JSON request.

What the channel's URL says of these (click, actions, attach, tags) goes before what the card says. Must never send
a text as a file: the card keeps below the size at which a server would make one of it.
"""

from base64 import b64encode
from typing import Any

from apprise.plugins.ntfy import NotifyNtfy, NtfyAuth, NtfyMode, NtfyPriority

from daemon.notify.services.carded import Carded


class Ntfy(Carded, NotifyNtfy):
    """One topic."""

    def send(self, *args: Any, **kwargs: Any) -> Any:
        """Post the card, or the text where there is none."""
        if self.card is None or not self.topics:
            return self.send_plain(*args, **kwargs)
        payload = {"topic": self.topics[0], **self.card}
        headers = self._headers()
        if "X-Actions" in headers:
            del payload["actions"]
        if own := self._own("tags"):
            payload["tags"] = [*own, *payload["tags"]]
        payload |= {"click": self.click} if self.click is not None else {}
        if self.attach:
            payload |= {"attach": self.attach, **({"filename": self.filename} if self.filename else {})}
        return self.post(self._base(), payload, headers=headers)

    def _own(self, name: str) -> Any:
        """What the channel's URL says; Apprise keeps it under a private name."""
        return getattr(self, f"_NotifyNtfy__{name}")

    def _base(self) -> str:
        if self.mode == NtfyMode.CLOUD:
            return str(self.cloud_notify_url)
        port = f":{self.port}" if isinstance(self.port, int) else ""
        return f"{'https' if self.secure else 'http'}://{self.host}{port}"

    def _headers(self) -> dict[str, str]:
        found = {
            "X-Icon": self.avatar_url if self.include_image else None,
            "X-Priority": self.priority if self.priority != NtfyPriority.NORMAL else None,
            "X-Delay": self.delay,
            "X-Email": self.email,
            "X-Actions": self._own("actions"),
            "Authorization": self._authorization(),
        }
        return {name: str(value) for name, value in found.items() if value}

    def _authorization(self) -> str | None:
        if self.mode == NtfyMode.CLOUD:
            return None
        if self.auth == NtfyAuth.TOKEN:
            return f"Bearer {self.token}"
        if not self.user:
            return None
        pair = f"{self.user}:{self.password or ''}".encode()
        return f"Basic {b64encode(pair).decode()}"
