"""What people get wrong, and what is not there: one clear line with the way out; a retry where it can heal."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from dbmazz.v1 import types_pb2
from dbmazz_sandbox.postgres import EmbeddedPostgres

from tests.fixtures.fix_postgres import SourceDatabase
from tests.fixtures.fix_ring import RingMaker, Sandbox, running_sandbox
from tests.fixtures.ring import Ring, free_port
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.e2e


def run_service(service: str, directory: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a service that is expected to give up by itself."""
    environment = {**os.environ, "LISTEN": "127.0.0.1:0", "LOG_FORMAT": "json", **variables}
    return subprocess.run(
        [sys.executable, "-m", "dbmazz_cli", service],
        env=environment,
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def only_line(done: subprocess.CompletedProcess[str], service: str) -> str:
    """The one line for people on stderr, beside the structured log."""
    assert done.returncode != 0
    assert "Traceback" not in done.stderr, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith(f"dbmazz {service}: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("mysql://nonsense", "SOURCE_URL"),
        ("", "SOURCE_URL is not set"),
        ("{base}/no_such_database", "no_such_database"),
        ("{wrong_user}", "nobody_there"),
    ],
)
def test_a_wrong_source_url(source_db: SourceDatabase, tmp_path: Path, url: str, named: str) -> None:
    base = source_db.url.rsplit("/", 1)[0]
    wrong_user = source_db.url.replace("postgres@", "nobody_there@")
    done = run_service("reader", tmp_path, SOURCE_URL=url.format(base=base, wrong_user=wrong_user))
    assert named in only_line(done, "reader")


def test_a_wrong_password_is_named_and_not_shown(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "data", password="right-one", fast=True) as server:
        done = run_service("reader", tmp_path, SOURCE_URL=server.url.replace("right-one", "wrong-one"))
    line = only_line(done, "reader")
    assert "password" in line
    assert "wrong-one" not in done.stderr + done.stdout


def test_wal_level_replica(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "data", settings={"wal_level": "replica"}, fast=True) as server:
        line = only_line(run_service("reader", tmp_path, SOURCE_URL=server.url), "reader")
    assert "wal_level" in line
    assert "ALTER SYSTEM SET wal_level" in line


async def test_a_missing_privilege(source_db: SourceDatabase, tmp_path: Path) -> None:
    role = f"limited_{source_db.name}"
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE t (id int PRIMARY KEY)")
        await connection.execute(f"CREATE ROLE {role} LOGIN")
        try:
            url = source_db.url.replace("postgres@", f"{role}@")
            done = await asyncio.to_thread(run_service, "reader", tmp_path, SOURCE_URL=url)
        finally:
            await connection.execute(f"DROP ROLE {role}")
    line = only_line(done, "reader")
    assert "REPLICATION" in line
    assert f'ALTER ROLE "{role}" REPLICATION' in line


async def test_unknown_tables_and_tables_without_a_key(source_db: SourceDatabase, tmp_path: Path) -> None:
    done = await asyncio.to_thread(run_service, "reader", tmp_path, SOURCE_URL=source_db.url, TABLES="public.nope")
    assert "public.nope" in only_line(done, "reader")
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE keyless (id int)")
    done = await asyncio.to_thread(run_service, "reader", tmp_path, SOURCE_URL=source_db.url, TABLES="public.keyless")
    line = only_line(done, "reader")
    assert "public.keyless" in line
    assert "ADD PRIMARY KEY" in line or "REPLICA IDENTITY" in line


def test_an_unknown_setting(tmp_path: Path) -> None:
    done = run_service("reader", tmp_path, SOURCE_URRL="x")
    assert done.returncode == 2
    assert "SOURCE_URRL" in done.stderr
    assert "SOURCE_URL" in done.stderr


async def test_postgresql_that_comes_late(source_db: SourceDatabase, make_ring: RingMaker, tmp_path: Path) -> None:
    """Nobody listens yet: a retry with back-off and one clear error, no exit."""
    ring = make_ring()
    port = free_port()
    ring.environment["SOURCE_URL"] = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    ring.start()

    async def retrying() -> str:
        status = (await ring.reader_status()).status
        return status.last_error if status.state == types_pb2.SERVICE_STATE_RETRYING else ""

    error = await wait_until(retrying, timeout=20, what="the reader retries")
    assert f"127.0.0.1:{port}" in error or str(port) in error
    assert ring["reader"].running
    # With its table from elsewhere: the reader can be there the moment it listens, and a database without one is refused.
    server = EmbeddedPostgres(tmp_path / "late", fast=True)
    await asyncio.to_thread(server.start)
    async with await psycopg.AsyncConnection.connect(server.url, autocommit=True) as connection:
        await connection.execute("CREATE TABLE t (id int PRIMARY KEY)")
    await asyncio.to_thread(server.stop)
    server = EmbeddedPostgres(tmp_path / "late", port=port, fast=True)
    await asyncio.to_thread(server.start)
    try:
        await ring.streaming(timeout=40)
    finally:
        ring["reader"].kill()
        await asyncio.to_thread(server.stop)


async def test_starrocks_that_is_not_there(source_db: SourceDatabase, make_ring: RingMaker) -> None:
    ring = make_ring()
    ring.environment["SINK_URL"] = f"http://127.0.0.1:{free_port()}"
    ring.environment["SINK_PORT"] = str(free_port())
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE t (id int PRIMARY KEY)")
    ring.start()

    async def retrying() -> str:
        status = (await ring.loader_status()).status
        return status.last_error if status.state == types_pb2.SERVICE_STATE_RETRYING else ""

    error = await wait_until(retrying, timeout=20, what="the loader retries")
    assert "127.0.0.1" in error
    assert ring["loader"].running


async def test_a_wrong_starrocks_password(source_db: SourceDatabase, tmp_path: Path) -> None:
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE t (id int PRIMARY KEY)")
    with running_sandbox(tmp_path, SANDBOX_PASSWORD="right-one") as sandbox:
        sink = {**sandbox.settings("secured"), "SINK_PASSWORD": "wrong-one"}
        ring = Ring(source_db.url, sink, tmp_path, name=f"{source_db.name}_password")
        try:
            ring.start()

            async def refused() -> str:
                return (await ring.loader_status()).status.last_error

            error = await wait_until(refused, timeout=20, what="the loader is refused")
            assert "SINK_PASSWORD" in error
            # Else the row could be there before the slot, and would not be in its stream.
            await ring.streaming()
            assert "wrong-one" not in error + ring["loader"].log
            ring["loader"].kill()
            ring.environment["SINK_PASSWORD"] = "right-one"
            ring["loader"].start()
            async with await source_db.connect() as connection:
                await connection.execute("INSERT INTO t VALUES (1)")
            await ring.caught_up()
            assert await ring.target_rows("SELECT id FROM t") == [(1,)]
        finally:
            await ring.close()


async def test_garbage_on_the_grpc_ports(source_db: SourceDatabase, make_ring: RingMaker, sandbox: Sandbox) -> None:
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE t (id int PRIMARY KEY)")
        ring = make_ring()
        ring.start()
        await ring.streaming()
        for service in ("reader", "transformer", "loader", "checkpoint"):
            host, port = ring[service].address.split(":")
            with socket.create_connection((host, int(port)), timeout=5) as connection_to_service:
                connection_to_service.sendall(b"GET / HTTP/1.1\r\n\r\n" + bytes(range(256)) * 64)
        await connection.execute("INSERT INTO t VALUES (1)")
        await ring.caught_up()
    await ring.assert_equal("public.t")
