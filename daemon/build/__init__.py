"""Builds the settings of each part from the config, resolving its secrets.

The only place where config values and secrets come together. Every function collects all faults before it raises,
so that they can be fixed in one go.
"""

from daemon.build.channels import channel
from daemon.build.checks import check_config, load_spec
from daemon.build.projects import project_settings
from daemon.build.spec import build_spec
from daemon.build.web import callback_settings, web_settings

__all__ = [
    "build_spec",
    "callback_settings",
    "channel",
    "check_config",
    "load_spec",
    "project_settings",
    "web_settings",
]
