"""`mmosts://`: Apprise's plugin with our attachment, by a webhook or a bot. Must never send more than one post."""

from typing import Any

from apprise.plugins.mattermost import MattermostMode, NotifyMattermost

from daemon.notify.services.carded import Carded


class Mattermost(Carded, NotifyMattermost):
    """An incoming webhook, or a bot in one channel."""

    def send(self, *args: Any, **kwargs: Any) -> Any:
        """Post the card, or the text where there is none."""
        if self.card is None:
            return self.send_plain(*args, **kwargs)
        port = "" if self.port is None else f":{self.port}"
        base = f"{self.schema}://{self.host}{port}{self.fullpath.rstrip('/')}"
        kind, name = self.targets[0] if self.targets else (None, None)
        if self.mode == MattermostMode.BOT:
            return self._post_as_bot(base, kind, name)
        payload: dict[str, Any] = {"username": self.user or self.app_id, **self.card}
        payload |= {key: value for key, value in (("channel", name), ("icon_url", self.icon_url)) if value}
        return self.post(f"{base}/hooks/{self.token}", payload)

    def _post_as_bot(self, base: str, kind: str | None, name: str | None) -> bool:
        channel = self._channel_lookup(name) if kind == "#" and name else name
        if not channel:
            return False
        payload = {"channel_id": channel, "message": "", "props": self.card}
        return self.post(f"{base}/api/v4/posts", payload, headers={"Authorization": f"Bearer {self.token}"})
