"""The transactions of one table, on the BE that coordinates them (be/src/runtime/stream_load/transaction_mgr.cpp)."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Mapping

from dbmazz_sandbox.starrocks import opening
from dbmazz_sandbox.starrocks.backends import BackendNode
from dbmazz_sandbox.starrocks.cluster import Cluster, utc_now
from dbmazz_sandbox.starrocks.errors import LabelExists, LoadError
from dbmazz_sandbox.starrocks.faults import Fault
from dbmazz_sandbox.starrocks.labels import State, Transaction
from dbmazz_sandbox.starrocks.protocol.load import change_of
from dbmazz_sandbox.starrocks.protocol.rows import LoadedRows
from dbmazz_sandbox.starrocks.publishing import PUBLISH_TIMEOUT
from dbmazz_sandbox.starrocks.stream_load import check_sink, pause
from dbmazz_sandbox.starrocks.transactions.context import Context, Phase
from dbmazz_sandbox.starrocks.transactions.operation import Operation
from dbmazz_sandbox.starrocks.transactions.reply import Code, Counts, Failure
from dbmazz_sandbox.starrocks.transactions.work import Rejected, TableWork

COORDINATOR_DOWN = "coordinate BE is down"
_UNSIGNED = re.compile(r"\d{1,10}", re.ASCII)


class Coordinated:
    """By label, as the BE holds them: labels of different databases get in each other's way here."""

    def __init__(self, cluster: Cluster, node: BackendNode) -> None:
        self._cluster, self._node = cluster, node
        self._contexts: dict[str, Context] = {}
        cluster.expiring.append(self)

    def begin(self, headers: Mapping[str, str], denied: Callable[[], str] | None) -> Counts:
        """`denied` asks the FE why the credentials are refused, "" if they are not; None when there are none. They are kept:
        who loads and commits later is not looked at. Raises Failure."""
        label = headers["label"]
        if label in self._contexts:
            raise Failure(Code.LABEL_ALREADY_EXISTS, "")
        timeout = _seconds(headers, "timeout", int(self._cluster.settings["stream_load_default_timeout_second"]))
        idle = _seconds(headers, "idle_transaction_timeout", 0)
        if denied is None:
            raise Failure(Code.INTERNAL_ERROR, "no valid Basic authorization")
        database, name = headers.get("db", ""), headers.get("table", "")
        cluster = self._cluster
        try:
            table, transaction = opening.begin(
                cluster, database, name, label, timeout=timeout, denied=denied(), deadline=True
            )
        except LabelExists as error:
            raise Failure(Code.LABEL_ALREADY_EXISTS, error.message, error.existing) from error
        except LoadError as error:
            raise Failure(Code.ANALYSIS_ERROR, error.message) from error
        transaction.backend = self._node.ident
        brief = f"id={uuid.uuid4()}, job_id=-1, txn_id: {transaction.ident}, label={label}, db={database}"
        context = Context(transaction, TableWork(table, brief), idle, cluster.now(), denied)
        context.counts.txn_id = transaction.ident
        self._contexts[label] = context
        cluster.arm()
        return context.counts

    def begin_load(self, headers: Mapping[str, str], content_length: int | None) -> Context:
        """The checks of one load before its body; it is busy until `end_load`. Raises Failure; when it has a context by
        then, the transaction is over."""
        label = headers.get("label", "")
        if not label:
            raise Failure(Code.INVALID_ARGUMENT, "Invalid label ")
        context = self._contexts.get(label)
        if context is None:
            raise Failure(Code.TXN_NOT_EXISTS, f"Transaction with label {label} not exists")
        transaction, table = context.transaction, context.work.table
        database, name = headers.get("db", ""), headers.get("table", "")
        if database != transaction.database:
            raise Failure(Code.INVALID_ARGUMENT,
                          f"Request database {database} not equal transaction database {transaction.database}")  # fmt: skip
        if name != table.name:
            raise Failure(Code.INVALID_ARGUMENT, f"Request table {name} not equal transaction table {table.name}")
        self._take(context)
        try:
            context.work.begin_load(headers, content_length, self._cluster.version)
            try:
                opening.check_disks(self._cluster, f"{database}.{name}")
            except LoadError as error:
                raise Failure(Code.ANALYSIS_ERROR, error.message) from error
        except Failure as failure:
            self._roll_back(context, failure.message)
            raise
        return context

    def end_load(self, context: Context, body: bytes, milliseconds: int) -> Counts:
        """The body is there. Raises Failure when the transaction ended meanwhile."""
        counts = context.counts
        if context.phase is Phase.GONE:  # rolled back while the body came
            raise Failure(Code.ABORTED, context.transaction.reason)
        context.move(Phase.LOADING)
        context.work.bodies.append(body)
        counts.bytes += len(body)
        counts.received, counts.receive_ms = len(body), milliseconds
        counts.total_receive_ms += milliseconds
        self._release(context)
        return counts

    def abort_load(self, context: Context, reason: str) -> None:
        """The body did not come: the transaction is over."""
        if context.phase in (Phase.BEGUN, Phase.LOADING):
            self._roll_back(context, reason)

    async def end(self, operation: Operation, headers: Mapping[str, str]) -> Context:
        """Prepare, or commit in one phase. Raises Failure; the transaction is over then."""
        context = self._of(headers)
        timeout = _prepared_timeout(headers) if operation is Operation.PREPARE else -1
        self._take(context)
        empty = context.phase is Phase.BEGUN
        context.move(Phase.ENDING)
        try:
            if empty:
                message = f"transaction {context.work.brief} hasn't send any data yet"
                raise Failure(Code.INTERNAL_ERROR, message)
            await self._finish(operation, context, timeout)
        except Failure as failure:
            failure.error_url = context.error_url
            if failure.code is not Code.PUBLISH_TIMEOUT:
                self._abort(context, failure.message)
            raise
        finally:
            self._forget(context)
        return context

    def roll_back(self, headers: Mapping[str, str]) -> None:
        """By the client. Raises Failure."""
        context = self._of(headers)
        if context.phase is Phase.ENDING:
            raise Failure(Code.TXN_IN_PROCESSING, "Transaction in processing, please retry later")
        self._roll_back(context, "transaction is aborted by user.")

    def list(self) -> list[Context]:
        return list(self._contexts.values())

    def forget(self) -> None:
        """The BE goes down: what it coordinated is over."""
        for context in list(self._contexts.values()):
            if context.phase is not Phase.ENDING:
                self._roll_back(context, COORDINATOR_DOWN)

    def next_deadline(self) -> float:
        return min((context.deadline for context in self._contexts.values() if context.deadline), default=0.0)

    def expire_all(self, now: float) -> None:
        for context in list(self._contexts.values()):
            if context.busy:
                continue
            if not context.transaction.running:  # the manager was first
                self._forget(context)
            elif context.deadline and context.deadline <= now:
                self._roll_back(context, "transaction is aborted by idle timeout.")

    async def _finish(self, operation: Operation, context: Context, timeout: int) -> None:
        cluster, transaction, table = self._cluster, context.transaction, context.work.table
        name = f"{table.database}.{table.name}"
        try:
            rows = await self._read(context, name)
            await cluster.faults.wait_while_stalled(name)
            plan = context.work.plan
            assert plan is not None
            check_sink(cluster, plan)
        except LoadError as error:
            empty = error.message == cluster.version.empty_load
            raise Failure(Code.ANALYSIS_ERROR if empty else Code.INTERNAL_ERROR, error.message) from error
        await pause(cluster, Fault.DELAY_BEFORE_COMMIT, name)
        at = time.monotonic()
        try:
            if denied := context.denied():  # loadTxnPrepare and loadTxnCommit: checkPasswordAndLoadPriv
                raise LoadError(denied)
            build = lambda: [change_of(plan, rows, utc_now())]  # noqa: E731 - a thunk for the thread that writes
            if operation is Operation.PREPARE:
                await cluster.publisher.prepare(transaction, [table], build, timeout)
            elif not await cluster.publisher.commit(transaction, [table], build, self._patience(transaction)):
                raise Failure(Code.PUBLISH_TIMEOUT, PUBLISH_TIMEOUT)
        except LoadError as error:
            raise Failure(Code.ANALYSIS_ERROR, error.message) from error
        await pause(cluster, Fault.DELAY_AFTER_COMMIT, name)
        context.counts.commit_ms, context.counts.load_ms = _ms(at), _ms(context.started)

    def _patience(self, transaction: Transaction) -> float:
        return max(0.0, transaction.deadline - self._cluster.now()) if transaction.deadline else 0.0

    async def _read(self, context: Context, name: str) -> LoadedRows:
        """Raises LoadError."""
        rejected = self._cluster.faults.take(Fault.REJECT_ROWS, name)
        empty_is_error = self._cluster.settings["empty_load_as_error"] == "true"
        reject = rejected.rows if rejected else 0
        try:
            rows = await self._cluster.load(lambda: context.work.read(reject, empty_is_error=empty_is_error))
        except Rejected as error:
            self._count(context, error.rows)
            raise
        self._count(context, rows)
        return rows

    def _count(self, context: Context, rows: LoadedRows) -> None:
        counts, transaction = context.counts, context.transaction
        counts.total, counts.loaded = rows.total, rows.loaded
        counts.filtered, counts.unselected = rows.filtered, rows.unselected
        transaction.rows, transaction.filtered = rows.loaded, rows.filtered
        transaction.unselected, transaction.bytes = rows.unselected, counts.bytes
        if rows.error_log:
            context.error_url = self._cluster.new_error_log(self._node.url, rows.error_log, transaction)

    def _of(self, headers: Mapping[str, str]) -> Context:
        label, database = headers["label"], headers.get("db", "")
        context = self._contexts.get(label)
        if context is None:
            raise Failure(Code.TXN_NOT_EXISTS, f"transaction with label {label} not exists")
        if database != context.transaction.database:
            raise Failure(Code.INVALID_ARGUMENT,
                          f"request db {database} transaction db {context.transaction.database} not match")  # fmt: skip
        return context

    def _take(self, context: Context) -> None:
        if context.busy:
            raise Failure(Code.TXN_IN_PROCESSING, "Transaction in processing, please retry later")
        context.busy = True

    def _release(self, context: Context) -> None:
        context.busy, context.active = False, self._cluster.now()
        self._cluster.arm()

    def _roll_back(self, context: Context, reason: str) -> None:
        if context.phase is not Phase.ENDING:
            context.move(Phase.ENDING)
        self._abort(context, reason)
        self._forget(context)

    def _abort(self, context: Context, reason: str) -> None:
        if context.transaction.state is State.PREPARE:
            self._cluster.labels.finish(context.transaction, State.ABORTED, self._cluster.now(), reason)

    def _forget(self, context: Context) -> None:
        if context.phase is not Phase.GONE:
            if context.phase is not Phase.ENDING:
                context.move(Phase.ENDING)
            context.move(Phase.GONE)
        context.work.bodies.clear()
        if self._contexts.get(context.transaction.label) is context:
            del self._contexts[context.transaction.label]
        self._cluster.arm()


def _seconds(headers: Mapping[str, str], name: str, default: int) -> int:
    text = headers.get(name, "")
    if not text:
        return default
    if _UNSIGNED.fullmatch(text) is None or int(text) >= 2**31:
        raise Failure(Code.INVALID_ARGUMENT, "Invalid timeout format")
    return int(text)


def _prepared_timeout(headers: Mapping[str, str]) -> int:
    """Seconds from PREPARED to COMMITTED, -1 for the FE's setting. Raises Failure."""
    text = headers.get("prepared_timeout", "")
    if not text:
        return -1
    if _UNSIGNED.fullmatch(text) is None or not 0 < int(text) < 2**31:
        raise Failure(Code.INVALID_ARGUMENT, f"Invalid prepared_timeout: {text}")
    return int(text)


def _ms(since: float) -> int:
    return int((time.monotonic() - since) * 1000)
