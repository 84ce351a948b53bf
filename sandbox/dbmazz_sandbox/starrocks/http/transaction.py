"""`/api/transaction/{operation}` on a BE: begin, load, prepare, commit and rollback of the transactions it coordinates."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from aiohttp import web

from dbmazz_sandbox.starrocks.cluster import Cluster
from dbmazz_sandbox.starrocks.errors import LoadError
from dbmazz_sandbox.starrocks.faults import Fault
from dbmazz_sandbox.starrocks.http.answers import abort, broken, closing, json_text, reset
from dbmazz_sandbox.starrocks.http.body import Reset, read_body
from dbmazz_sandbox.starrocks.transactions.context import Context
from dbmazz_sandbox.starrocks.transactions.coordinated import Coordinated
from dbmazz_sandbox.starrocks.transactions.multi import MultiTable
from dbmazz_sandbox.starrocks.transactions.operation import Operation, is_multi
from dbmazz_sandbox.starrocks.transactions.reply import Code, Counts, Failure, backend_failed, backend_ok
from dbmazz_sandbox.starrocks.transactions.task import Share

Denial = Callable[[], str]
ONLY_FE = "Multi-statement transaction requests can only be sent to FE nodes, not BE nodes"


class TransactionBackend:
    """`denied` gives what asks why a request's credentials are refused, "" if they are not; LoadError when it has none."""

    def __init__(
        self, cluster: Cluster, coordinated: Coordinated, multi: MultiTable, denied: Callable[[web.Request], Denial]
    ) -> None:
        self._cluster, self._coordinated, self._multi, self._denied = cluster, coordinated, multi, denied

    async def handle(self, request: web.Request) -> web.StreamResponse:
        name, label = request.match_info["operation"].lower(), request.headers.get("label", "")
        if name == "list":
            return json_text(self._list())
        if rule := self._cluster.faults.take(Fault.HTTP_500, self._table(request)):
            return broken(rule.status)
        if name == Operation.LOAD:
            return await self._load(request, label)
        if not label:
            return json_text(backend_failed(Failure(Code.INVALID_ARGUMENT, "empty label"), ""))
        try:
            operation = Operation(name)
        except ValueError:
            failure = Failure(
                Code.INVALID_ARGUMENT, f"unsupport transaction operation {request.match_info['operation']}"
            )
            return json_text(backend_failed(failure, label))
        if is_multi(request.headers, self._cluster.version):
            return json_text(backend_failed(Failure(Code.INVALID_ARGUMENT, ONLY_FE), label))
        try:
            text = await self._run(operation, request, label)
        except Failure as failure:
            text = backend_failed(failure, label)
        lost = operation in (Operation.COMMIT, Operation.PREPARE) and self._cluster.faults.take(
            Fault.LOST_RESPONSE, self._table(request)
        )
        return abort(request) if lost else json_text(text)

    async def _run(self, operation: Operation, request: web.Request, label: str) -> str:
        headers = request.headers
        if operation is Operation.BEGIN:
            names = (headers.get("db", ""), headers.get("table", ""))
            counts = self._coordinated.begin(headers, self._denial(request))
            return backend_ok(operation, label, counts, names=names if self._cluster.version.names_table else None)
        if operation is Operation.ROLLBACK:
            self._coordinated.roll_back(headers)
            return backend_ok(operation, label, None)
        context: Context | None = None
        try:
            context = await self._coordinated.end(operation, headers)
        except Failure as failure:
            return backend_failed(failure, label, failure.error_url)
        # Whichever it was: the BE answers with what `commit` has.
        return backend_ok(Operation.COMMIT, label, context.counts, error_url=context.error_url)

    def _denial(self, request: web.Request) -> Denial | None:
        try:
            return self._denied(request)
        except LoadError:
            return None

    async def _load(self, request: web.Request, label: str) -> web.StreamResponse:
        try:
            running = self._begin_load(request)
        except Failure as failure:
            return closing(json_text(backend_failed(failure, label)))
        done, at = False, time.monotonic()
        try:
            body = await read_body(request, self._cluster.faults.take(Fault.RESET_IN_BODY, self._table(request)))
            counts = self._end_load(running, label, body, int((time.monotonic() - at) * 1000))
            done = True
            return json_text(backend_ok(Operation.LOAD, label, counts))
        except LoadError as error:
            return json_text(backend_failed(Failure(Code.INTERNAL_ERROR, error.message), label))
        except Failure as failure:
            return json_text(backend_failed(failure, label))
        except Reset:
            return reset(request)
        finally:
            if not done:
                self._abort_load(running, label, "the body of a load did not come")

    def _begin_load(self, request: web.Request) -> Context | Share:
        if is_multi(request.headers, self._cluster.version):
            return self._multi.begin_load(request.headers, request.content_length)
        return self._coordinated.begin_load(request.headers, request.content_length)

    def _end_load(self, running: Context | Share, label: str, body: bytes, milliseconds: int) -> Counts:
        if isinstance(running, Share):
            return self._multi.end_load(running, label, body, milliseconds)
        return self._coordinated.end_load(running, body, milliseconds)

    def _abort_load(self, running: Context | Share, label: str, reason: str) -> None:
        if isinstance(running, Share):
            self._multi.abort_load(running, label, reason)
        else:
            self._coordinated.abort_load(running, reason)

    def _list(self) -> str:
        """The debug view: one object after the other, as the BE prints them."""
        out = []
        for context in self._coordinated.list():
            counts, transaction = context.counts, context.transaction
            shown: dict[str, object] = {} if context.busy else {"Status": Code.OK.value}
            shown |= {
                "InProcessing": context.busy, "Label": transaction.label, "TxnId": transaction.ident,
                "NumberTotalRows": counts.total, "NumberLoadedRows": counts.loaded,
                "NumberFilteredRows": counts.filtered, "NumberUnselectedRows": counts.unselected,
                "LoadBytes": counts.received, "StreamLoadPlanTimeMs": counts.plan_ms,
                "ReceivedDataTimeMs": counts.total_receive_ms, "WriteDataTimeMs": counts.write_ms,
                "BeginTimestamp": int(transaction.started), "LastActiveTimestamp": int(context.active),
                "TransactionTimeoutSec": int(transaction.deadline - transaction.started),
                "IdleTransactionTimeoutSec": context.idle or -1,
            }  # fmt: skip
            out.append(json.dumps(shown, indent=4, ensure_ascii=False))
        return "".join(out)

    @staticmethod
    def _table(request: web.Request) -> str:
        return f"{request.headers.get('db', '')}.{request.headers.get('table', '')}"
