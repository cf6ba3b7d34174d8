"""`workflows://`: Apprise's plugin for Microsoft Teams by a workflow, with our adaptive card. Must never write one
itself.

A template of Apprise's that the channel's URL names takes the text, as it always does.
"""

from typing import Any

from apprise.plugins.workflows import NotifyWorkflows

from daemon.notify.services.carded import Carded


class Teams(Carded, NotifyWorkflows):
    """The workflow "when a Teams webhook request is received"."""

    def gen_payload(self, *args: Any, **kwargs: Any) -> Any:
        """The body of the request."""
        if self.card is None or self.template:
            theirs: Any = super()
            return theirs.gen_payload(*args, **kwargs)
        return dict(self.card)
