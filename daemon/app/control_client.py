"""Asking the daemon that works on a database, from another process.

Blocks, and imports the standard library only: commands start as fast as without it. Never follows a link, and
takes the word only of who may have the daemon's: the folder is writable for a group, so a member of it could put a
socket of his own there.
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
    """There is a daemon's socket, and no use in asking there."""


class Declined(WrapdError):
    """What the daemon says instead of an answer. `exit_status` is what its error would end a command with."""

    def __init__(self, text: str, status: object) -> None:
        super().__init__(text)
        self.exit_status = Exit(status) if isinstance(status, int) and status in set(Exit) else Exit.FAILED


def ask(database: Path, request: Mapping[str, Any], *, patience: float) -> dict[str, Any] | None:
    """The daemon's answer, None where none listens beside `database` (its links resolved). Raises Unanswered where
    it does not answer within `patience` seconds or must not be believed, and Declined."""
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
        raise Unanswered(f"the daemon at {where} cannot be asked: {error.strerror}") from error
    return _understood(said, where)


def _require_owner(line: socket.socket, database: Path, where: Path) -> None:
    """Raise Unanswered unless root, this user or the owner of the database listens there."""
    _, uid, _ = _CREDENTIALS.unpack(line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    if uid not in {0, os.geteuid(), database.stat().st_uid}:
        raise Unanswered(f"{where} belongs to user {uid}, not to the owner of the database; remove it")


def _line(line: socket.socket, end: float) -> bytes:
    """What is said until the newline. Raises TimeoutError."""
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


def _understood(said: bytes, where: Path) -> dict[str, Any]:
    try:
        answer = json.loads(said)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict) or not (isinstance(answer.get("answer"), dict) or "error" in answer):
        raise Unanswered(f"the daemon at {where} said nothing that can be understood; is it of another version?")
    if "error" in answer:
        raise Declined(str(answer["error"]), answer.get("status", 1))
    found: dict[str, Any] = answer["answer"]
    return found
