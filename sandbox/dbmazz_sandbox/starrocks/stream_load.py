"""One Stream Load on the BE, in the order of starrocks.md section 10: begin, headers, plan, body, rows, commit."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping

import structlog

from dbmazz_sandbox.starrocks.cluster import Cluster, utc_now
from dbmazz_sandbox.starrocks.errors import LabelExists, LoadError
from dbmazz_sandbox.starrocks.faults import Fault
from dbmazz_sandbox.starrocks.labels import State, Transaction
from dbmazz_sandbox.starrocks.protocol.headers import check_timeout, read_early
from dbmazz_sandbox.starrocks.protocol.load import LoadPlan, Scan, change_of, check_rows, plan_load
from dbmazz_sandbox.starrocks.protocol.reply import Reply
from dbmazz_sandbox.starrocks.protocol.rows import LoadedRows

log = structlog.get_logger("dbmazz.sandbox.starrocks")
TOO_MANY_VERSIONS = (
    "Failed to load data into tablet {tablet}, because of too many versions, current/limit: 1001/1000. You can reduce "
    "the loading job concurrency, or increase loading data batch size. If you are loading data with Routine Load, "
    "you can increase FE configs routine_load_task_consume_second and max_routine_load_batch_size,"
)
PUBLISH_TIMEOUT = (
    "Publish timeout. The data will be visible after a while, "
    "please check the label state before you load the data again"
)


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
        brief = f"label={self.reply.label}"
        early = read_early(self._headers, content_length, brief)
        self.timeout = early.timeout
        cluster, reply = self._cluster, self.reply
        if denied:
            raise LoadError(denied)
        if reply.database not in cluster.catalog.databases:
            raise LoadError(f"unknown database, database={reply.database}")
        table = cluster.catalog.get(reply.database, reply.table)
        if table is None:
            raise LoadError(f'unknown table "{self.table}"')
        check_timeout(early.timeout)
        self._transaction = cluster.labels.begin(reply.database, reply.label, cluster.now())
        reply.txn_id = self._transaction.ident
        self._plan = plan_load(table, self._headers, early, cluster.version)

    async def finish(self, body: bytes) -> None:
        """Read, convert and publish. Raises LoadError."""
        self.reply.bytes = len(body)
        faults, at = self._cluster.faults, time.monotonic()
        rejected = faults.take(Fault.REJECT_ROWS, self.table)
        rows = await self._cluster.load(lambda: self._read(body, rejected.rows if rejected else 0))
        self.reply.read_ms = _ms(at)
        self.reply.total, self.reply.loaded = rows.total, rows.loaded
        self.reply.filtered, self.reply.unselected = rows.filtered, rows.unselected
        if rows.error_log:
            self.reply.error_url = self._keep_error_log(rows)
        check_rows(self._plan, rows, empty_is_error=self._cluster.settings["empty_load_as_error"] == "true")
        await faults.wait_while_stalled(self.table)
        if faults.take(Fault.TOO_MANY_VERSIONS, self.table):
            raise LoadError(TOO_MANY_VERSIONS.format(tablet=self._plan.tablet))
        await self._commit(rows)

    def _read(self, body: bytes, reject: int) -> LoadedRows:
        scan = Scan(self._plan, utc_now(), reject)
        scan.feed(body)
        return scan.finish()

    async def _commit(self, rows: LoadedRows) -> None:
        cluster, plan, at = self._cluster, self._plan, time.monotonic()
        # Outside of the lock: a load that is late can be overtaken by a newer one, as on a real cluster.
        await self._delay()
        async with cluster.lock(plan.table):
            if cluster.catalog.get(plan.table.database, plan.table.name) is not plan.table:
                raise LoadError(
                    "Fail to get tablet, perhaps this table is doing schema change, or it has already been deleted. "
                    f"Please try again. tablet_id={plan.tablet}"
                )
            assert self._transaction is not None
            transaction, finished = self._transaction, cluster.now()

            def publish() -> None:
                cluster.store.apply_all([change_of(plan, rows, utc_now())], transaction, finished)

            await self._publish(cluster.start(publish), transaction)
        self.reply.publish_ms = _ms(at)
        self.reply.load_ms = _ms(self._started)
        self.lost = cluster.faults.take(Fault.LOST_RESPONSE, self.table) is not None

    async def _publish(self, commit: asyncio.Future[None], transaction: Transaction) -> None:
        """Wait for the thread that commits, also when the load is cancelled or times out: what is on its way to the
        file cannot be called back, and the label must say what became of it."""
        try:
            await asyncio.shield(commit)
        finally:
            if not commit.done():
                await asyncio.wait([commit])
            if commit.exception() is None:
                self._committed(transaction)

    async def _delay(self) -> None:
        if rule := self._cluster.faults.take(Fault.DELAY_BEFORE_COMMIT, self.table):
            await asyncio.sleep(rule.delay_ms / 1000)

    def _committed(self, transaction: Transaction) -> None:
        cluster = self._cluster
        rule = cluster.faults.take(Fault.PUBLISH_TIMEOUT, self.table)
        if rule is None:
            cluster.labels.finish(transaction, State.VISIBLE, cluster.now())
            return
        transaction.visible_at = cluster.now() + rule.delay_ms / 1000
        cluster.labels.finish(transaction, State.COMMITTED, cluster.now())
        self.reply.fail(PUBLISH_TIMEOUT, "Publish Timeout")

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

    @property
    def committed(self) -> bool:
        return self._transaction is not None and self._transaction.state in (State.COMMITTED, State.VISIBLE)

    def abort(self, reason: str) -> None:
        if self._transaction is not None and self._transaction.state is State.PREPARE:
            self._cluster.labels.finish(self._transaction, State.ABORTED, self._cluster.now(), reason)

    def _keep_error_log(self, rows: LoadedRows) -> str:
        name = f"error_log_{uuid.uuid4().hex[:16]}_{uuid.uuid4().hex[:16]}"
        self._cluster.keep_error_log(name, "\n".join(rows.error_log) + "\n")
        return f"{self._be_url}/api/_load_error_log?file={name}"


def _ms(since: float) -> int:
    return int((time.monotonic() - since) * 1000)
