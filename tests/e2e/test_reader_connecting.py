"""What the reader makes of a server that refuses it, and then does not."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from dbmazz.errors import SourceError, SourceUnavailable
from dbmazz_reader.postgres import connecting
from dbmazz_reader.postgres.connecting import connect

from tests.fixtures.fix_postgres import SourceDatabase

STARTING = "57P03=the database system is starting up"
WRONG = '28P01=password authentication failed for user "postgres"'


@contextlib.contextmanager
def front(url: str, *answers: str) -> Iterator[str]:
    """The URL of a server that gives each of the first connections its answer, and is the real one for all later."""
    parts = urlsplit(url)
    command = [sys.executable, "-m", "tests.fixtures.refusing_front", str(parts.port), *answers]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        try:
            yield f"postgresql://{parts.username}@127.0.0.1:{port}{parts.path}?sslmode=disable&gssencmode=disable"
        finally:
            process.terminate()


async def test_a_server_that_became_ready_between_refusal_and_question_is_tried_again(
    source_db: SourceDatabase,
) -> None:
    # The second connection asks why; that it comes as far as to a wrong password means that the server is ready.
    with front(source_db.url, STARTING, WRONG) as url:
        connection = await connect(url)
        assert (await (await connection.execute("SELECT 1")).fetchone()) == (1,)
        await connection.close()


async def test_a_server_that_still_starts_is_unavailable(source_db: SourceDatabase) -> None:
    with front(source_db.url, STARTING, STARTING) as url, pytest.raises(SourceUnavailable, match="starting up"):
        await connect(url)


async def test_a_refusal_of_a_ready_server_is_one(source_db: SourceDatabase) -> None:
    refused = pytest.raises(SourceError, match=r"refuses the connection: .*password authentication failed")
    with front(source_db.url, *[WRONG] * 4) as url, refused as caught:
        await connect(url)
    assert not isinstance(caught.value, SourceUnavailable)


async def test_a_server_that_says_nothing_costs_one_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """PQping would block the whole process for as long again."""
    monkeypatch.setitem(connecting._DEFAULTS, "connect_timeout", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(SourceUnavailable, match="cannot be reached"):
            await connect(f"postgresql://postgres@127.0.0.1:{silent.getsockname()[1]}/shop?sslmode=disable")
    assert time.monotonic() - started < 3.5
