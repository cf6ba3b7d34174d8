"""The config: strictly checked, with all faults reported in one run. Secrets are read only when needed.

Imports nothing above `domain`, `errors`, `logs` and `regions`; daemon/build turns it into the parts' settings.
"""

from daemon.config.checking import examine, load
from daemon.config.delivery import Callback, Channel, Heartbeat, Notify, Quiet, Retention, Route, Web
from daemon.config.faults import ConfigFaults, Fault
from daemon.config.file import locate, read_tree
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
    "Heartbeat",
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
