"""Tables that are full before dbmazz comes: every row arrives, whatever the key, and a touch afterwards changes nothing."""

from __future__ import annotations

import pytest

from tests.fixtures.fix_postgres import SourceDatabase
from tests.fixtures.fix_ring import RingMaker

pytestmark = pytest.mark.e2e


async def test_rows_from_before_the_slot_are_loaded(source_db: SourceDatabase, make_ring: RingMaker) -> None:
    async with await source_db.connect() as connection:
        await connection.execute(
            "CREATE TABLE items (id int PRIMARY KEY, name text, price numeric(10,2), at timestamptz)"
        )
        await connection.execute(
            "INSERT INTO items SELECT n, 'tab\there \\ and ' || n, n / 7.0, '2026-01-01'::timestamptz + n * interval '1 minute'"
            " FROM generate_series(1, 2000) AS n"
        )
        await connection.execute("UPDATE items SET name = NULL WHERE id % 10 = 0")
        ring = make_ring(settings={"SNAPSHOT_CHUNK_SIZE": "300"})
        ring.start()
        await ring.streaming()
        await ring.loaded()
        await ring.assert_equal("public.items")
        await connection.execute("UPDATE items SET id = id")
        await ring.caught_up()
        await ring.assert_equal("public.items")
