"""The database as the rest of wrapd sees it: units of work that run inside a transaction.

Owns opening (checks, lock, migration), and which thread runs a work. Connections stay inside.
"""

import asyncio
from collections.abc import Callable
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from sqlalchemy import Connection

from daemon.clock import Clock
from daemon.logs import LogEvent, logger
from daemon.store import migrate
from daemon.store.anchor import Anchor
from daemon.store.engine import open_file, reading_engine, require_folder, writing_engine
from daemon.store.errors import StoreClosed, mapped
from daemon.store.lock import DaemonLock
from daemon.store.rows import WriterHealth
from daemon.store.writer import Writer

if TYPE_CHECKING:
    import sqlite3

    from daemon.store.batch_list import BatchList
    from daemon.store.changes import ChangeRow, Changes
    from daemon.store.day_sums import DaySums
    from daemon.store.delivery_list import DeliveryList
    from daemon.store.discoveries import Discoveries
    from daemon.store.figures import Figures
    from daemon.store.following import Following
    from daemon.store.history import Actions, History
    from daemon.store.jobs import Jobs
    from daemon.store.labels import Labels
    from daemon.store.links import Links
    from daemon.store.memory import Addresses, Signatures, Statuses
    from daemon.store.moves import Moves
    from daemon.store.mutes import Mutes
    from daemon.store.needs import NeedRows
    from daemon.store.orphans import Orphans
    from daemon.store.outbox import Outbox
    from daemon.store.pauses import ProjectPauses
    from daemon.store.pictures import Pictures
    from daemon.store.queue import DeliveryQueue
    from daemon.store.resend import Again
    from daemon.store.retention import Retention
    from daemon.store.sessions import Sessions
    from daemon.store.shares import Shares
    from daemon.store.tokens import Tokens

T = TypeVar("T")
P = TypeVar("P")

log = logger(__name__)


class _Part(Generic[P]):
    """A part of a transaction, imported and made on first use: a work uses two or three of them."""

    def __init__(self, module: str, made_by: str) -> None:
        self._module, self._made_by = module, made_by

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, transaction: "Transaction", owner: type) -> P:
        made = self.make(transaction._connection)
        vars(transaction)[self._name] = made
        return made

    @cached_property
    def make(self) -> Callable[[Connection], P]:
        """What makes it."""
        return cast("Callable[[Connection], P]", getattr(import_module(self._module), self._made_by))


class Transaction:
    """What a work can do. Valid until the work returns."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    jobs: "_Part[Jobs]" = _Part("daemon.store.jobs", "Jobs")
    labels: "_Part[Labels]" = _Part("daemon.store.labels", "Labels")
    batches: "_Part[BatchList]" = _Part("daemon.store.batch_list", "BatchList")
    deliveries: "_Part[DeliveryList]" = _Part("daemon.store.delivery_list", "DeliveryList")
    outbox: "_Part[Outbox]" = _Part("daemon.store.outbox", "Outbox")
    again: "_Part[Again]" = _Part("daemon.store.resend", "Again")
    queue: "_Part[DeliveryQueue]" = _Part("daemon.store.queue", "DeliveryQueue")
    history: "_Part[History]" = _Part("daemon.store.history", "History")
    statuses: "_Part[Statuses]" = _Part("daemon.store.memory", "Statuses")
    discoveries: "_Part[Discoveries]" = _Part("daemon.store.discoveries", "Discoveries")
    pictures: "_Part[Pictures]" = _Part("daemon.store.pictures", "Pictures")
    links: "_Part[Links]" = _Part("daemon.store.links", "Links")
    retention: "_Part[Retention]" = _Part("daemon.store.retention", "Retention")
    signatures: "_Part[Signatures]" = _Part("daemon.store.memory", "Signatures")
    addresses: "_Part[Addresses]" = _Part("daemon.store.memory", "Addresses")
    orphans: "_Part[Orphans]" = _Part("daemon.store.orphans", "Orphans")
    moves: "_Part[Moves]" = _Part("daemon.store.moves", "Moves")
    actions: "_Part[Actions]" = _Part("daemon.store.history", "Actions")
    changes: "_Part[Changes]" = _Part("daemon.store.changes", "Changes")
    mutes: "_Part[Mutes]" = _Part("daemon.store.mutes", "Mutes")
    pauses: "_Part[ProjectPauses]" = _Part("daemon.store.pauses", "ProjectPauses")
    tokens: "_Part[Tokens]" = _Part("daemon.store.tokens", "Tokens")
    sessions: "_Part[Sessions]" = _Part("daemon.store.sessions", "Sessions")
    shares: "_Part[Shares]" = _Part("daemon.store.shares", "Shares")
    needs: "_Part[NeedRows]" = _Part("daemon.store.needs", "NeedRows")
    day_sums: "_Part[DaySums]" = _Part("daemon.store.day_sums", "DaySums")
    figures: "_Part[Figures]" = _Part("daemon.store.figures", "Figures")
    following: "_Part[Following]" = _Part("daemon.store.following", "Following")


def _load_all() -> None:
    """Import all parts. A daemon must not import one later, when the files may be those of another version."""
    for part in vars(Transaction).values():
        if isinstance(part, _Part):
            part.make  # noqa: B018 - imports it


class Store:
    """An open database. A work is a function of a `Transaction`; either everything it does is stored, or nothing.

    Errors raised by a work pass through. A transaction that cannot be stored raises a `StoreError`.
    """

    def __init__(self, path: Path, *, named: Path, clock: Clock, lock: DaemonLock | None) -> None:
        """Use `open` instead. `named` is `path` as commands name it, with symbolic links, which may later lead
        elsewhere."""
        self.path = path
        self._lock = lock
        self._reading = reading_engine(path)
        self._writing = writing_engine(path)
        self._anchor = Anchor(path, beside=[lock.path, named]) if lock is not None else None
        self._writer = Writer(self._writing, path, clock=clock) if lock is not None else None
        self._eye: sqlite3.Connection | None = None
        self._closed = False

    @classmethod
    def open(cls, url: str, *, clock: Clock, daemon: bool = False, auto_migrate: bool = True) -> "Store":
        """Open the database, creating or upgrading it with `auto_migrate`.

        `daemon` locks the file against a second daemon, checks that it is writable, and starts the writer thread.
        Raises DatabaseFault (not supported, read-only, full, of another program, of a newer wrapd, or of an older
        one without `auto_migrate`) and AlreadyRunning; nothing is changed then.
        """
        schema = migrate.check(url)
        migrate.require(schema, upgradable=auto_migrate)
        require_folder(schema.path)
        lock = DaemonLock.take(schema.path) if daemon else None
        try:
            if migrate.upgrade(url, lock=lock):
                log.info(LogEvent.DATABASE_MIGRATED, path=str(schema.path), revision=schema.needed)
            if daemon:
                migrate.prove_writable(url)
                _load_all()
            return cls(schema.path, named=Path(url.removeprefix("sqlite:///")).absolute(), clock=clock, lock=lock)
        except BaseException:
            if lock is not None:
                lock.release()
            raise

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run a work in the writer thread, together with others that wait; returns after the COMMIT. Without a
        writer thread (in a command) it runs by itself. Cancelling the wait does not cancel the work."""
        if self._writer is None:
            return await asyncio.to_thread(self.write_now, work)
        return await self._writer.submit(lambda connection: work(Transaction(connection)))

    def write_here(self, work: Callable[[Transaction], T]) -> T:
        """Do the same in the calling thread, which saves waking another. Not for the thread of an event loop."""
        if self._writer is None:
            return self.write_now(work)
        return self._writer.perform(lambda connection: work(Transaction(connection)))

    def write_now(self, work: Callable[[Transaction], T]) -> T:
        """Run a work in its own transaction in the calling thread. Waits up to 5 seconds for other programs."""
        self._require_open()
        with mapped(self.path), self._writing.begin() as connection:
            return work(Transaction(connection))

    def read(self, work: Callable[[Transaction], T]) -> T:
        """Run a read-only work in the calling thread; it sees one state of the database."""
        self._require_open()
        with mapped(self.path), self._reading.connect() as connection:
            return work(Transaction(connection))

    async def read_async(self, work: Callable[[Transaction], T]) -> T:
        """Do the same off the event loop."""
        return await asyncio.to_thread(self.read, work)

    def follow(self, tell: "Callable[[list[ChangeRow], int], None]", *, after: int, most: int) -> None:
        """Call `tell` after each commit of a daemon's store, with the changes since the last call and the cursor
        behind them; the first time with those `after` a cursor. Others' commits in between are included. Of more
        than `most` changes it gets `most` + 1. It is called in any thread, and must neither block nor fail."""
        assert self._writer is not None, "a command follows nothing"
        from daemon.store.changes import follower  # noqa: PLC0415 - no command follows anything

        self._writer.look = follower(tell, after=after, most=most)

    def others_version(self) -> object:
        """Return a token that equals an earlier one only if no other program has committed since, so that a daemon
        need not look for changes. Costs no transaction. Read it before the look, and keep it once that succeeded.
        Callable from any thread. Raises StoreError. In a command, this store's own commits count too."""
        if self._writer is not None:
            return self._writer.others_version()
        self._require_open()
        with mapped(self.path):
            if self._eye is None:  # the number is this connection's own, so it is one that never writes
                self._eye = open_file(self.path)
            return self._eye.execute("PRAGMA data_version").fetchone()[0]

    def writer_health(self) -> WriterHealth:
        """Return the state of the writer thread; idle if there is none."""
        if self._writer is None:
            return WriterHealth(last_commit_at=None, waiting=0, oldest_wait=0.0)
        return self._writer.health()

    def moved(self) -> str | None:
        """Return what happened to a daemon's file while it was open: deleted, renamed or replaced. None: it is in
        place, and this store sees what commands write. Cheap."""
        return None if self._anchor is None else self._anchor.moved()

    def part(self) -> None:
        """Once the file has `moved`, checkpoint what was written to it, and leave the file now at its path alone.
        May wait some seconds for others."""
        if self._anchor is not None:
            self._anchor.part()

    def close(self) -> None:
        """Store what waits, then release the file and the lock. Further calls do nothing."""
        if self._closed:
            return
        self._closed = True
        if self._writer is not None:
            self._writer.close()
        if self._eye is not None:
            self._eye.close()
        self._reading.dispose()
        self._writing.dispose()
        if self._anchor is not None:
            self._anchor.close()
        if self._lock is not None:
            self._lock.release()

    def _require_open(self) -> None:
        if self._closed:
            raise StoreClosed(f"{self.path}: the database is closed")
