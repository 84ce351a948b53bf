"""Loads by keys of every type: the cursor is a text that the column's own type and collation compare."""

from __future__ import annotations

import pytest

from tests.fixtures.fix_postgres import SourceDatabase
from tests.fixtures.fix_ring import RingMaker

pytestmark = pytest.mark.e2e

ROWS = 600
# Table, its columns with the key first, and the key's expressions over n.
KEYS = {
    "by_int": ("id int", "n * 7 - 1000"),
    "by_bigint": ("id bigint", "(n - 300) * 1000000007::bigint * 1000"),
    "by_uuid": ("id uuid", "md5(n::text)::uuid"),
    "by_text": ("id text", "CASE n % 4 WHEN 0 THEN 'a' WHEN 1 THEN 'B' WHEN 2 THEN 'é''\\t' ELSE '' END || n"),
    "by_collated": ('id text COLLATE "C"', "CASE n % 3 WHEN 0 THEN 'a' WHEN 1 THEN 'B' ELSE 'Ä' END || n"),
    "by_char": ("id char(9)", "'x ' || n"),
    "by_numeric": ("id numeric", "n / 4.0 - 50"),
    "by_date": ("id date", "'2020-01-01'::date + n"),
    "by_time": ("id timestamptz", "'2026-03-29 00:00+00'::timestamptz + n * interval '7 minutes 0.000123 seconds'"),
    "by_enum": ("id mood, k int", "(ARRAY['zeta', 'alpha', 'it''s'])[1 + n % 3]::mood, n"),
    "by_domain": ("id code", "'c' || n"),
    "by_two": ("a text, id int", "CASE n % 3 WHEN 0 THEN 'x' WHEN 1 THEN 'y' ELSE 'it''s' END, n"),
}


@pytest.mark.parametrize("source_db", [16, 18], indirect=True)
async def test_keys_of_every_type(source_db: SourceDatabase, make_ring: RingMaker) -> None:
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TYPE mood AS ENUM ('zeta', 'alpha', 'it''s')")
        await connection.execute("CREATE DOMAIN code AS text CHECK (value LIKE 'c%')")
        for name, (columns, expressions) in KEYS.items():
            key = ", ".join(column.split()[0] for column in columns.split(", "))
            await connection.execute(f"CREATE TABLE {name} ({columns}, v text, PRIMARY KEY ({key}))")
            await connection.execute(
                f"INSERT INTO {name} SELECT {expressions}, 'v' || n FROM generate_series(1, {ROWS}) AS n"
            )
        # The key's order is not that of the columns.
        await connection.execute("CREATE TABLE turned (a int, b text, c int, PRIMARY KEY (c, a))")
        await connection.execute(f"INSERT INTO turned SELECT n % 7, 'b', n FROM generate_series(1, {ROWS}) AS n")
        ring = make_ring(settings={"SNAPSHOT_CHUNK_SIZE": "70", "SNAPSHOT_WORKERS": "4"})
        ring.start()
        await ring.streaming()
        await ring.loaded()
        await ring.assert_equal(*(f"public.{name}" for name in (*KEYS, "turned")))
        tables = await ring.tables()
        assert {tables[f"public.{name}"].load.row_count for name in KEYS} == {ROWS}


async def test_tables_of_all_shapes(source_db: SourceDatabase, make_ring: RingMaker) -> None:
    """Empty, one row, nothing but the key, partitioned, with a row filter and a column list, names that must be quoted."""
    statements = (
        "CREATE TABLE empty (id int PRIMARY KEY, v text)",
        "CREATE TABLE single (id int PRIMARY KEY, v text)",
        "INSERT INTO single VALUES (1, '\\N')",
        "CREATE TABLE bare (id int PRIMARY KEY)",
        "INSERT INTO bare SELECT generate_series(1, 100)",
        'CREATE SCHEMA "My Shop"',
        'CREATE TABLE "My Shop"."Order ""1""" ("Id" int PRIMARY KEY, "from" text)',
        'INSERT INTO "My Shop"."Order ""1""" SELECT n, \'x\' FROM generate_series(1, 50) AS n',
        "CREATE TABLE parts (id int, at date, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)",
        "CREATE TABLE parts_a PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2026-06-01')",
        "CREATE TABLE parts_b (v text, at date NOT NULL, id int NOT NULL)",
        "ALTER TABLE parts ATTACH PARTITION parts_b FOR VALUES FROM ('2026-06-01') TO ('2027-01-01')",
        "INSERT INTO parts SELECT n, '2026-01-01'::date + n % 360, 'v' || n FROM generate_series(1, 300) AS n",
        "CREATE TABLE wide (id int PRIMARY KEY" + "".join(f", c{n} int" for n in range(120)) + ")",
        "INSERT INTO wide (id, c0, c63, c64, c119) SELECT n, n, n, n, n FROM generate_series(1, 60) AS n",
    )
    async with await source_db.connect() as connection:
        for statement in statements:
            await connection.execute(statement)
        ring = make_ring(settings={"SNAPSHOT_CHUNK_SIZE": "50"})
        ring.start()
        await ring.streaming()
        await ring.loaded()
        names = ("empty", "single", "bare", "parts", "wide")
        await ring.assert_equal(*(f"public.{name}" for name in names), 'My Shop.Order "1"')


async def test_row_filters_and_column_lists_are_honoured(source_db: SourceDatabase, make_ring: RingMaker) -> None:
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE people (id int PRIMARY KEY, name text, secret text, active bool)")
        await connection.execute(
            "INSERT INTO people SELECT n, 'name ' || n, 'secret', n % 3 = 0 FROM generate_series(1, 300) AS n"
        )
        await connection.execute("ALTER TABLE people REPLICA IDENTITY FULL")
        ring = make_ring(settings={"SNAPSHOT_CHUNK_SIZE": "40", "TABLES": "public.people"})
        await connection.execute("CREATE TABLE seen (id int PRIMARY KEY, name text, secret text)")
        await connection.execute("INSERT INTO seen SELECT id, name, secret FROM people")
        await connection.execute(
            f"CREATE PUBLICATION {ring.publication} FOR TABLE people WHERE (id > 100 AND id <> 150), seen (id, name)"
        )
        ring.environment["TABLES"] = "public.people,public.seen"
        ring.start()
        await ring.streaming()
        await ring.loaded()
    assert await ring.target_rows("SELECT count(*), min(id), max(id) FROM people") == [(199, 101, 300)]
    assert await ring.target_rows("SELECT count(*) FROM seen") == [(300,)]
    columns = {row[0] for row in await ring.target_rows("DESC seen")}
    assert "secret" not in columns and "name" in columns
