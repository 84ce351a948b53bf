"""Positions in one SQLite file, written by one worker thread.

WAL with `synchronous=FULL`: a commit has been fsynced when it returns, and what a kill leaves half written is rolled
back at the next start (https://www.sqlite.org/pragma.html#pragma_synchronous).
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from dbmazz.errors import ConfigError
from dbmazz.lsn import Lsn

from dbmazz_checkpoint.protocol.slot import Checkpoint, TableLoad
from dbmazz_checkpoint.store import schema
from dbmazz_checkpoint.store.interface import StoreError
from dbmazz_checkpoint.store.lock import ProcessLock

T = TypeVar("T")

# Rows of history kept per slot: 16 minutes of a busy one, days of a quiet one.
HISTORY_ROWS = 1000
_COLUMNS = "slot, epoch, confirmed_lsn, system_identifier, timeline, update_time_us"
_UNREADABLE = ("SQLITE_NOTADB", "SQLITE_CORRUPT")


class SqliteStore:
    """A `Store` in one file. The sqlite3 module blocks, so every statement runs on the store's own thread."""

    def __init__(
        self, thread: ThreadPoolExecutor, path: Path, lock: ProcessLock, connection: sqlite3.Connection
    ) -> None:
        self.description = f"sqlite:///{path}"
        self._thread = thread
        self._lock = lock
        self._connection = connection

    @classmethod
    async def open(cls, path: Path) -> SqliteStore:
        """Opens the file, which is made together with its directory when missing.

        ConfigError when it cannot be used, with the way out: another process has it, it cannot be written, it is no
        checkpoint store, or one of a newer dbmazz.
        """
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint-store")
        opened = thread.submit(_open, path)
        try:
            return cls(thread, *await asyncio.wrap_future(opened))
        except BaseException:
            thread.shutdown()
            raise

    async def list(self) -> list[Checkpoint]:
        return await self._run(self._select, "checkpoint ORDER BY slot")

    async def get(self, slot: str) -> Checkpoint | None:
        found = await self._run(self._select, "checkpoint WHERE slot = ?", slot)
        return found[0] if found else None

    async def history(self, slot: str, limit: int) -> list[Checkpoint]:
        newest_first = "history WHERE slot = ? ORDER BY epoch DESC, second DESC LIMIT ?"
        return await self._run(self._select, newest_first, slot, limit)

    async def begin(
        self, checkpoint: Checkpoint, unread: Mapping[int, int], streamed: Collection[int] = ()
    ) -> dict[int, int]:
        return await self._run(self._begin, checkpoint, unread, streamed)

    async def streamed(self, slot: str) -> list[int]:
        return await self._run(self._streamed, slot)

    async def store_load(self, slot: str, epoch: int, load: TableLoad) -> bool:
        return await self._run(self._store_load, slot, epoch, load)

    async def loads(self, slot: str) -> list[TableLoad]:
        return await self._run(self._loads, slot)

    async def advance(self, checkpoints: Sequence[Checkpoint]) -> list[bool]:
        return await self._run(self._advance, checkpoints)

    async def close(self) -> None:
        try:
            await self._run(self._connection.close)
        finally:
            self._thread.shutdown()
            self._lock.release()

    async def _run(self, call: Callable[..., T], *arguments: object) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)
        except (sqlite3.Error, ValueError) as error:  # ValueError: somebody wrote a position that is none
            raise StoreError(
                f"the checkpoint store {self.description} failed ({_reason(error)})", "Look at its disk and at the file"
            ) from error

    # What follows runs on the store's thread.

    def _select(self, source: str, *values: object) -> list[Checkpoint]:
        rows = self._connection.execute(f"SELECT {_COLUMNS} FROM {source}", values)
        return [Checkpoint(slot, epoch, Lsn.parse(lsn), *rest) for slot, epoch, lsn, *rest in rows]

    def _begin(self, checkpoint: Checkpoint, unread: Mapping[int, int], streamed: Collection[int]) -> dict[int, int]:
        self._connection.execute("BEGIN IMMEDIATE")
        with self._connection:
            self._write(checkpoint)
            self._connection.executemany(
                "INSERT OR IGNORE INTO unread_table (slot, relation_id, row_estimate) VALUES (?, ?, ?)",
                [(checkpoint.slot, relation_id, rows) for relation_id, rows in unread.items()],
            )
            if streamed:
                self._connection.execute("DELETE FROM streamed_table WHERE slot = ?", (checkpoint.slot,))
                self._connection.executemany(
                    "INSERT INTO streamed_table (slot, relation_id) VALUES (?, ?)",
                    [(checkpoint.slot, relation_id) for relation_id in set(streamed)],
                )
        query = "SELECT relation_id, row_estimate FROM unread_table WHERE slot = ? ORDER BY relation_id"
        return dict(self._connection.execute(query, (checkpoint.slot,)))

    def _streamed(self, slot: str) -> list[int]:
        query = "SELECT relation_id FROM streamed_table WHERE slot = ? ORDER BY relation_id"
        return [relation_id for (relation_id,) in self._connection.execute(query, (slot,))]

    def _store_load(self, slot: str, epoch: int, load: TableLoad) -> bool:
        self._connection.execute("BEGIN IMMEDIATE")
        with self._connection:
            stored = self._select("checkpoint WHERE slot = ?", slot)
            if not stored or stored[0].epoch != epoch:
                return False
            state = "done" if load.done else "running"
            values = (slot, load.relation_id, load.table, state, load.update_time_us, load.load)
            self._connection.execute("INSERT OR REPLACE INTO table_load VALUES (?, ?, ?, ?, ?, ?)", values)
            if load.done:
                where = "WHERE slot = ? AND relation_id = ?"
                self._connection.execute(f"DELETE FROM unread_table {where}", (slot, load.relation_id))
        return True

    def _loads(self, slot: str) -> list[TableLoad]:
        query = (
            "SELECT relation_id, table_name, state = 'done', load, update_time_us FROM table_load WHERE slot = ?"
            " ORDER BY relation_id"
        )
        rows = self._connection.execute(query, (slot,))
        return [TableLoad(relation_id, name, bool(done), load, time) for relation_id, name, done, load, time in rows]

    def _advance(self, checkpoints: Sequence[Checkpoint]) -> list[bool]:
        self._connection.execute("BEGIN IMMEDIATE")
        with self._connection:
            return [self._advance_one(checkpoint) for checkpoint in checkpoints]

    def _advance_one(self, checkpoint: Checkpoint) -> bool:
        stored = self._select("checkpoint WHERE slot = ?", checkpoint.slot)
        if not stored or stored[0].epoch != checkpoint.epoch:
            return False
        if checkpoint.confirmed_lsn > stored[0].confirmed_lsn:
            self._write(checkpoint)
        return True

    def _write(self, checkpoint: Checkpoint) -> None:
        slot, second = checkpoint.slot, checkpoint.update_time_us // 1_000_000
        values = (slot, checkpoint.epoch, str(checkpoint.confirmed_lsn), checkpoint.system_identifier)
        values += (checkpoint.timeline, checkpoint.update_time_us)
        self._connection.execute(f"INSERT OR REPLACE INTO checkpoint ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", values)
        self._connection.execute(
            f"INSERT OR REPLACE INTO history ({_COLUMNS}, second) VALUES (?, ?, ?, ?, ?, ?, ?)", (*values, second)
        )
        self._connection.execute(
            "DELETE FROM history WHERE slot = ? AND (epoch, second) < (SELECT epoch, second FROM history "
            "WHERE slot = ? ORDER BY epoch DESC, second DESC LIMIT 1 OFFSET ?)",
            (slot, slot, HISTORY_ROWS - 1),
        )


def _open(path: Path) -> tuple[Path, ProcessLock, sqlite3.Connection]:
    path = path.resolve()
    lock = _lock(path)
    try:
        return path, lock, _connect(path)
    except BaseException:
        lock.release()
        raise


def _lock(path: Path) -> ProcessLock:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return ProcessLock(path.with_name(path.name + ".lock"))
    except OSError as error:
        raise ConfigError(
            f"the directory of the checkpoint store {path} cannot be written ({error.strerror})",
            "Give this user the right to write there, or set another CHECKPOINT_URL",
        ) from None


def _connect(path: Path) -> sqlite3.Connection:
    connection: sqlite3.Connection | None = None
    try:
        # Autocommit: transactions are written out, so that it can be seen what is in one.
        connection = sqlite3.connect(path, isolation_level=None)
        version = schema.check(connection, str(path))
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise ConfigError(
                f"SQLite cannot keep {path} in WAL mode", "Put it on a local disk: network file systems lack the locks"
            )
        connection.execute("PRAGMA synchronous = FULL")
        schema.migrate(connection, version)
        (sound,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if sound != "ok":
            raise sqlite3.DatabaseError(sound)
    except BaseException as error:
        if connection is not None:
            connection.close()
        if isinstance(error, sqlite3.Error):
            raise _unusable(path, error) from None
        raise
    return connection


def _unusable(path: Path, error: sqlite3.Error) -> ConfigError:
    name = getattr(error, "sqlite_errorname", "SQLITE_CORRUPT")
    if name.startswith(_UNREADABLE):
        way_out = "Move it away, to begin where the slot stands, or set another CHECKPOINT_URL"
    else:
        way_out = "Give this user the right to write it and its directory, or set another CHECKPOINT_URL"
    return ConfigError(f"the checkpoint store {path} cannot be used ({_reason(error)})", way_out)


def _reason(error: Exception) -> str:
    name = getattr(error, "sqlite_errorname", "")
    return f"{name}: {error}" if name else str(error)
