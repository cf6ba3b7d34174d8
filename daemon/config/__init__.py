"""The config: strictly checked, with all faults reported in one run. Secrets are read only when needed.

Imports nothing above `domain`, `errors`, `logs` and `regions`; daemon/build turns it into the parts' settings. Its
modules are imported on first use: pydantic's schema is slow to build, and most commands need none.
"""

from typing import TYPE_CHECKING

from daemon.late import late

if TYPE_CHECKING:
    from daemon.config.checking import examine, load
    from daemon.config.delivery import Callback, Channel, Notify, Quiet, Retention, Route, Web
    from daemon.config.faults import ConfigFaults, Fault
    from daemon.config.file import locate, read_tree
    from daemon.config.light import LightConfig, read_light
    from daemon.config.projects import AkSkAuth, Auth, Discovery, PasswordAuth, Project, TokenAuth
    from daemon.config.schema import Config, Database, Log, Polling
    from daemon.config.secrets import Secret
else:
    __getattr__ = late(
        __name__,
        {
            "checking": "examine load",
            "delivery": "Callback Channel Notify Quiet Retention Route Web",
            "faults": "ConfigFaults Fault",
            "file": "locate read_tree",
            "light": "LightConfig read_light",
            "projects": "AkSkAuth Auth Discovery PasswordAuth Project TokenAuth",
            "schema": "Config Database Log Polling",
            "secrets": "Secret",
        },
    )

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
    "LightConfig",
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
    "read_light",
    "read_tree",
]
