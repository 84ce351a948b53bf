"""The reader against a real PostgreSQL: relations, keys, DDL, partitions, and which tables are meant."""

import pytest
from dbmazz.relation import ReplicaIdentity, TypeFamily
from dbmazz.v1 import change_pb2, reader_pb2

from tests.unit.reader.fake_ring import arrived, ring_around

pytestmark = pytest.mark.e2e

BOTH = pytest.mark.parametrize("source_db", [16, 18], indirect=True)


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
