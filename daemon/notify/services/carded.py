"""What a plugin of ours has besides Apprise's own: a card to post instead of the text, and a clock.

How a service gets its rich form:

1. `daemon/notify/services/<service>.py` has `card(message, form) -> Mapping`, pure: what the plugin posts.
2. Its row in `daemon/notify/services/registry.py` names it:
   `Form(schemes=…, card=<service>.card, per_minute=…, picture=…)`.
3. `daemon/notify/services/<service>_plugin.py` has a plugin, `class X(Carded, NotifyX)` over Apprise's own, or over
   `NotifyBase` where Apprise's would be of no use. Its `send` posts `self.card` where there is one, else the text:

       def send(self, body, title="", notify_type=NotifyType.INFO, **kwargs):
           if self.card is None:
               return self.send_plain(body, title, notify_type, **kwargs)
           return self.post(url, self.card)

4. The table of `daemon/notify/services/plugins.py` has a line for its schemes.

The channel sets `card`, `cover` and `clock` before each `notify()`; `card` is None for the plainest form and for
the operator's own templates. Title and body of the plain form are handed over in any case. A plugin sends through
requests (or smtplib), so that `bounded` sees what happens; its own belief in success counts for little: the
verdict comes from the answers. Must never log.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import requests
from apprise.plugins.base import NotifyBase

from daemon.clock import Clock, SystemClock
from daemon.notify.message.model import Cover

__all__ = ["Carded", "Plugin"]


class Carded:
    """Mixed into a plugin, before Apprise's own class."""

    card: Mapping[str, Any] | None = None
    """What `Form.card` built of this message; None: send title and body as text."""
    cover: Cover | None = None
    """The message's picture, for services that take it by upload; None with `card` None."""
    clock: Clock = SystemClock()
    """What a signature's time is taken from."""

    app_id: str
    verify_certificate: bool
    request_timeout: Any

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)  # Apprise's own has no types

    def throttle(self, last_io: Any = None, wait: float | None = None) -> None:
        """No sleep of a plugin's own: a channel keeps its pace before it claims anything."""

    def send_plain(self, *args: Any, **kwargs: Any) -> bool:
        """What Apprise's own plugin does with title and body. (Apprise itself would call a method `send_text` in
        place of `send`.)"""
        theirs: Any = super()
        return bool(theirs.send(*args, **kwargs))

    def post(
        self,
        url: str,
        payload: Mapping[str, Any] | None = None,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        data: Mapping[str, Any] | bytes | None = None,
        files: Mapping[str, Any] | None = None,
    ) -> bool:
        """One POST, of `payload` as JSON in UTF-8, or of `data` and `files` as requests has them. Whether the
        status says success; never raises for what happens on the wire."""
        sent = {"User-Agent": self.app_id, **(headers or {})}
        if payload is not None:
            data = encoded(payload)
            sent = {"Content-Type": "application/json; charset=utf-8", **sent}
        try:
            answer = requests.post(
                url,
                params=params,
                data=data,
                files=files,
                headers=sent,
                verify=self.verify_certificate,
                timeout=self.request_timeout,
                allow_redirects=False,
            )
        except requests.RequestException:
            return False
        return 200 <= answer.status_code < 300


class Plugin(Carded, NotifyBase):
    """A plugin of ours from the ground up."""

    title_maxlen = 250
    request_rate_per_sec = 0
    template_args: Any = {  # noqa: RUF012 - as Apprise declares it
        **NotifyBase.template_args,
        "host": {"type": "string"},
        "insecure": {"type": "bool"},
    }
    """The options that are known even where they change nothing; a service's own change what it reads."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]  # Apprise's has no types

    @staticmethod
    def part(text: str, pattern: str) -> str:
        """`text`, a token of the URL. Raises ValueError (without it) where it is none."""
        if re.fullmatch(pattern, text) is None:
            raise ValueError("a token of the URL is missing or has characters that none has")
        return text

    @classmethod
    def parsed(cls, url: str) -> dict[str, Any] | None:
        """The parts of a URL; None where it is none."""
        found = NotifyBase.parse_url(url, verify_host=False)
        return dict(found) if found else None

    def url(self, privacy: bool = False, *_args: Any, **_kwargs: Any) -> str:
        """The scheme alone: the rest is a credential, and nobody needs it back."""
        return f"{self.secure_protocol}://"


def encoded(payload: Mapping[str, Any]) -> bytes:
    """JSON as it goes over the wire. Not in ASCII: a Chinese character takes three bytes so, not six, and services
    count bytes."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
