"""Loads that are interrupted: what is durable is not read again, and nothing is missing in the end."""

from __future__ import annotations

import asyncio
import random

import psycopg
import pytest
from dbmazz.v1 import checkpoint_pb2, checkpoint_pb2_grpc, reader_pb2

from tests.fixtures.fix_postgres import SourceDatabase
from tests.fixtures.fix_ring import RingMaker
from tests.fixtures.ring import Ring
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.e2e

ROWS, CHUNK = 3000, 50
SETTINGS = {"SNAPSHOT_CHUNK_SIZE": str(CHUNK), "SNAPSHOT_BYTES": str(1 << 20), "SNAPSHOT_WORKERS": "1"}


async def fill(connection: psycopg.AsyncConnection, rng: random.Random) -> None:
    await connection.execute("CREATE TABLE t (id int PRIMARY KEY, n int, filler text)")
    async with connection.cursor() as cursor, cursor.copy("COPY t FROM STDIN") as copy:
        for key in range(ROWS):
            await copy.write_row((key, 0, rng.randbytes(700).hex()))


async def stored(ring: Ring) -> checkpoint_pb2.TableLoad | None:
    stub = checkpoint_pb2_grpc.CheckpointServiceStub(ring.channel(ring["checkpoint"]))
    request = checkpoint_pb2.ListTableLoadsRequest(slot=ring.slot)
    loads = (await stub.ListTableLoads(request, timeout=5, wait_for_ready=True)).loads
    return loads[0] if loads else None


async def under_way(ring: Ring, rows: int) -> None:
    async def some() -> bool:
        ring.assert_alive()
        load = await stored(ring)
        return load is not None and load.row_count >= rows

    await wait_until(some, timeout=30, what=f"{rows} rows are loaded")


@pytest.mark.parametrize("service", ["reader", "transformer", "loader", "checkpoint"])
async def test_a_killed_service_does_not_begin_anew(
    source_db: SourceDatabase, make_ring: RingMaker, seed: int, service: str
) -> None:
    """S7: SIGKILL in the midst of a load, with changes before, between and after."""
    async with await source_db.connect() as connection:
        await fill(connection, random.Random(seed))
        ring = make_ring(settings=SETTINGS)
        ring.start()
        await ring.streaming()
        await under_way(ring, 400)
        ring[service].kill()
        await connection.execute("UPDATE t SET n = n + 1 WHERE id % 10 = 3")
        await connection.execute("DELETE FROM t WHERE id % 50 = 7")
        before = await stored(ring) if service != "checkpoint" else None
        ring[service].start()
        if before is None:
            before = await stored(ring)
        assert before.state == checkpoint_pb2.TABLE_LOAD_STATE_RUNNING and before.row_count >= 400
        await ring.streaming()
        await ring.loaded("public.t")
        await ring.caught_up()
        await ring.assert_equal("public.t")
        load = (await ring.tables())["public.t"].load
        assert load.state == reader_pb2.LOAD_STATE_DONE
        cursor = int(before.ranges[0].cursor[0])
        if service in ("reader", "checkpoint"):
            left = ROWS - cursor
            assert load.chunk_count <= left // CHUNK + 2, "chunks that were stored as done are not read again"
        assert (await stored(ring)).state == checkpoint_pb2.TABLE_LOAD_STATE_DONE


async def test_a_stopped_reader_goes_on_and_a_finished_load_is_not_repeated(
    source_db: SourceDatabase, make_ring: RingMaker, seed: int
) -> None:
    async with await source_db.connect() as connection:
        await fill(connection, random.Random(seed))
        ring = make_ring(settings=SETTINGS)
        ring.start()
        await ring.streaming()
        await under_way(ring, 300)
        assert ring["reader"].terminate() == 0
        before = await stored(ring)
        ring["reader"].start()
        await ring.loaded("public.t")
        load = (await ring.tables())["public.t"].load
        assert load.chunk_count <= (ROWS - int(before.ranges[0].cursor[0])) // CHUNK + 2
        await ring.assert_equal("public.t")
        assert ring["reader"].terminate() == 0
        await connection.execute("UPDATE t SET n = 5 WHERE id < 100")
        ring["reader"].start()
        await ring.streaming()
        assert not (await ring.tables())["public.t"].HasField("load")
        await ring.caught_up()
        await ring.assert_equal("public.t")


async def test_pause_holds_the_load_up(source_db: SourceDatabase, make_ring: RingMaker, seed: int) -> None:
    async with await source_db.connect() as connection:
        await fill(connection, random.Random(seed))
        ring = make_ring(settings=SETTINGS)
        ring.start()
        await ring.streaming()
        await under_way(ring, 300)
        await ring.control("Pause", reader_pb2.PauseRequest())
        await ring.control("Drain", reader_pb2.DrainRequest())

        async def resting() -> int:
            load = (await ring.tables())["public.t"].load
            assert load.state == reader_pb2.LOAD_STATE_PAUSED
            return load.row_count

        rows = await resting()
        await asyncio.sleep(0.5)  # nothing happens, for a while
        assert await resting() == rows < ROWS
        await ring.control("Resume", reader_pb2.ResumeRequest())
        await ring.loaded("public.t")
        await ring.assert_equal("public.t")


async def test_the_reader_ends_when_all_is_loaded(source_db: SourceDatabase, make_ring: RingMaker, seed: int) -> None:
    """INITIAL_SNAPSHOT_ONLY: exit code 0, the slot stays."""
    async with await source_db.connect() as connection:
        await fill(connection, random.Random(seed))
        ring = make_ring(settings={**SETTINGS, "INITIAL_SNAPSHOT_ONLY": "true"})
        ring.start()
        await wait_until(lambda: not ring["reader"].running, timeout=40, what="the reader ends")
        assert ring["reader"].process.returncode == 0, ring["reader"].log[-2000:]
        await ring.assert_equal("public.t")
        assert await ring.slot_lsn() > 0


async def test_a_table_that_comes_back_is_loaded_again(source_db: SourceDatabase, make_ring: RingMaker) -> None:
    """What it lost meanwhile goes, what it gained comes."""
    async with await source_db.connect() as connection:
        for name in ("a", "b"):
            await connection.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, n int)")
            await connection.execute(f"INSERT INTO {name} SELECT n, 0 FROM generate_series(1, 200) AS n")
        ring = make_ring(settings={**SETTINGS, "TABLES": "public.a,public.b"})
        ring.start()
        await ring.loaded("public.a", "public.b")
        await ring.assert_equal("public.a", "public.b")
        ring["reader"].terminate()
        ring.environment["TABLES"] = "public.a"
        ring["reader"].start()
        await ring.loaded("public.a")
        await connection.execute("DELETE FROM b WHERE id <= 50")
        await connection.execute("UPDATE b SET n = 1 WHERE id > 150")
        await connection.execute("INSERT INTO b VALUES (1000, 7)")
        await ring.caught_up()
        ring["reader"].terminate()
        ring.environment["TABLES"] = "public.a,public.b"
        ring["reader"].start()
        await ring.loaded("public.a", "public.b")
        await ring.caught_up()
        await ring.assert_equal("public.a", "public.b")


async def test_a_load_on_demand_repairs_the_target(source_db: SourceDatabase, make_ring: RingMaker) -> None:
    """S10: rows that are missing, spoilt, or not in the source, while the table is written to."""
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE t (id int PRIMARY KEY, n int, note text)")
        await connection.execute("INSERT INTO t SELECT n, n, 'note ' || n FROM generate_series(1, 500) AS n")
        ring = make_ring(settings=SETTINGS)
        ring.start()
        await ring.loaded("public.t")
        await ring.assert_equal("public.t")
        for statement in (
            "DELETE FROM t WHERE id BETWEEN 10 AND 40",
            "UPDATE t SET note = 'spoilt' WHERE id BETWEEN 100 AND 200",
            "INSERT INTO t (id, n, note, dbmazz_op_type, dbmazz_is_deleted, dbmazz_synced_at, dbmazz_cdc_version)"
            " VALUES (9001, 1, 'extra', 0, false, '2026-01-01 00:00:00', 5), (9002, 1, 'extra', 0, false, NULL, NULL)",
        ):
            await ring.target_rows(statement)
        await ring.snapshot("public.t")
        await connection.execute("UPDATE t SET n = n + 1 WHERE id % 7 = 0")
        await connection.execute("DELETE FROM t WHERE id % 11 = 0")
        await ring.loaded("public.t")
        await ring.caught_up()
        await ring.assert_equal("public.t")
        load = (await ring.tables())["public.t"].load
        assert load.on_demand and load.state == reader_pb2.LOAD_STATE_DONE
