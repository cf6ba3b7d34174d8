"""The config: read strictly, all faults in one run, secrets left where they are until they are needed.

Imports nothing above `domain`, `errors`, `logs` and `regions`: daemon/build.py makes the parts' own settings
of it.
"""

from daemon.config.faults import ConfigFaults, Fault
from daemon.config.load import examine, load, locate, read_tree
from daemon.config.projects import AkSkAuth, Auth, Discovery, PasswordAuth, Project, TokenAuth
from daemon.config.schema import Channel, Config, Database, Log, Notify, Polling, Route, Web
from daemon.config.secrets import Secret

__all__ = [
    "AkSkAuth",
    "Auth",
    "Channel",
    "Config",
    "ConfigFaults",
    "Database",
    "Discovery",
    "Fault",
    "Log",
    "Notify",
    "PasswordAuth",
    "Polling",
    "Project",
    "Route",
    "Secret",
    "TokenAuth",
    "Web",
    "examine",
    "load",
    "locate",
    "read_tree",
]
