"""The state that FE, BE and the MySQL port share on the event loop: catalogue, labels, locks, settings."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from dbmazz_sandbox.starrocks.catalog import Catalog, Column, Table, with_job
from dbmazz_sandbox.starrocks.errors import SqlError
from dbmazz_sandbox.starrocks.faults import Faults
from dbmazz_sandbox.starrocks.labels import Labels
from dbmazz_sandbox.starrocks.mysql.ddl import Altered
from dbmazz_sandbox.starrocks.protocol.upsert import default_value
from dbmazz_sandbox.starrocks.store import Store
from dbmazz_sandbox.starrocks.version import Version

R = TypeVar("R")
ERROR_LOGS = 200  # files kept


def utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)


class Cluster:
    """One emulated cluster. All methods belong to the event loop; blocking work goes through `load` and `query`."""

    def __init__(self, store: Store, faults: Faults, version: Version, user: str, password: str) -> None:
        self.store, self.faults, self.version = store, faults, version
        self.user, self.password = user, password
        self.settings = {"empty_load_as_error": "true", "run_mode": "shared_nothing", "max_varchar_length": "1048576",
                         "label_keep_max_num": "1000", "stream_load_default_timeout_second": "600"}  # fmt: skip
        self.error_logs: OrderedDict[str, str] = OrderedDict()
        self._locks: dict[int, asyncio.Lock] = {}
        # Two pools: a crowd of queries never takes the threads that loads commit on.
        self._load_pool = ThreadPoolExecutor(4, thread_name_prefix="starrocks-load")
        self._query_pool = ThreadPoolExecutor(8, thread_name_prefix="starrocks-query")

    @property
    def catalog(self) -> Catalog:
        return self.store.catalog

    @property
    def labels(self) -> Labels:
        return self.store.labels

    def lock(self, table: Table) -> asyncio.Lock:
        """Held by the commit of a load, by DML and by DDL: one at a time per table."""
        return self._locks.setdefault(table.ident, asyncio.Lock())

    async def load(self, call: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._load_pool, call)

    def start(self, call: Callable[[], R]) -> asyncio.Future[R]:
        """Like `load`, for a caller that must know how it ended even when it is cancelled."""
        return asyncio.get_running_loop().run_in_executor(self._load_pool, call)

    async def query(self, call: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._query_pool, call)

    def close(self) -> None:
        """Blocking: waits for what is being committed, then closes the file."""
        self._load_pool.shutdown(wait=True)
        self._query_pool.shutdown(wait=True)
        self.store.close()

    def now(self) -> float:
        return time.time()

    def keep_error_log(self, name: str, text: str) -> None:
        self.error_logs[name] = text
        while len(self.error_logs) > ERROR_LOGS:
            self.error_logs.popitem(last=False)

    async def create_database(self, name: str, *, if_not_exists: bool) -> None:
        if name in self.catalog.names():
            if if_not_exists:
                return
            raise SqlError(f"Can't create database '{name}'; database exists", code=1007, state="HY000")
        self.catalog.databases[name] = {}
        await self.load(lambda: self.store.create_database(name))

    async def drop_database(self, name: str, *, if_exists: bool) -> None:
        if name not in self.catalog.databases:
            if if_exists:
                return
            raise SqlError.unknown_database(name)
        tables = list(self.catalog.databases.pop(name).values())
        self.labels.drop_database(name)
        for table in tables:
            async with self.lock(table):
                self._locks.pop(table.ident, None)
        await self.load(lambda: self.store.drop_database(name, tables))

    async def create_table(self, database: str, name: str, build: Callable[[int, str], Table], *,
                           if_not_exists: bool) -> None:  # fmt: skip
        tables = self.catalog.database(database)
        if name in tables:
            if if_not_exists:
                return
            raise SqlError(f"Table '{name}' already exists", code=1050, state="42S01")
        ident = await self.load(self.store.next_ident)
        table = build(ident, f"{utc_now():%Y-%m-%d %H:%M:%S}")
        if self.catalog.databases.get(database, {}).setdefault(name, table) is not table:
            raise SqlError(f"Table '{name}' already exists", code=1050, state="42S01")
        async with self.lock(table):
            try:
                await self.load(lambda: self.store.create_table(table))
            except BaseException:
                tables.pop(name, None)
                raise

    async def drop_table(self, database: str, name: str, *, if_exists: bool) -> None:
        table = self.catalog.database(database).get(name)
        if table is None:
            if if_exists:
                return
            raise SqlError.unknown_table(f"{database}.{name}")
        async with self.lock(table):
            self.catalog.databases[database].pop(name, None)
            await self.load(lambda: self.store.drop_table(table))
        self._locks.pop(table.ident, None)

    async def truncate_table(self, table: Table) -> None:
        async with self.lock(table):
            await self.load(lambda: self.store.truncate(table))

    async def alter_table(self, database: str, name: str, change: Callable[[Table], Altered]) -> None:
        async with self.lock(self.catalog.table(database, name)):
            altered = change(self.catalog.table(database, name))
            now = utc_now()
            ident = await self.load(self.store.next_ident)
            table = with_job(altered.table, ident, f"{now:%Y-%m-%d %H:%M:%S}")
            added = [(column, default_value(column, now)) for column in altered.added if column in table.columns]
            rewritten = [(old, new, _converted(old.physical, new)) for old, new in altered.rewritten]
            await self.load(lambda: self.store.alter_table(table, added, rewritten))
            self.catalog.databases[database][name] = table


def _converted(old: str, new: Column) -> str:
    """SQL that turns the old physical column into the new one, in StarRocks' text forms."""
    return f"sr_text({old})" if new.type.physical == "VARCHAR" else f"{old}::{new.type.physical}"
