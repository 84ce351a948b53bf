"""The FE's HTTP port: redirect of loads, transactions, label state, cancel, health (starrocks.md 1.1 to 1.3, 3.4, 4)."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable

from aiohttp import web
from yarl import URL

from dbmazz_sandbox.starrocks.cluster import Cluster
from dbmazz_sandbox.starrocks.errors import LoadError
from dbmazz_sandbox.starrocks.faults import Fault
from dbmazz_sandbox.starrocks.http.answers import (
    Handler,
    abort,
    broken,
    closing,
    frontend_bad_request,
    json_text,
    no_continue,
    table_of,
)
from dbmazz_sandbox.starrocks.http.auth import read_basic
from dbmazz_sandbox.starrocks.http.head import HEADER_TOO_LARGE, LINE_TOO_LARGE, MAX_HEADERS, MAX_LINE
from dbmazz_sandbox.starrocks.protocol.reply import fe_failed, fe_result
from dbmazz_sandbox.starrocks.transactions.frontend import TransactionFrontend
from dbmazz_sandbox.starrocks.transactions.operation import Operation

PATH_CANCEL_UNTIL = (3, 4)  # before, the label of `_cancel` was a part of the path


class Frontend:
    """`restart` takes the FE down for so many seconds."""

    def __init__(
        self, cluster: Cluster, transactions: TransactionFrontend, restart: Callable[[float], Awaitable[None]]
    ) -> None:
        self._cluster, self._transactions, self._restart = cluster, transactions, restart
        self.app = web.Application(
            middlewares=[self._down, self._framed, self._authenticated, self._faulty], client_max_size=1 << 20
        )
        router = self.app.router
        for path, method, handler in (
            ("/api/health", "GET", self.health),
            ("/api/bootstrap", "GET", self.health),
            ("/api/{db:[^/]+}/{table:[^/]+}/_stream_load", "PUT", self.stream_load),
            ("/api/{db}/get_load_state", "GET", self.load_state),
            ("/api/{db}/{table}/_cancel", "POST", self.cancel),
            ("/api/transaction/{operation}", "POST", self.transaction),
            ("/api/transaction/{operation}", "PUT", self.transaction),
        ):
            router.add_route(method, path, handler, expect_handler=no_continue)

    @web.middleware
    async def _down(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._cluster.faults.take(Fault.FE_DOWN):
            return abort(request)
        if rule := self._cluster.faults.take(Fault.FE_RESTART, table_of(request)):
            await self._restart(rule.delay_ms / 1000)
            return abort(request)
        return await handler(request)

    @web.middleware
    async def _framed(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """netty's limits, in its words, for later requests of a connection; Head has looked at the first."""
        line = len(request.method) + len(request.raw_path) + len("  HTTP/1.1")
        if line > MAX_LINE:
            return frontend_bad_request(LINE_TOO_LARGE)
        if sum(len(name) + len(value) + 2 for name, value in request.raw_headers) > MAX_HEADERS:
            return frontend_bad_request(HEADER_TOO_LARGE)
        return await handler(request)

    @web.middleware
    async def _authenticated(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.match_info.handler in (self.health,):
            return await handler(request)
        given = read_basic(request)
        if given is None:
            return _unauthorized("Need auth information.")
        granted = self._cluster.users.authenticate(given.user, given.password)
        if not granted or self._cluster.faults.take(Fault.UNAUTHORIZED, table_of(request)):
            return _unauthorized(f"Access denied for {given.user}@{request.remote}")
        return await handler(request)

    @web.middleware
    async def _faulty(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if rule := self._cluster.faults.take(Fault.FE_HTTP_500, table_of(request)):
            return broken(rule.status)
        return await handler(request)

    async def health(self, request: web.Request) -> web.Response:
        backends = self._cluster.backends
        alive = {"online_backend_num": str(len(backends.alive)), "total_backend_num": str(len(backends))}
        return json_text(fe_result(None, **alive))

    async def stream_load(self, request: web.Request) -> web.Response:
        expects = request.headers.get("Expect", "").lower() == "100-continue"
        if request.version >= (1, 1) and not expects:
            return closing(json_text(fe_failed("There is no 100-continue header")))
        given = read_basic(request)
        place = request.match_info["db"], request.match_info["table"]
        if given is None or not self._cluster.users.may(given.user, "INSERT", *place):
            return _unauthorized(self._cluster.users.http_denied(given.user if given else ""))
        node = self._cluster.backends.pick()
        if node is None:
            return closing(json_text(fe_failed("No backend alive.")))
        return self._redirect(request, node.url)

    def _redirect(self, request: web.Request, url: str) -> web.Response:
        """Always plain http, never the user's credentials; the query goes along."""
        if self._cluster.faults.take(Fault.REDIRECT_TO_DEAD_BE, table_of(request)):
            url = f"{url.rpartition(':')[0]}:{_dead_port()}"
        location = URL(url + request.raw_path, encoded=True)
        return closing(web.Response(status=307, headers={"Location": str(location)}))

    async def load_state(self, request: web.Request) -> web.Response:
        database, label = request.match_info["db"], request.query.get("label", "")
        if database not in self._cluster.catalog.databases:
            return json_text(fe_result(f"unknown database, database={database}"))
        if not label:
            return json_text(fe_result("No label selected."))
        state, reason = self._cluster.labels.state(database, label, self._cluster.now())
        return json_text(fe_result(None, state=state.value, reason=reason))

    async def cancel(self, request: web.Request) -> web.Response:
        database, label = request.match_info["db"], request.query.get("label", "")
        if self._cluster.version.numbers < PATH_CANCEL_UNTIL and not label:
            label = request.match_info["table"]
        if not label:
            return json_text(fe_result("No label selected."))
        if database not in self._cluster.catalog.databases:
            return json_text(fe_result(f"unknown database, database={database}"))
        try:
            self._cluster.labels.cancel(database, label, self._cluster.now())
        except LoadError as error:
            return json_text(fe_result(error.message))
        return json_text(fe_result())

    async def transaction(self, request: web.Request) -> web.Response:
        operation = request.match_info["operation"]
        answer = await self._transactions.handle(operation, request.headers, request.content_length)
        if not isinstance(answer, str):
            return self._redirect(request, answer.url)
        lost = operation.lower() == Operation.COMMIT and self._cluster.faults.take(
            Fault.LOST_RESPONSE, table_of(request)
        )
        return abort(request) if lost else json_text(answer)


def _dead_port() -> int:
    """A port where nobody listens: it was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _unauthorized(message: str) -> web.Response:
    response = web.Response(
        status=401, text=fe_result(message), content_type="text/html", headers={"WWW-Authenticate": 'Basic realm=""'}
    )
    return closing(response)
