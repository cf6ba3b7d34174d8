"""Alerts: composing them, sending them and recording the result of each.

Data flows one way: outbox → message → rendering → channel → verdict → outbox. This package imports only its
settings: commands that send nothing do not load the rest.
"""

from daemon.notify.outbox import NotifySettings

__all__ = ["NotifySettings"]
