"""The look-alike as one object: FE, BE, MySQL and control ports over one data directory."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType

import structlog
from aiohttp import web

from dbmazz_sandbox.starrocks.cluster import Cluster
from dbmazz_sandbox.starrocks.errors import SandboxError
from dbmazz_sandbox.starrocks.faults import Faults
from dbmazz_sandbox.starrocks.http.backend import Backend
from dbmazz_sandbox.starrocks.http.control import Control
from dbmazz_sandbox.starrocks.http.frontend import Frontend
from dbmazz_sandbox.starrocks.mysql.server import MysqlPort
from dbmazz_sandbox.starrocks.store import Store
from dbmazz_sandbox.starrocks.version import Version

log = structlog.get_logger("dbmazz.sandbox.starrocks")
FILE = "starrocks.duckdb"
# The BE takes any header (the `columns` of a wide table); the FE checks its own limit itself.
_MAX_HEADER = 1 << 20
_WILDCARDS = ("0.0.0.0", "::")


class StarRocksSandbox:
    """`async with StarRocksSandbox(path) as starrocks:` or start() and stop(). A port of 0 takes a free one.

    After start: `fe_url`, `be_url`, `control_url` ("http://127.0.0.1:PORT"), `mysql_port`; `faults` always.
    `host` is what it binds, `advertise` the name in these URLs, which the FE's redirects and SHOW BACKENDS give to clients
    (default: `host`, or this machine's name when it binds all addresses).
    Raises ValueError for a version that is not emulated, SandboxError for a port or data file in use.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        host: str = "127.0.0.1",
        advertise: str = "",
        fe_port: int = 0,
        be_port: int = 0,
        mysql_port: int = 0,
        control_port: int = 0,
        user: str = "root",
        password: str = "",
        version: str = "3.3",
    ) -> None:
        self._path = Path(data_dir) / FILE
        self._host = host
        self._advertised = advertise or (socket.gethostname() if host in _WILDCARDS else host)
        self._ports = {"FE HTTP": fe_port, "BE HTTP": be_port, "MySQL": mysql_port, "control": control_port}
        self._user, self._password = user, password
        self.version = Version.parse(version)
        self.faults = Faults()
        self.fe_url = self.be_url = self.control_url = ""
        self.mysql_port = mysql_port
        self._stack: AsyncExitStack | None = None

    async def start(self) -> None:
        if self._stack is not None:
            raise SandboxError("the StarRocks sandbox is already running")
        async with AsyncExitStack() as stack:
            store = await asyncio.to_thread(Store, self._path)
            cluster = Cluster(store, self.faults, self.version, self._user, self._password)
            stack.push_async_callback(asyncio.to_thread, cluster.close)
            backend = Backend(cluster)
            self.be_url = backend.url = await self._serve(stack, backend.app, "BE HTTP", lingering_time=10.0)
            # The FE closes on a client that sent its body unasked, as the real one does.
            frontend = Frontend(cluster, lambda: self.be_url)
            self.fe_url = await self._serve(stack, frontend.app, "FE HTTP", lingering_time=0.0)
            self.control_url = await self._serve(stack, Control(self.faults).app, "control", lingering_time=1.0)
            mysql = MysqlPort(cluster, self._backend_address)
            try:
                self.mysql_port = await mysql.start(self._host, self._ports["MySQL"])
            except OSError as error:
                raise self._in_use("MySQL", error) from error
            stack.push_async_callback(mysql.stop)
            stack.push_async_callback(self.faults.clear)  # first of all: nothing may stall the stop
            self._stack = stack.pop_all()
        log.info("starrocks_sandbox_started", fe=self.fe_url, be=self.be_url, mysql_port=self.mysql_port,
                 control=self.control_url, version=self.version.number)  # fmt: skip

    async def stop(self) -> None:
        if self._stack is not None:
            stack, self._stack = self._stack, None
            await stack.aclose()

    async def __aenter__(self) -> StarRocksSandbox:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _backend_address(self) -> tuple[str, int, int]:
        """Host, FE HTTP port and BE HTTP port, for SHOW BACKENDS and SHOW FRONTENDS."""
        return self._advertised, int(self.fe_url.rpartition(":")[2]), int(self.be_url.rpartition(":")[2])

    async def _serve(self, stack: AsyncExitStack, app: web.Application, name: str, *, lingering_time: float) -> str:
        runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=5.0, lingering_time=lingering_time,
            max_line_size=_MAX_HEADER, max_field_size=_MAX_HEADER, auto_decompress=False,
        )  # fmt: skip
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, self._host, self._ports[name])
        try:
            await site.start()
        except OSError as error:
            raise self._in_use(name, error) from error
        return f"http://{self._advertised}:{runner.addresses[0][1]}"

    def _in_use(self, name: str, error: OSError) -> SandboxError:
        return SandboxError(
            f"the StarRocks sandbox cannot listen on {self._host}:{self._ports[name]} ({name} port): "
            f"{error.strerror or error}; choose another port, or 0 for a free one"
        )
