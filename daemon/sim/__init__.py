"""A MetaStudio that runs on this machine: a real HTTP server with real signatures, for tests and demos.

Imports nothing of watch, store, notify or metastudio: it must not share their mistakes.
"""

from daemon.sim.serve import serve
from daemon.sim.server import Simulator
from daemon.sim.settings import SettledSettings, SimSettings

__all__ = ["SettledSettings", "SimSettings", "Simulator", "serve"]
