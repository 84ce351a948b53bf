"""Looking and counting in a real PostgreSQL: what is there, estimates, exact counts in turns, locks, the slot."""

from __future__ import annotations

import asyncio
import itertools

import psycopg
import pytest
from dbmazz_monitor.protocol.sample import SourceCount, SourceTable, Table
from dbmazz_monitor.source import SourceCounter

from tests.fixtures.waiting import wait_until

_slots = itertools.count(1)


def table(name: str, schema: str = "public") -> Table:
    return Table(f"{schema}.{name}", schema, name, name)


async def counts(counter: SourceCounter, *tables: Table) -> dict[str, SourceCount]:
    return (await counter.round(tables, {})).by_table


@pytest.mark.parametrize("source_db", [16, 18], indirect=True)
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
        found = await counts(SourceCounter(source_db.url, small_bytes=100_000), *tables)
        assert found[odd.name] == SourceCount(42, exact=True)
        assert found["public.empty"] == SourceCount(0, exact=True)
        assert found["public.parts"] == SourceCount(100, exact=True)
        assert found["public.large"] == SourceCount(20_000, exact=False)
        assert found["public.gone"] == SourceCount(None, note="not in the source")
        # Without a new ANALYZE the estimate follows the file.
        await connection.execute("INSERT INTO large SELECT generate_series(1, 20000)")
        grown = await counts(SourceCounter(source_db.url, small_bytes=100_000), table("large"))
        assert 30_000 < grown["public.large"].rows < 50_000  # pages are filled unevenly
        parts = await counts(SourceCounter(source_db.url, small_bytes=0), table("parts"))
        assert parts["public.parts"] == SourceCount(100, exact=False)


@pytest.mark.parametrize("source_db", [16, 18], indirect=True)
async def test_what_is_there(source_db):
    async with await source_db.connect() as connection:
        await connection.execute("CREATE SCHEMA sales")
        await connection.execute("CREATE TABLE orders (id int PRIMARY KEY)")
        await connection.execute("CREATE TABLE sales.items (id int PRIMARY KEY)")
        await connection.execute("CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id)")
        await connection.execute("CREATE TABLE parts1 PARTITION OF parts FOR VALUES FROM (0) TO (100)")
        await connection.execute("CREATE TABLE other (id int PRIMARY KEY)")
        await connection.execute("CREATE VIEW seen AS SELECT 1 AS one")
        await connection.execute("CREATE TEMPORARY TABLE passing (id int)")
        await connection.execute("CREATE PUBLICATION pub FOR TABLE orders, TABLES IN SCHEMA sales")
        counter = SourceCounter(source_db.url, publication="pub", slot="none")
        seen = (await counter.round([], {})).seen
        assert seen.tables == {
            "public.orders": SourceTable("public", "orders", published=True),
            "sales.items": SourceTable("sales", "items", published=True),
            "public.other": SourceTable("public", "other"),
            "public.parts": SourceTable("public", "parts"),
            "public.parts1": SourceTable("public", "parts1", partition=True),
        }
        assert (seen.slot, seen.ours) == (None, False)
        await connection.execute("CREATE PUBLICATION everything FOR ALL TABLES")
        all_of_it = SourceCounter(source_db.url, publication="everything")
        assert all(found.published for found in (await all_of_it.round([], {})).seen.tables.values())


async def test_the_slot_is_seen_without_the_reader(source_db):
    name = f"seen_{next(_slots)}"
    async with await source_db.connect() as connection:
        await connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [name])
        seen = (await SourceCounter(source_db.url, slot=name).round([], {})).seen
        elsewhere = psycopg.conninfo.make_conninfo(source_db.url, dbname="postgres")
        assert not (await SourceCounter(elsewhere, slot=name).round([], {})).seen.ours
        await connection.execute("SELECT pg_drop_replication_slot(%s)", [name])
    assert seen.ours
    assert (seen.slot.wal_status, seen.slot.safe_wal_bytes, seen.slot.name) == ("reserved", None, name)
    assert "/" in seen.slot.restart_lsn and "/" in seen.slot.confirmed_flush_lsn
    assert seen.slot.read_time_s > 1e9


async def test_a_count_is_carried_on_and_made_anew_only_when_rows_came_or_went(source_db):
    async with await source_db.connect() as connection:
        for name in ("still", "busy"):
            await connection.execute(f"CREATE TABLE {name} AS SELECT generate_series(1, 10) AS id")
        await connection.execute("SELECT pg_stat_force_next_flush()")
        counter = SourceCounter(source_db.url)
        tables = [table("still"), table("busy")]
        await wait_until(lambda: _settled(counter, tables), what="the statistics have come")
        await connection.execute("INSERT INTO busy SELECT generate_series(11, 15)")
        await connection.execute("UPDATE still SET id = id + 100")
        await connection.execute("SELECT pg_stat_force_next_flush()")
        done = await wait_until(lambda: _recounted(counter, tables), what="the change is seen")
        assert done.counted == 1
        assert done.by_table["public.busy"] == SourceCount(15, exact=True)
        assert done.by_table["public.still"] == SourceCount(10, exact=True)


async def test_the_callers_mark_is_a_reason_to_count_too(source_db):
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE a AS SELECT generate_series(1, 10) AS id")
        counter = SourceCounter(source_db.url)
        await wait_until(lambda: _settled(counter, [table("a")]))
        done = await counter.round([table("a")], {"public.a": 7})
        assert (done.counted, done.by_table["public.a"]) == (1, SourceCount(10, exact=True))
        assert (await counter.round([table("a")], {"public.a": 7})).counted == 0


async def _settled(counter: SourceCounter, tables: list[Table]) -> bool:
    return (await counter.round(tables, {})).counted == 0


async def _recounted(counter: SourceCounter, tables: list[Table]):
    done = await counter.round(tables, {})
    return done if done.counted else None


async def test_all_have_their_turn_when_there_is_not_time_for_all(source_db):
    async with await source_db.connect() as connection:
        for number in range(5):
            await connection.execute(f"CREATE TABLE t{number} AS SELECT generate_series(1, {number}) AS id")
        counter = SourceCounter(source_db.url, budget_s=0.0)
        tables = [table(f"t{number}") for number in range(5)]
        exact = [sum(count.exact for count in (await counts(counter, *tables)).values()) for _ in range(5)]
        # Statistics that come late make a count be made anew: never more than one a round.
        assert exact[0] == 1
        assert all(after - before <= 1 for before, after in itertools.pairwise(exact))

        async def all_exact() -> bool:
            found = await counts(counter, *tables)
            return [found[t.name] for t in tables] == [SourceCount(number, exact=True) for number in range(5)]

        await wait_until(all_exact)


async def test_a_table_that_is_being_altered_is_not_waited_for(source_db):
    async with await source_db.connect() as connection, await source_db.connect() as other:
        await connection.execute("CREATE TABLE held AS SELECT generate_series(1, 30) AS id")
        await connection.execute("CREATE TABLE free AS SELECT generate_series(1, 7) AS id")
        await connection.execute("ANALYZE held")
        async with other.transaction():
            await other.execute("LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
            async with asyncio.timeout(5):
                found = await counts(SourceCounter(source_db.url), table("held"), table("free"))
        assert found["public.free"] == SourceCount(7, exact=True)
        assert found["public.held"] == SourceCount(30, note="locked by somebody who alters it: estimated")


async def test_nothing_is_written(source_db):
    counter = SourceCounter(source_db.url)
    async with await psycopg.AsyncConnection.connect(counter._conninfo) as connection:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            await connection.execute("CREATE TABLE mine (id int)")


async def test_a_table_that_may_not_be_read_is_estimated(source_db):
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE secret AS SELECT generate_series(1, 300) AS id")
        await connection.execute("ANALYZE secret")
        role = f"reader_of_{source_db.name}"
        await connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
        try:
            url = psycopg.conninfo.make_conninfo(source_db.url, user=role, password="x")
            found = await counts(SourceCounter(url), table("secret"))
        finally:
            await connection.execute(f"DROP ROLE {role}")
    count = found["public.secret"]
    assert (count.rows, count.exact) == (300, False)
    assert "permission denied" in count.note
