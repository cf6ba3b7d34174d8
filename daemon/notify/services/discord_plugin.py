"""`discord://`: Apprise's plugin with our embed, the picture in the same request, and no mention but the URL's.

With `wait=true` in the query Discord answers with the message that it made; without it, it says nothing. Must
never send twice: how long to wait after "too many requests" is for the channel's lane to keep.
"""

from typing import Any

from apprise.plugins.discord import NotifyDiscord

from daemon.notify.services.carded import Carded, encoded
from daemon.notify.services.discord import NO_MENTIONS, picture_name

_REPLACED = frozenset({"content", "embeds", "allow_mentions"})
_APPRISES = frozenset({"allow_mentions", "wait"})
"""Fields that Discord does not know, or not in a body."""


class Discord(Carded, NotifyDiscord):
    """A webhook of a channel or thread."""

    def _send(  # the picture is ours, and nothing is tried again here
        self, payload: dict[str, Any], *_args: Any, params: dict[str, str] | None = None, **_kwargs: Any
    ) -> bool:
        """Post in place of Apprise's own, which trusts what a header says about time."""
        pings = self.ping_payload(" ".join(self.ping)) if self.ping else {}
        wanted = pings.get("allow_mentions", NO_MENTIONS)
        rich = self.card is not None and not self.template
        if rich and self.card is not None:
            kept = {name: value for name, value in payload.items() if name not in _REPLACED}
            payload = {**kept, **self.card}
            if pings:
                payload["content"] = pings["content"]
        payload = {name: value for name, value in payload.items() if name not in _APPRISES}
        payload["allowed_mentions"] = dict(wanted)
        address = f"{self.notify_url}/{self.webhook_id}/{self.webhook_token}"
        query = {**(params or {}), "wait": "true"}
        if not rich or self.cover is None:
            return self.post(address, payload, params=query)
        name = picture_name(self.cover)
        picture = {"files[0]": (name, self.cover.data, self.cover.content_type)}
        return self.post(address, params=query, data={"payload_json": encoded(payload)}, files=picture)
