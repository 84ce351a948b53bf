"""The reader against a real PostgreSQL: restarts, confirmations, back-pressure, transformers and epochs that come and go."""

import asyncio

import pytest
from dbmazz.lsn import Lsn
from dbmazz.v1 import change_pb2, types_pb2

from tests.fixtures.waiting import wait_until
from tests.unit.reader.fake_ring import fake_ring, ring_around

RETRYING, RUNNING = types_pb2.SERVICE_STATE_RETRYING, types_pb2.SERVICE_STATE_RUNNING


pytestmark = pytest.mark.e2e

T = "CREATE TABLE t (id int PRIMARY KEY, v text)"


async def confirmed_flush(sql, slot: str) -> int:
    query = "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = %s"
    (text,) = await (await sql.execute(query, (slot,))).fetchone()
    return Lsn.parse(text)


@pytest.mark.parametrize("source_db", [16, 18], indirect=True)
async def test_restart_goes_on_from_the_checkpoint(source_db):
    async with ring_around(source_db, T, start=False) as (ring, sql):
        await ring.start_reader()
        taker = await ring.transformer()
        await sql.execute("INSERT INTO t VALUES (1)")
        await wait_until(lambda: len(taker.rows) == 1, what="first row")
        await ring.stop_reader()
        stored = ring.checkpoint.confirmed_lsn
        # Drained: the last status update said what the checkpoint has, and no more.
        assert await confirmed_flush(sql, ring.settings.source_slot_name) == stored
        await sql.execute("INSERT INTO t VALUES (2)")
        await sql.execute("DELETE FROM t WHERE id = 1")
        await ring.start_reader()
        again = await ring.transformer("two")
        await wait_until(lambda: len(again.rows) == 2, what="rows from the pause")
        assert [(row.operation, row.values["id"]) for row in again.rows] == [("insert", "2"), ("delete", "1")]


async def test_nothing_is_confirmed_before_the_checkpoint_says_so(source_db):
    async with ring_around(source_db, T, start=False) as (ring, sql):
        await ring.start_reader()
        taker = await ring.transformer(acknowledge=False)
        slot = ring.settings.source_slot_name
        start = await confirmed_flush(sql, slot)
        await sql.execute("INSERT INTO t VALUES (1)")
        await wait_until(lambda: len(taker.rows) == 1, what="row")

        async def reply_seen() -> bool:
            query = "SELECT reply_time, flush_lsn FROM pg_stat_replication WHERE application_name = 'dbmazz reader'"
            query += " AND pid = (SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s)"
            time, flushed = await (await sql.execute(query, (slot,))).fetchone()
            assert flushed is None or Lsn.parse(flushed) <= start
            seen.add(time)
            return len(seen) > 3

        seen: set = set()
        await wait_until(reply_seen, what="three more status updates")
        assert await confirmed_flush(sql, slot) == start
        # An acknowledgement alone is not a confirmation either.
        await taker.ack_all()
        seen.clear()
        await wait_until(reply_seen, what="three more status updates")
        assert await confirmed_flush(sql, slot) == start
        await ring.checkpoint.confirm(taker.batches[-1].safe_lsn, taker.batches[-1].batch_id)

        async def moved() -> bool:
            return await confirmed_flush(sql, slot) == taker.batches[-1].safe_lsn

        await wait_until(moved, what="confirmation")


async def test_back_pressure_bounds_memory_and_keeps_the_connection(source_db):
    async with ring_around(source_db, T, start=False, options="-c wal_sender_timeout=1s", retained_bytes=1 << 20) as (
        ring,
        sql,
    ):
        await ring.start_reader(batch_bytes=1 << 16, status_interval_s=30.0)
        taker = await ring.transformer(acknowledge=False)
        await sql.execute("INSERT INTO t SELECT g, repeat('x', 1000) FROM generate_series(1, 20000) g")

        async def full() -> bool:
            return (await ring.status()).retained_bytes >= 1 << 20

        await wait_until(full, what="retention at its bound")
        epoch = (await ring.status()).epoch
        query = "SELECT clock_timestamp()"
        (begin,) = await (await sql.execute(query)).fetchone()

        async def patience_over() -> bool:
            (now,) = await (await sql.execute(query)).fetchone()
            return (now - begin).total_seconds() > 2.5

        await wait_until(patience_over, what="more than twice wal_sender_timeout")
        status = await ring.status()
        # One round of reading may come on top of the bound.
        assert status.retained_bytes < 4 << 20
        assert (status.status.state, status.epoch) == (RUNNING, epoch)
        assert len(taker.rows) < 20000
        taker.acknowledge = True
        await ring.checkpoint.confirm(taker.batches[-1].safe_lsn, taker.batches[-1].batch_id)
        await taker.ack_all()
        await wait_until(lambda: len(taker.rows) == 20000, what="all rows")
        assert (await ring.status()).epoch == epoch


async def test_unacknowledged_batches_go_to_another_transformer(source_db):
    async with ring_around(source_db, T, "CREATE TABLE u (id int PRIMARY KEY)", start=False) as (ring, sql):
        await ring.start_reader()
        first = await ring.transformer("first", acknowledge=False)
        await sql.execute("INSERT INTO t SELECT generate_series(1, 100)")
        await sql.execute("INSERT INTO u SELECT generate_series(1, 100)")
        await wait_until(lambda: len(first.rows) == 200, what="rows at the first")
        second = await ring.transformer("second")
        assert (await ring.status()).transformers == ["first", "second"]
        await ring.hang_up(0)
        await wait_until(lambda: len(second.rows) == 200, what="rows at the second")
        assert [b.batch_id for b in second.batches] == sorted(b.batch_id for b in first.batches)
        assert {row.values["id"] for row in second.of("public.t")} == {str(number) for number in range(1, 101)}
        for batch in second.batches:
            assert batch.generation == 2
        lanes = {}
        for batch in second.batches:
            lanes.setdefault(batch.lane, []).append(batch)
        assert all(batches[0].HasField("relation") for batches in lanes.values() if batches[0].lane)
        await wait_until(
            lambda: ring.checkpoint.confirmed_batch_id == second.batches[-1].batch_id, what="confirmed batches"
        )


async def test_lanes_spread_and_return(source_db):
    tables = [f"CREATE TABLE t{number} (id int PRIMARY KEY)" for number in range(4)]
    async with ring_around(source_db, *tables, start=False) as (ring, _):
        await ring.start_reader()
        await ring.transformer("one")

        async def held() -> dict[str, int]:
            holders = [table.transformer for table in (await ring.tables()).values()]
            return {name: holders.count(name) for name in set(holders)}

        async def is_held(**expected: int) -> bool:
            return await held() == expected

        await wait_until(lambda: is_held(one=4), what="four lanes at one")
        two = await ring.transformer("two")
        await wait_until(lambda: is_held(one=2, two=2), what="two lanes each")
        await two.goodbye()
        await wait_until(lambda: is_held(one=4), what="four lanes at one again")
        assert len(two.releases) == 2


async def test_fenced_epoch_is_followed_by_a_new_one(source_db):
    async with ring_around(source_db, T, start=False) as (ring, sql):
        await ring.start_reader()
        taker = await ring.transformer(acknowledge=False)
        await sql.execute("INSERT INTO t VALUES (1)")
        await wait_until(lambda: len(taker.rows) == 1, what="row")
        epoch = taker.session.epoch
        await taker.ack_all()
        taker.acknowledge = True
        await ring.checkpoint.fence()
        # It was acknowledged, but never confirmed: the next epoch brings it again.
        await wait_until(lambda: len(taker.rows) == 2, what="the row again")
        assert taker.session.epoch > epoch
        assert {batch.epoch for batch in taker.batches} == {epoch, taker.session.epoch}
        first = next(batch for batch in taker.batches if batch.epoch != epoch)
        assert (first.batch_id, first.kind) == (1, change_pb2.BATCH_KIND_SCHEMA)


async def test_lost_postgres_is_retried(source_db):
    async with ring_around(source_db, T, start=False) as (ring, sql):
        await ring.start_reader()
        taker = await ring.transformer()
        await sql.execute("INSERT INTO t VALUES (1)")
        await wait_until(lambda: len(taker.rows) == 1, what="row")
        await asyncio.to_thread(source_db.server.stop, "immediate")
        await ring.reach(RETRYING)
        assert "PostgreSQL" in (await ring.status()).status.last_error
        await asyncio.to_thread(source_db.server.start)
        await ring.reach(RUNNING)
        async with await source_db.connect() as again:
            await again.execute("INSERT INTO t VALUES (2)")
        await wait_until(lambda: any(row.values["id"] == "2" for row in taker.rows), what="row after the crash")
        assert not (await ring.status()).status.last_error


async def test_second_reader_waits_for_the_slot(source_db):
    async with ring_around(source_db, T, start=False) as (ring, _sql):
        await ring.start_reader()
        async with fake_ring(source_db.url, source_slot_name=ring.settings.source_slot_name) as other:
            await other.start_reader(wait=False)
            await other.reach(RETRYING)
            assert "is active" in (await other.status()).status.last_error
            assert (await ring.status()).status.state == RUNNING
            await ring.stop_reader()
            await other.reach(RUNNING)
