"""Alerts: what they say, how they are sent, and what became of each.

Data flows one way: outbox → message → form → channel → verdict → outbox.
"""

from typing import TYPE_CHECKING

from daemon.late import late

if TYPE_CHECKING:
    from daemon.notify.outbox import NotifySettings
    from daemon.notify.outbox.dispatcher import Dispatcher
else:
    __getattr__ = late(__name__, {"outbox": "NotifySettings", "outbox.dispatcher": "Dispatcher"})

__all__ = ["Dispatcher", "NotifySettings"]
