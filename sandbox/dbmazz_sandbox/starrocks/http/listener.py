"""One HTTP port that can be closed and opened again while the rest of the cluster goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web

from dbmazz_sandbox.starrocks.errors import SandboxError
from dbmazz_sandbox.starrocks.http.head import Head

# The BE takes any header (the `columns` of a wide table) and any number; the FE checks its own limits itself.
MAX_HEADER = 1 << 20
BadRequest = Callable[[str], web.Response]


class _Connection(web.RequestHandler):
    """A request that is no HTTP gets the 400 of the server it was sent to, which repeats nothing of it, and the log gets
    no trace of the parser."""

    __slots__ = ()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if status != 400:
            return super().handle_error(request, status, exc, message)
        assert isinstance(self._manager, _Server)
        return self._manager.bad_request(type(exc).__name__)


class _Framed(_Connection):
    """Its first request is parsed from the end of its first line on, and answered here if its head is too large: aiohttp's
    parser has limits of its own, and closes on a client that still sends."""

    __slots__ = ("_bad_request", "_head", "_linger")

    def __init__(self, manager: _Server, *, head: Head, **options: Any) -> None:
        super().__init__(manager, **options)
        self._head: Head | None = head
        self._bad_request, self._linger = manager.bad_request, options["lingering_time"]

    def data_received(self, data: bytes) -> None:
        head = self._head
        if head is None:
            super().data_received(data)
        elif not head.problem:  # what follows a head that was refused is dropped
            begun = head.has_line
            head.feed(data)
            if head.problem:
                self._refuse(head.problem)
                return
            if head.done:
                self._head = None
            if head.has_line:
                super().data_received(data if begun else bytes(head.data))

    def _refuse(self, problem: str) -> None:
        """netty answers at once and skips what still comes."""
        if self.transport is None or self.transport.is_closing():
            return
        answer = self._bad_request(problem)
        body = answer.body
        assert isinstance(body, bytes) and isinstance(self.transport, asyncio.Transport)
        head = f"HTTP/1.1 400 Bad Request\r\nContent-Type: {answer.headers['Content-Type']}\r\n"
        self.transport.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        self.transport.write_eof()
        asyncio.get_running_loop().call_later(self._linger, self.transport.close)


class _Server(web.Server):
    bad_request: BadRequest
    head: Callable[[], Head] | None

    def __call__(self) -> web.RequestHandler:
        if self.head is None:
            return _Connection(self, loop=self._loop, **self._kwargs)
        return _Framed(self, head=self.head(), loop=self._loop, **self._kwargs)


class _Runner(web.AppRunner):
    bad_request: BadRequest
    head: Callable[[], Head] | None

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        server = _Server(made.request_handler, request_factory=made.request_factory, **self._kwargs)
        server.bad_request, server.head = self.bad_request, self.head
        return server


class Listener:
    """`open`, `refuse` (connections are cut, new ones refused), `admit` on the same port, `close` for good."""

    def __init__(
        self, app: web.Application, name: str, host: str, port: int, *, lingering_time: float, bad_request: BadRequest,
        head: Callable[[], Head] | None = None,
    ) -> None:  # fmt: skip
        """`head` makes what looks at the head of a connection's first request before it is parsed."""
        self._name, self._host, self.port = name, host, port
        self._runner = _Runner(
            app, access_log=None, shutdown_timeout=5.0, lingering_time=lingering_time,
            max_line_size=MAX_HEADER, max_field_size=MAX_HEADER, max_headers=MAX_HEADER, auto_decompress=False,
        )  # fmt: skip
        self._runner.bad_request, self._runner.head = bad_request, head
        self._site: web.TCPSite | None = None

    async def open(self) -> None:
        """Raises SandboxError when the port is taken."""
        await self._runner.setup()
        await self._listen()

    async def refuse(self) -> None:
        if self._site is None:
            return
        site, self._site = self._site, None
        await site.stop()
        server = self._runner.server
        assert server is not None
        for connection in list(server.connections):
            if connection.transport is not None:
                connection.transport.abort()

    async def admit(self) -> None:
        """Raises SandboxError when somebody took the port meanwhile."""
        if self._site is None:
            await self._listen()

    async def close(self) -> None:
        await self._runner.cleanup()

    async def _listen(self) -> None:
        site = web.TCPSite(self._runner, self._host, self.port)
        try:
            await site.start()
        except OSError as error:
            raise SandboxError(
                f"the StarRocks sandbox cannot listen on {self._host}:{self.port} ({self._name} port): "
                f"{error.strerror or error}; choose another port, or 0 for a free one"
            ) from error
        self._site = site
        if not self.port:
            self.port = self._runner.addresses[0][1]
