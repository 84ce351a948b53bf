"""Commits that the stream delivers before queries can see them: with synchronous replication, that takes as long as the
standby takes. What is asked of the source meanwhile must not be believed."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import psycopg
import pytest
from dbmazz.lsn import Lsn
from dbmazz_sandbox.postgres import EmbeddedPostgres

from tests.fixtures.fix_lonely import standby_that_does_not_answer
from tests.fixtures.fix_ring import Sandbox
from tests.fixtures.ring import Ring
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.fault


async def test_a_commit_that_waits_for_its_standby(
    lonely_server: EmbeddedPostgres, sandbox: Sandbox, tmp_path: Path, seed: int
) -> None:
    """Keys swapped with unchanged TOAST, a row that moves to a new key, and a table made in the same transaction."""
    rng = random.Random(seed)
    ring = Ring(lonely_server.url, sandbox.settings("lonely"), tmp_path, name="lonely")
    connect = psycopg.AsyncConnection.connect
    async with (
        await connect(lonely_server.url, autocommit=True) as admin,
        await connect(lonely_server.url, autocommit=True) as writer,
    ):
        try:
            await admin.execute("CREATE TABLE t (id int PRIMARY KEY, n int, big text)")
            await admin.execute(f"CREATE PUBLICATION {ring.publication} FOR ALL TABLES")
            ring.start()
            await ring.streaming()
            for key in (1, 2, 5):
                await admin.execute("INSERT INTO t VALUES (%s, 0, %s)", [key, rng.randbytes(20_000).hex()])
            await ring.caught_up()
            await writer.execute("SET synchronous_commit = on")
            async with standby_that_does_not_answer(admin), asyncio.TaskGroup() as group:
                group.create_task(change(writer))

                async def waits() -> bool:
                    query = "SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = %s"
                    cursor = await admin.execute(query, [writer.info.backend_pid])
                    return (await cursor.fetchone())[0]

                await wait_until(waits, timeout=10, what="the commit waits for its standby")
                cursor = await admin.execute("SELECT pg_current_wal_lsn()::text")
                committed = Lsn.parse((await cursor.fetchone())[0])

                async def received() -> bool:
                    return (await ring.reader_status()).unchanged_toast_count == 4

                await wait_until(received, timeout=10, what="the stream has delivered it")
                assert await ring.stored_lsn() < committed
                await admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
                await admin.execute("SELECT pg_reload_conf()")
            await admin.execute("INSERT INTO z VALUES (2)")
            await ring.caught_up()
            await ring.assert_equal("public.t", "public.z")
        finally:
            await ring.close()


async def change(writer: psycopg.AsyncConnection) -> None:
    async with writer.transaction():
        for old, new in ((1, -1), (2, 1), (-1, 2), (5, 6)):
            await writer.execute("UPDATE t SET id = %s WHERE id = %s", [new, old])
        await writer.execute("CREATE TABLE z (id int PRIMARY KEY)")
        await writer.execute("INSERT INTO z VALUES (1)")
