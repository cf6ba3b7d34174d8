"""The config: read strictly, all faults in one run, secrets left where they are until they are needed.

Imports nothing above `domain`, `errors`, `logs` and `regions`: daemon/build makes the parts' own settings
of it.
"""

from daemon.config.delivery import Callback, Channel, Notify, Quiet, Retention, Route, Web
from daemon.config.faults import ConfigFaults, Fault
from daemon.config.load import examine, load, locate, read_tree
from daemon.config.projects import AkSkAuth, Auth, Discovery, PasswordAuth, Project, TokenAuth
from daemon.config.schema import Config, Database, Log, Polling
from daemon.config.secrets import Secret

__all__ = [
    "AkSkAuth",
    "Auth",
    "Callback",
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
    "Quiet",
    "Retention",
    "Route",
    "Secret",
    "TokenAuth",
    "Web",
    "examine",
    "load",
    "locate",
    "read_tree",
]
