"""toast_test: the updates really leave the large values out of the WAL."""

import asyncio
import struct

import pytest_asyncio
from dbmazz_sandbox.generators import ToastGenerator, TrafficRun, create_schema

from tests.fixtures.waiting import wait_until

UPDATES = (
    "SELECT data FROM pg_logical_slot_peek_binary_changes('s', NULL, NULL, 'proto_version', '1',"
    " 'publication_names', 'p') WHERE get_byte(data, 0) = ascii('U')"
)


@pytest_asyncio.fixture
async def source(source_db):
    async with await source_db.connect() as connection:
        await create_schema(connection)
        await connection.execute("CREATE PUBLICATION p FOR TABLE public.toast_test")
        await connection.execute("SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
        yield connection


def column_kinds(update: bytes) -> str:
    """One letter per column of a pgoutput Update without old tuple: text t, NULL n, unchanged TOAST u."""
    assert update[5:6] == b"N"
    (count,) = struct.unpack_from("!H", update, 6)
    kinds, at = "", 8
    for _ in range(count):
        kind = chr(update[at])
        kinds += kind
        at += 1
        if kind == "t":
            at += 4 + struct.unpack_from("!I", update, at)[0]
    assert at == len(update)
    return kinds


async def test_updates_carry_the_unchanged_marker_and_the_special_ones_do_not(source, source_db, seed):
    generator = ToastGenerator(source_db.url, interval_s=0.001, rows=4, seed=seed)
    async with asyncio.TaskGroup() as group:
        group.create_task(generator.run())
        # Nine rounds: each of the three special changes on each of the three large columns.
        await wait_until(lambda: generator.counters.updates >= 9 * 4 + 9, timeout=30, what="nine rounds")
        generator.stop()

    done = generator.counters
    seen = [column_kinds(data) for (data,) in await (await source.execute(UPDATES)).fetchall()]
    assert len(seen) == done.updates
    large = [kinds[3:6] for kinds in seen]  # document, body, blob
    assert all(set(kinds[:3] + kinds[6:]) <= {"t", "n"} for kinds in seen)
    assert sum("t" in kinds for kinds in large) == done.large_updates >= 2
    assert sum("t" not in kinds for kinds in large) == done.unchanged_updates + done.nulled_updates
    assert large.count("uuu") > done.unchanged_updates / 4
    assert done.nulled_updates >= 2
    assert done.deletes >= 2

    rows = await (
        await source.execute(
            "SELECT count(*), min(length(document::text)), min(pg_column_size(document)), min(pg_column_size(blob)),"
            " max(counter) FROM toast_test"
        )
    ).fetchone()
    assert rows[0] == done.inserts - done.deletes == 4
    assert rows[1] > 100_000
    assert rows[2] > 100_000, "the document must not be compressible, or no marker would be sent"
    assert rows[3] >= 10_000
    assert rows[4] >= 9


async def test_a_traffic_run_stops_when_asked_and_its_totals_are_what_is_in_the_tables(source, source_db, seed):
    run = TrafficRun(source_db.url, duration_s=3600, rate=2000, toast_interval_s=0.05, toast_rows=3, seed=seed)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run.run())
        await wait_until(
            lambda: run.orders.counters.events > 500 and run.toast.counters.unchanged_updates > 3, what="traffic"
        )
        assert run.totals().events_per_second > 0
        run.stop()
    totals = running.result()
    counts = await (
        await source.execute(
            "SELECT (SELECT count(*) FROM orders) + (SELECT count(*) FROM order_items), count(*) FROM toast_test"
        )
    ).fetchone()
    assert counts == (totals.orders.inserts - totals.orders.deletes, totals.toast.inserts - totals.toast.deletes)
    assert totals.events == totals.orders.events + totals.toast.events
    assert 0 < totals.seconds < 60


async def test_a_traffic_run_ends_by_itself(source, source_db, seed):
    totals = await TrafficRun(source_db.url, duration_s=0.5, rate=500, toast_rows=1, seed=seed).run()
    assert 0.5 <= totals.seconds < 5
    assert 20 < totals.orders.events <= 0.5 * 500 + 60  # the transactions sent ahead of their time
    assert totals.toast.inserts == 1
