"""One HTTP port that can be closed and opened again while the rest of the cluster goes on."""

from __future__ import annotations

from aiohttp import web

from dbmazz_sandbox.starrocks.errors import SandboxError

# The BE takes any header (the `columns` of a wide table); the FE checks its own limit itself.
MAX_HEADER = 1 << 20


class Listener:
    """`open`, `refuse` (connections are cut, new ones refused), `admit` on the same port, `close` for good."""

    def __init__(self, app: web.Application, name: str, host: str, port: int, *, lingering_time: float) -> None:
        self._name, self._host, self.port = name, host, port
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=5.0, lingering_time=lingering_time,
            max_line_size=MAX_HEADER, max_field_size=MAX_HEADER, auto_decompress=False,
        )  # fmt: skip
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
