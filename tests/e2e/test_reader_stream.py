"""The reader against a real PostgreSQL: what is written arrives, in the form that the wire promises."""

import contextlib
import os

import pytest
from dbmazz.relation import ReplicaIdentity, TypeFamily
from dbmazz.v1 import change_pb2, reader_pb2, types_pb2

from tests.fixtures.fix_postgres import SourceDatabase
from tests.fixtures.waiting import wait_until
from tests.unit.reader.fake_ring import FakeTransformer, Row, fake_ring

pytestmark = pytest.mark.e2e

BOTH = pytest.mark.parametrize("source_db", [16, 18], indirect=True)


@contextlib.asynccontextmanager
async def ring_around(source_db: SourceDatabase, *statements: str, **settings: object):
    """(ring with a running reader, SQL connection), after these statements."""
    slot = f"slot_{source_db.name}_{source_db.major}"
    connection = await source_db.connect()
    async with connection, fake_ring(source_db.url, source_slot_name=slot, **settings) as ring:
        for statement in statements:
            await connection.execute(statement)
        await ring.start_reader()
        yield ring, connection


def incompressible(size: int) -> str:
    return os.urandom(size // 2).hex()


async def arrived(taker: FakeTransformer, table: str, count: int) -> list[Row]:
    await wait_until(lambda: len(taker.of(table)) >= count, what=f"{count} rows of {table}")
    assert len(taker.of(table)) == count
    return taker.of(table)


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
async def test_relation_says_what_the_catalogue_knows(source_db):
    statements = (
        "CREATE TYPE mood AS ENUM ('sad', 'ok')",
        "CREATE TYPE pair AS (a int, b int)",
        "CREATE DOMAIN price AS numeric(12,3)",
        "CREATE DOMAIN low_price AS price CHECK (VALUE < 100)",
        """CREATE TABLE t (dropped int, v varchar(10), b int NOT NULL, a uuid NOT NULL, m mood, l low_price, ns price[],
           r int4range, p pair, twice int GENERATED ALWAYS AS (b * 2) STORED, o oidvector, PRIMARY KEY (a, b))""",
        "ALTER TABLE t DROP COLUMN dropped",
        "CREATE TABLE empty (id int PRIMARY KEY)",
    )
    async with ring_around(source_db, *statements) as (ring, sql):
        taker = await ring.transformer()
        await sql.execute(
            "INSERT INTO t (v, b, a, m, l, ns, r, p, o) VALUES"
            " ('x', 7, '00000000-0000-0000-0000-000000000001', 'ok', 1.5, '{1,2}', '[1,5)', '(1,2)', '1 2')"
        )
        (row,) = await arrived(taker, "public.t", 1)
        assert row.values == {
            "v": "x",
            "b": "7",
            "a": "00000000-0000-0000-0000-000000000001",
            "m": "ok",
            "l": "1.500",
            "ns": "{1.000,2.000}",
            "r": "[1,5)",
            "p": "(1,2)",
            "o": "1 2",
        }
        relation = next(r for r in taker.relations.values() if r.name == "t")
        columns = {column.name: column for column in relation.columns}
        assert [relation.columns[index].name for index in relation.key_indices] == ["a", "b"]
        assert relation.replica_identity is ReplicaIdentity.DEFAULT
        assert columns["v"].type_modifier == 14
        assert columns["m"].family is TypeFamily.ENUM
        assert (columns["l"].oid, columns["l"].type_modifier) == (1700, (12 << 16 | 3) + 4)
        assert (columns["ns"].family, columns["ns"].element_type_oid) == (TypeFamily.ARRAY, 1700)
        assert columns["r"].family is TypeFamily.RANGE
        assert columns["p"].family is TypeFamily.COMPOSITE
        assert columns["o"].family is TypeFamily.SCALAR
        assert (columns["b"].not_null, columns["v"].not_null) == (True, False)
        # Every table was announced at the start, and the stream's own description brought nothing new.
        schemas = [batch for batch in taker.batches if batch.kind == change_pb2.BATCH_KIND_SCHEMA]
        assert {batch.relation.name for batch in schemas} == {"t", "empty"}
        assert len(schemas) == 2


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


@BOTH
async def test_change_of_columns_is_a_barrier_with_the_next_version(source_db):
    async with ring_around(source_db, "CREATE TABLE t (id int PRIMARY KEY, a text)") as (ring, sql):
        taker = await ring.transformer()
        await sql.execute("INSERT INTO t VALUES (1, 'old')")
        async with sql.transaction():
            await sql.execute("ALTER TABLE t ADD COLUMN b int DEFAULT 5")
            await sql.execute("INSERT INTO t VALUES (2, 'new', 6)")
        await sql.execute("ALTER TABLE t RENAME COLUMN a TO c")
        await sql.execute("INSERT INTO t VALUES (3, 'renamed', 7)")
        await sql.execute("ANALYZE t")  # makes PostgreSQL describe the relation again, with nothing new in it
        await sql.execute("INSERT INTO t VALUES (4, 'same', 8)")
        rows = await arrived(taker, "public.t", 4)
        assert [set(row.values) for row in rows] == [{"id", "a"}, {"id", "a", "b"}, {"id", "c", "b"}, {"id", "c", "b"}]
        versions = [b.relation.schema_version for b in taker.batches if b.kind == change_pb2.BATCH_KIND_SCHEMA]
        assert versions == [1, 2, 3]


async def test_changes_from_before_ddl_are_read_after_it(source_db):
    async with ring_around(source_db, "CREATE TABLE t (id int PRIMARY KEY, a text)") as (ring, sql):
        await ring.stop_reader()
        await sql.execute("INSERT INTO t VALUES (1, 'old')")
        await sql.execute("ALTER TABLE t RENAME COLUMN id TO key")
        await sql.execute("ALTER TABLE t RENAME COLUMN a TO c")
        await sql.execute("INSERT INTO t VALUES (2, 'new')")
        await ring.start_reader()
        taker = await ring.transformer()
        rows = await arrived(taker, "public.t", 2)
        assert [row.values for row in rows] == [{"id": "1", "a": "old"}, {"key": "2", "c": "new"}]
        assert all(len(relation.key_indices) == 1 for relation in taker.relations.values())


@BOTH
async def test_replica_identity_may_change_while_streaming(source_db):
    async with ring_around(source_db, "CREATE TABLE t (tenant int, id int PRIMARY KEY)") as (ring, sql):
        taker = await ring.transformer()
        for number, identity in enumerate(("FULL", "DEFAULT"), 1):
            await sql.execute(f"ALTER TABLE t REPLICA IDENTITY {identity}")
            await sql.execute("INSERT INTO t VALUES (7, %s)", (number,))
            await sql.execute("DELETE FROM t WHERE id = %s", (number,))
        rows = await arrived(taker, "public.t", 4)
        assert [row.values for row in rows if row.operation == "delete"] == [{"tenant": "7", "id": "1"}, {"id": "2"}]
        for relation in taker.relations.values():
            # Under FULL pgoutput flags every column as key; the primary key is what counts.
            assert [relation.columns[index].name for index in relation.key_indices] == ["id"]


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


async def test_partitions_arrive_as_their_root(source_db):
    statements = (
        "CREATE TABLE p (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)",
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')",
        "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM ('2024-02-01') TO ('2024-03-01')",
    )
    async with ring_around(source_db, *statements) as (ring, sql):
        taker = await ring.transformer()
        await sql.execute("INSERT INTO p VALUES (1, '2024-01-05'), (2, '2024-02-05')")
        await sql.execute("UPDATE p SET day = '2024-02-06' WHERE id = 1")
        rows = await arrived(taker, "public.p", 4)
        assert [(row.operation, row.values["day"]) for row in rows] == [
            ("insert", "2024-01-05"),
            ("insert", "2024-02-05"),
            ("delete", "2024-01-05"),
            ("insert", "2024-02-06"),
        ]
        assert list(await ring.tables()) == ["public.p"]


async def test_tables_are_added_to_a_publication_and_others_left_out(source_db):
    statements = (
        "CREATE SCHEMA sales",
        "CREATE TABLE one (id int PRIMARY KEY)",
        "CREATE TABLE other (id int PRIMARY KEY)",
        "CREATE TABLE sales.orders (id int PRIMARY KEY)",
        "CREATE TABLE sales.log (line text)",
        "INSERT INTO sales.orders VALUES (1)",
        "CREATE PUBLICATION dbmazz_pub FOR TABLE one, other",
    )
    async with ring_around(source_db, *statements, tables=("public.one", "sales.*")) as (ring, sql):
        taker = await ring.transformer()
        await sql.execute("INSERT INTO other VALUES (1)")
        await sql.execute("INSERT INTO sales.orders VALUES (2)")
        await arrived(taker, "sales.orders", 1)
        assert not taker.of("public.other")
        tables = await ring.tables()
        assert list(tables) == ["public.one", "sales.orders"]
        assert tables["sales.orders"].target_table == "sales__orders"
        warnings = (await ring.status()).warnings
        assert any("sales.log has no primary key" in warning and "left out" in warning for warning in warnings)
        # A row was there before: it is told, until it can be loaded.
        assert tables["sales.orders"].state == reader_pb2.TABLE_STATE_STREAMING_WITHOUT_SNAPSHOT
        assert tables["sales.orders"].preexisting_row_estimate == 1
        assert "held about 1 rows" in tables["sales.orders"].warning
        assert any("sales.orders held" in warning for warning in warnings)
        assert tables["public.one"].state == reader_pb2.TABLE_STATE_STREAMING


async def test_table_without_key_is_left_out_while_streaming(source_db):
    statements = ("CREATE TABLE t (id int PRIMARY KEY)", "CREATE PUBLICATION dbmazz_pub FOR ALL TABLES")
    async with ring_around(source_db, *statements) as (ring, sql):
        taker = await ring.transformer()
        await sql.execute("CREATE TABLE keyless (id int)")
        await sql.execute("INSERT INTO keyless VALUES (1)")
        await sql.execute("CREATE TABLE late (id int PRIMARY KEY)")
        await sql.execute("INSERT INTO late VALUES (1)")
        await arrived(taker, "public.late", 1)
        assert not taker.of("public.keyless")
        assert any("public.keyless has no primary key" in warning for warning in (await ring.status()).warnings)


async def test_table_that_is_dropped_and_created_again_goes_on_in_its_lane(source_db):
    async with ring_around(
        source_db, "CREATE TABLE t (id int PRIMARY KEY)", "CREATE PUBLICATION dbmazz_pub FOR ALL TABLES"
    ) as (
        ring,
        sql,
    ):
        taker = await ring.transformer()
        await sql.execute("INSERT INTO t VALUES (1)")
        await sql.execute("DROP TABLE t")
        await sql.execute("CREATE TABLE t (id bigint PRIMARY KEY, more text)")
        await sql.execute("INSERT INTO t VALUES (2, 'x')")
        rows = await arrived(taker, "public.t", 2)
        assert rows[1].values == {"id": "2", "more": "x"}
        assert len({batch.lane for batch in taker.batches if batch.kind == change_pb2.BATCH_KIND_ROWS}) == 1


async def test_tail_shows_rows_and_filters_them(source_db):
    statements = ("CREATE TABLE t (id int PRIMARY KEY, large text, n int)", "CREATE TABLE noise (id int PRIMARY KEY)")
    async with ring_around(source_db, *statements) as (ring, sql):
        taker = await ring.transformer()
        request = reader_pb2.TailChangesRequest(
            tables=["public.t"], operations=[types_pb2.OPERATION_UPDATE, types_pb2.OPERATION_DELETE], row_limit=2
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
