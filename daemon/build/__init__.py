"""From the config to the parts: reads the secrets, and makes each part's own settings.

The only place where a config's values and secrets come together. Every function collects all faults before it
raises, so that a person mends them in one go.
"""

from daemon.build.channels import channel
from daemon.build.checks import check_config, load_plan
from daemon.build.plan import build_plan
from daemon.build.projects import project_settings
from daemon.build.web import callback_settings, web_settings

__all__ = [
    "build_plan",
    "callback_settings",
    "channel",
    "check_config",
    "load_plan",
    "project_settings",
    "web_settings",
]
