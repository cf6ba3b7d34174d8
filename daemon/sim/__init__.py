"""The MetaStudio simulator: a local HTTP server that checks real signatures, for tests and demos.

Imports nothing from watch, store, notify or metastudio, so that it cannot share their mistakes.
"""

from daemon.sim.serve import serve
from daemon.sim.server import Simulator
from daemon.sim.settings import SettledSettings, SimSettings

__all__ = ["SettledSettings", "SimSettings", "Simulator", "serve"]
