"""What the reader makes of a server that refuses it, and then does not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from dbmazz.errors import SourceError, SourceUnavailable
from dbmazz_reader.postgres.connecting import connect

from tests.fixtures.fix_postgres import SourceDatabase


def refusal(sqlstate: str, message: str) -> bytes:
    """An ErrorResponse to a StartupMessage."""
    fields = b"".join(
        kind + value.encode() + b"\0"
        for kind, value in ((b"S", "FATAL"), (b"V", "FATAL"), (b"C", sqlstate), (b"M", message))
    )
    return b"E" + (len(fields) + 5).to_bytes(4, "big") + fields + b"\0"


@contextlib.asynccontextmanager
async def front(url: str, answers: list[bytes]) -> AsyncIterator[str]:
    """The URL of a server that gives each of the first connections its answer, and is the real one for all later."""
    parts = urlsplit(url)
    waiting = iter(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = next(waiting, None)
        with contextlib.closing(writer):
            if answer is not None:
                await reader.read(1 << 16)
                writer.write(answer)
                await writer.drain()
                return
            there, back = await asyncio.open_connection(parts.hostname, parts.port)
            with contextlib.closing(back):
                async with asyncio.TaskGroup() as group:
                    group.create_task(copy(reader, back))
                    group.create_task(copy(there, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"postgresql://{parts.username}@127.0.0.1:{port}{parts.path}?sslmode=disable&gssencmode=disable"


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


STARTING = refusal("57P03", "the database system is starting up")
WRONG = refusal("28P01", 'password authentication failed for user "postgres"')


async def test_a_server_that_became_ready_between_refusal_and_question_is_tried_again(
    source_db: SourceDatabase,
) -> None:
    # The second connection asks why; that it was let in as far as to a wrong password means that the server is ready.
    async with front(source_db.url, [STARTING, WRONG]) as url:
        connection = await connect(url)
        assert (await (await connection.execute("SELECT 1")).fetchone()) == (1,)
        await connection.close()


async def test_a_server_that_still_starts_is_unavailable(source_db: SourceDatabase) -> None:
    async with front(source_db.url, [STARTING, STARTING]) as url:
        with pytest.raises(SourceUnavailable, match="starting up"):
            await connect(url)


async def test_a_refusal_of_a_ready_server_is_one(source_db: SourceDatabase) -> None:
    async with front(source_db.url, [WRONG] * 4) as url:
        with pytest.raises(SourceError, match="refuses the connection: .*password authentication failed") as caught:
            await connect(url)
    assert not isinstance(caught.value, SourceUnavailable)
