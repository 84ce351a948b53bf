"""The reader against a real PostgreSQL: what is written arrives, in the form that the wire promises."""

import grpc
import pytest
from dbmazz.v1 import change_pb2, reader_pb2, types_pb2

from tests.fixtures.waiting import wait_until
from tests.unit.reader.fake_ring import arrived, incompressible, ring_around

pytestmark = pytest.mark.e2e

BOTH = pytest.mark.parametrize("source_db", [16, 18], indirect=True)


@BOTH
async def test_rows_of_one_transaction_arrive_in_order(source_db):
    async with ring_around(source_db, "CREATE TABLE t (id int PRIMARY KEY, name text, n numeric(10,2))") as (ring, sql):
        taker = await ring.transformer()
        async with sql.transaction():
            await sql.execute("INSERT INTO t VALUES (1, 'one', 1.50), (2, NULL, 2)")
            await sql.execute("SELECT pg_logical_emit_message(true, 'prefix', 'content')")
            await sql.execute("UPDATE t SET name = '' WHERE id = 2")
            await sql.execute("DELETE FROM t WHERE id = 1")
        await sql.execute("SELECT pg_logical_emit_message(false, 'prefix', 'content')")
        rows = await arrived(taker, "public.t", 4)
        assert [(row.operation, row.values) for row in rows] == [
            ("insert", {"id": "1", "name": "one", "n": "1.50"}),
            ("insert", {"id": "2", "name": None, "n": "2.00"}),
            ("update", {"id": "2", "name": "", "n": "2.00"}),
            ("delete", {"id": "1"}),
        ]
        assert rows[3].absent == {"name", "n"}
        assert len({(row.commit_lsn, row.xid, row.version) for row in rows}) == 1
        status = await ring.status()
        assert (status.row_count, status.transaction_count) == (4, 1)


@BOTH
async def test_unchanged_toast_beyond_column_64_is_absent(source_db):
    columns = ", ".join(f"c{number} text" for number in range(129))
    async with ring_around(source_db, f"CREATE TABLE wide (id int PRIMARY KEY, {columns})") as (ring, sql):
        taker = await ring.transformer()
        large = incompressible(40_000)
        await sql.execute("INSERT INTO wide (id, c1, c100, c128) VALUES (1, %s, %s, %s)", (large, large, large))
        await sql.execute("UPDATE wide SET c0 = 'touched', c128 = 'small' WHERE id = 1")
        insert, update = await arrived(taker, "public.wide", 2)
        assert not insert.absent
        assert insert.values["c100"] == large
        assert update.absent == {"c1", "c100"}
        assert (update.values["c0"], update.values["c2"], update.values["c128"]) == ("touched", None, "small")
        assert (await ring.status()).unchanged_toast_count == 2


IDENTITIES = {
    "default": ("ALTER TABLE t REPLICA IDENTITY DEFAULT", "id", {"small", "large"}),
    "full": ("ALTER TABLE t REPLICA IDENTITY FULL", "id", set()),
    "index": ("ALTER TABLE t REPLICA IDENTITY USING INDEX t_code_id_key", "code", {"small", "large"}),
}


@BOTH
@pytest.mark.parametrize("identity", IDENTITIES)
async def test_key_change_becomes_delete_and_full_upsert(source_db, identity):
    statement, key, absent = IDENTITIES[identity]
    table = "CREATE TABLE t (small int, id int PRIMARY KEY, code text NOT NULL, large text, UNIQUE (code, id))"
    async with ring_around(source_db, table, statement) as (ring, sql):
        taker = await ring.transformer()
        large = incompressible(40_000)
        await sql.execute("INSERT INTO t VALUES (1, 1, 'a', %s), (2, 2, 'b', %s)", (large, large))
        await sql.execute(f"UPDATE t SET {key} = '9', small = 3 WHERE id = 1")
        await sql.execute("UPDATE t SET small = 4 WHERE id = 2")
        _, _, delete, upsert, update = await arrived(taker, "public.t", 5)
        expected = {"small": "3", "id": "1", "code": "a", "large": large} | {key: "9"}
        assert (delete.operation, delete.values["id"]) == ("delete", "1")
        assert delete.absent & {"small", "large"} == absent
        assert (upsert.operation, upsert.values, upsert.absent) == ("update", expected, set())
        # Without a key change the value stays absent, unless the whole old row was there to take it from.
        assert update.absent == ({"large"} if identity != "full" else set())
        assert upsert.version == delete.version


async def test_moved_row_that_is_gone_stays_partial(source_db):
    async with ring_around(source_db, "CREATE TABLE t (id int PRIMARY KEY, large text)") as (ring, sql):
        large = incompressible(40_000)
        async with sql.transaction():
            await sql.execute("INSERT INTO t VALUES (1, %s)", (large,))
        async with sql.transaction():
            await sql.execute("UPDATE t SET id = 2")
            await sql.execute("UPDATE t SET id = 3")
        taker = await ring.transformer()
        rows = await arrived(taker, "public.t", 5)
        seen = [(row.operation, row.values["id"], row.absent) for row in rows[1:]]
        gone = ("update", "2", {"large"})
        assert seen == [("delete", "1", {"large"}), gone, ("delete", "2", {"large"}), ("update", "3", set())]
        assert rows[-1].values["large"] == large


async def test_no_read_back_when_it_is_off(source_db):
    table = "CREATE TABLE t (id int PRIMARY KEY, large text)"
    async with ring_around(source_db, table, toast_readback=False) as (ring, sql):
        taker = await ring.transformer()
        await sql.execute("INSERT INTO t VALUES (1, %s)", (incompressible(40_000),))
        await sql.execute("UPDATE t SET id = 2")
        rows = await arrived(taker, "public.t", 3)
        assert rows[2].absent == {"large"}


@BOTH
async def test_truncate_is_a_barrier_between_the_rows(source_db):
    tables = ("CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)")
    async with ring_around(source_db, *tables) as (ring, sql):
        taker = await ring.transformer()
        async with sql.transaction():
            await sql.execute("INSERT INTO a VALUES (1)")
            await sql.execute("TRUNCATE a, b")
            await sql.execute("INSERT INTO a VALUES (2)")
        before, after = await arrived(taker, "public.a", 2)
        lanes = {name: table.lane for name, table in (await ring.tables()).items()}
        barriers = [batch for batch in taker.batches if batch.kind == change_pb2.BATCH_KIND_TRUNCATE]
        assert {batch.lane for batch in barriers} == {lanes["public.a"], lanes["public.b"]}
        kinds = [batch.kind for batch in taker.batches if batch.lane == lanes["public.a"]]
        rows = change_pb2.BATCH_KIND_ROWS
        assert kinds == [change_pb2.BATCH_KIND_SCHEMA, rows, change_pb2.BATCH_KIND_TRUNCATE, rows]
        # The barrier deletes what has a lower version: the row before it in the same transaction, not the one behind.
        assert before.version < barriers[0].barrier_lsn < after.version
        assert before.commit_lsn == after.commit_lsn == after.version


async def test_large_transaction_is_cut_and_versioned_by_change(source_db):
    table = "CREATE TABLE t (id int PRIMARY KEY, n int)"
    async with ring_around(source_db, table, batch_rows=100) as (ring, sql):
        taker = await ring.transformer()
        async with sql.transaction():
            await sql.execute("INSERT INTO t SELECT g, 0 FROM generate_series(1, 450) g")
            await sql.execute("UPDATE t SET n = 1 WHERE id <= 100")
        rows = await arrived(taker, "public.t", 550)
        commit_lsn = rows[0].commit_lsn
        versions = [row.version for row in rows]
        assert versions == sorted(versions)
        assert max(versions) == commit_lsn
        assert max(versions[:500]) < commit_lsn
        batches = [batch for batch in taker.batches if batch.kind == change_pb2.BATCH_KIND_ROWS]
        assert [batch.batch_id for batch in taker.batches[: len(batches)]] == list(range(1, len(batches) + 1))
        # Nothing of the transaction may be confirmed before its last batch.
        assert all(batch.safe_lsn < commit_lsn for batch in batches[:-1])
        assert batches[-1].safe_lsn > commit_lsn


async def test_heartbeat_moves_the_position_of_an_idle_database(source_db):
    statements = ("CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE other (id int PRIMARY KEY)")
    async with ring_around(source_db, *statements, tables=("t",)) as (ring, sql):
        taker = await ring.transformer()
        await sql.execute("INSERT INTO other SELECT generate_series(1, 1000)")
        (lsn,) = await (await sql.execute("SELECT (pg_current_wal_lsn() - '0/0')::bigint")).fetchone()
        await wait_until(lambda: ring.checkpoint.confirmed_lsn >= lsn, what="confirmed LSN behind the other table")

        async def slot_moved() -> bool:
            query = "SELECT (confirmed_flush_lsn - '0/0')::bigint FROM pg_replication_slots WHERE slot_name = %s"
            (flushed,) = await (await sql.execute(query, (ring.settings.source_slot_name,))).fetchone()
            return flushed >= lsn

        await wait_until(slot_moved, what="confirmed_flush_lsn behind the other table")
        assert not taker.rows
        assert any(batch.kind == change_pb2.BATCH_KIND_HEARTBEAT for batch in taker.batches)


async def test_tail_shows_rows_and_filters_them(source_db):
    statements = ("CREATE TABLE t (id int PRIMARY KEY, large text, n int)", "CREATE TABLE noise (id int PRIMARY KEY)")
    async with ring_around(source_db, *statements) as (ring, sql):
        taker = await ring.transformer()
        request = reader_pb2.TailChangesRequest(
            tables=["t"],
            operations=[types_pb2.OPERATION_UPDATE, types_pb2.OPERATION_DELETE],
            row_limit=2,
            with_cells=True,
        )
        call = ring.stub.TailChanges(request, timeout=20)
        await call.initial_metadata()  # sent once the caller listens
        await sql.execute("INSERT INTO t VALUES (1, %s, NULL)", (incompressible(40_000),))
        await sql.execute("INSERT INTO noise VALUES (1000)")
        await sql.execute("UPDATE t SET n = NULL")
        await sql.execute("DELETE FROM t")
        update, delete = [row async for row in call]
        assert (update.table, update.operation) == ("public.t", types_pb2.OPERATION_UPDATE)
        shown = {cell.column: (cell.WhichOneof("value"), cell.text) for cell in update.cells}
        assert shown == {"id": ("text", "1"), "large": ("absent", ""), "n": ("null", "")}
        assert delete.operation == types_pb2.OPERATION_DELETE
        assert update.commit_time.seconds > 1_600_000_000
        await arrived(taker, "public.t", 3)


@pytest.mark.parametrize(
    ("wish", "code", "words"),
    [
        ({"tables": ["public.tt"]}, "NOT_FOUND", "no table 'public.tt' here. Did you mean public.t? Known: public.t"),
        (
            {"operations": [9]},
            "INVALID_ARGUMENT",
            "no operation 9. operations takes OPERATION_INSERT, OPERATION_UPDATE",
        ),
        ({"operations": [0]}, "INVALID_ARGUMENT", "no operation 0"),
        ({"row_limit": -1}, "INVALID_ARGUMENT", "row_limit is -1"),
        ({"value_limit": -1}, "INVALID_ARGUMENT", "value_limit is -1"),
    ],
)
async def test_tail_refuses_what_would_never_show_anything(source_db, wish, code, words):
    async with ring_around(source_db, "CREATE TABLE t (id int PRIMARY KEY)") as (ring, _):
        await ring.transformer()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ring.stub.TailChanges(reader_pb2.TailChangesRequest(**wish), timeout=5).read()
        assert (caught.value.code().name, words in caught.value.details()) == (code, True), caught.value.details()
        if "tables" in wish:
            with pytest.raises(grpc.aio.AioRpcError, match=r"Known: public\.t"):
                await ring.stub.ListTables(reader_pb2.ListTablesRequest(**wish), timeout=5)


async def test_tables_are_listed_by_either_name_with_their_keys(source_db):
    statements = (
        "CREATE TABLE t (a int, b int, PRIMARY KEY (b, a))",
        "CREATE SCHEMA sales",
        "CREATE TABLE sales.t (id int PRIMARY KEY)",
    )
    async with ring_around(source_db, *statements) as (ring, _):
        await ring.transformer()
        for name, found, key in (("t", "public.t", ["b", "a"]), ("sales__t", "sales.t", ["id"])):
            (table,) = (await ring.stub.ListTables(reader_pb2.ListTablesRequest(tables=[name]), timeout=5)).tables
            assert (table.name, list(table.key_columns)) == (found, key)
        assert len((await ring.stub.ListTables(reader_pb2.ListTablesRequest(), timeout=5)).tables) == 2
