"""Loads as the reader's neighbours see them: versions, barriers, what is stored when, and what a load waits for."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import grpc
import pytest
from dbmazz.errors import reason_of
from dbmazz.lsn import Lsn
from dbmazz.relation import Column, Relation, ReplicaIdentity
from dbmazz.v1 import change_pb2, checkpoint_pb2, reader_pb2
from dbmazz_reader.postgres.copying import ChunkReader, ChunkTooLarge
from dbmazz_reader.postgres.errors import SourceMoved
from dbmazz_reader.protocol.chunk_query import Source

from tests.fixtures.waiting import wait_until
from tests.unit.reader.fake_ring import FakeRing, FakeTransformer, ring_around

pytestmark = pytest.mark.e2e

FULL = (
    "CREATE TABLE t (id int PRIMARY KEY, v text)",
    "INSERT INTO t SELECT n, 'v' || n FROM generate_series(1, 25) AS n",
)
DONE = checkpoint_pb2.TABLE_LOAD_STATE_DONE


async def loaded(ring: FakeRing) -> checkpoint_pb2.TableLoad:
    def done() -> bool:
        return any(load.state == DONE for load in ring.checkpoint.loads.values())

    await wait_until(done, what="the load is stored as done")
    (load,) = ring.checkpoint.loads.values()
    return load


def kinds(taker: FakeTransformer) -> list[int]:
    return [batch.kind for batch in taker.batches if batch.lane]


async def test_rows_have_a_version_between_what_they_have_and_what_they_lack(source_db):
    async with ring_around(source_db, *FULL, do_snapshot=True, snapshot_chunk_size=10) as (ring, sql):
        taker = await ring.transformer()
        load = await loaded(ring)
        await sql.execute("UPDATE t SET v = 'later' WHERE id = 3")
        await wait_until(lambda: len(taker.of("public.t")) >= 26, what="the update")
        rows = taker.of("public.t")
        read, (update,) = rows[:25], rows[25:]
        assert [row.values["id"] for row in read] == [str(number) for number in range(1, 26)]
        assert {row.operation for row in read} == {"read"} and update.operation == "update"
        assert all(load.start_lsn <= row.version < update.version for row in read)
        assert max(row.version for row in read) <= load.end_lsn
        barrier = taker.batches[[batch.kind for batch in taker.batches].index(change_pb2.BATCH_KIND_TRUNCATE)]
        assert barrier.barrier_lsn == load.start_lsn
        assert kinds(taker)[0] == change_pb2.BATCH_KIND_SCHEMA
        assert (load.row_count, load.on_demand, load.key_columns) == (25, False, ["id"])
        assert not ring.checkpoint.unread


async def test_nothing_is_done_that_is_not_acknowledged(source_db):
    async with ring_around(source_db, *FULL, do_snapshot=True, snapshot_chunk_size=10) as (ring, _):
        taker = await ring.transformer(acknowledge=False)
        await wait_until(lambda: len(taker.of("public.t")) == 25, what="all rows are sent")
        (load,) = ring.checkpoint.loads.values()
        assert load.state != DONE and not load.ranges[0].cursor and load.row_count == 0
        await taker.ack_all()
        await wait_until(lambda: change_pb2.BATCH_KIND_TRUNCATE in kinds(taker), what="the barrier")
        taker.acknowledge = True
        await taker.ack_all()
        assert (await loaded(ring)).row_count == 25


async def test_a_load_whose_rows_are_all_there_is_only_closed(source_db):
    async with ring_around(source_db, *FULL, start=False, do_snapshot=True) as (ring, sql):
        cursor = await sql.execute("SELECT 't'::regclass::oid, pg_current_wal_insert_lsn()::text")
        oid, lsn = await cursor.fetchone()
        stored = checkpoint_pb2.TableLoad(
            relation_id=oid,
            table="public.t",
            state=checkpoint_pb2.TABLE_LOAD_STATE_RUNNING,
            key_columns=["id"],
            start_lsn=Lsn.parse(lsn) - 1000,
            ranges=[checkpoint_pb2.KeyRange(cursor=[b"25"], done=True)],
        )
        ring.checkpoint.loads[oid] = stored
        await ring.start_reader()
        taker = await ring.transformer()
        load = await loaded(ring)
        assert not taker.of("public.t")
        assert [batch.barrier_lsn for batch in taker.batches if batch.barrier_lsn] == [load.start_lsn]


async def test_a_load_by_another_key_begins_anew(source_db):
    async with ring_around(source_db, *FULL, start=False, do_snapshot=True) as (ring, sql):
        (oid,) = await (await sql.execute("SELECT 't'::regclass::oid")).fetchone()
        ring.checkpoint.loads[oid] = checkpoint_pb2.TableLoad(
            relation_id=oid,
            table="public.t",
            state=checkpoint_pb2.TABLE_LOAD_STATE_RUNNING,
            key_columns=["other"],
            start_lsn=5,
            ranges=[checkpoint_pb2.KeyRange(cursor=[b"20"])],
        )
        await ring.start_reader()
        taker = await ring.transformer()
        assert (await loaded(ring)).row_count == 25
        assert len(taker.of("public.t")) == 25


async def test_a_statement_timeout_asks_for_a_smaller_chunk(source_db):
    """S13."""
    reader = ChunkReader(f"{source_db.url}?options=-c%20statement_timeout%3D200")
    try:
        async with await source_db.connect() as sql:
            await sql.execute(FULL[0])
            (oid,) = await (await sql.execute("SELECT 't'::regclass::oid")).fetchone()
        columns = (Column("id", 23, key_position=1, base_type_oid=23), Column("v", 25, base_type_oid=25))
        relation = Relation(oid, "public", "t", ReplicaIdentity.DEFAULT, 1, columns)
        source = Source('"public"."t"', only=True, key_types=('"pg_catalog"."int4"',))
        assert (await reader.begin(relation, source)).xmax > 0
        with pytest.raises(ChunkTooLarge):
            async for _ in reader.copy(b"COPY (SELECT pg_sleep(10)) TO STDOUT", "waiting"):
                pass
        # What it was has ended; the next chunk finds a connection.
        await reader.begin(relation, source)
        assert [
            frame async for frames in reader.copy(b"COPY (VALUES (1), (2)) TO STDOUT", "reading") for frame in frames
        ]
        assert await reader.end() > 0
        with pytest.raises(SourceMoved, match="has changed"):
            await reader.begin(replace(relation, relation_id=1), source)
    finally:
        await reader.close()


async def test_a_table_that_somebody_has_locked_waits_alone(source_db):
    statements = (*FULL, "CREATE TABLE other (id int PRIMARY KEY)", "INSERT INTO other VALUES (1), (2)")
    async with ring_around(source_db, *statements, start=False, do_snapshot=True, snapshot_workers=1) as (ring, _):
        async with await source_db.connect(autocommit=False) as locker:
            await ring.start_reader()
            await locker.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
            taker = await ring.transformer()
            await wait_until(lambda: len(taker.of("public.other")) == 2, timeout=20, what="the other table")
            await locker.rollback()
        await wait_until(lambda: len(taker.of("public.t")) == 25, timeout=20, what="the table that was locked")


async def test_start_snapshot_says_what_it_does(source_db):
    async with ring_around(source_db, *FULL) as (ring, _):
        taker = await ring.transformer()
        assert (await ring.tables())["public.t"].state == reader_pb2.TABLE_STATE_STREAMING_WITHOUT_SNAPSHOT
        for tables, code in (((), "INVALID_ARGUMENT"), (("public.nobody",), "NOT_FOUND")):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ring.stub.StartSnapshot(reader_pb2.StartSnapshotRequest(tables=tables), timeout=5)
            assert caught.value.code().name == code and reason_of(caught.value)
        request = reader_pb2.StartSnapshotRequest(tables=["t"])
        answers = await asyncio.gather(*(ring.stub.StartSnapshot(request, timeout=5) for _ in range(2)))
        assert [load.table for answer in answers for load in answer.loads] == ["public.t"] * 2
        assert (await loaded(ring)).on_demand
        assert len(taker.of("public.t")) == 25, "asked for twice, loaded once"

        async def streaming() -> bool:
            return (await ring.tables())["public.t"].state == reader_pb2.TABLE_STATE_STREAMING

        await wait_until(streaming, what="the table is as any other")
        status = await ring.status()
        assert not status.loads and not status.warnings
