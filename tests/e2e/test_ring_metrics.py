"""What Prometheus sees of a whole ring after known traffic: exact counts, and the same count at every stage."""

from __future__ import annotations

import random

import pytest

from tests.fixtures.fix_postgres import SourceDatabase
from tests.fixtures.fix_ring import RingMaker
from tests.fixtures.ring import SERVICES, Ring, free_port
from tests.fixtures.scraping import Scraped, scrape
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.e2e

BIG = 40_000
SECRET = "row-value-4711"


def with_endpoints(ring: Ring) -> dict[str, int]:
    """Gives the first replica of each service a port of its own; to be called before the ring starts."""
    ports = {service: free_port() for service in SERVICES}
    for service, port in ports.items():
        ring[service].environment = {**ring[service].environment, "METRICS_PORT": str(port)}
    return ports


async def test_exact_counts_at_every_stage(source_db: SourceDatabase, make_ring: RingMaker, seed: int) -> None:
    rng = random.Random(seed)
    async with await source_db.connect() as connection:
        await connection.execute("CREATE SCHEMA sales")
        await connection.execute("CREATE TABLE docs (id int PRIMARY KEY, note text, big text, other text)")
        await connection.execute("CREATE TABLE sales.items (id int PRIMARY KEY, note text)")
        ring = make_ring()
        ports = with_endpoints(ring)
        ring.start()
        await ring.streaming()
        async with connection.transaction():
            for key in range(1, 11):
                big = rng.randbytes(BIG // 2).hex()
                await connection.execute("INSERT INTO docs VALUES (%s, %s, %s, 'o')", [key, SECRET, big])
        await connection.execute("INSERT INTO sales.items SELECT i, 'n' FROM generate_series(1, 25) i")
        await ring.caught_up()
        # Unchanged large values: three rows without `big`. The same row twice in a transaction: one change is folded.
        await connection.execute("UPDATE docs SET note = 'b' WHERE id <= 3")
        await ring.caught_up()
        async with connection.transaction():
            await connection.execute("UPDATE sales.items SET note = 'first' WHERE id = 1")
            await connection.execute("UPDATE sales.items SET note = 'second' WHERE id = 1")
            await connection.execute("DELETE FROM sales.items WHERE id = 2")
        await ring.caught_up()

        async def slot_seen() -> bool:
            return bool((await scrape(ports["reader"])).of("dbmazz_slot_wal_status"))

        await wait_until(slot_seen, what="the reader has looked at its slot")
        seen: dict[str, Scraped] = {service: await scrape(port) for service, port in ports.items()}
    await ring.assert_equal("public.docs", "sales.items")

    for service, found in seen.items():
        found.assert_declared(service)
        assert found("dbmazz_service_state", state="running") == 1, service
        assert SECRET not in found.text
    reader, transformer, loader, checkpoint = (
        seen[service] for service in ("reader", "transformer", "loader", "checkpoint")
    )
    assert reader.of("dbmazz_rows_total") == {("read", "docs"): 13, ("read", "sales__items"): 28}
    assert reader("dbmazz_transactions_total") == 4
    assert reader.of("dbmazz_toast_columns_total") == {("docs", "update"): 3, ("sales__items", "update"): 0}
    assert reader.of("dbmazz_table_info") == {("docs", "public.docs"): 1, ("sales__items", "sales.items"): 1}
    assert reader("dbmazz_retained_bytes") == reader("dbmazz_retained_batches") == 0
    assert reader("dbmazz_transformers") == 1
    assert reader("dbmazz_slot_wal_status", slot=ring.slot, wal_status="reserved") == 1

    assert transformer("dbmazz_received_rows_total") == 41
    assert transformer.of("dbmazz_rows_total") == {
        ("folded", "docs"): 0, ("delivered", "docs"): 13, ("folded", "sales__items"): 1, ("delivered", "sales__items"): 27,
    }  # fmt: skip
    # The deleted row has its key alone: `note` is absent from it.
    assert transformer.of("dbmazz_signature_rows_total") == {
        ("docs", "0"): 10, ("docs", "1"): 3, ("sales__items", "0"): 26, ("sales__items", "1"): 1,
    }  # fmt: skip
    assert transformer("dbmazz_absent_values_total", table="docs", operation="update") == 3
    assert transformer("dbmazz_absent_values_total", table="sales__items", operation="delete") == 1
    assert transformer("dbmazz_pending_rows") == 0

    assert loader.of("dbmazz_rows_total") == {
        ("sent", "docs"): 13, ("loaded", "docs"): 13, ("sent", "sales__items"): 27, ("loaded", "sales__items"): 27,
    }  # fmt: skip
    assert loader.of("dbmazz_partial_rows_total") == {("docs",): 3, ("sales__items",): 1}
    assert loader("dbmazz_rows_unaccounted") == 0
    assert loader("dbmazz_commit_to_visible_seconds_count") == 40
    assert {verdict for _, verdict in loader.of("dbmazz_loads_total")} == {"loaded"}
    assert loader("dbmazz_load_duration_seconds_count") == sum(loader.of("dbmazz_loads_total").values())
    assert all(up == 1 for up in loader.of("dbmazz_peer_up").values())
    sent, received = loader.of("dbmazz_bytes_total"), transformer.of("dbmazz_bytes_total")
    assert {table: size for (_, table), size in sent.items()} == {table: size for (_, table), size in received.items()}
    assert sent["loaded", "docs"] > 10 * BIG

    assert checkpoint.of("dbmazz_checkpoint_rows_total") == {(ring.slot,): 40}
    assert checkpoint.of("dbmazz_checkpoint_waiting_batches") == {(ring.slot,): 0}
    epochs = {
        reader("dbmazz_epoch"),
        transformer("dbmazz_epoch"),
        checkpoint("dbmazz_checkpoint_epoch", slot=ring.slot),
    }
    assert len(epochs) == 1 and epochs.pop() > 0
    assert checkpoint("dbmazz_checkpoint_lsn", slot=ring.slot) >= reader("dbmazz_confirmed_lsn") > 0


async def test_a_port_that_is_taken_stops_the_service_with_one_line(
    source_db: SourceDatabase, make_ring: RingMaker
) -> None:
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE docs (id int PRIMARY KEY)")
        ring = make_ring()
        port = with_endpoints(ring)["loader"]
        for service in SERVICES:
            ring[service].environment = {**ring[service].environment, "METRICS_PORT": str(port)}
        ring["checkpoint"].start()

        async def served() -> bool:
            return "metrics_served" in ring["checkpoint"].log

        await wait_until(served)
        for service in ("reader", "transformer", "loader"):
            ring[service].start()
            await wait_until(lambda service=service: not ring[service].running, timeout=20, what=f"{service} ends")
            assert ring[service].process.returncode == 2
            [line] = [line for line in ring[service].log.splitlines() if line.startswith("dbmazz ")]
            assert line.startswith(f"dbmazz {service}: METRICS_PORT={port} cannot be bound on 127.0.0.1")
            assert "Traceback" not in ring[service].log
