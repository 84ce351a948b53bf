"""Loads of tables that are written to all the while, by transactions of every kind."""

from __future__ import annotations

import asyncio
import random
import time

import psycopg
import pytest

from tests.fixtures.fix_postgres import SourceDatabase
from tests.fixtures.fix_ring import RingMaker
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.e2e

SETTINGS = {"SNAPSHOT_CHUNK_SIZE": "40", "BATCH_ROWS": "25", "BATCH_INTERVAL_MS": "5"}
BUSY_S = 4.0


def incompressible(rng: random.Random, size: int = 8_000) -> str:
    return rng.randbytes(size // 2).hex()


async def write(url: str, seed: int, until: float, keys: int, *, slow: bool) -> int:
    """Random changes of hot keys until then; how many transactions were committed."""
    rng, committed = random.Random(seed), 0
    async with await psycopg.AsyncConnection.connect(url) as connection:
        while time.monotonic() < until:
            try:
                for _ in range(rng.choice((1, 2, 5, 40))):
                    await change(connection, rng, keys)
                if slow:
                    await asyncio.sleep(rng.random() * 0.3)
                if rng.random() < 0.15:
                    await connection.rollback()
                else:
                    await connection.commit()
                    committed += 1
            except (psycopg.errors.DeadlockDetected, psycopg.errors.UniqueViolation):
                await connection.rollback()
    return committed


async def change(connection: psycopg.AsyncConnection, rng: random.Random, keys: int) -> None:
    key, dice = rng.randrange(keys), rng.random()
    if dice < 0.35:
        await connection.execute("UPDATE hot SET n = n + 1 WHERE id = %s", [key])
    elif dice < 0.5:
        await connection.execute("UPDATE hot SET big = %s WHERE id = %s", [incompressible(rng), key])
    elif dice < 0.65:
        await connection.execute("DELETE FROM hot WHERE id = %s", [key])
    elif dice < 0.9:
        await connection.execute(
            "INSERT INTO hot VALUES (%s, 0, %s, 'x') ON CONFLICT (id) DO UPDATE SET n = -1", [key, incompressible(rng)]
        )
    else:
        await connection.execute("UPDATE hot SET id = %s WHERE id = %s", [rng.randrange(keys), key])


async def fill(connection: psycopg.AsyncConnection, rng: random.Random, keys: int) -> None:
    await connection.execute("CREATE TABLE hot (id int PRIMARY KEY, n int, big text, note text)")
    async with connection.cursor() as cursor, cursor.copy("COPY hot FROM STDIN") as copy:
        for key in range(keys):
            await copy.write_row((key, 0, incompressible(rng) if key % 3 else None, f"row {key}"))


@pytest.mark.parametrize("readback", ["true", "false"])
async def test_hot_keys_during_the_whole_load(
    source_db: SourceDatabase, make_ring: RingMaker, seed: int, readback: str
) -> None:
    """S2: inserts, updates with unchanged TOAST, deletes and key changes; rows are never torn, lost or brought back.

    Without readback the chunks alone supply what newer images lack; a key change then cannot take an unchanged value along,
    so there is none of that kind.
    """
    rng, keys = random.Random(seed), 1500
    async with await source_db.connect() as connection:
        await fill(connection, rng, keys)
        if readback == "false":
            await connection.execute("ALTER TABLE hot REPLICA IDENTITY FULL")
        ring = make_ring(settings={**SETTINGS, "TOAST_READBACK": readback})
        ring.start()
        until = time.monotonic() + BUSY_S
        async with asyncio.TaskGroup() as group:
            writers = [
                group.create_task(write(source_db.url, seed + number, until, keys, slow=number % 2 == 1))
                for number in range(3)
            ]
            await ring.streaming()
        assert all(writer.result() > 3 for writer in writers)
        await ring.loaded()
        await ring.caught_up()
    await ring.assert_equal("public.hot")
    assert (await ring.reader_status()).unchanged_toast_count > 0 or readback == "false"
    assert (await ring.tables())["public.hot"].load.chunk_count >= keys // 40 // 2


async def test_a_transaction_that_is_open_across_the_load(
    source_db: SourceDatabase, make_ring: RingMaker, seed: int
) -> None:
    """S3, the predecessor's L6: changed before the chunks are read, committed after all of them were loaded."""
    rng = random.Random(seed)
    async with await source_db.connect() as connection, await source_db.connect(autocommit=False) as writer:
        await fill(connection, rng, 200)
        ring = make_ring(settings=SETTINGS)
        ring.start()
        await ring.streaming()
        await ring.loaded()
        await connection.execute("CREATE TABLE other (id int PRIMARY KEY, n int)")
        for statement in (
            "UPDATE hot SET n = 7 WHERE id % 5 = 1",
            "DELETE FROM hot WHERE id % 5 = 2",
            "UPDATE hot SET id = id + 1000 WHERE id % 5 = 3",
            "INSERT INTO hot SELECT n, n, 'new', 'new' FROM generate_series(2000, 2050) AS n",
        ):
            await writer.execute(statement)
        ring["reader"].terminate()
        ring["reader"].start()
        await ring.snapshot("public.hot")
        await ring.loaded("public.hot")
        await ring.assert_equal("public.hot")
        await writer.commit()
        await ring.caught_up()
    await ring.assert_equal("public.hot")


async def test_truncates_during_the_load(source_db: SourceDatabase, make_ring: RingMaker, seed: int) -> None:
    rng = random.Random(seed)
    async with await source_db.connect() as connection:
        await fill(connection, rng, 600)
        ring = make_ring(settings=SETTINGS)
        ring.start()
        await ring.streaming()

        async def some() -> bool:
            return bool((await ring.tables())["public.hot"].load.chunk_count)

        for number in range(6):
            await wait_until(some, what="chunks are read")
            async with connection.transaction():
                await connection.execute(
                    "INSERT INTO hot SELECT n, n, 'before', 'x' FROM generate_series(%s::int, %s::int) AS n",
                    [10_000 + number * 100, 10_050 + number * 100],
                )
                await connection.execute("TRUNCATE hot")
                await connection.execute(
                    "INSERT INTO hot SELECT n, n, 'after', 'x' FROM generate_series(%s::int, %s::int) AS n",
                    [number * 50, number * 50 + 100 * number],
                )
        await ring.loaded()
        await ring.caught_up()
    await ring.assert_equal("public.hot")
