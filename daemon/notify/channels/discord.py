"""`discord://`: Apprise's plugin with our embed, the picture in the same request, and no mention but the URL's.

Must never send twice: how long to wait after "too many requests" is for the channel's lane to keep.
"""

from typing import Any

from apprise.attachment.memory import AttachMemory
from apprise.plugins.discord import NotifyDiscord

from daemon.notify.cards.discord import NO_MENTIONS, picture_name
from daemon.notify.channels.carded import Carded

_REPLACED = frozenset({"content", "embeds", "allow_mentions"})


class Discord(Carded, NotifyDiscord):
    """A webhook of a channel or thread."""

    def _send(self, *args: Any, **kwargs: Any) -> Any:
        payload: dict[str, Any] = args[0] if args else kwargs.pop("payload")
        pings = self.ping_payload(" ".join(self.ping)) if self.ping else {}
        wanted = pings.get("allow_mentions", NO_MENTIONS)
        if self.card is not None and not self.template:
            kept = {name: value for name, value in payload.items() if name not in _REPLACED}
            payload = {**kept, **self.card}
            if pings:
                payload["content"] = pings["content"]
            if self.cover is not None:
                kwargs["attach"] = [_picture(self.cover.data, picture_name(self.cover), self.cover.content_type)]
        payload = {name: value for name, value in payload.items() if name != "allow_mentions"}
        payload["allowed_mentions"] = dict(wanted)
        theirs: Any = super()
        return theirs._send(payload, **{**kwargs, "rate_limit": 0})


def _picture(data: bytes, name: str, kind: str) -> Any:
    return AttachMemory(content=data, name=name, mimetype=kind)  # type: ignore[no-untyped-call]  # as above
