"""Alerts: composing them, sending them and recording the result of each.

Data flows one way: outbox → message → rendering → channel → verdict → outbox.
"""

from daemon.notify.outbox import NotifySettings
from daemon.notify.outbox.dispatcher import Dispatcher

__all__ = ["Dispatcher", "NotifySettings"]
