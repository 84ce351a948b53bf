"""A BE's HTTP port: Stream Load itself and the error log (starrocks.md 1.2, 1.3, 3.1, 3.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from dbmazz_sandbox.starrocks.backends import BackendNode
from dbmazz_sandbox.starrocks.cluster import Cluster
from dbmazz_sandbox.starrocks.errors import LoadError
from dbmazz_sandbox.starrocks.faults import Fault
from dbmazz_sandbox.starrocks.http.answers import (
    Handler,
    abort,
    broken,
    closing,
    json_text,
    no_continue,
    reset,
    table_of,
)
from dbmazz_sandbox.starrocks.http.auth import read_basic
from dbmazz_sandbox.starrocks.http.body import Reset, read_body
from dbmazz_sandbox.starrocks.http.transaction import TransactionBackend
from dbmazz_sandbox.starrocks.stream_load import StreamLoad
from dbmazz_sandbox.starrocks.transactions.coordinated import Coordinated
from dbmazz_sandbox.starrocks.transactions.multi import MultiTable


class Backend:
    """One of the cluster's BEs; `node` says where it listens, once that is known."""

    def __init__(self, cluster: Cluster, node: BackendNode, multi: MultiTable) -> None:
        self._cluster, self._node = cluster, node
        self._coordinated = Coordinated(cluster, node)
        transactions = TransactionBackend(cluster, self._coordinated, multi, self._denied)
        self.app = web.Application(middlewares=[self._down])
        router = self.app.router
        # `no_continue`: 100 is sent by the handler, after the header checks, and never by aiohttp before them.
        router.add_put("/api/{db:[^/]+}/{table:[^/]+}/_stream_load", self.stream_load, expect_handler=no_continue)
        router.add_get("/api/_load_error_log", self.error_log)
        router.add_get("/api/health", self.health)
        router.add_route("*", "/api/transaction/{operation}", transactions.handle, expect_handler=no_continue)

    def forget(self) -> None:
        """It goes down, and the transactions that it coordinates with it."""
        self._coordinated.forget()

    @web.middleware
    async def _down(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._cluster.faults.take(Fault.BE_DOWN, table_of(request)):
            return abort(request)
        await self._cluster.settle()
        return await handler(request)

    async def health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "OK", "msg": "To Be Added"})

    async def error_log(self, request: web.Request) -> web.Response:
        text = self._cluster.error_logs.get(request.query.get("file", ""))
        return web.Response(text=text) if text is not None else web.Response(status=404, text="file not exist")

    async def stream_load(self, request: web.Request) -> web.StreamResponse:
        database, table = request.match_info["db"], request.match_info["table"]
        if rule := self._cluster.faults.take(Fault.HTTP_500, f"{database}.{table}"):
            return broken(rule.status)
        load = StreamLoad(self._cluster, database, table, request.headers, self._node.url)
        try:
            return await self._run(request, load)
        except Reset:
            return reset(request)
        finally:
            load.abort("the connection was lost or the load was cancelled")

    async def _run(self, request: web.Request, load: StreamLoad) -> web.StreamResponse:
        names_table = self._cluster.version.names_table
        try:
            load.begin(request.content_length, self._denied(request)())
        except LoadError as error:
            load.fail(error)
            return closing(json_text(load.reply.to_json(names_table=names_table)))
        try:
            async with asyncio.timeout(load.timeout):
                body = await read_body(request, self._cluster.faults.take(Fault.RESET_IN_BODY, load.table))
                await load.finish(body)
        except LoadError as error:
            load.fail(error)
        except TimeoutError:
            load.late()
        if load.lost:
            return abort(request)
        return json_text(load.reply.to_json(names_table=names_table))

    def _denied(self, request: web.Request) -> Callable[[], str]:
        """The BE only looks at the form of the header; the password is the FE's business, whenever it is asked."""
        given = read_basic(request)
        if given is None:
            raise LoadError("no valid Basic authorization")
        database = request.match_info.get("db") or request.headers.get("db", "")
        table = request.match_info.get("table") or request.headers.get("table", "")
        peer = request.remote or ""
        return lambda: self._cluster.users.load_denied(given.user, given.password, peer, database, table)
