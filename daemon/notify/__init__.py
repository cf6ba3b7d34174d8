"""Alerts: what they say, how they are sent, and what became of each.

Data flows one way: outbox → message → form → channel → verdict → outbox.
"""

from daemon.notify.outbox.dispatcher import Dispatcher
from daemon.notify.outbox.settings import NotifySettings

__all__ = ["Dispatcher", "NotifySettings"]
