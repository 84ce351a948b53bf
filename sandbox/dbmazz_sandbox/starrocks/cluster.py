"""The state that FE, BE and the MySQL port share on the event loop: catalogue, labels, locks, settings."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

import structlog

from dbmazz_sandbox.starrocks.alters import Alters, Job, moment
from dbmazz_sandbox.starrocks.backends import Backends
from dbmazz_sandbox.starrocks.catalog import Catalog, Column, Table, with_job
from dbmazz_sandbox.starrocks.errors import LoadError, SqlError
from dbmazz_sandbox.starrocks.faults import Fault, Faults
from dbmazz_sandbox.starrocks.labels import Labels, Transaction
from dbmazz_sandbox.starrocks.mysql.alter import Altered, alter_table
from dbmazz_sandbox.starrocks.protocol.tokens import Tokens
from dbmazz_sandbox.starrocks.protocol.upsert import default_value
from dbmazz_sandbox.starrocks.publishing import Publisher
from dbmazz_sandbox.starrocks.store import Store, StoreRefused
from dbmazz_sandbox.starrocks.users import Users
from dbmazz_sandbox.starrocks.version import Version

R = TypeVar("R")
log = structlog.get_logger("dbmazz.sandbox.starrocks")
ERROR_LOGS = 200  # files kept
ALTER_SECONDS = "sandbox_alter_seconds"  # how long every ALTER takes; not a setting of StarRocks
ALTER_FAILED = "schema change task failed: alter tablet failed"


def utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)


class Expiring(Protocol):
    """What has deadlines. Times are Unix seconds; 0: none."""

    def next_deadline(self) -> float: ...

    def expire_all(self, now: float) -> object: ...


class Cluster:
    """One emulated cluster. All methods belong to the event loop; blocking work goes through `load` and `query`."""

    def __init__(
        self, store: Store, faults: Faults, version: Version, user: str, password: str, backends: Backends | None = None
    ) -> None:
        self.store, self.faults, self.version = store, faults, version
        self.users = Users(user, password)
        if (kept := store.kept("users")) is not None:
            self.users.restore(kept)
        self.alters = Alters()
        self.alters.restore(store.kept("alters") or [])
        self.backends = backends if backends is not None else Backends(1)
        self.frontend_up = True
        self.settings = {"empty_load_as_error": "true", "run_mode": "shared_nothing", "max_varchar_length": "1048576",
                         "label_keep_max_num": "1000", "label_keep_max_second": "259200",
                         "max_running_txn_num_per_db": "1000", "stream_load_default_timeout_second": "600",
                         "prepared_transaction_default_timeout_second": "86400",
                         ALTER_SECONDS: "0",
                         # The images for one BE set 1, a cluster's default is 3.
                         "default_replication_num": str(min(3, len(self.backends)))}  # fmt: skip
        self.error_logs: OrderedDict[str, str] = OrderedDict()
        self._locks: dict[int, asyncio.Lock] = {}
        # Two pools: a crowd of queries never takes the threads that loads commit on.
        self._load_pool = ThreadPoolExecutor(4, thread_name_prefix="starrocks-load")
        self._query_pool = ThreadPoolExecutor(8, thread_name_prefix="starrocks-query")
        self.labels.settings = self.settings
        self.publisher = Publisher(self)
        self.expiring: list[Expiring] = [self.labels]
        self._timer: asyncio.TimerHandle | None = None

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

    def arm(self) -> None:
        """Set the timer for the earliest deadline; called whenever one was added."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadlines = [deadline for each in self.expiring if (deadline := each.next_deadline())]
        if deadlines:
            wait = max(0.0, min(deadlines) - self.now())
            self._timer = asyncio.get_running_loop().call_later(wait, self._expire)

    def _expire(self) -> None:
        for each in self.expiring:
            each.expire_all(self.now())
        self.discard_abandoned()
        self.arm()

    def discard_abandoned(self) -> None:
        """Have a thread throw away what prepared transactions had staged that are aborted now."""
        while self.labels.abandoned:
            transaction, now = self.labels.abandoned.pop(), self.now()
            self.start(lambda given=transaction, at=now: self.store.discard(given, at)).add_done_callback(_report)

    def check_frontend(self) -> None:
        """Raises LoadError while the FE restarts: a BE needs it to begin, plan and commit."""
        if not self.frontend_up:
            address = f"TNetworkAddress(hostname={self.backends[0].host}, port=9020)"
            raise LoadError(f"FE RPC failure, address={address}, reason=connect() failed: Connection refused")

    def stop(self) -> None:
        """No timer fires any more; before `close`, on the event loop."""
        self.publisher.close()
        if self._timer is not None:
            self._timer.cancel()

    def close(self) -> None:
        """Blocking: waits for what is being committed, then closes the file."""
        self._load_pool.shutdown(wait=True)
        self._query_pool.shutdown(wait=True)
        self.store.close()

    def now(self) -> float:
        return time.time()

    def new_error_log(self, be_url: str, lines: Sequence[str], transaction: Transaction) -> str:
        """Keep the rejected rows of a load; the ErrorURL of its reply."""
        name = f"error_log_{uuid.uuid4().hex[:16]}_{uuid.uuid4().hex[:16]}"
        self.error_logs[name] = "\n".join(lines) + "\n"
        transaction.error_log = name
        while len(self.error_logs) > ERROR_LOGS:
            self.error_logs.popitem(last=False)
        return f"{be_url}/api/_load_error_log?file={name}"

    def tracking(self) -> list[tuple[int, str, str, str]]:
        """Job, label, database and text of the error logs that belong to a transaction."""
        return [(t.ident, t.label, t.database, self.error_logs[t.error_log]) for t in self.labels.transactions()
                if getattr(t, "error_log", "") in self.error_logs]  # fmt: skip

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
        self.labels.drop_database(name)  # with what was prepared: it goes with the tables
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
            raise SqlError.analyzed(f"Table '{name}' already exists", 1050, "42S01")
        ident = await self.load(self.store.next_ident)
        table = self.backends.placed(build(ident, f"{utc_now():%Y-%m-%d %H:%M:%S}"), self.settings)
        if self.catalog.databases.get(database, {}).setdefault(name, table) is not table:
            raise SqlError.analyzed(f"Table '{name}' already exists", 1050, "42S01")
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

    async def keep_users(self) -> None:
        await self.load(lambda: self.store.keep("users", self.users.to_dict()))

    async def keep_alters(self) -> None:
        await self.load(lambda: self.store.keep("alters", self.alters.to_rows()))

    async def alter_table(self, database: str, name: str, clauses: str, *, renames_columns: bool) -> None:
        """ALTER TABLE, after the name. Ends inside the statement unless it was asked to take time or to fail."""
        table = self.catalog.table(database, name)
        async with self.lock(table):
            table = self.catalog.table(database, name)
            self.alters.check_normal(table.ident, name)
            altered = alter_table(table, Tokens(clauses), renames_columns=renames_columns)
            if altered.table.name != name and altered.table.name in self.catalog.database(database):
                raise SqlError.ddl(f"Table name[{altered.table.name}] is already used")
            seconds, failure = self._asked_of_alters(f"{database}.{name}")
            waits = bool(altered.rewritten) and self.publisher.holds(table)  # for transactions, as WAITING_TXN
            if altered.job and (seconds or failure or waits):
                ident = await self.load(self.store.next_ident)
                self.alters.begin(Job(ident, database, name, table.ident, clauses, self.now(), seconds, failure))
                await self.keep_alters()
                return
            await self._carry_out(altered)

    def _asked_of_alters(self, table: str) -> tuple[float, str]:
        """How long an ALTER takes, and why it fails in the end; ("", 0) normally."""
        seconds, failure = float(self.settings[ALTER_SECONDS]), ""
        if rule := self.faults.take(Fault.SLOW_ALTER, table):
            seconds = rule.delay_ms / 1000
        if self.faults.take(Fault.FAILED_ALTER, table):
            failure = ALTER_FAILED
        return seconds, failure

    async def _carry_out(self, altered: Altered, job: Job | None = None) -> None:
        old, now = altered.before, utc_now()
        table = altered.table
        if altered.job:
            ident = job.ident if job else await self.load(self.store.next_ident)
            created = moment(job.created) if job else f"{now:%Y-%m-%d %H:%M:%S}"
            table = with_job(table, ident, created, f"{now:%Y-%m-%d %H:%M:%S}")
        added = [(column, default_value(column, now)) for column in altered.added if column in table.columns]
        rewritten = [(before, after, converted(before, after)) for before, after in altered.rewritten]
        await self.load(lambda: self.store.alter_table(table, added, rewritten))
        tables = self.catalog.databases[old.database]
        tables.pop(old.name, None)
        tables[table.name] = table

    async def settle(self) -> None:
        """Carry out the alter jobs whose time has come. Called before anything that could see the difference."""
        due = self.alters.due(self.now())
        for job in due:
            table = self.catalog.get(job.database, job.table)
            if table is None or table.ident != job.table_ident:
                self.alters.forget(job.table_ident)
                continue
            if self.publisher.holds(table):
                continue
            async with self.lock(table):
                if not job.ended:
                    await self._end(job)
        if due:
            self.alters.trim()
            await self.keep_alters()

    async def _end(self, job: Job) -> None:
        table = self.catalog.table(job.database, job.table)
        if job.failure or any(done.ident == job.ident for done in table.jobs):
            job.end(job.created + job.seconds, job.failure)
            return
        try:
            tokens = Tokens(job.clauses)
            await self._carry_out(alter_table(table, tokens, renames_columns=True), job)
            job.end(job.created + job.seconds)
        except (SqlError, StoreRefused) as error:
            job.end(job.created + job.seconds, f"schema change task failed: {error}")


def _report(done: asyncio.Future[None]) -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        log.warning("discard_failed", error=type(error).__name__)


def converted(old: Column, new: Column) -> str:
    """SQL that turns the old physical column into the new one, in StarRocks' text forms."""
    if new.type.physical == "VARCHAR":
        return f"sr_text({old.physical})"
    return f"{old.physical}::{new.type.physical}"
