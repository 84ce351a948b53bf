"""The look-alike as one object: FE, BEs, MySQL and control ports over one data directory."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType

import structlog
from aiohttp import web

from dbmazz_sandbox.starrocks.backends import BackendNode, Backends
from dbmazz_sandbox.starrocks.cluster import Cluster
from dbmazz_sandbox.starrocks.errors import SandboxError
from dbmazz_sandbox.starrocks.faults import Faults
from dbmazz_sandbox.starrocks.http.answers import backend_bad_request, frontend_bad_request
from dbmazz_sandbox.starrocks.http.backend import Backend
from dbmazz_sandbox.starrocks.http.control import Control
from dbmazz_sandbox.starrocks.http.frontend import Frontend
from dbmazz_sandbox.starrocks.http.head import Head
from dbmazz_sandbox.starrocks.http.listener import Listener
from dbmazz_sandbox.starrocks.mysql.server import MysqlPort
from dbmazz_sandbox.starrocks.store import Store
from dbmazz_sandbox.starrocks.transactions.frontend import TransactionFrontend
from dbmazz_sandbox.starrocks.transactions.multi import MultiTable
from dbmazz_sandbox.starrocks.version import Version

log = structlog.get_logger("dbmazz.sandbox.starrocks")
FILE = "starrocks.duckdb"
FE_HTTP = "FE HTTP"
_WILDCARDS = ("0.0.0.0", "::")


class StarRocksSandbox:
    """`async with StarRocksSandbox(path) as starrocks:` or start() and stop(). A port of 0 takes a free one.

    After start: `fe_url`, `be_url`, `control_url` ("http://127.0.0.1:PORT"), `mysql_port`; `faults` always.
    With `backends=3` there are three BEs: `be_urls`; `be_port` is the first's, the next ports the others'.
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
        backends: int = 1,
    ) -> None:
        self._path = Path(data_dir) / FILE
        self._host = host
        self._advertised = advertise or (socket.gethostname() if host in _WILDCARDS else host)
        self._ports = {FE_HTTP: fe_port, "BE HTTP": be_port, "MySQL": mysql_port, "control": control_port}
        self._user, self._password = user, password
        self.version = Version.parse(version)
        self.backends = Backends(backends)
        self.faults = Faults()
        self.fe_url = self.control_url = ""
        self.mysql_port = mysql_port
        self._stack: AsyncExitStack | None = None
        self._frontend: Listener
        self._listeners: dict[int, Listener] = {}
        self._cluster: Cluster
        self._mysql: MysqlPort
        self._transactions: TransactionFrontend
        self._servers: dict[int, Backend] = {}
        self._tasks: asyncio.TaskGroup
        self._outage: asyncio.Task[None] | None = None
        self._wanted, self._back = asyncio.Event(), asyncio.Event()  # the FE, before its time; and it is there
        self._back.set()

    async def start(self) -> None:
        if self._stack is not None:
            raise SandboxError("the StarRocks sandbox is already running")
        async with AsyncExitStack() as stack:
            store = await asyncio.to_thread(Store, self._path)
            cluster = Cluster(store, self.faults, self.version, self._user, self._password, self.backends)
            self._cluster = cluster
            stack.push_async_callback(asyncio.to_thread, cluster.close)
            stack.callback(cluster.stop)
            multi = MultiTable(cluster)
            for position, node in enumerate(self.backends):
                await self._open_backend(stack, position, node, multi)
            self._transactions = TransactionFrontend(cluster, multi)
            frontend = Frontend(cluster, self._transactions, self.restart_frontend)
            self._frontend = await self._open(stack, frontend.app, FE_HTTP, self._ports[FE_HTTP])
            self.fe_url = self._url(self._frontend)
            control = Control(self)
            listener = await self._open(stack, control.app, "control", self._ports["control"])
            self.control_url = self._url(listener)
            self._mysql = MysqlPort(cluster, self._addresses)
            try:
                self.mysql_port = await self._mysql.start(self._host, self._ports["MySQL"])
            except OSError as error:
                raise SandboxError(
                    f"the StarRocks sandbox cannot listen on {self._host}:{self._ports['MySQL']} (MySQL port): "
                    f"{error.strerror or error}; choose another port, or 0 for a free one"
                ) from error
            stack.push_async_callback(self._mysql.stop)
            stack.push_async_callback(self.faults.clear)  # first of all: nothing may stall the stop
            # Last, when nothing fails any more: a group would wrap what its body raises.
            self._tasks = await stack.enter_async_context(asyncio.TaskGroup())
            stack.callback(self._end_outage)
            cluster.publisher.resume()
            cluster.arm()
            self._stack = stack.pop_all()
        log.info("starrocks_sandbox_started", fe=self.fe_url, be=self.be_urls, mysql_port=self.mysql_port,
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

    @property
    def be_urls(self) -> list[str]:
        """One per BE, whether it is up or not."""
        return [node.url for node in self.backends]

    @property
    def be_url(self) -> str:
        return self.backends[0].url if self.backends[0].port else ""

    async def stop_backend(self, number: int) -> None:
        """BE 1, 2, … goes down (`be_urls[number - 1]`): connections to it are cut, new ones refused; the FE sends nobody
        there. Raises ValueError when there is no such BE."""
        node = self.backends.numbered(number)
        node.alive = False
        self._servers[node.ident].forget()
        await self._listeners[node.ident].refuse()
        log.info("backend_stopped", backend=node.ident)

    async def start_backend(self, number: int) -> None:
        """It comes back, on the same port, with the transactions it coordinated forgotten. Raises ValueError."""
        node = self.backends.numbered(number)
        await self._listeners[node.ident].admit()
        node.alive = True
        log.info("backend_started", backend=node.ident)

    async def restart_frontend(self, seconds: float) -> None:
        """The FE drops all connections, HTTP and MySQL, and refuses new ones for so long. What it only had in memory, the
        running transactions, is forgotten."""
        cluster = self._cluster
        if not cluster.frontend_up:
            return
        cluster.frontend_up = False
        self._wanted.clear()
        self._back.clear()
        self._transactions.restart()
        cluster.labels.restart(cluster.now())
        log.info("frontend_stopped", seconds=seconds)
        self._mysql.refuse()
        await self._frontend.refuse()
        self._outage = self._tasks.create_task(self._come_back(seconds))

    async def start_frontend(self) -> None:
        """The FE is back when this returns, on the same ports, however long it was to stay away."""
        self._wanted.set()
        await self._back.wait()

    async def _come_back(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wanted.wait()
        await self._frontend.admit()
        await self._mysql.admit()
        self._cluster.frontend_up = True
        self._back.set()
        log.info("frontend_started")

    def _end_outage(self) -> None:
        if self._outage is not None:
            self._outage.cancel()
        self._back.set()

    def _addresses(self) -> tuple[str, int, int]:
        """Host, FE HTTP port and BE HTTP port, for SHOW BACKENDS and SHOW FRONTENDS."""
        return self._advertised, self._frontend.port, self.backends[0].port

    async def _open_backend(self, stack: AsyncExitStack, position: int, node: BackendNode, multi: MultiTable) -> None:
        first = self._ports["BE HTTP"]
        backend = Backend(self._cluster, node, multi)
        name = "BE HTTP" if len(self.backends) == 1 else f"BE {position + 1} HTTP"
        listener = await self._open(stack, backend.app, name, first + position if first else 0, backend=True)
        node.host, node.port = self._advertised, listener.port
        self._servers[node.ident] = backend
        self._listeners[node.ident] = listener

    async def _open(
        self, stack: AsyncExitStack, app: web.Application, name: str, port: int, *, backend: bool = False
    ) -> Listener:
        # A BE reads the rest of a body that it refused; the FE closes on a client that sent its body unasked.
        lingering, bad_request = (10.0, backend_bad_request) if backend else (1.0, frontend_bad_request)
        head = Head if name == FE_HTTP else None
        listener = Listener(app, name, self._host, port, lingering_time=lingering, bad_request=bad_request, head=head)
        stack.push_async_callback(listener.close)
        await listener.open()
        return listener

    def _url(self, listener: Listener) -> str:
        return f"http://{self._advertised}:{listener.port}"
