"""Answers questions about the running daemon's own config file: how it differs from the config in use, and what
its channels would receive. Only the daemon has the credentials that its service manager passed in.

Changes nothing and notifies no one. Answers contain no secrets.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from daemon import __version__
from daemon.app.control import Handler
from daemon.app.control_address import identity
from daemon.app.reload import ConfigRead, ConfigRefused, Reloader, in_its_own_thread
from daemon.clock import Clock
from daemon.domain.jobs import ChannelName
from daemon.errors import UnknownName
from daemon.logs import MASKS
from daemon.spec import Spec
from daemon.systemd import credentials
from daemon.web import own_url


class OwnConfig:
    """Answers about the config at `path`, read through `reloader`. Each request names a file by its `identity`."""

    def __init__(self, path: Path, reloader: Reloader, *, clock: Clock) -> None:
        self._path = path
        self._reloader = reloader
        self._clock = clock

    def handlers(self) -> dict[str, Handler]:
        """The handlers by request name."""
        return {"check": self.check, "preview": self.preview}

    async def check(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """How the file differs from the config in use, and its faults: see `daemon.cli.asked.ConfigAnswer`."""
        if not self._is_own_file(request):
            return {"own": False}
        return self._comparison(await self._reloader.check())

    async def preview(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The same, with what a `channel` of the file would receive for `examples`. Raises UnknownName."""
        if not self._is_own_file(request):
            return {"own": False}
        found = await self._reloader.check()
        if isinstance(found, ConfigRefused):
            return self._comparison(found)
        return {**self._comparison(found), "previews": await self._previews(found.spec, request)}

    def _is_own_file(self, request: Mapping[str, Any]) -> bool:
        try:
            return request.get("file") == identity(self._path)
        except OSError:
            return False  # our file is gone, so the client's is another one

    def _comparison(self, found: ConfigRead | ConfigRefused) -> dict[str, Any]:
        running, since = self._reloader.running
        known = {
            "own": True,
            "version": __version__,
            "since": since.isoformat(),
            "running": running.source,
            "credentials": credentials(),
        }
        if isinstance(found, ConfigRefused):
            return {**known, "refused": found.text, "faults": found.faults}
        return {
            **known,
            "warnings": [MASKS.apply(each) for each in found.warnings],
            "changed": found.changed,
            "needs_restart": found.needs_restart,
        }

    async def _previews(self, spec: Spec, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        from daemon.notify.templates.examples import EXAMPLES, previews  # noqa: PLC0415 - loads Jinja2, only for this

        channel, wanted = spec.channels.get(ChannelName(str(request.get("channel")))), request.get("examples")
        if channel is None or not isinstance(wanted, list):
            raise UnknownName("name a channel of the config, and a list of examples")
        names = [each for each in EXAMPLES if each in wanted]
        public_url = None if spec.web is None else spec.web.public_url
        link = None if public_url is None else partial(own_url, public_url)
        work = partial(previews, channel, names, now=self._clock.now(), link=link)
        return [_masked(asdict(each)) for each in await in_its_own_thread(work)]


def _masked(value: Any) -> Any:
    match value:
        case str():
            return MASKS.apply(value)
        case Mapping():
            return {key: _masked(each) for key, each in value.items()}
        case list() | tuple():
            return [_masked(each) for each in value]
        case _:
            return value
