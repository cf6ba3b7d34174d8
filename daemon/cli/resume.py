"""`wrapd resume`: see `pause`."""

from daemon.cli.pause import resume as command

__all__ = ["command"]
