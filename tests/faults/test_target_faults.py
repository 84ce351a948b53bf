"""What StarRocks clusters do in real life, while rows keep coming: nothing is lost, nothing is confirmed early."""

from __future__ import annotations

import asyncio

import pytest
from dbmazz.lsn import Lsn

from tests.fixtures.fix_postgres import SourceDatabase
from tests.fixtures.fix_ring import RingMaker, Sandbox
from tests.fixtures.waiting import wait_until

pytestmark = [pytest.mark.fault]


@pytest.mark.parametrize(
    "fault", ["lost_response_after_commit", "http_500", "too_many_versions", "publish_timeout", "fe_down", "be_down"]
)
async def test_a_fault_heals(source_db: SourceDatabase, make_ring: RingMaker, sandbox: Sandbox, fault: str) -> None:
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE t (id int PRIMARY KEY, v int)")
        await connection.execute("CREATE TABLE later (id int PRIMARY KEY)")
        ring = make_ring()
        ring.start()
        await ring.streaming()
        await connection.execute("INSERT INTO t SELECT n, 0 FROM generate_series(1, 100) n")
        await ring.caught_up()
        server = fault in ("fe_down", "be_down")
        await sandbox.fault(fault, table=None if server else f"{ring.sink_database}.t", count=2, delay_ms=500)
        # A table whose backend the loader does not know yet, so that it asks the FE.
        await connection.execute("INSERT INTO later VALUES (1)")
        for round_number in range(1, 6):
            await connection.execute("UPDATE t SET v = %s WHERE id %% 5 = %s", [round_number, round_number % 5])
        await ring.caught_up()
    hits = (await sandbox.faults())["hits"]
    assert hits.get(fault, 0) > 0, f"the fault was never met: {hits}"
    await ring.assert_equal("public.t", "public.later")
    assert (await ring.loader_status()).rows_unaccounted == 0


async def test_the_connection_lives_and_only_the_confirmed_lsn_is_told_while_loads_are_stalled(
    source_db: SourceDatabase, make_ring: RingMaker, sandbox: Sandbox
) -> None:
    """The predecessor's L3. The server is impatient, so the reader speaks up by itself, more often than STATUS_INTERVAL_S."""
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
        await connection.execute(f"ALTER DATABASE {source_db.name} SET wal_sender_timeout = '2s'")
        ring = make_ring(settings={"STATUS_INTERVAL_S": "30"})
        ring.start()
        await ring.streaming()
        await connection.execute("INSERT INTO t VALUES (1, 'before')")
        await ring.caught_up()
        confirmed = await ring.stored_lsn()
        await sandbox.fault("stall", table=f"{ring.sink_database}.t", count=1)
        for number in range(2, 8):
            await connection.execute("INSERT INTO t VALUES (%s, 'stalled')", [number])
            await asyncio.sleep(1)  # more than three times the timeout in all
        status = await ring.reader_status()
        assert Lsn.parse(status.received_lsn) > confirmed
        cursor = await connection.execute(
            "SELECT flush_lsn::text, reply_time > now() - interval '2s' FROM pg_stat_replication r"
            " JOIN pg_replication_slots s ON s.active_pid = r.pid WHERE slot_name = %s",
            [ring.slot],
        )
        flushed, recent = await cursor.fetchone()
        assert recent, "the walsender has not heard from the reader for a whole wal_sender_timeout"
        stored = await ring.stored_lsn()
        assert Lsn.parse(flushed) <= stored
        assert await ring.slot_lsn() <= stored < Lsn.parse(status.received_lsn)
        epoch = status.epoch
        await sandbox.clear_faults()
        await ring.caught_up()
        assert (await ring.reader_status()).epoch == epoch, "the replication connection survived"
    await ring.assert_equal("public.t")


async def test_a_table_that_cannot_be_loaded_parks_alone(
    source_db: SourceDatabase, make_ring: RingMaker, sandbox: Sandbox
) -> None:
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE good (id int PRIMARY KEY); CREATE TABLE bad (id int PRIMARY KEY)")
        ring = make_ring()
        ring.start()
        await ring.streaming()
        await sandbox.fault("reject_rows", table=f"{ring.sink_database}.bad", count=1)
        await connection.execute("INSERT INTO bad VALUES (1)")

        async def parked() -> list:
            lanes = (await ring.transformer_status()).lanes
            return [lane.message for lane in lanes if lane.table == "public.bad" and "filtered" in lane.message]

        (message,) = await wait_until(parked, timeout=30, what="public.bad is parked")
        assert "filtered" in message
        await connection.execute("INSERT INTO good SELECT generate_series(1, 500)")
        await wait_until(lambda: ring.count("good", 500), timeout=30, what="public.good goes on")
    assert await ring.target_rows("SELECT count(*) FROM bad") == [(0,)]
    await ring.assert_never_ahead()


async def test_an_ended_walsender_is_a_new_session(
    source_db: SourceDatabase, make_ring: RingMaker, sandbox: Sandbox
) -> None:
    """PostgreSQL ends the walsender: a new session, the same slot, nothing lost."""
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE t (id int PRIMARY KEY, v int)")
        ring = make_ring()
        ring.start()
        await ring.streaming()
        await connection.execute("INSERT INTO t SELECT n, 0 FROM generate_series(1, 100) n")
        epoch = (await ring.reader_status()).epoch
        await connection.execute(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %s", [ring.slot]
        )
        await connection.execute("UPDATE t SET v = 1")
        await ring.caught_up()
        assert (await ring.reader_status()).epoch > epoch
    await ring.assert_equal("public.t")
