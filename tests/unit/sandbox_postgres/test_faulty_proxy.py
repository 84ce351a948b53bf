"""The proxy does each of its faults, and nothing else."""

import asyncio
import socket
import time
from typing import cast

import psycopg
import pytest
import pytest_asyncio

from tests.fixtures.waiting import wait_until


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


@pytest_asyncio.fixture
async def echo(proxy_to):
    """A proxy before a server that sends everything back."""
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    async with server:
        yield await proxy_to("127.0.0.1", server.sockets[0].getsockname()[1])


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, data: bytes, timeout: float = 5.0) -> bytes:
        self.writer.write(data)
        async with asyncio.timeout(timeout):
            return await self.reader.readexactly(len(data))


@pytest_asyncio.fixture
async def dial():
    clients = []

    async def dial(proxy) -> Client:
        clients.append(Client(*await asyncio.open_connection(proxy.host, proxy.port)))
        return clients[-1]

    yield dial
    for client in clients:
        client.writer.transport.abort()


async def test_forwards_everything_and_the_end_of_it(echo, dial):
    client = await dial(echo)
    data = bytes(range(256)) * 8192
    client.writer.write(data)
    client.writer.write_eof()
    async with asyncio.timeout(10):
        assert await client.reader.read(-1) == data
    await wait_until(lambda: echo.connections == 0, what="link closed")
    assert echo.forwarded_bytes == 2 * len(data)


async def test_a_cut_resets_connections_and_takes_new_ones(echo, dial):
    clients = [await dial(echo) for _ in range(3)]
    for client in clients:
        await client.ask(b"hello")
    assert await echo.cut() == 3
    for client in clients:
        with pytest.raises(ConnectionResetError):
            await client.ask(b"anybody?")
    assert await (await dial(echo)).ask(b"again") == b"again"
    assert echo.accepted == 4


async def test_refusing_resets_every_new_connection(echo, dial):
    old = await dial(echo)
    await old.ask(b"hello")
    echo.refuse = True
    new = await dial(echo)
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await new.ask(b"hello")
    assert await old.ask(b"still here") == b"still here"
    echo.refuse = False
    assert await (await dial(echo)).ask(b"back") == b"back"


async def test_a_stall_holds_bytes_back_without_closing_and_loses_none(echo, dial):
    client = await dial(echo)
    await client.ask(b"hello")
    echo.stall()
    with pytest.raises(TimeoutError):
        await client.ask(b"silence", timeout=0.1)
    assert not client.reader.at_eof()
    echo.resume()
    async with asyncio.timeout(5):
        assert await client.reader.readexactly(7) == b"silence"


async def test_latency_holds_each_direction_back(echo, dial):
    client = await dial(echo)
    echo.latency = 0.05
    start = time.monotonic()
    await client.ask(b"slow")
    assert time.monotonic() - start >= 0.1


async def test_carries_postgresql_and_its_loss(source_db, proxy_to):
    proxy = await proxy_to("127.0.0.1", source_db.server.port)
    url = source_db.url.replace(f":{source_db.server.port}/", f":{proxy.port}/")
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
    assert await (await connection.execute("SELECT repeat('x', 1000000)")).fetchone() == ("x" * 1_000_000,)
    await proxy.cut()
    with pytest.raises(psycopg.OperationalError):
        await connection.execute("SELECT 1")
    await connection.close()


async def test_an_unreachable_target_resets_the_client(proxy_to, dial):
    async with asyncio.timeout(5):
        with socket.create_server(("127.0.0.1", 0)) as closed_below:
            port = closed_below.getsockname()[1]
        client = await dial(await proxy_to("127.0.0.1", port))
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await client.ask(b"hello")
