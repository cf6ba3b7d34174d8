"""Alerts: what they say, how they are sent, and what became of each.

Data flows one way: outbox → message → form → channel → verdict → outbox.
"""

from daemon.notify.outbox import NotifySettings
from daemon.notify.outbox.dispatcher import Dispatcher

__all__ = ["Dispatcher", "NotifySettings"]
