"""Transactions of several tables, held by the FE (StreamLoadMultiStmtTask, since 4.0)."""

from __future__ import annotations

import time
from collections.abc import Mapping

from dbmazz_sandbox.starrocks import opening
from dbmazz_sandbox.starrocks.backends import BackendNode
from dbmazz_sandbox.starrocks.cluster import Cluster, utc_now
from dbmazz_sandbox.starrocks.errors import LoadError
from dbmazz_sandbox.starrocks.faults import Fault
from dbmazz_sandbox.starrocks.labels import Source, State
from dbmazz_sandbox.starrocks.protocol.load import change_of
from dbmazz_sandbox.starrocks.protocol.rows import LoadedRows
from dbmazz_sandbox.starrocks.stream_load import check_sink, pause
from dbmazz_sandbox.starrocks.transactions.operation import Parameters, Refused, general
from dbmazz_sandbox.starrocks.transactions.reply import Code, Counts, Failure, frontend
from dbmazz_sandbox.starrocks.transactions.task import Share, Task, TaskState
from dbmazz_sandbox.starrocks.transactions.work import Rejected, TableWork

KEEP_S = 259200  # stream_load_task_keep_max_second
KEEP = 1000  # stream_load_task_keep_max_num


class MultiTable:
    """By label, over all databases, as StreamLoadMgr holds them. Answers are bodies; Refused is one that says FAILED."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._tasks: dict[str, Task] = {}
        cluster.expiring.append(self)

    def begin(self, given: Parameters) -> str:
        """Raises Refused, LoadError (a bad label, too many running)."""
        cluster, label = self._cluster, given.label
        self.expire_all(cluster.now())
        if given.database not in cluster.catalog.databases:
            raise self._refused(f"Database[{given.database}] does not exist")
        task = self._tasks.get(label)
        if task is not None:
            return self._known(task)
        known = cluster.labels.get(given.database, label, cluster.now())
        if known is not None and known.state is not State.ABORTED:
            used = f"Label [{label}] has already been used."
            return frontend("LABEL_ALREADY_EXISTS", used, ExistingJobStatus=known.state.value, Db=given.database)
        transaction = cluster.labels.begin(
            given.database, label, cluster.now(), source=Source.MULTI, timeout=given.timeout
        )
        self._tasks[label] = Task(transaction)
        cluster.arm()
        return frontend("OK", "")

    def _known(self, task: Task) -> str:
        transaction = task.transaction
        if task.state is TaskState.COMMITED:
            used = f"Label [{transaction.label}] has already been used."
            return frontend("LABEL_ALREADY_EXISTS", used, ExistingJobStatus=task.state.value)
        started = f"Transaction already started with label [{transaction.label}], txnId: {transaction.ident}"
        return frontend("LABEL_ALREADY_EXISTS", started, ExistingJobStatus=task.state.value, TxnId=transaction.ident)

    def place(self, given: Parameters, headers: Mapping[str, str], content_length: int | None) -> BackendNode:
        """Where a load goes; a table's first one is planned here. A refusal ends the whole transaction. Raises Refused."""
        task = self._of(given.label, "stream load task {} does not exist")
        owner = task.transaction.database
        if given.database != owner:
            raise self._refused(
                self._cancel(task, f"Request database {given.database} not equal transaction database {owner}")
            )
        self._open(task)
        try:
            share = task.shares.get(given.table) or self._share(task, given.table)
        except Refused as refused:
            self._cancel(task, refused.message)
            raise
        if share.work.plan is None:
            try:
                share.work.begin_load(headers, content_length, self._cluster.version)
                opening.check_disks(self._cluster, f"{given.database}.{given.table}")
            except (Failure, LoadError) as error:
                raise Refused(self._cancel(task, self._problem(task, share, error.message))) from error
            share.work.announced = 0  # it is counted where the body goes
        return share.node

    def _open(self, task: Task) -> None:
        """Raises Refused when nothing can be loaded any more."""
        label = task.transaction.label
        if task.state is TaskState.CANCELLED:
            raise Refused(f"stream load task {label} has already been cancelled: {task.problem}")
        if task.state is not TaskState.BEGIN:
            raise Refused(f"stream load task {label} has already been {task.state.value.lower()}")

    def _share(self, task: Task, name: str) -> Share:
        cluster, transaction = self._cluster, task.transaction
        table = cluster.catalog.get(transaction.database, name)
        if table is None:
            raise Refused(
                f"Failed to find table {name} in db {transaction.database}",
                "com.starrocks.common.MetaNotFoundException",
            )
        node = cluster.backends.pick()
        if node is None:
            raise self._refused("No backend alive.")
        ident = transaction.ident * 1000 + len(task.shares) + 1
        brief = (
            f"id={ident}, job_id=-1, txn_id: {transaction.ident}, label={transaction.label}, db={transaction.database}"
        )
        share = Share(ident, node, TableWork(table, brief), Counts(txn_id=transaction.ident))
        task.shares[name] = share
        return share

    def begin_load(self, headers: Mapping[str, str], content_length: int | None) -> Share:
        """The BE's checks before the body. Raises Failure; a failed load ends the transaction."""
        label, name = headers.get("label", ""), headers.get("table", "")
        task = self._tasks.get(label)
        share = task.shares.get(name) if task is not None else None
        if task is None or share is None or task.state is not TaskState.BEGIN:
            raise Failure(Code.TXN_NOT_EXISTS, f"Transaction with label {label} not exists")
        if share.busy:
            raise Failure(Code.TXN_IN_PROCESSING, "Transaction in processing, please retry later")
        try:
            share.work.begin_load(headers, content_length, self._cluster.version)
        except Failure as failure:
            self._cancel(task, failure.message)
            raise
        share.busy = True
        return share

    def end_load(self, share: Share, label: str, body: bytes, milliseconds: int) -> Counts:
        """Raises Failure when the transaction ended meanwhile."""
        share.busy = False
        task = self._tasks.get(label)
        if task is None or task.state is not TaskState.BEGIN:
            raise Failure(Code.ABORTED, "transaction is aborted")
        share.work.bodies.append(body)
        share.counts.received, share.counts.receive_ms = len(body), milliseconds
        share.counts.bytes += len(body)
        return share.counts

    def abort_load(self, share: Share, label: str, reason: str) -> None:
        share.busy = False
        task = self._tasks.get(label)
        if task is not None and task.state is TaskState.BEGIN:
            self._cancel(task, reason)

    async def commit(self, given: Parameters) -> str:
        """Raises Refused."""
        task = self._of(given.label, "stream load task {} does not exist")
        transaction, label = task.transaction, task.transaction.label
        if task.state is TaskState.COMMITED:
            said = f"Transaction {transaction.ident} has already committed, label is {label}"
            return frontend("OK", said, Label=label, TxnId=transaction.ident)
        if task.state is TaskState.CANCELLED:
            raise Refused(f"Can not commit CANCELLED transaction {transaction.ident}, label is {label}")
        if task.state is TaskState.COMMITING:
            raise Refused(f"Transaction {transaction.ident} is already committing, label is {label}")
        if any(share.busy for share in task.shares.values()):
            raise Refused("Transaction in processing, please retry later")
        task.move(TaskState.COMMITING)
        try:
            await self._commit(task)
        except BaseException as error:
            # Cancelled or not: what the label says decides.
            if transaction.state in (State.COMMITTED, State.VISIBLE):
                self._committed(task)
            else:
                self._cancel(task, str(error) or "commit failed")
            raise
        self._committed(task)
        if not task.shares:
            return frontend("OK", "")
        share_count = {"ChannelId": 0, "Prepared Channel Num": 1}
        return frontend("OK", "", Label=label, TxnId=transaction.ident, **share_count)

    async def _commit(self, task: Task) -> None:
        cluster, transaction = self._cluster, task.transaction
        loaded = [(share, await self._rows(task, share)) for share in task.shares.values() if share.work.bodies]
        if not loaded:
            cluster.labels.finish(transaction, State.VISIBLE, cluster.now())
            return
        for share, rows in loaded:
            transaction.rows += rows.loaded
            transaction.filtered += rows.filtered
            transaction.unselected += rows.unselected
            transaction.bytes += share.counts.bytes
            await pause(cluster, Fault.DELAY_BEFORE_COMMIT, _named(share))
        tables = [share.work.table for share, _ in loaded]
        at = utc_now()
        try:
            await cluster.publisher.commit(
                transaction, tables,
                lambda: [change_of(share.work.plan, rows, at) for share, rows in loaded if share.work.plan], given_time(task),
            )  # fmt: skip
        except LoadError as error:
            raise Refused(error.message) from error
        for share, _ in loaded:
            await pause(cluster, Fault.DELAY_AFTER_COMMIT, _named(share))

    async def _rows(self, task: Task, share: Share) -> LoadedRows:
        cluster = self._cluster
        rejected = cluster.faults.take(Fault.REJECT_ROWS, _named(share))
        reject = rejected.rows if rejected else 0
        empty_is_error = cluster.settings["empty_load_as_error"] == "true"
        try:
            rows = await cluster.load(lambda: share.work.read(reject, empty_is_error=empty_is_error))
            await cluster.faults.wait_while_stalled(_named(share))
            assert share.work.plan is not None
            check_sink(cluster, share.work.plan)
        except LoadError as error:
            message = error.message
            if isinstance(error, Rejected) and error.rows.error_log:
                url = cluster.new_error_log(share.node.url, error.rows.error_log, task.transaction)
                message = f"abnormal data more than max filter rate, tracking_url: {url}"
            raise Refused(self._problem(task, share, message)) from error
        return rows

    def roll_back(self, given: Parameters) -> str:
        """Raises Refused."""
        # Without its spaces: the message is put together so in StreamLoadMgr.rollbackLoadTask.
        task = self._of(given.label, "stream load task{}does not exist")
        transaction, label = task.transaction, task.transaction.label
        if task.state is TaskState.COMMITED:
            raise Refused(f"Can not abort VISIBLE transaction {transaction.ident}, label is {label}")
        if task.state is TaskState.COMMITING:
            raise Refused(f"Can not abort transaction {transaction.ident} during committing, label is {label}")
        if task.state is TaskState.CANCELLED:
            said = f"Transaction {transaction.ident} has already aborted, label is {label}"
            return frontend("OK", said, Label=label, TxnId=transaction.ident)
        self._cancel(task, "manual abort")
        return frontend("OK", f"stream load {label} abort")

    def next_deadline(self) -> float:
        """The label's own deadline is the transaction's."""
        return 0.0

    def expire_all(self, now: float) -> None:
        self._cluster.labels.expire_all(now)
        surplus = sum(task.ended > 0 for task in self._tasks.values()) - KEEP
        for label, task in list(self._tasks.items()):
            if task.ended and (surplus > 0 or now - task.ended > KEEP_S):
                del self._tasks[label]
                surplus -= 1
            elif task.state is TaskState.BEGIN and not task.transaction.running:
                self._cancel(task, task.transaction.reason or "timeout")

    def restart(self) -> None:
        """The FE restarts: what was running is cancelled, what ended is remembered."""
        for task in self._tasks.values():
            if task.state is TaskState.BEGIN:
                self._cancel(task, "cancelled after FE restart")

    def _of(self, label: str, missing: str) -> Task:
        self.expire_all(self._cluster.now())
        task = self._tasks.get(label)
        if task is None:
            raise self._refused(missing.format(label))
        return task

    def _refused(self, message: str) -> Refused:
        return Refused(message, general(self._cluster.version))

    def _problem(self, task: Task, share: Share, message: str) -> str:
        reason = f"cancel stream task for exception: {message}"
        return f"STREAM_LOAD_TASK:{share.ident}, label{{{task.transaction.label}}}, error_msg{{{reason}}}"

    def _cancel(self, task: Task, problem: str) -> str:
        """End it, unless it has ended; the reason is kept either way."""
        if task.state in (TaskState.COMMITED, TaskState.CANCELLED):
            return problem
        task.move(TaskState.CANCELLED)
        task.problem, task.ended = problem, self._cluster.now()
        for share in task.shares.values():
            share.work.bodies.clear()
        if task.transaction.state is State.PREPARE:
            self._cluster.labels.finish(task.transaction, State.ABORTED, self._cluster.now(), problem)
        return problem

    def _committed(self, task: Task) -> None:
        task.move(TaskState.COMMITED)
        task.ended = self._cluster.now()
        for share in task.shares.values():
            share.work.bodies.clear()


def given_time(task: Task) -> float:
    """Seconds that a commit waits to be visible: the query timeout, which is longer than any test."""
    return max(1.0, task.transaction.deadline - time.time())


def _named(share: Share) -> str:
    return f"{share.work.table.database}.{share.work.table.name}"
