"""`dbmazz traffic` against a real PostgreSQL: tables first, rows once the slot is there, an end at SIGTERM, clear errors."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import psycopg
import pytest

from tests.fixtures.fix_postgres import SourceDatabase
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.e2e


async def start(url: str, directory: Path, *options: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "dbmazz_cli", "traffic", "--rate", "500", *options),
        cwd=directory,
        env={**os.environ, "SOURCE_URL": url},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_rows_come_after_the_slot_and_sigterm_ends_it(source_db: SourceDatabase, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    process = await start(source_db.url, tmp_path, "--ready-file", str(ready), "--after-slot", "traffic_waits")
    try:
        async with await source_db.connect() as connection:

            async def orders() -> int:
                row = await (await connection.execute("SELECT count(*) FROM orders")).fetchone()
                return row[0]  # type: ignore[index]

            await wait_until(ready.exists, what="the tables")
            assert await orders() == 0
            await connection.execute("SELECT pg_create_logical_replication_slot('traffic_waits', 'pgoutput')")
            await wait_until(orders, what="orders")
            await connection.execute("SELECT pg_drop_replication_slot('traffic_waits')")
        process.send_signal(signal.SIGTERM)
        _, said = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 0
        assert b"traffic_ended" in said
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_source_that_is_away_is_waited_for(source_db: SourceDatabase, tmp_path: Path) -> None:
    nowhere = psycopg.conninfo.make_conninfo(source_db.url, port=1)
    process = await start(nowhere, tmp_path)
    assert process.stderr is not None
    line = await asyncio.wait_for(process.stderr.readline(), 20)
    assert b"source_away" in line
    process.send_signal(signal.SIGTERM)
    await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("url", "code", "says"),
    [
        ("", 2, "SOURCE_URL is not set"),
        ("postgresql://u:hunter2@[/d", 2, "SOURCE_URL is not a URL"),
    ],
)
async def test_what_waiting_does_not_mend_is_one_line(url: str, code: int, says: str, tmp_path: Path) -> None:
    process = await start(url, tmp_path)
    _, said = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == code
    lines = said.decode().splitlines()
    assert len(lines) == 1 and says in lines[0] and "hunter2" not in lines[0]


async def test_missing_rights_end_it(source_db: SourceDatabase, tmp_path: Path) -> None:
    role = f"idle_{source_db.name}"
    async with await source_db.connect() as connection:
        await connection.execute(f"CREATE ROLE {role} LOGIN")
        try:
            process = await start(psycopg.conninfo.make_conninfo(source_db.url, user=role), tmp_path)
            _, said = await asyncio.wait_for(process.communicate(), 20)
        finally:
            await connection.execute(f"DROP ROLE {role}")
    assert process.returncode == 1
    (line,) = said.decode().splitlines()
    assert line.startswith("dbmazz: the generators cannot work: permission denied for schema public. See SOURCE_URL")
