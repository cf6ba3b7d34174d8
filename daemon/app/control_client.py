"""Queries the daemon that runs on a database, from another process.

Blocking, and imports the standard library only, so that commands start fast. It does not follow symbolic links,
and trusts only a socket of root, this user or the owner of the database: the folder may be group-writable, so a
member of the group could place a socket of their own there.
"""

import contextlib
import json
import os
import socket
import stat
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daemon.app.control_address import LONGEST_ANSWER, O_PATH, by_descriptor, socket_name
from daemon.errors import Exit, WrapdError

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: struct ucred of unix(7)
_PIECE = 65536


class Unanswered(WrapdError):
    """A daemon's socket exists, but querying it is pointless."""


class Declined(WrapdError):
    """An error that the daemon returned. `exit_status` is the one with which that error would end a command."""

    def __init__(self, text: str, status: object) -> None:
        super().__init__(text)
        self.exit_status = Exit(status) if isinstance(status, int) and status in set(Exit) else Exit.FAILED


def ask(database: Path, request: Mapping[str, Any], *, patience: float) -> dict[str, Any] | None:
    """The daemon's answer, or None if none listens next to `database` (symbolic links resolved). Raises Unanswered
    if it does not answer within `patience` seconds or cannot be trusted, and Declined."""
    where = database.with_name(socket_name(database))
    end = time.monotonic() + patience
    try:
        with contextlib.ExitStack() as opened, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            entry = os.open(where, O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
            opened.callback(os.close, entry)
            if not stat.S_ISSOCK(os.fstat(entry).st_mode):
                raise Unanswered(f"{where} is no socket; remove it, and restart wrapd")
            line.settimeout(patience)
            line.connect(by_descriptor(entry))
            _require_owner(line, database, where)
            line.sendall(json.dumps(request).encode() + b"\n")
            said = _line(line, end)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        return None
    except TimeoutError:
        raise Unanswered(f"the daemon at {where} does not answer within {patience:g} s; see its log") from None
    except OSError as error:
        raise Unanswered(f"the daemon at {where} cannot be reached: {error.strerror}") from error
    return _parse(said, where)


def _require_owner(line: socket.socket, database: Path, where: Path) -> None:
    """Raise Unanswered unless root, this user or the owner of the database is listening."""
    _, uid, _ = _CREDENTIALS.unpack(line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    if uid not in {0, os.geteuid(), database.stat().st_uid}:
        raise Unanswered(f"{where} belongs to user {uid}, not to the owner of the database; remove it")


def _line(line: socket.socket, end: float) -> bytes:
    """Read up to the newline. Raises TimeoutError."""
    pieces: list[bytes] = []
    length = 0
    while length <= LONGEST_ANSWER:
        line.settimeout(max(0.001, end - time.monotonic()))
        piece = line.recv(_PIECE)
        if not piece:
            break
        pieces.append(piece)
        length += len(piece)
        if piece.endswith(b"\n"):
            break
    return b"".join(pieces)


def _parse(said: bytes, where: Path) -> dict[str, Any]:
    try:
        answer = json.loads(said)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict) or not (isinstance(answer.get("answer"), dict) or "error" in answer):
        raise Unanswered(f"the daemon at {where} sent an answer that makes no sense; is it another version?")
    if "error" in answer:
        raise Declined(str(answer["error"]), answer.get("status", 1))
    found: dict[str, Any] = answer["answer"]
    return found
