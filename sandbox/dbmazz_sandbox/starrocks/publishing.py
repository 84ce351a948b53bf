"""From a checked load to visible rows: the commit, and the publishing of versions in their order, table by table.

A commit usually shows at once. When publishing is late (fault `publish_timeout`), the rows wait in the file, durable and
unseen, and every later commit on the same table waits behind them: StarRocks publishes the versions of a partition in
order (starrocks.md 7).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING

import duckdb
import structlog

from dbmazz_sandbox.starrocks.catalog import Table
from dbmazz_sandbox.starrocks.errors import LoadError
from dbmazz_sandbox.starrocks.faults import Fault
from dbmazz_sandbox.starrocks.labels import State, Transaction
from dbmazz_sandbox.starrocks.protocol.fold import Batch
from dbmazz_sandbox.starrocks.protocol.upsert import Write

if TYPE_CHECKING:
    from dbmazz_sandbox.starrocks.cluster import Cluster

log = structlog.get_logger("dbmazz.sandbox.starrocks")
PUBLISH_TIMEOUT = (
    "Publish timeout. The data will be visible after a while, "
    "please check the label state before you load the data again"
)
TABLET_RACE = (
    "Fail to get tablet, perhaps this table is doing schema change, or it has already been deleted. "
    "Please try again. tablet_id={tablet}"
)
_AGAIN_S = 0.1  # a publish that met a schema change is tried again

Changes = Sequence[tuple[Write, Batch]]


class Publisher:
    """Commits of one cluster. All methods belong to its event loop."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._waiting: dict[int, tuple[Transaction, asyncio.Event]] = {}  # committed, not visible, in commit order
        self._publishing: set[int] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def resume(self) -> None:
        """Publish what an earlier run committed and did not get to show."""
        for database in self._cluster.catalog.databases:
            for transaction in self._cluster.labels.all(database):
                if transaction.state is State.COMMITTED:
                    self._enqueue(transaction)

    def close(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    async def commit(
        self, transaction: Transaction, tables: Sequence[Table], build: Callable[[], Changes], patience: float
    ) -> bool:
        """Commit what `build` returns; it runs in the thread that writes. True when the rows are visible, for which it
        waits `patience` seconds behind earlier versions.

        Raises LoadError when the transaction was aborted meanwhile or a table is not what it was. Cancelled, it still
        waits until it is known how the commit ended, and the label says so."""
        async with self._locked(tables):
            self._check(transaction, tables)
            self._name(transaction, tables)
            late = self._late(transaction)
            finished = self._cluster.now()

            def write() -> None:
                if late:
                    self._cluster.store.stage(build(), transaction, State.COMMITTED, finished)
                else:
                    self._cluster.store.apply_all(build(), transaction, finished)

            await self._settle(self._cluster.start(write), transaction, late)
        return await self._visible(transaction, patience)

    async def prepare(
        self, transaction: Transaction, tables: Sequence[Table], build: Callable[[], Changes], timeout_s: int
    ) -> None:
        """PREPARE to PREPARED: durable and unseen. `timeout_s` is how long the commit may take, -1 for the setting."""
        cluster = self._cluster
        async with self._locked(tables):
            self._check(transaction, tables)
            self._name(transaction, tables)
            now = cluster.now()
            cluster.labels.prepare(transaction, now, timeout_s)
            written = cluster.start(lambda: cluster.store.stage(build(), transaction, State.PREPARED, now))
            transaction.committing = True
            try:
                await asyncio.shield(written)
            except duckdb.Error as error:
                raise _refused(transaction, error) from error
            finally:
                transaction.committing = False
                if not written.done():
                    await asyncio.wait([written])
                if written.exception() is not None:
                    cluster.labels.finish(transaction, State.ABORTED, cluster.now(), "prepare failed")
                    cluster.labels.abandoned.remove(transaction)
            cluster.arm()

    async def commit_prepared(self, transaction: Transaction, patience: float) -> bool:
        """PREPARED to COMMITTED and, if publishing is on time, VISIBLE, which is what it returns."""
        cluster = self._cluster
        async with self._locked(self._tables(transaction)):
            if transaction.state is not State.PREPARED:
                return transaction.state is State.VISIBLE
            late, finished = self._late(transaction), cluster.now()
            store = cluster.store
            call = store.commit_staged if late else store.publish
            await self._settle(cluster.start(lambda: call(transaction, finished)), transaction, late)
        return await self._visible(transaction, patience)

    async def abort_prepared(self, transaction: Transaction, reason: str) -> None:
        """Rolled back by the client; nothing happens when it has ended meanwhile."""
        cluster = self._cluster
        async with self._locked(self._tables(transaction)):
            if transaction.state is not State.PREPARED:
                return
            cluster.labels.finish(transaction, State.ABORTED, cluster.now(), reason)
            cluster.labels.abandoned.remove(transaction)
            await asyncio.shield(cluster.start(lambda: cluster.store.discard(transaction, cluster.now())))

    def _tables(self, transaction: Transaction) -> list[Table]:
        """Those of its tables that are still there."""
        return [table for table in map(self._cluster.catalog.by_ident, transaction.tables) if table is not None]

    async def _visible(self, transaction: Transaction, patience: float) -> bool:
        """A commit that is late on purpose is answered at once; one behind an earlier version waits for it."""
        waiting = self._waiting.get(transaction.ident)
        if waiting is not None and not transaction.visible_at:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(waiting[1].wait(), patience)
        return transaction.state is State.VISIBLE

    async def settled(self, table: Table) -> None:
        """Wait until nothing committed on this table is unseen; for what reads its own writes (DML)."""
        for transaction, done in list(self._waiting.values()):
            if table.ident in transaction.tables:
                await done.wait()

    def holds(self, table: Table) -> bool:
        """Whether rows wait for this table, prepared or committed."""
        return any(
            table.ident in transaction.tables and transaction.state in (State.PREPARED, State.COMMITTED)
            for transaction in self._cluster.labels.all(table.database)
        )

    @contextlib.asynccontextmanager
    async def _locked(self, tables: Sequence[Table]) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            for table in sorted(tables, key=lambda table: table.ident):
                await stack.enter_async_context(self._cluster.lock(table))
            yield

    def _check(self, transaction: Transaction, tables: Sequence[Table]) -> None:
        cluster = self._cluster
        cluster.check_frontend()
        cluster.labels.expire(transaction.database, cluster.now())
        if transaction.state is not State.PREPARE:
            raise LoadError(transaction.reason or f"transaction not found: {transaction.ident}")
        for table in tables:
            if cluster.catalog.get(table.database, table.name) is not table:
                raise LoadError(TABLET_RACE.format(tablet=table.ident + 1))

    def _name(self, transaction: Transaction, tables: Sequence[Table]) -> None:
        transaction.tables = tuple(table.ident for table in tables)
        transaction.table_names = tuple(table.name for table in tables)

    def _late(self, transaction: Transaction) -> bool:
        """Whether publishing waits: by a fault, or behind an earlier version of one of the tables."""
        cluster = self._cluster
        for name in transaction.table_names:
            if rule := cluster.faults.take(Fault.PUBLISH_TIMEOUT, f"{transaction.database}.{name}"):
                transaction.visible_at = cluster.now() + rule.delay_ms / 1000
                return True
        return any(self._overlap(transaction, other) for other, _ in self._waiting.values())

    @staticmethod
    def _overlap(one: Transaction, other: Transaction) -> bool:
        return not set(one.tables).isdisjoint(other.tables)

    async def _settle(self, commit: asyncio.Future[None], transaction: Transaction, late: bool) -> None:
        """Wait for the thread that commits, also when the load is cancelled or times out: what is on its way to the
        file cannot be called back, and the label must say what became of it. Raises LoadError when the file refuses."""
        transaction.committing = True
        try:
            await asyncio.shield(commit)
        except duckdb.Error as error:
            raise _refused(transaction, error) from error
        finally:
            if not commit.done():
                await asyncio.wait([commit])
            transaction.committing = False
            if commit.exception() is None:
                state = State.COMMITTED if late else State.VISIBLE
                self._cluster.labels.finish(transaction, state, self._cluster.now())
                if late:
                    self._enqueue(transaction)

    def _enqueue(self, transaction: Transaction) -> None:
        self._waiting[transaction.ident] = (transaction, asyncio.Event())
        self._arm()

    def _arm(self) -> None:
        """A timer for the first version whose time comes, behind which nothing else has to wait."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._closed:
            return
        due = [transaction.visible_at for transaction in self._first()]
        if due:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, min(due) - self._cluster.now()), self._publish)

    def _first(self) -> list[Transaction]:
        """Those with no earlier version of one of their tables before them."""
        seen: set[int] = set()
        out: list[Transaction] = []
        for transaction, _ in self._waiting.values():
            if seen.isdisjoint(transaction.tables) and transaction.ident not in self._publishing:
                out.append(transaction)
            seen.update(transaction.tables)
        return out

    def _publish(self) -> None:
        now = self._cluster.now()
        for transaction in self._first():
            if transaction.visible_at <= now:
                self._publishing.add(transaction.ident)
                write = self._cluster.start(lambda chosen=transaction: self._cluster.store.publish(chosen, now))
                write.add_done_callback(lambda done, chosen=transaction: self._published(chosen, done))
        self._arm()

    def _published(self, transaction: Transaction, done: asyncio.Future[None]) -> None:
        self._publishing.discard(transaction.ident)
        if done.cancelled() or self._closed:
            return
        if (error := done.exception()) is not None:
            log.warning("publish_failed", txn_id=transaction.ident, error=type(error).__name__)
            transaction.visible_at = self._cluster.now() + _AGAIN_S
        else:
            _, event = self._waiting.pop(transaction.ident)
            # The database may be gone by now, and its labels with it.
            if transaction.state is State.COMMITTED:
                self._cluster.labels.finish(transaction, State.VISIBLE, self._cluster.now())
            event.set()
        self._arm()


def _refused(transaction: Transaction, error: duckdb.Error) -> LoadError:
    """DuckDB's own words would hold values; and whatever it is, StarRocks would have said something else."""
    log.warning("store_refused", txn_id=transaction.ident, error=type(error).__name__)
    return LoadError("not emulated: a value or a change that the sandbox's store refuses")
