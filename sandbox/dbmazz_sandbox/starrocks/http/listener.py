"""One HTTP port that can be closed and opened again while the rest of the cluster goes on."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from dbmazz_sandbox.starrocks.errors import SandboxError

# The BE takes any header (the `columns` of a wide table); the FE checks its own limit itself.
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


class _Server(web.Server):
    bad_request: BadRequest

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Runner(web.AppRunner):
    bad_request: BadRequest

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        server = _Server(made.request_handler, request_factory=made.request_factory, **self._kwargs)
        server.bad_request = self.bad_request
        return server


class Listener:
    """`open`, `refuse` (connections are cut, new ones refused), `admit` on the same port, `close` for good."""

    def __init__(
        self, app: web.Application, name: str, host: str, port: int, *, lingering_time: float, bad_request: BadRequest
    ) -> None:
        self._name, self._host, self.port = name, host, port
        self._runner = _Runner(
            app, access_log=None, shutdown_timeout=5.0, lingering_time=lingering_time,
            max_line_size=MAX_HEADER, max_field_size=MAX_HEADER, auto_decompress=False,
        )  # fmt: skip
        self._runner.bad_request = bad_request
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
