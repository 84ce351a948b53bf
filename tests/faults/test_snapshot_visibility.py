"""Loads beside commits that are written, and streamed, before queries can see them: what synchronous replication makes last."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import psycopg
import pytest
from dbmazz.v1 import reader_pb2
from dbmazz_sandbox.postgres import EmbeddedPostgres

from tests.fixtures.fix_lonely import standby_that_does_not_answer
from tests.fixtures.fix_ring import Sandbox
from tests.fixtures.ring import Ring
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.fault

ROWS = 300


async def change(writer: psycopg.AsyncConnection) -> None:
    """Unchanged TOAST, a delete, a key change, an insert; the commit waits."""
    async with writer.transaction():
        await writer.execute("UPDATE t SET n = n + 100 WHERE id % 10 = 1")
        await writer.execute("DELETE FROM t WHERE id % 10 = 2")
        await writer.execute("UPDATE t SET id = id + 5000 WHERE id % 10 = 3")
        await writer.execute("INSERT INTO t VALUES (7000, 1, 'new')")


async def waiting(admin: psycopg.AsyncConnection, writer: psycopg.AsyncConnection) -> bool:
    query = "SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = %s"
    cursor = await admin.execute(query, [writer.info.backend_pid])
    return bool((await cursor.fetchone())[0])


@pytest.mark.parametrize("restart", [False, True], ids=["one-session", "confirmed-before"])
async def test_a_load_beside_a_commit_that_waits_for_its_standby(
    lonely_server: EmbeddedPostgres, sandbox: Sandbox, tmp_path: Path, seed: int, restart: bool
) -> None:
    """The stream has delivered it, the chunk's snapshot has not: the load waits, it does not bring the old rows back.

    With a restart in between the transaction was confirmed and is not streamed again, so only its locks tell of it.
    """
    rng = random.Random(seed)
    name = f"waits_{restart}".lower()
    settings = {**sandbox.settings(name), "SNAPSHOT_CHUNK_SIZE": "50", "TOAST_READBACK": "false"}
    ring = Ring(lonely_server.url, settings, tmp_path, name=name)
    connect = psycopg.AsyncConnection.connect
    async with (
        await connect(lonely_server.url, autocommit=True) as admin,
        await connect(lonely_server.url, autocommit=True) as writer,
    ):
        try:
            await admin.execute("CREATE TABLE t (id int PRIMARY KEY, n int, big text)")
            await admin.execute("ALTER TABLE t REPLICA IDENTITY FULL")
            for key in range(ROWS):
                await admin.execute("INSERT INTO t VALUES (%s, 0, %s)", [key, rng.randbytes(6_000).hex()])
            ring.start()
            await ring.loaded("public.t")
            await writer.execute("SET synchronous_commit = on")
            async with standby_that_does_not_answer(admin), asyncio.TaskGroup() as group:
                changing = group.create_task(change(writer))
                await wait_until(lambda: waiting(admin, writer), timeout=10, what="the commit waits")
                await ring.caught_up()
                if restart:
                    assert ring["reader"].terminate() == 0
                    ring["reader"].start()
                await ring.snapshot("public.t")
                await asyncio.sleep(1.0)  # the load would be through by now
                assert not changing.done()
                assert (await ring.tables())["public.t"].load.row_count == 0
                await admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
                await admin.execute("SELECT pg_reload_conf()")
            await ring.loaded("public.t")
            await ring.caught_up()
            await ring.assert_equal("public.t")
        finally:
            await ring.close()


async def test_what_becomes_visible_between_reading_and_loading(
    lonely_server: EmbeddedPostgres, sandbox: Sandbox, tmp_path: Path, seed: int
) -> None:
    """Commits wait again and again while a load runs: newer images win, and take what they lack from the chunks."""
    rng = random.Random(seed)
    settings = {**sandbox.settings("between"), "SNAPSHOT_CHUNK_SIZE": "5", "TOAST_READBACK": "false"}
    ring = Ring(lonely_server.url, settings, tmp_path, name="between")
    connect = psycopg.AsyncConnection.connect
    async with await connect(lonely_server.url, autocommit=True) as admin:
        try:
            await admin.execute("CREATE TABLE t (id int PRIMARY KEY, n int, big text)")
            for key in range(ROWS):
                await admin.execute("INSERT INTO t VALUES (%s, 0, %s)", [key, rng.randbytes(6_000).hex()])
            ring.start()
            await ring.streaming()
            met, stop = 0, asyncio.Event()
            async with standby_that_does_not_answer(admin), asyncio.TaskGroup() as group:
                await ring.snapshot("public.t")
                for number in range(12):
                    group.create_task(one_update(lonely_server.url, random.Random(seed + number), number, stop))
                for _ in range(30):
                    await asyncio.sleep(0.1)
                    load = (await ring.tables())["public.t"].load
                    met = max(met, load.retake_count + load.overtaken_row_count)
                    if load.state == reader_pb2.LOAD_STATE_DONE:
                        await ring.snapshot("public.t")
                    await admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
                    await admin.execute("SELECT pg_reload_conf()")
                    await asyncio.sleep(0.05)
                    await admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
                    await admin.execute("SELECT pg_reload_conf()")
                stop.set()
                await admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
                await admin.execute("SELECT pg_reload_conf()")
            await ring.loaded("public.t")
            await ring.caught_up()
            await ring.assert_equal("public.t")
            assert (await ring.reader_status()).unchanged_toast_count > 0
            assert met > 0, "no load has met a change that it could not see"
        finally:
            await ring.close()


async def one_update(url: str, rng: random.Random, number: int, stop: asyncio.Event) -> None:
    """Small updates of one writer's own keys; each commit waits until somebody lets it go."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("SET synchronous_commit = on")
        while not stop.is_set():
            key = number + 12 * rng.randrange(ROWS // 12)
            await connection.execute("UPDATE t SET n = n + 1 WHERE id = %s", [key])
