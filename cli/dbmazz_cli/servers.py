"""The sandbox's servers, started and stopped together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from dbmazz.errors import DbmazzError
from dbmazz_sandbox.postgres import EmbeddedPostgres, EmbeddedPostgresError
from dbmazz_sandbox.starrocks import SandboxError, StarRocksSandbox

POSTGRES_PORT = 15432
STARROCKS_PORTS = {"fe_port": 8030, "be_port": 8040, "mysql_port": 9030, "control_port": 8031}


@dataclass(frozen=True)
class Wanted:
    """Which servers, where, and how they ask for a password (empty: they do not)."""

    data: Path
    postgres: bool = True
    starrocks: bool = True
    default_ports: bool = False
    postgres_major: int = 16
    password: str = ""
    # What they bind, and the name under which others reach them (empty: as the servers choose).
    host: str = "127.0.0.1"
    advertise: str = ""
    starrocks_version: str = "3.3"
    backends: int = 1


@dataclass(frozen=True)
class Addresses:
    """What a client needs; None for a server that was not asked for. `source_url` holds the password."""

    source_url: str | None = None
    sink_url: str | None = None
    sink_port: int | None = None
    control_url: str | None = None


class Servers:
    """What is running: `addresses`, and whether it still does."""

    def __init__(self, addresses: Addresses, postgres: EmbeddedPostgres | None) -> None:
        self.addresses = addresses
        self._postgres = postgres

    @property
    def running(self) -> bool:
        """False when PostgreSQL, a process of its own, has ended by itself."""
        return self._postgres is None or self._postgres.running


@contextlib.asynccontextmanager
async def servers(wanted: Wanted) -> AsyncIterator[Servers]:
    """Runs them while the body runs; DbmazzError when one cannot start or stop."""
    try:
        async with contextlib.AsyncExitStack() as stack:
            postgres = await _postgres(wanted, stack) if wanted.postgres else None
            source = {"source_url": postgres.url} if postgres else {}
            sink = await _starrocks(wanted, stack) if wanted.starrocks else {}
            yield Servers(Addresses(**source, **sink), postgres)
    except (EmbeddedPostgresError, SandboxError) as error:
        raise DbmazzError(str(error)) from None


async def _postgres(wanted: Wanted, stack: contextlib.AsyncExitStack) -> EmbeddedPostgres:
    server = EmbeddedPostgres(
        wanted.data / f"postgres{wanted.postgres_major}",
        port=POSTGRES_PORT if wanted.default_ports else 0,
        major=wanted.postgres_major,
        password=wanted.password or None,
        host=wanted.host,
        advertise=wanted.advertise,
    )
    # Before the start: one that is interrupted half-way leaves a server as well.
    stack.push_async_callback(asyncio.to_thread, server.stop)
    await asyncio.to_thread(server.start)
    return server


async def _starrocks(wanted: Wanted, stack: contextlib.AsyncExitStack) -> dict[str, str | int]:
    data = wanted.data / "starrocks"
    await asyncio.to_thread(data.mkdir, parents=True, exist_ok=True)
    ports = STARROCKS_PORTS if wanted.default_ports else {}
    try:
        sandbox = StarRocksSandbox(
            data,
            password=wanted.password,
            host=wanted.host,
            advertise=wanted.advertise,
            version=wanted.starrocks_version,
            backends=wanted.backends,
            **ports,
        )
    except ValueError as error:
        raise SandboxError(str(error)) from None
    await stack.enter_async_context(sandbox)
    return {"sink_url": sandbox.fe_url, "sink_port": sandbox.mysql_port, "control_url": sandbox.control_url}
