"""The BE's HTTP port: Stream Load itself and the error log (starrocks.md 1.2, 1.3, 3.1, 3.3)."""

from __future__ import annotations

import asyncio

from aiohttp import web

from dbmazz_sandbox.starrocks.cluster import Cluster
from dbmazz_sandbox.starrocks.errors import LoadError
from dbmazz_sandbox.starrocks.faults import Fault
from dbmazz_sandbox.starrocks.http.auth import read_basic
from dbmazz_sandbox.starrocks.http.frontend import abort, no_continue
from dbmazz_sandbox.starrocks.protocol.headers import MAX_JSON_HARD
from dbmazz_sandbox.starrocks.stream_load import StreamLoad


class Backend:
    """`url` is set once the port is known."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.url = ""
        self.app = web.Application()
        router = self.app.router
        # `no_continue`: 100 is sent by the handler, after the header checks, and never by aiohttp before them.
        router.add_put("/api/{db:[^/]+}/{table:[^/]+}/_stream_load", self.stream_load, expect_handler=no_continue)
        router.add_get("/api/_load_error_log", self.error_log)
        router.add_get("/api/health", self.health)
        router.add_route("*", "/api/transaction/{operation}", self.transaction, expect_handler=no_continue)

    async def health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "OK", "msg": "To Be Added"})

    async def transaction(self, request: web.Request) -> web.Response:
        feature = f"not emulated: {request.method} {request.path}"
        return _answer('{\n    "Status": "INTERNAL_ERROR",\n    "Message": "' + feature + '"\n}')

    async def error_log(self, request: web.Request) -> web.Response:
        text = self._cluster.error_logs.get(request.query.get("file", ""))
        return web.Response(text=text) if text is not None else web.Response(status=404, text="file not exist")

    async def stream_load(self, request: web.Request) -> web.StreamResponse:
        database, table = request.match_info["db"], request.match_info["table"]
        faults = self._cluster.faults
        if faults.take(Fault.BE_DOWN):
            return abort(request)
        if faults.take(Fault.HTTP_500, f"{database}.{table}"):
            return _closing(web.Response(status=500, text="Internal Server Error"))
        await self._cluster.settle()
        load = StreamLoad(self._cluster, database, table, request.headers, self.url)
        try:
            return await self._run(request, load)
        finally:
            load.abort("the connection was lost or the load was cancelled")

    async def _run(self, request: web.Request, load: StreamLoad) -> web.StreamResponse:
        names_table = self._cluster.version.names_table
        try:
            load.begin(request.content_length, self._denied(request))
        except LoadError as error:
            load.fail(error)
            return _closing(_answer(load.reply.to_json(names_table=names_table)))
        try:
            async with asyncio.timeout(load.timeout):
                body = await _read_body(request)
                await load.finish(body)
        except LoadError as error:
            load.fail(error)
        except TimeoutError:
            if not load.committed:
                load.fail(LoadError("timeout by txn manager"))
        if load.lost:
            return abort(request)
        return _answer(load.reply.to_json(names_table=names_table))

    def _denied(self, request: web.Request) -> str:
        """The BE only looks at the form of the header; the password is the FE's business when the load begins."""
        given = read_basic(request)
        if given is None:
            raise LoadError("no valid Basic authorization")
        place = request.match_info["db"], request.match_info["table"]
        return self._cluster.users.load_denied(given.user, given.password, request.remote or "", *place)


async def _read_body(request: web.Request) -> bytes:
    """Say 100 if that was asked for, then read everything. Raises LoadError when it is not what was announced."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.version >= (1, 1):
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer proper has not begun
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.content.iter_any():
            size += len(chunk)
            if size > MAX_JSON_HARD:
                raise LoadError(f"The size of this batch exceed the max size [{MAX_JSON_HARD}]  of json type data")
            chunks.append(chunk)
    except (web.RequestPayloadError, ConnectionError) as error:
        raise LoadError("receive body don't equal with body bytes") from error
    return b"".join(chunks)


def _answer(text: str) -> web.Response:
    return web.Response(text=text, content_type="application/json")


def _closing(response: web.Response) -> web.Response:
    response.force_close()
    return response
