"""`tgram://`: Apprise's plugin with our photo and caption, or text; one message in any case.

Must never follow a photo with a text of its own: where Telegram refuses the photo (its format, its size), the
channel sends the message again without it.
"""

from typing import Any

from apprise.plugins.telegram import NotifyTelegram

from daemon.notify.services.carded import Carded


class Telegram(Carded, NotifyTelegram):
    """A bot in one chat."""

    def send(self, *args: Any, **kwargs: Any) -> Any:
        """Post the card, or the text where there is none."""
        if self.card is None or self.template:
            return self.send_plain(*args, **kwargs)
        if not self.targets and self.detect_owner:
            detect: Any = self.detect_bot_owner
            owner = self.store.get("bot_owner") or detect()
            self.targets += [(str(owner), self.topic)] if owner else []
        sent = [self._post_card(chat, topic) for chat, topic in self.targets]
        return bool(sent) and all(sent)

    def _post_card(self, chat: object, topic: int | None) -> bool:
        assert self.card is not None
        base = f"{self.notify_url}{self.bot_token}"
        address: dict[str, Any] = {
            "chat_id": chat,
            "disable_notification": bool(self.silent),
            "parse_mode": self.card["parse_mode"],
            **({"message_thread_id": topic} if topic else {}),
        }
        if self.cover is not None and "caption" in self.card:
            return self._post_photo(f"{base}/sendPhoto", {**address, "caption": self.card["caption"]})
        text = {"text": self.card["text"], "disable_web_page_preview": not self.preview}
        return self.post(f"{base}/sendMessage", {**address, **text})

    def _post_photo(self, url: str, values: dict[str, Any]) -> bool:
        assert self.cover is not None
        kind = self.cover.content_type
        fields = {name: str(value).lower() if isinstance(value, bool) else value for name, value in values.items()}
        name = f"cover.{kind.rpartition('/')[2]}"
        return self.post(url, data=fields, files={"photo": (name, self.cover.data, kind)})
