"""Tables and values through the whole ring."""

from __future__ import annotations

import pytest

from tests.fixtures.fix_postgres import SourceDatabase
from tests.fixtures.fix_ring import RingMaker

pytestmark = pytest.mark.e2e

EVERY_TYPE = """
CREATE TYPE mood AS ENUM ('sad', 'it''s ok', 'glücklich');
CREATE DOMAIN amount AS numeric(14, 3) CHECK (value > -1000000);
CREATE TABLE every_type (
    id bigint PRIMARY KEY, s smallint, i integer, b bigint, n numeric(38, 10), n_free numeric, d amount,
    r real, f double precision, t boolean, c char(5), v varchar(20), x text, u uuid, bin bytea,
    day date, ts timestamp, tstz timestamptz, ti time, iv interval,
    j json, jb jsonb, m mood, ints int[], texts text[], bools bool[], grid int[][], net inet, span int4range
)
"""
ROWS = [
    """(1, -32768, -2147483648, -9223372036854775808, -9999999999999999999999999999.9999999999,
        12345678901234567890123456789012345678901234567890.5, -12.345, 3.4028235e38, 1e308, true, 'ab', '',
        E'tab\\t"quote"\\\\',
        'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '\\x00ff10', '0001-01-01', '1999-12-31 23:59:59.999999',
        '2024-03-31 01:30:00+05:45', '24:00:00', '1 mon -2 days 03:04:05.6', '{"b": 1, "a": [1, 2.5, null]}',
        '{"b": 1, "a": [1, 2.5, null]}', 'it''s ok', '{1,-2,NULL}', '{"a,b","q\\"uote",NULL,"NULL",""}', '{t,f,NULL}',
        '{{1,2},{3,4}}', '10.1.2.3/24', '[1,5)')""",
    """(2, 32767, 2147483647, 9223372036854775807, 0.0000000001, 'NaN', 0, 3.14, 0.1, false, NULL, 'ünïcödé 🚚',
        E'line\\nbreak \\u2028 emoji 👩‍🚀', NULL, '', '9999-12-31', '2024-02-29 00:00:00', '2024-01-01 00:00:00Z', '00:00',
        '0', 'null', 'null', 'glücklich', '{}', '{}', '{}', '{}', '::1', 'empty')""",
    "(3" + ", NULL" * 28 + ")",
]


@pytest.mark.parametrize("source_db", [16, 18], indirect=True)
async def test_every_type_arrives_exactly(source_db: SourceDatabase, make_ring: RingMaker) -> None:
    async with await source_db.connect() as connection:
        await connection.execute(EVERY_TYPE)
        ring = make_ring()
        ring.start()
        await ring.streaming()
        for row in ROWS:
            await connection.execute(f"INSERT INTO every_type VALUES {row}")
        await ring.caught_up()
        await connection.execute("UPDATE every_type SET s = 7 WHERE id IN (1, 2)")
        await ring.caught_up()
    await ring.assert_equal("public.every_type")
    assert await ring.target_rows("SELECT count(*) FROM every_type WHERE dbmazz_op_type = 1") == [(2,)]


async def test_values_that_the_target_cannot_hold_follow_the_policy(
    source_db: SourceDatabase, make_ring: RingMaker
) -> None:
    """NaN, infinities, BC dates and years beyond 9999 become NULL, each counted; nothing is parked."""
    async with await source_db.connect() as connection:
        await connection.execute(
            "CREATE TABLE odd (id int PRIMARY KEY, n numeric(10, 2), f float8, d date, ts timestamp, tz timestamptz)"
        )
        ring = make_ring()
        ring.start()
        await ring.streaming()
        await connection.execute(
            "INSERT INTO odd VALUES (1, 'NaN', 'Infinity', 'infinity', '-infinity', '10000-01-01 00:00:00+00'),"
            " (2, 1.5, 'NaN', '0044-03-15 BC', '0044-03-15 01:02:03 BC', '2024-01-01 00:00:00+00')"
        )
        await ring.caught_up()
    await ring.assert_equal("public.odd")
    assert (await ring.transformer_status()).policy_value_count == 8


async def test_two_schemas_with_one_table_name(source_db: SourceDatabase, make_ring: RingMaker) -> None:
    async with await source_db.connect() as connection:
        await connection.execute("CREATE SCHEMA sales; CREATE TABLE t (id int PRIMARY KEY, v text)")
        await connection.execute("CREATE TABLE sales.t (id int PRIMARY KEY, v text)")
        ring = make_ring()
        ring.start()
        await ring.streaming()
        await connection.execute("INSERT INTO t VALUES (1, 'public')")
        await connection.execute("INSERT INTO sales.t VALUES (1, 'sales'), (2, 'more')")
        await ring.caught_up()
    await ring.assert_equal("public.t", "sales.t")
    assert await ring.target_rows("SELECT v FROM t") == [("public",)]
    assert await ring.target_rows("SELECT v FROM sales__t ORDER BY id") == [("sales",), ("more",)]


async def test_truncate_is_an_ordered_barrier(source_db: SourceDatabase, make_ring: RingMaker) -> None:
    """Rows before it go, in its own transaction too; rows after it stay."""
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
        ring = make_ring()
        ring.start()
        await ring.streaming()
        await connection.execute("INSERT INTO t SELECT n, 'old' FROM generate_series(1, 50) n")
        async with connection.transaction():
            await connection.execute("INSERT INTO t VALUES (100, 'same transaction, before')")
            await connection.execute("TRUNCATE t")
            await connection.execute("INSERT INTO t VALUES (1, 'same transaction, after')")
        await connection.execute("INSERT INTO t VALUES (2, 'after')")
        await ring.caught_up()
    await ring.assert_equal("public.t")
    assert await ring.target_rows("SELECT count(*) FROM t WHERE NOT dbmazz_is_deleted") == [(2,)]


async def test_composite_key_in_another_order_than_the_columns(source_db: SourceDatabase, make_ring: RingMaker) -> None:
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE k (v text, b text, a int, PRIMARY KEY (a, b))")
        ring = make_ring()
        ring.start()
        await ring.streaming()
        await connection.execute("INSERT INTO k VALUES ('1', 'x', 1), ('2', 'y', 1), ('3', 'x', 2)")
        await connection.execute("UPDATE k SET v = 'changed' WHERE a = 1 AND b = 'y'")
        await connection.execute("UPDATE k SET a = a + 10")
        await connection.execute("DELETE FROM k WHERE b = 'x' AND a = 12")
        await ring.caught_up()
    await ring.assert_equal("public.k")


async def test_columns_added_while_streaming(source_db: SourceDatabase, make_ring: RingMaker) -> None:
    """ADD COLUMN with rows in the same transaction; the names need quoting."""
    async with await source_db.connect() as connection:
        await connection.execute('CREATE TABLE "odd Name" (id int PRIMARY KEY, "select" text)')
        ring = make_ring()
        ring.start()
        await ring.streaming()
        await connection.execute("INSERT INTO \"odd Name\" VALUES (1, 'a')")
        async with connection.transaction():
            await connection.execute("INSERT INTO \"odd Name\" VALUES (2, 'b')")
            await connection.execute('ALTER TABLE "odd Name" ADD COLUMN "new one" int')
            await connection.execute("INSERT INTO \"odd Name\" VALUES (3, 'c', 3)")
        await connection.execute('UPDATE "odd Name" SET "new one" = 1 WHERE id = 1')
        await ring.caught_up()
    await ring.assert_equal("public.odd Name")


async def test_real_deletes_when_asked_for(source_db: SourceDatabase, make_ring: RingMaker) -> None:
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE t (id int PRIMARY KEY, v text NOT NULL)")
        ring = make_ring(settings={"SOFT_DELETE": "false"})
        ring.start()
        await ring.streaming()
        await connection.execute("INSERT INTO t SELECT n, 'v' FROM generate_series(1, 20) n")
        await connection.execute("DELETE FROM t WHERE id % 2 = 0")
        await connection.execute("INSERT INTO t VALUES (2, 'again')")
        await ring.caught_up()
    await ring.assert_equal("public.t")
    assert await ring.target_rows("SELECT count(*) FROM t") == [(11,)]


async def test_tables_with_rows_before_the_slot_are_named(source_db: SourceDatabase, make_ring: RingMaker) -> None:
    async with await source_db.connect() as connection:
        await connection.execute(
            "CREATE TABLE full_one (id int PRIMARY KEY); CREATE TABLE empty_one (id int PRIMARY KEY)"
        )
        await connection.execute("INSERT INTO full_one SELECT generate_series(1, 100)")
        await connection.execute("ANALYZE full_one")
    ring = make_ring(settings={"DO_SNAPSHOT": "false"})
    ring.start()
    await ring.streaming()
    warnings = "\n".join((await ring.reader_status()).warnings)
    assert "public.full_one" in warnings and "dbmazz snapshot public.full_one" in warnings
    assert "empty_one" not in warnings
    await ring.snapshot("public.full_one")
    await ring.loaded("public.full_one")
    assert not (await ring.reader_status()).warnings
    await ring.assert_equal("public.full_one")


async def test_the_confirmed_lsn_moves_on_an_idle_publication(source_db: SourceDatabase, make_ring: RingMaker) -> None:
    """WAL of tables that are not replicated must not be kept for ever."""
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE watched (id int PRIMARY KEY); CREATE TABLE noise (id int, v text)")
        ring = make_ring(settings={"TABLES": "public.watched"})
        ring.start()
        await ring.streaming()
        before = await ring.slot_lsn()
        await connection.execute("INSERT INTO noise SELECT n, repeat('x', 100) FROM generate_series(1, 5000) n")
        await ring.caught_up()
        assert await ring.stored_lsn() > before
    await ring.assert_never_ahead()
