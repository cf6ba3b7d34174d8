"""Alerts: what they say, how they are sent, and what became of each.

Data flows one way: outbox → message → form → channel → verdict → outbox. The settings are all that this package
imports: commands that send nothing do not load the rest.
"""

from daemon.notify.outbox import NotifySettings

__all__ = ["NotifySettings"]
