"""What this machine's systemd says of wrapd's unit: whether it is enabled, and whose copies its credentials are.

systemd copies the files of `LoadCredential=` at a start only, and which file a copy is of, only the unit says. Who
may not ask systemd, or may not see a file, is told nothing of it.
"""

import contextlib
import re
import stat
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

_UNIT = "wrapd.service"
_COPY = re.compile(r"/run/credentials/([^/]+\.service)/([^/]+)")
_SOURCE = re.compile(r"LoadCredential=([^:]*):(/.*)|LoadCredential=\s*")
_PATIENCE = 5.0
"""Seconds that systemd may take to answer."""
_LARGEST = 1024 * 1024
"""Bytes that systemd takes of a credential."""


def stale(copies: object) -> tuple[str, ...]:
    """A line for each credential whose source is newer than its copy. `copies`: when each was made, by its path
    (Unix time)."""
    by_unit: dict[str, dict[str, float]] = {}
    for path, made in copies.items() if isinstance(copies, Mapping) else ():
        if (found := _COPY.fullmatch(str(path))) is not None and isinstance(made, int | float):
            by_unit.setdefault(found[1], {})[found[2]] = made
    return tuple(line for unit, made in by_unit.items() for line in _stale(unit, made))


def is_expected(config: Path) -> bool:
    """Whether wrapd's unit is enabled, and runs with this config."""
    said = _systemctl("show", "--property=UnitFileState,ExecStart", _UNIT).splitlines()
    words = [word for line in said if line.startswith("ExecStart=") for word in line.split()]
    named = (Path(word).resolve() for word in words if word.startswith("/"))
    return "UnitFileState=enabled" in said and config.resolve() in named


def _stale(unit: str, made: Mapping[str, float]) -> Iterator[str]:
    sources = _sources(_systemctl("cat", unit))
    for name in sorted(made):
        source = sources.get(name)
        if source is not None and _is_newer(source, Path("/run/credentials") / unit / name, made[name]):
            yield (
                f"credential {name}: {source} has changed since {unit} got its copy at the start; "
                f"`systemctl restart {unit.removesuffix('.service')}` takes it"
            )


def _sources(text: str) -> dict[str, Path]:
    """The file of each credential, by what the unit and its drop-ins say."""
    sources: dict[str, Path] = {}
    for line in text.splitlines():
        if (found := _SOURCE.fullmatch(line)) is None:
            continue
        if found[1] is None:  # empty: what was said before does not count
            sources.clear()
        else:
            sources[found[1]] = Path(found[2])
    return sources


def _is_newer(source: Path, copy: Path, made: float) -> bool:
    """By what the two hold where this user may read them, else by their times."""
    try:
        found = source.stat()
        if not stat.S_ISREG(found.st_mode):  # systemd asks a socket anew at each start
            return False
        with contextlib.suppress(OSError):
            return _content(source) != _content(copy)
    except OSError:
        return False
    return found.st_mtime > made


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LARGEST)


def _systemctl(*arguments: str) -> str:
    """What it says; nothing where there is none, or it does not answer."""
    try:
        ended = subprocess.run(  # noqa: S603 - no shell, and no argument of a stranger's
            ["systemctl", "--no-pager", *arguments],  # noqa: S607 - the machine's own, wherever it is
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return ended.stdout
