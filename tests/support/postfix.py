"""A real Postfix on the loopback, in its own folder, whose mailboxes tests read directly.

`with Postfix({"open": (), "small": ("message_size_limit=9000",)}) as server: server.url("small", "editors")`. Each
door is an smtpd on its own port, whose settings override the common ones. It serves team.example with a mailbox (a
Maildir) for each of `PEOPLE`. Needs Debian's package `postfix`, and root, as Postfix does.
"""

import os
import shutil
import socket
import socketserver
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from types import TracebackType
from typing import Self, cast
from urllib.parse import quote, urlencode

import pytest

from tests.support.live import until
from tests.support.programs import need, run

DOMAIN = "team.example"
PEOPLE = ("boss", "editors", "full", "grey", "late", "over", "wrapd")
_NOBODY = 65534
"""The owner of the mailboxes, which is not one of Postfix's users."""

_SHARED = """
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/lib
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
notify_classes =
inet_interfaces = loopback-only
inet_protocols = ipv4
myhostname = mail.{domain}
mydestination =
mynetworks = 192.0.2.1/32
alias_maps =
local_recipient_maps =
virtual_mailbox_domains = {domain}
virtual_mailbox_base = {folder}/boxes
virtual_mailbox_maps = texthash:{folder}/etc/boxes
virtual_uid_maps = static:{nobody}
virtual_gid_maps = static:{nobody}
transport_maps = inline:{{ over@{domain}=tight: }}
"""
"""No client is trusted, as on a server reachable by others. Mail to `over` bounces after it was accepted, as if
the delivery program enforced a quota."""

_SERVICES = """
cleanup unix n - n - 0 cleanup
checked unix n - n - 0 cleanup -o header_checks=regexp:{folder}/etc/headers -o mime_header_checks=$header_checks
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
tight unix - n n - - pipe user=nobody argv=/bin/sh {folder}/etc/tight
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """The server. `headers` are lines of header_checks(5) for doors with `cleanup_service_name=checked`."""

    def __init__(self, doors: Mapping[str, Sequence[str]], *, headers: Sequence[str] = ()) -> None:
        self._program = need("postfix")
        if os.geteuid() != 0:
            pytest.skip("Postfix starts as root only")
        self._doors, self._headers = doors, headers
        self._ports = dict(zip(doors, _free_ports(len(doors)), strict=True))
        self._folder = Path("/")

    def address(self, door: str, host: str = "127.0.0.1") -> str:
        """The host and port of a door."""
        return f"{host}:{self._ports[door]}"

    def url(self, door: str, *to: str, host: str = "127.0.0.1", mode: str = "insecure", **options: str) -> str:
        """Return an Apprise URL that mails these people through that door; a name with an @ is an address."""
        addresses = ",".join(each if "@" in each else f"{each}@{DOMAIN}" for each in to)
        scheme = "mailto" if mode == "insecure" else "mailtos"
        query = urlencode({"mode": mode, "from": f"wrapd@{DOMAIN}", "to": addresses} | options, quote_via=quote)
        return f"{scheme}://{self.address(door, host)}/?{query}"

    def mails(self, person: str) -> list[EmailMessage]:
        """Return the mailbox, oldest mail first, once no mail is under way."""
        until("the queue is empty", self._idle, pace=0.02)
        found = (self._folder / "boxes" / person / "new").glob("*")
        return [_read(path) for path in sorted(found, key=lambda path: path.stat().st_mtime_ns)]

    def empty(self) -> None:
        """Delete all mail that arrived."""
        until("the queue is empty", self._idle, pace=0.02)
        for person in PEOPLE:
            shutil.rmtree(self._folder / "boxes" / person, ignore_errors=True)

    def start(self) -> None:
        """Start, or start again, on the same ports and with the same mail; returns once it listens."""
        self._do("start")

    def stop(self) -> None:
        """Stop the server; connections break off."""
        self._do("stop")

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="wrapd-postfix-"))
        try:
            self._set_up()
            self.start()
        except BaseException:
            shutil.rmtree(self._folder)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._run("status") == 0:
                self.stop()
        finally:
            shutil.rmtree(self._folder)

    def _set_up(self) -> None:
        folder = self._folder
        folder.chmod(0o755)  # for Postfix's user and the mailboxes' owner
        for name, owner in (("etc", "root"), ("spool", "root"), ("lib", "postfix"), ("boxes", _NOBODY)):
            (folder / name).mkdir()
            shutil.chown(folder / name, owner)
        values = {"folder": folder, "domain": DOMAIN, "nobody": _NOBODY}
        doors = "".join(
            f"127.0.0.1:{port} inet n - n - - smtpd {' '.join(f'-o {{ {each} }}' for each in self._doors[door])}\n"
            for door, port in self._ports.items()
        )
        (folder / "etc/main.cf").write_text(_SHARED.format(**values))
        (folder / "etc/master.cf").write_text(doors + _SERVICES.format(**values))
        (folder / "etc/boxes").write_text("".join(f"{name}@{DOMAIN} {name}/\n" for name in PEOPLE))
        (folder / "etc/tight").write_text("cat >/dev/null; echo 5.2.2 the mailbox is over quota; exit 69\n")
        (folder / "etc/headers").write_text("".join(f"{line}\n" for line in self._headers))

    def _do(self, what: str) -> None:
        assert self._run(what) == 0, (self._folder / "log").read_text()

    def _run(self, what: str) -> int:
        return run(self._program, "-c", self._folder / "etc", what).returncode

    def _idle(self) -> bool:
        """Whether the queue is empty. A bounce is queued before its mail is removed, and mail moves from
        `incoming` to `active`: checking in that order misses none."""
        queues = [self._folder / "spool" / name for name in ("incoming", "active")]
        return not any(any(queue.iterdir()) for queue in (*queues, *queues))


def _read(path: Path) -> EmailMessage:
    return cast("EmailMessage", message_from_bytes(path.read_bytes(), policy=policy.default))


class Policy:
    """A policy server (Postfix's SMTPD_POLICY_README): `decide` gets a request's attributes and returns an action.
    Runs in its own threads."""

    def __init__(self, decide: Callable[[Mapping[str, str]], str]) -> None:
        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while request := _attributes(self.rfile.readline):
                    self.wfile.write(f"action={decide(request)}\n\n".encode())

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """Ignore an smtpd that was stopped."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.check = f"check_policy_service inet:127.0.0.1:{self._server.server_address[1]}"
        """The restriction for a door that consults this server."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Greylist:
    """Greylists: a first attempt to write to one of `people` is deferred."""

    def __init__(self, *people: str) -> None:
        self._addresses = frozenset(f"{name}@{DOMAIN}" for name in people)
        self._known: set[str] = set()

    def __call__(self, request: Mapping[str, str]) -> str:
        recipient = request["recipient"]
        if recipient not in self._addresses or recipient in self._known:
            return "DUNNO"
        self._known.add(recipient)
        return "DEFER_IF_PERMIT 4.2.0 Greylisted, try again in a few minutes"


def _attributes(read: Callable[[], bytes]) -> dict[str, str]:
    """Return the next request of a connection; empty if it has ended."""
    found = {}
    while line := read().decode().rstrip("\n"):
        name, _, value = line.partition("=")
        found[name] = value
    return found


def _free_ports(count: int) -> list[int]:
    """Return loopback ports that are free now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


__all__ = ["DOMAIN", "PEOPLE", "Greylist", "Policy", "Postfix"]
