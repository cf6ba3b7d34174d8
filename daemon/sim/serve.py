"""Runs the simulator until a signal stops it, and announces how to reach it.

Owns the text shown to the user. Leaves the command line to `cli`.
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable

from daemon.sim.server import Simulator
from daemon.sim.settings import SettledSettings, SimSettings


async def serve(settings: SimSettings, *, announce: Callable[[str], None]) -> None:
    """Run until cancelled or until SIGTERM or SIGINT. `announce` gets the text with addresses and keys once the
    simulator listens. Raises ValueError for bad settings, OSError if the address is in use."""
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
    """Return a text with the address, every credential, a config for wrapd and a first request."""
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

Create a job and query it:

  curl -X POST {url}/_sim/jobs -d '{{"kind": "avatar"}}'
  curl -H 'X-Auth-Token: {settings.token}' {url}/v1/{settings.project_id}/2d-digital-human-videos/JOB_ID

Stop with Ctrl-C."""
