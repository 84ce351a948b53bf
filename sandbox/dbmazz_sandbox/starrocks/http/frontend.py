"""The FE's HTTP port: redirect of Stream Load, label state, health (starrocks.md 1.1 to 1.3, 3.4)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web
from yarl import URL

from dbmazz_sandbox.starrocks.cluster import Cluster
from dbmazz_sandbox.starrocks.errors import LoadError
from dbmazz_sandbox.starrocks.faults import Fault
from dbmazz_sandbox.starrocks.http.auth import read_basic
from dbmazz_sandbox.starrocks.protocol.reply import fe_failed, fe_result

MAX_HEADERS = 32768  # netty http_max_header_size
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def no_continue(request: web.Request) -> None:
    """The FE never sends 100: it answers a load with 307 before the body."""


class Frontend:
    def __init__(self, cluster: Cluster, be_url: Callable[[], str]) -> None:
        self._cluster, self._be_url = cluster, be_url
        self.app = web.Application(middlewares=[self._down, self._authenticated], client_max_size=1 << 20)
        router = self.app.router
        for path, method, handler in (
            ("/api/health", "GET", self.health),
            ("/api/bootstrap", "GET", self.health),
            ("/api/{db:[^/]+}/{table:[^/]+}/_stream_load", "PUT", self.stream_load),
            ("/api/{db}/get_load_state", "GET", self.load_state),
            ("/api/{db}/{table}/_cancel", "POST", self.not_emulated),
            ("/api/{db}/_cancel", "POST", self.not_emulated),
        ):
            router.add_route(method, path, handler, expect_handler=no_continue)
        for operation in ("begin", "load", "prepare", "commit", "rollback"):
            for method in ("PUT", "POST"):
                router.add_route(method, f"/api/transaction/{operation}", self.not_emulated, expect_handler=no_continue)

    @web.middleware
    async def _down(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._cluster.faults.take(Fault.FE_DOWN):
            return abort(request)
        if sum(len(name) + len(value) + 4 for name, value in request.raw_headers) > MAX_HEADERS:
            text = f"Bad Request. <br/> HTTP header is larger than {MAX_HEADERS} bytes."
            return _closing(web.Response(status=400, text=text, content_type="text/html"))
        return await handler(request)

    @web.middleware
    async def _authenticated(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.match_info.handler in (self.health,):
            return await handler(request)
        given = read_basic(request)
        if given is None:
            return _unauthorized("Need auth information.")
        if not self._cluster.users.authenticate(given.user, given.password):
            return _unauthorized(f"Access denied for {given.user}@{request.remote}")
        return await handler(request)

    async def health(self, request: web.Request) -> web.Response:
        alive = {"online_backend_num": "1", "total_backend_num": "1"}
        return web.Response(text=fe_result(None, **alive), content_type="application/json")

    async def stream_load(self, request: web.Request) -> web.Response:
        expects = request.headers.get("Expect", "").lower() == "100-continue"
        if request.version >= (1, 1) and not expects:
            return _closing(web.Response(text=fe_failed("There is no 100-continue header"),
                                         content_type="application/json"))  # fmt: skip
        given = read_basic(request)
        place = request.match_info["db"], request.match_info["table"]
        if given is None or not self._cluster.users.may(given.user, "INSERT", *place):
            return _unauthorized(self._cluster.users.http_denied(given.user if given else ""))
        # Always plain http, never the user's credentials; the query goes along.
        location = URL(self._be_url() + request.raw_path, encoded=True)
        return _closing(web.Response(status=307, headers={"Location": str(location)}))

    async def load_state(self, request: web.Request) -> web.Response:
        database, label = request.match_info["db"], request.query.get("label", "")
        if database not in self._cluster.catalog.databases:
            return _json(fe_result(f"unknown database, database={database}"))
        if not label:
            return _json(fe_result("No label selected."))
        state, reason = self._cluster.labels.state(database, label, self._cluster.now())
        return _json(fe_result(None, state=state.value, reason=reason))

    async def not_emulated(self, request: web.Request) -> web.Response:
        feature = f"{request.method} {request.path}"
        return _closing(_json(fe_failed(LoadError(f"not emulated: {feature}").message)))


def _json(text: str) -> web.Response:
    return web.Response(text=text, content_type="application/json")


def _closing(response: web.Response) -> web.Response:
    response.force_close()
    return response


def _unauthorized(message: str) -> web.Response:
    response = web.Response(
        status=401, text=fe_result(message), content_type="text/html", headers={"WWW-Authenticate": 'Basic realm=""'}
    )
    return _closing(response)


def abort(request: web.Request) -> web.Response:
    """Cut the connection without an answer; what is returned goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return _closing(web.Response(status=500))
