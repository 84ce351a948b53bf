"""orders and order_items: what arrives in PostgreSQL, and in what transactions."""

import asyncio
import random
from collections import Counter

import pytest
import pytest_asyncio
from dbmazz_sandbox.generators import TABLES, OrdersGenerator, create_schema
from dbmazz_sandbox.generators.transactions import TRANSACTION_ROWS, OrderTransactions
from dbmazz_sandbox.generators.values import OrderValues

from tests.fixtures.waiting import wait_until

LIVE_ROWS = "SELECT (SELECT count(*) FROM public.orders) + (SELECT count(*) FROM public.order_items)"
CHANGES = "SELECT get_byte(data, 0) FROM pg_logical_slot_peek_binary_changes('s', NULL, NULL, {})"
OPTIONS = "'proto_version', '1', 'publication_names', 'p'"


@pytest_asyncio.fixture
async def source(source_db):
    async with await source_db.connect() as connection:
        await create_schema(connection)
        yield connection


async def fetch(connection, query: str) -> list:
    return await (await connection.execute(query)).fetchall()


async def run_until(generator: OrdersGenerator, events: int) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(generator.run())
        await wait_until(lambda: generator.counters.events >= events, timeout=30, what=f"{events} events")
        generator.stop()


@pytest.mark.parametrize("source_db", [16, 18], indirect=True)
async def test_the_schema_can_be_created_again_and_keeps_the_default_replica_identity(source):
    await create_schema(source)
    query = "SELECT relreplident FROM unnest(%s::regclass[]) AS name JOIN pg_class ON oid = name"
    rows = await (await source.execute(query, (list(TABLES),))).fetchall()
    assert rows == [("d",)] * 3


async def test_holds_the_mix_the_rate_and_the_books(source, source_db, seed):
    generator = OrdersGenerator(source_db.url, rate=3000, seed=seed)
    assert generator.rate == 0.0
    await run_until(generator, 3000)
    done = generator.counters
    assert done.inserts / done.events == pytest.approx(0.70, abs=0.03)
    assert done.updates / done.events == pytest.approx(0.25, abs=0.03)
    assert done.deletes / done.events == pytest.approx(0.05, abs=0.02)
    # Never faster than asked, up to the transactions that were sent ahead of their time.
    assert 1000 < generator.rate < 3000 * 1.1
    assert await fetch(source, LIVE_ROWS) == [(done.inserts - done.deletes,)]
    orphans = "SELECT count(*) FROM order_items i WHERE NOT EXISTS (SELECT FROM orders o WHERE o.id = i.order_id)"
    assert await fetch(source, orphans) == [(0,)]


async def test_a_stop_and_a_cancel_leave_whole_transactions(source, source_db, seed):
    await source.execute("CREATE PUBLICATION p FOR ALL TABLES")
    await source.execute("SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
    stopped = OrdersGenerator(source_db.url, rate=50_000, seed=seed)
    await run_until(stopped, 500)
    cancelled = OrdersGenerator(source_db.url, rate=50_000, seed=seed + 1, connections=1)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(cancelled.run())
        await wait_until(lambda: cancelled.counters.events >= 500, what="500 events")
        task.cancel()
    assert task.cancelled()

    kinds = "".join(chr(kind) for (kind,) in await fetch(source, CHANGES.format(OPTIONS)))
    transactions = [text.replace("R", "").replace("Y", "") for text in kinds.split("B")[1:]]
    assert all(text.endswith("C") for text in transactions)
    smallest, largest = TRANSACTION_ROWS
    assert all(smallest <= len(text) - 1 <= largest for text in transactions)
    # The cancelled transaction may have been committed without its answer being read.
    counted = stopped.counters.transactions + cancelled.counters.transactions
    assert counted <= len(transactions) <= counted + 1
    if len(transactions) == counted:
        totals = Counter("".join(transactions))
        assert totals["I"] == stopped.counters.inserts + cancelled.counters.inserts
        assert totals["U"] == stopped.counters.updates + cancelled.counters.updates
        assert totals["D"] == stopped.counters.deletes + cancelled.counters.deletes


async def test_two_at_once_do_not_get_in_each_others_way(source, source_db, seed):
    pair = [OrdersGenerator(source_db.url, rate=20_000, seed=seed, connections=3) for _ in range(2)]
    async with asyncio.TaskGroup() as group:
        for generator in pair:
            group.create_task(run_until(generator, 1500))
    done = sum(generator.counters.inserts - generator.counters.deletes for generator in pair)
    assert await fetch(source, LIVE_ROWS) == [(done,)]
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert await fetch(source, deadlocks) == [(0,)]


HARD_ORDERS = {
    "negative amount": "amount < 0",
    "NULL": "note IS NULL AND attributes IS NULL",
    "empty text": "note = ''",
    "quote": "note LIKE '%''%'",
    "backslash": r"strpos(note, '\') > 0",
    "newline": r"note LIKE E'%\n%'",
    "emoji": "note LIKE '%🎉%'",
    "control character": r"note LIKE E'%\x01%'",
    "the word NULL": "note = 'NULL'",
    "nested jsonb": "attributes #>> '{a,b,c,d,1}' = '-1'",
    "empty array": "cardinality(tags) = 0",
    "NULL in an array": "array_position(tags, NULL) > 0",
    "comma and brace in an array": "'{a,b}' = ANY(tags)",
    "microseconds": "extract(microseconds FROM updated_at)::int % 1000 <> 0",
    "last microsecond of time": "updated_at = '9999-12-31 23:59:59.999999'",
    "enum label with a quote": "status = 'customer''s return'",
    "integer beyond double": "customer_id = 9007199254740993",
    "smallest smallint": "priority = -32768",
}
HARD_ITEMS = {
    "float that has no short decimal": "discount = 1.0 / 3.0::double precision",
    "largest double": "discount = -1.7976931348623157e308",
    "largest real": "abs(weight) = 3.4028235e38::real",
    "leap day": "shipped_on = '2024-02-29'",
    "first day": "shipped_on = '0001-01-01'",
    "NULL": "price IS NULL",
    "largest integer": "quantity = 2147483647",
}


async def test_holds_values_that_are_hard(source, source_db, seed):
    await run_until(OrdersGenerator(source_db.url, rate=50_000, seed=seed), 20_000)
    missing = [
        f"{table}: {what}"
        for table, conditions in (("orders", HARD_ORDERS), ("order_items", HARD_ITEMS))
        for what, condition in conditions.items()
        if not await fetch(source, f"SELECT 1 FROM public.{table} WHERE {condition} LIMIT 1")
    ]
    assert missing == []


def test_the_same_seed_writes_the_same_statements(seed):
    def statements(number: int) -> list[str]:
        writer = OrderTransactions(random.Random(number), OrderValues(random.Random(number)))
        writer.free_ids.extend(range(1, 2000))
        return [writer.next_transaction()[0] for _ in range(100)]

    assert statements(seed) == statements(seed)
    assert statements(seed) != statements(seed + 1)
