"""`slack://`: Apprise's plugin, which posts our card in place of its own payload.

The name, the channel and the thread are what the channel's URL says; workflows and templates of Apprise's take a
text, as they always do. Must never send a second message.
"""

from typing import Any

from apprise.plugins.slack import NotifySlack, SlackMode

from daemon.notify.services.carded import Carded

_ADDRESS = ("username", "channel", "thread_ts", "icon_url")
_WORKFLOWS = frozenset({SlackMode.WORKFLOW, SlackMode.WORKFLOW_TRIGGER})


class Slack(Carded, NotifySlack):
    """An incoming webhook, or a bot."""

    def _send(self, url: str, payload: Any, *args: Any, **kwargs: Any) -> Any:
        if self.card is not None and self.mode not in _WORKFLOWS and not self.template:
            payload = {**{name: payload[name] for name in _ADDRESS if name in payload}, **self.card}
        theirs: Any = super()
        return theirs._send(url, payload, *args, **kwargs)
