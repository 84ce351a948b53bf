"""Tables that change their columns, or come and go, while they are loaded; ranges of one table side by side."""

from __future__ import annotations

import random

import pytest
from dbmazz.v1 import checkpoint_pb2, checkpoint_pb2_grpc

from tests.fixtures.fix_postgres import SourceDatabase
from tests.fixtures.fix_ring import RingMaker
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.e2e

SETTINGS = {"SNAPSHOT_CHUNK_SIZE": "50", "SNAPSHOT_BYTES": str(1 << 20), "SNAPSHOT_WORKERS": "1"}


async def full(connection, rng: random.Random, rows: int = 2000) -> None:
    await connection.execute("CREATE TABLE t (id int PRIMARY KEY, n int, filler text)")
    async with connection.cursor() as cursor, cursor.copy("COPY t FROM STDIN") as copy:
        for key in range(rows):
            await copy.write_row((key, 0, rng.randbytes(700).hex()))


@pytest.mark.parametrize("streamed", [True, False], ids=["with-a-change", "without"])
@pytest.mark.parametrize("statement", ["ADD COLUMN more text", "ALTER COLUMN n TYPE bigint", "RENAME COLUMN n TO m"])
async def test_columns_that_change_in_the_midst(
    source_db: SourceDatabase, make_ring: RingMaker, seed: int, statement: str, streamed: bool
) -> None:
    """S11, whether the stream says so or not."""
    async with await source_db.connect() as connection:
        await full(connection, random.Random(seed))
        ring = make_ring(settings=SETTINGS)
        ring.start()
        await ring.streaming()

        async def some() -> bool:
            ring.assert_alive()
            return (await ring.tables())["public.t"].load.row_count >= 300

        await wait_until(some, timeout=20, what="the load is under way")
        await connection.execute(f"ALTER TABLE t {statement}")
        if streamed:
            await connection.execute("UPDATE t SET filler = 'new' WHERE id = 1500")
        await ring.loaded("public.t")
        # A column that was added shows with the next row only, until schema changes are looked for.
        await connection.execute("UPDATE t SET filler = 'last' WHERE id = 1")
        await ring.caught_up()
        count = await ring.target_rows("SELECT count(*) FROM t WHERE NOT dbmazz_is_deleted")
        assert count == [(2000,)]
        if "RENAME" not in statement:
            await ring.assert_equal("public.t")


async def test_a_table_that_joins_the_publication_live(source_db: SourceDatabase, make_ring: RingMaker) -> None:
    """S9, D12: its rows from before come with its first change; then it is dropped and made again with others."""
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE a (id int PRIMARY KEY)")
        await connection.execute("CREATE TABLE b (id int PRIMARY KEY, n int)")
        await connection.execute("INSERT INTO b SELECT n, 0 FROM generate_series(1, 300) AS n")
        ring = make_ring(settings=SETTINGS)
        await connection.execute(f"CREATE PUBLICATION {ring.publication} FOR TABLE a")
        ring.start()
        await ring.streaming()
        await connection.execute(f"ALTER PUBLICATION {ring.publication} ADD TABLE b")
        await connection.execute("UPDATE b SET n = 1 WHERE id = 7")
        await ring.loaded("public.b")
        await ring.caught_up()
        await ring.assert_equal("public.b")
        await connection.execute("DROP TABLE b")
        await connection.execute("CREATE TABLE b (id int PRIMARY KEY, n int)")
        await connection.execute("INSERT INTO b SELECT n, 1 FROM generate_series(200, 250) AS n")
        await connection.execute(f"ALTER PUBLICATION {ring.publication} ADD TABLE b")
        await connection.execute("INSERT INTO b VALUES (900, 2)")

        async def equal() -> bool:
            ring.assert_alive()
            return await ring.count("b", 52)

        await wait_until(equal, timeout=20, what="the new table is in the target")
        await ring.loaded("public.b")
        await ring.assert_equal("public.b")


async def test_a_large_table_is_read_in_ranges(source_db: SourceDatabase, make_ring: RingMaker, seed: int) -> None:
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE t (a text, id int, v text, PRIMARY KEY (a, id))")
        await connection.execute(
            "INSERT INTO t SELECT 'k' || n % 50, n, md5(n::text) FROM generate_series(1, 20000) AS n"
        )
        await connection.execute("ANALYZE t")
        ring = make_ring(settings={"SNAPSHOT_CHUNK_SIZE": "300", "SNAPSHOT_WORKERS": "3"})
        ring.start()
        await ring.streaming()
        await connection.execute("UPDATE t SET v = 'changed' WHERE id % 100 = 0")
        await ring.loaded("public.t")
        await ring.caught_up()
        await ring.assert_equal("public.t")
        stub = checkpoint_pb2_grpc.CheckpointServiceStub(ring.channel(ring["checkpoint"]))
        (load,) = (await stub.ListTableLoads(checkpoint_pb2.ListTableLoadsRequest(slot=ring.slot), timeout=5)).loads
        assert len(load.ranges) == 3 and all(part.done and part.cursor for part in load.ranges)
