"""Queries systemd about wrapd's unit: whether it is enabled, and whether its credentials are up to date.

systemd copies the files of `LoadCredential=` only at start, and only the unit says which file a copy comes from.
If systemd cannot be queried or a file cannot be read, nothing is reported.
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
"""Seconds to wait for systemd."""
_LARGEST = 1024 * 1024
"""Maximum size of a systemd credential in bytes."""


def stale(copies: object) -> tuple[str, ...]:
    """A line for each credential whose source has changed since it was copied. `copies`: the Unix time of each
    copy, by its path."""
    by_unit: dict[str, dict[str, float]] = {}
    for path, made in copies.items() if isinstance(copies, Mapping) else ():
        if (found := _COPY.fullmatch(str(path))) is not None and isinstance(made, int | float):
            by_unit.setdefault(found[1], {})[found[2]] = made
    return tuple(line for unit, made in by_unit.items() for line in _stale(unit, made))


def is_expected(config: Path) -> bool:
    """Whether wrapd's unit is enabled and uses this config."""
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
                f"credential {name}: {source} has changed since {unit} was started; "
                f"`systemctl restart {unit.removesuffix('.service')}` applies it"
            )


def _sources(text: str) -> dict[str, Path]:
    """The source file of each credential, from the unit and its drop-ins."""
    sources: dict[str, Path] = {}
    for line in text.splitlines():
        if (found := _SOURCE.fullmatch(line)) is None:
            continue
        if found[1] is None:  # an empty setting resets the list
            sources.clear()
        else:
            sources[found[1]] = Path(found[2])
    return sources


def _is_newer(source: Path, copy: Path, made: float) -> bool:
    """Compares the contents if this user can read both files, otherwise their times."""
    try:
        found = source.stat()
        if not stat.S_ISREG(found.st_mode):  # a socket, which systemd reads at each start
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
    """Its output; empty if there is no systemd or it does not answer."""
    try:
        ended = subprocess.run(  # noqa: S603 - no shell, and no arguments from outside
            ["systemctl", "--no-pager", *arguments],  # noqa: S607 - the system's own, wherever it is
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return ended.stdout
