"""The MySQL port: accepts connections and ends them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import structlog
from mysql_mimic.stream import ConnectionClosed, MysqlStream

from dbmazz_sandbox.starrocks.cluster import Cluster
from dbmazz_sandbox.starrocks.faults import Fault
from dbmazz_sandbox.starrocks.mysql.connection import StarRocksConnection
from dbmazz_sandbox.starrocks.mysql.session import StarRocksSession
from dbmazz_sandbox.starrocks.mysql.wire import Malformed

log = structlog.get_logger("dbmazz.sandbox.starrocks")


class MysqlPort:
    """`start` returns the port; `stop` closes the connections and waits for them."""

    def __init__(self, cluster: Cluster, addresses: Callable[[], tuple[str, int, int]]) -> None:
        self._cluster = cluster
        self._addresses = addresses
        self._connections: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}
        self._idents = itertools.count(1)
        self._server: asyncio.Server | None = None
        self._address = ("", 0)

    async def start(self, host: str, port: int) -> int:
        self._server = await asyncio.start_server(self._connected, host, port, limit=1 << 20)
        self._address = self._server.sockets[0].getsockname()[:2]
        return self._address[1]

    def refuse(self) -> None:
        """Cut all connections and take no new ones, until `admit`."""
        assert self._server is not None
        self._server.close()
        for writer in self._connections.values():
            writer.transport.abort()

    async def admit(self) -> None:
        """Take connections again, on the same port."""
        await self.start(*self._address)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._connections.values():
            writer.transport.abort()
        if self._connections:
            await asyncio.wait(list(self._connections), timeout=5)
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._cluster.faults.take(Fault.FE_DOWN):
            writer.transport.abort()
            return
        self._connections[task] = writer
        ident = next(self._idents)
        session = StarRocksSession(self._cluster, self._addresses, ident)
        peer = (writer.get_extra_info("peername") or ("",))[0]
        try:
            await StarRocksConnection(MysqlStream(reader, writer), session, ident, peer).serve()
        except (ConnectionClosed, ConnectionError, asyncio.IncompleteReadError, Malformed) as error:
            log.debug("mysql_connection_lost", connection=ident, reason=type(error).__name__)
        except Exception:
            log.exception("mysql_connection_failed", connection=ident)
        finally:
            self._connections.pop(task, None)
            writer.close()
