"""One Stream Load on the BE, in the order of starrocks.md section 10: begin, headers, plan, body, rows, commit."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping

import structlog

from dbmazz_sandbox.starrocks import opening
from dbmazz_sandbox.starrocks.cluster import Cluster, utc_now
from dbmazz_sandbox.starrocks.errors import LabelExists, LoadError
from dbmazz_sandbox.starrocks.faults import Fault
from dbmazz_sandbox.starrocks.labels import State, Transaction
from dbmazz_sandbox.starrocks.protocol.headers import read_early
from dbmazz_sandbox.starrocks.protocol.load import LoadPlan, Scan, change_of, check_rows, plan_load
from dbmazz_sandbox.starrocks.protocol.reply import Reply
from dbmazz_sandbox.starrocks.protocol.rows import LoadedRows
from dbmazz_sandbox.starrocks.publishing import PUBLISH_TIMEOUT, TABLET_RACE

log = structlog.get_logger("dbmazz.sandbox.starrocks")
TOO_MANY_VERSIONS = (
    "Failed to load data into tablet {tablet}, because of too many versions, current/limit: 1001/1000. You can reduce "
    "the loading job concurrency, or increase loading data batch size. If you are loading data with Routine Load, "
    "you can increase FE configs routine_load_task_consume_second and max_routine_load_batch_size,"
)
MEMORY_LIMIT = (
    "memory limit exceeded, please reduce load frequency or increase config "
    "`load_process_max_memory_hard_limit_ratio` or add more BE nodes"
)
# Recorded is only that the BE's address comes first; what follows it is inferred.
FLUSH_FAILURE = "{host}: failed to flush memtable of tablet {tablet}"
SHUTTING_DOWN = "Service is shutting down, please retry later!"
# Where a load meets them: as its rows reach the tablets.
_SINK_FAULTS = ((Fault.MEMORY_LIMIT, MEMORY_LIMIT), (Fault.TABLET_RACE, TABLET_RACE),
                (Fault.TOO_MANY_VERSIONS, TOO_MANY_VERSIONS), (Fault.FLUSH_FAILURE, FLUSH_FAILURE))  # fmt: skip


class StreamLoad:
    """`begin` runs the checks that come before the body; `finish` takes the body. Either fills `reply`.

    Raises LoadError for a failed load: call `fail` with it. `lost` tells that the answer must not be sent.
    """

    def __init__(self, cluster: Cluster, database: str, table: str, headers: Mapping[str, str], be_url: str) -> None:
        self._cluster, self._headers, self._be_url = cluster, headers, be_url
        self._started = time.monotonic()
        self.reply = Reply(headers.get("label") or str(uuid.uuid4()), database, table)
        self.lost = False
        self.timeout = 600
        self._transaction: Transaction | None = None
        self._plan: LoadPlan

    @property
    def table(self) -> str:
        return f"{self.reply.database}.{self.reply.table}"

    def begin(self, content_length: int | None, denied: str) -> None:
        """`content_length` None for a chunked body; `denied` is why the credentials are refused, or ""."""
        if self._cluster.faults.take(Fault.SHUTTING_DOWN, self.table):
            raise LoadError(SHUTTING_DOWN)
        brief = f"label={self.reply.label}"
        early = read_early(self._headers, content_length, brief)
        self.timeout = early.timeout
        cluster, reply = self._cluster, self.reply
        table, self._transaction = opening.begin(
            cluster, reply.database, reply.table, reply.label, timeout=early.timeout, denied=denied
        )
        reply.txn_id = self._transaction.ident
        self._plan = plan_load(table, self._headers, early, cluster.version)
        opening.check_disks(cluster, self.table)

    async def finish(self, body: bytes) -> None:
        """Read, convert and publish. Raises LoadError."""
        self.reply.bytes = len(body)
        faults, at = self._cluster.faults, time.monotonic()
        rejected = faults.take(Fault.REJECT_ROWS, self.table)
        rows = await self._cluster.load(lambda: self._read(body, rejected.rows if rejected else 0))
        self.reply.read_ms = _ms(at)
        self.reply.total, self.reply.loaded = rows.total, rows.loaded
        self.reply.filtered, self.reply.unselected = rows.filtered, rows.unselected
        transaction = self._transaction
        assert transaction is not None
        transaction.filtered, transaction.unselected = rows.filtered, rows.unselected
        transaction.bytes = self.reply.bytes
        if rows.error_log:
            self.reply.error_url = self._cluster.new_error_log(self._be_url, rows.error_log, transaction)
        check_rows(self._plan, rows, empty_is_error=self._cluster.settings["empty_load_as_error"] == "true")
        await faults.wait_while_stalled(self.table)
        check_sink(self._cluster, self._plan)
        await self._commit(transaction, rows)

    def _read(self, body: bytes, reject: int) -> LoadedRows:
        scan = Scan(self._plan, utc_now(), reject)
        scan.feed(body)
        return scan.finish()

    async def _commit(self, transaction: Transaction, rows: LoadedRows) -> None:
        cluster, plan, at = self._cluster, self._plan, time.monotonic()
        # Outside of the lock: a load that is late can be overtaken by a newer one, as on a real cluster.
        await pause(cluster, Fault.DELAY_BEFORE_COMMIT, self.table)
        transaction.rows = rows.loaded
        visible = await cluster.publisher.commit(
            transaction, [plan.table], lambda: [change_of(plan, rows, utc_now())], self.timeout
        )
        await pause(cluster, Fault.DELAY_AFTER_COMMIT, self.table)
        if not visible:
            self.reply.fail(PUBLISH_TIMEOUT, "Publish Timeout")
        self.reply.publish_ms = _ms(at)
        self.reply.load_ms = _ms(self._started)
        self.lost = cluster.faults.take(Fault.LOST_RESPONSE, self.table) is not None

    def fail(self, error: LoadError) -> None:
        """Turn the reply into a failure and abort the transaction; its label may be used again."""
        if isinstance(error, LabelExists):
            self.reply.existing = error.existing
            self.reply.fail(error.message, "Label Already Exists")
        else:
            self.reply.fail(error.message)
        self.reply.loaded = 0 if error.message != "too many filtered rows" else self.reply.loaded
        self.abort(error.message)
        self.reply.load_ms = _ms(self._started)
        log.info("stream_load_failed", table=self.table, label=self.reply.label, txn_id=self.reply.txn_id)

    def late(self) -> None:
        """The load's time is up. What is committed stays so, and shows later."""
        if not self.committed:
            self.fail(LoadError("timeout by txn manager"))
        elif self._transaction is not None and self._transaction.state is State.COMMITTED:
            self.reply.fail(PUBLISH_TIMEOUT, "Publish Timeout")

    @property
    def committed(self) -> bool:
        return self._transaction is not None and self._transaction.state in (State.COMMITTED, State.VISIBLE)

    def abort(self, reason: str) -> None:
        if self._transaction is not None and self._transaction.state is State.PREPARE:
            self._cluster.labels.finish(self._transaction, State.ABORTED, self._cluster.now(), reason)


def check_sink(cluster: Cluster, plan: LoadPlan) -> None:
    """The ways the tablets refuse rows that a test can ask for. Raises LoadError."""
    for fault, message in _SINK_FAULTS:
        if cluster.faults.take(fault, f"{plan.table.database}.{plan.table.name}"):
            raise LoadError(message.format(tablet=plan.tablet, host=cluster.backends[0].host))


async def pause(cluster: Cluster, fault: Fault, table: str) -> None:
    """The delays that a test can ask for; everything else goes on meanwhile."""
    if rule := cluster.faults.take(fault, table):
        await asyncio.sleep(rule.delay_ms / 1000)


def _ms(since: float) -> int:
    return int((time.monotonic() - since) * 1000)
