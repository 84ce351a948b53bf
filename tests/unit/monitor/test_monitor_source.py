"""Counting in a real PostgreSQL: estimate, exact when small, partitions, what is missing."""

from dbmazz_monitor.protocol.sample import SourceCount, Table
from dbmazz_monitor.source import SourceCounter


def table(name: str, schema: str = "public") -> Table:
    return Table(f"{schema}.{name}", schema, name, name)


async def test_counts(source_db):
    async with await source_db.connect() as connection:
        await connection.execute('CREATE SCHEMA "Odd ""schema"')
        await connection.execute('CREATE TABLE "Odd ""schema"."Ta.ble" (id int PRIMARY KEY)')
        await connection.execute('INSERT INTO "Odd ""schema"."Ta.ble" SELECT generate_series(1, 42)')
        await connection.execute("CREATE TABLE empty (id int PRIMARY KEY)")
        await connection.execute("CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id)")
        await connection.execute("CREATE TABLE parts1 PARTITION OF parts FOR VALUES FROM (0) TO (100)")
        await connection.execute("CREATE TABLE parts2 PARTITION OF parts FOR VALUES FROM (100) TO (200)")
        await connection.execute("INSERT INTO parts SELECT generate_series(50, 149)")
        await connection.execute("CREATE TABLE large AS SELECT generate_series(1, 20000) AS id")
        await connection.execute("ANALYZE large, parts1, parts2")
        odd = table("Ta.ble", 'Odd "schema')
        tables = [odd, table("empty"), table("parts"), table("large"), table("gone")]
        counts = await SourceCounter(source_db.url, small_bytes=100_000).count(tables)
        assert counts[odd.name] == SourceCount(42, exact=True)
        assert counts["public.empty"] == SourceCount(0, exact=True)
        assert counts["public.parts"] == SourceCount(100, exact=True)
        assert counts["public.large"] == SourceCount(20_000, exact=False)
        assert counts["public.gone"] == SourceCount(None, note="not in the source")
        # Without a new ANALYZE the estimate follows the file.
        await connection.execute("INSERT INTO large SELECT generate_series(1, 20000)")
        grown = await SourceCounter(source_db.url, small_bytes=100_000).count([table("large")])
        assert 30_000 < grown["public.large"].rows < 50_000  # pages are filled unevenly
        parts = await SourceCounter(source_db.url, small_bytes=0).count([table("parts")])
        assert parts["public.parts"] == SourceCount(100, exact=False)


async def test_a_table_that_may_not_be_read_is_estimated(source_db):
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE secret AS SELECT generate_series(1, 300) AS id")
        await connection.execute("ANALYZE secret")
        role = f"reader_of_{source_db.name}"
        await connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
        from psycopg.conninfo import make_conninfo

        try:
            url = make_conninfo(source_db.url, user=role, password="x")
            counts = await SourceCounter(url).count([table("secret")])
        finally:
            await connection.execute(f"DROP ROLE {role}")
    count = counts["public.secret"]
    assert (count.rows, count.exact) == (300, False)
    assert "permission denied" in count.note
