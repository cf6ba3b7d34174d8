"""The simulator as a command: runs until it is told to stop, and says how to reach it.

Owns the words that a person sees. Never reads the command line.
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable

from daemon.sim.server import Simulator
from daemon.sim.settings import SettledSettings, SimSettings


async def serve(settings: SimSettings, *, announce: Callable[[str], None]) -> None:
    """Run until cancelled or until SIGTERM or SIGINT; `announce` gets the text about addresses and keys once it
    listens. Raises ValueError for bad settings, OSError where the address is taken."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    handled = []
    async with Simulator(settings) as sim:
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, stop.set)
                handled.append(number)
        try:
            announce(announcement(sim.url, sim.settings))
            await stop.wait()
        finally:
            for number in handled:
                loop.remove_signal_handler(number)


def announcement(url: str, settings: SettledSettings) -> str:
    """Where it listens, every credential, a config for wrapd and a first request."""
    return f"""\
MetaStudio simulator on {url}  (region {settings.region}, speed {settings.speed:g}, seed {settings.seed})

  access key    {settings.access_key}
  secret key    {settings.secret_key}
  project id    {settings.project_id}
  token         {settings.token}
  IAM user      {settings.iam_user}, domain {settings.iam_domain}, password {settings.iam_password}

For wrapd:

  [projects.main]
  endpoint = "{url}"
  project_id = "{settings.project_id}"
  auth = {{ method = "aksk", access_key = "{settings.access_key}", secret_key = "{settings.secret_key}" }}

A job, and a look at it:

  curl -X POST {url}/_sim/jobs -d '{{"kind": "avatar"}}'
  curl -H 'X-Auth-Token: {settings.token}' {url}/v1/{settings.project_id}/2d-digital-human-videos/JOB_ID

Stop with Ctrl-C."""
