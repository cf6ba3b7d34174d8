"""Asking about jobs: what is due is asked within the project's budget, what is seen is judged and stored."""

from daemon.watch.poller import Poller
from daemon.watch.watcher import Watcher

__all__ = ["Poller", "Watcher"]
