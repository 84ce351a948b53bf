"""Unchanged TOAST through the whole ring: it is never NULL, a placeholder or a default in the target."""

from __future__ import annotations

import json
import random

import psycopg
import pytest

from tests.fixtures.fix_postgres import SourceDatabase
from tests.fixtures.fix_ring import RingMaker

pytestmark = pytest.mark.e2e

BIG = 40_000


def incompressible(rng: random.Random, size: int = BIG) -> str:
    """Hexadecimal of random bytes: pglz gains too little on it to keep it inline."""
    return rng.randbytes(size // 2).hex()


@pytest.mark.parametrize("source_db", [16, 18], indirect=True)
async def test_five_kinds_of_rows_in_one_batch(source_db: SourceDatabase, make_ring: RingMaker, seed: int) -> None:
    """INSERT a; UPDATE b (unchanged); INSERT c; UPDATE d (new); INSERT e, UPDATE e (unchanged): the predecessor's L4."""
    rng = random.Random(seed)
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE docs (id int PRIMARY KEY, note text, big text, other text)")
        ring = make_ring()
        ring.start()
        await ring.streaming()
        for key in (2, 4):
            await connection.execute("INSERT INTO docs VALUES (%s, 'old', %s, 'o')", [key, incompressible(rng)])
        await ring.caught_up()
        assert (await ring.reader_status()).unchanged_toast_count == 0
        async with connection.transaction():
            await connection.execute("INSERT INTO docs VALUES (1, 'a', %s, 'o')", [incompressible(rng)])
            await connection.execute("UPDATE docs SET note = 'b' WHERE id = 2")
            await connection.execute("INSERT INTO docs VALUES (3, 'c', %s, 'o')", [incompressible(rng)])
            await connection.execute("UPDATE docs SET note = 'd', big = %s WHERE id = 4", [incompressible(rng)])
            await connection.execute("INSERT INTO docs VALUES (5, 'e', %s, 'o')", [incompressible(rng)])
            await connection.execute("UPDATE docs SET note = 'e2' WHERE id = 5")
        await ring.caught_up()
    assert (await ring.reader_status()).unchanged_toast_count == 2
    await ring.assert_equal("public.docs")
    status = await ring.loader_status()
    assert status.partial_row_count == 1, "row b alone is partial: e was folded into its own insert"
    assert status.rows_unaccounted == 0


async def test_absent_columns_beyond_the_64th(source_db: SourceDatabase, make_ring: RingMaker, seed: int) -> None:
    """130 columns, large ones at 0-based 70, 100 and 129, each left out in turn."""
    rng = random.Random(seed)
    large = (70, 100, 129)
    columns = ", ".join(f"c{number} text" for number in range(1, 130))
    async with await source_db.connect() as connection:
        await connection.execute(f"CREATE TABLE wide (c0 int PRIMARY KEY, {columns})")
        ring = make_ring()
        ring.start()
        await ring.streaming()
        async with connection.transaction():
            for key in range(4):
                values = [incompressible(rng) if number in large else f"v{number}" for number in range(1, 130)]
                await connection.execute(f"INSERT INTO wide VALUES ({key}{', %s' * 129})", values)
        await ring.caught_up()
        async with connection.transaction():
            await connection.execute("UPDATE wide SET c5 = 'x' WHERE c0 = 0")
            await connection.execute("UPDATE wide SET c100 = %s WHERE c0 = 1", [incompressible(rng)])
            await connection.execute("UPDATE wide SET c70 = NULL, c129 = %s WHERE c0 = 2", [incompressible(rng)])
        await ring.caught_up()
    assert (await ring.reader_status()).unchanged_toast_count == 3 + 2 + 1
    await ring.assert_equal("public.wide")
    assert (await ring.loader_status()).partial_load_count == 3


async def test_a_value_set_to_null_stays_null(source_db: SourceDatabase, make_ring: RingMaker, seed: int) -> None:
    """NULL on purpose is not absence: an unrelated update afterwards does not bring the value back."""
    rng = random.Random(seed)
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE docs (id int PRIMARY KEY, note text, big text, keep text)")
        ring = make_ring()
        ring.start()
        await ring.streaming()
        await connection.execute("INSERT INTO docs VALUES (1, 'a', %s, %s)", [incompressible(rng), incompressible(rng)])
        await ring.caught_up()
        await connection.execute("UPDATE docs SET big = NULL WHERE id = 1")
        await ring.caught_up()
        await connection.execute("UPDATE docs SET note = 'b' WHERE id = 1")
        await ring.caught_up()
    assert (await ring.reader_status()).unchanged_toast_count == 2
    await ring.assert_equal("public.docs")
    assert await ring.target_rows("SELECT note, big IS NULL, length(keep) FROM docs") == [("b", 1, BIG)]


async def test_a_key_change_takes_its_large_value_along(
    source_db: SourceDatabase, make_ring: RingMaker, seed: int
) -> None:
    """The new key gets the value that the WAL left out, the old key is gone."""
    rng = random.Random(seed)
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE docs (id int PRIMARY KEY, note text, big text)")
        ring = make_ring()
        ring.start()
        await ring.streaming()
        await connection.execute("INSERT INTO docs VALUES (1, 'a', %s), (2, 'b', 'small')", [incompressible(rng)])
        await ring.caught_up()
        await connection.execute("UPDATE docs SET id = id + 100")
        await ring.caught_up()
    assert (await ring.reader_status()).unchanged_toast_count == 1
    await ring.assert_equal("public.docs")


async def test_a_delete_keeps_the_last_values(source_db: SourceDatabase, make_ring: RingMaker, seed: int) -> None:
    """Soft delete from a key-only tuple: the row is marked and keeps its values, the large one too."""
    rng = random.Random(seed)
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE docs (id int PRIMARY KEY, note text NOT NULL, big text)")
        ring = make_ring()
        ring.start()
        await ring.streaming()
        await connection.execute("INSERT INTO docs VALUES (1, 'a', %s), (2, 'b', 'x')", [incompressible(rng)])
        await ring.caught_up()
        await connection.execute("DELETE FROM docs WHERE id = 1")
        await ring.caught_up()
    await ring.assert_equal("public.docs")
    rows = await ring.target_rows(
        "SELECT id, note, length(big), dbmazz_is_deleted, dbmazz_op_type FROM docs ORDER BY id"
    )
    assert rows == [(1, "a", BIG, 1, 2), (2, "b", 1, 0, 0)]


async def test_jsonb_of_12_megabytes_survives(source_db: SourceDatabase, make_ring: RingMaker, seed: int) -> None:
    """Inserted, then another column updated: the document is the same JSON afterwards."""
    rng = random.Random(seed)
    document = {f"key {number}": rng.randbytes(600).hex() for number in range(10_000)}
    document["unicode"] = 'quotes " and \\ and \u2028 and 🚚'
    text = json.dumps(document)
    assert len(text) > 12_000_000
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE documents (id int PRIMARY KEY, note text, document jsonb)")
        ring = make_ring()
        ring.start()
        await ring.streaming()
        await connection.execute("INSERT INTO documents VALUES (1, 'first', %s)", [text])
        await ring.caught_up()
        await connection.execute("UPDATE documents SET note = 'second'")
        await ring.caught_up()
    assert (await ring.reader_status()).unchanged_toast_count == 1
    rows = await ring.target_rows("SELECT note, document FROM documents")
    assert [(note, json.loads(stored)) for note, stored in rows] == [("second", document)]


async def test_full_identity_fills_the_gap(source_db: SourceDatabase, make_ring: RingMaker, seed: int) -> None:
    """REPLICA IDENTITY FULL: the old row has the value that the new image lacks, so the row goes in full."""
    rng = random.Random(seed)
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE docs (tenant int, id int PRIMARY KEY, note text, big text)")
        await connection.execute("ALTER TABLE docs REPLICA IDENTITY FULL")
        ring = make_ring()
        ring.start()
        await ring.streaming()
        await connection.execute("INSERT INTO docs VALUES (7, 1, 'a', %s), (7, 2, 'b', 'x')", [incompressible(rng)])
        await ring.caught_up()
        await connection.execute("UPDATE docs SET note = 'c' WHERE id = 1")
        await connection.execute("DELETE FROM docs WHERE id = 2")
        await ring.caught_up()
    await ring.assert_equal("public.docs")
    assert (await ring.reader_status()).unchanged_toast_count == 1
    assert (await ring.loader_status()).partial_row_count == 0


async def test_rows_from_before_the_slot_are_completed_from_the_source(
    source_db: SourceDatabase, make_ring: RingMaker, seed: int
) -> None:
    """The target never had them: a partial image of one is read back, also after a restart of reader and checkpoint."""
    rng = random.Random(seed)
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE docs (id int PRIMARY KEY, note text, big text)")
        for key in (1, 2, 3):
            await connection.execute("INSERT INTO docs VALUES (%s, 'old', %s)", [key, incompressible(rng)])
        ring = make_ring(settings={"DO_SNAPSHOT": "false"})
        ring.start()
        await ring.streaming()
        await connection.execute("UPDATE docs SET note = 'first' WHERE id = 1")
        await ring.caught_up()
        for service in ("checkpoint", "reader"):
            ring[service].kill()
            ring[service].start()
        await ring.streaming()
        assert any("public.docs held" in warning for warning in (await ring.reader_status()).warnings)
        await connection.execute("UPDATE docs SET note = 'second' WHERE id = 2")
        await ring.caught_up()
    assert (await ring.reader_status()).unchanged_toast_count == 1
    rows = await ring.target_rows("SELECT id, note, length(big) FROM docs ORDER BY id")
    assert rows == [(1, "first", BIG), (2, "second", BIG)]


async def test_a_rolled_back_transaction_leaves_nothing(source_db: SourceDatabase, make_ring: RingMaker) -> None:
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE docs (id int PRIMARY KEY, note text)")
        ring = make_ring()
        ring.start()
        await ring.streaming()
        with pytest.raises(psycopg.errors.DivisionByZero):
            async with connection.transaction():
                await connection.execute("INSERT INTO docs VALUES (1, 'gone')")
                await connection.execute("SELECT 1 / 0")
        async with connection.transaction():
            await connection.execute("INSERT INTO docs VALUES (2, 'stays')")
            await connection.execute("SAVEPOINT s")
            await connection.execute("INSERT INTO docs VALUES (3, 'gone')")
            await connection.execute("ROLLBACK TO s")
        await ring.caught_up()
    await ring.assert_equal("public.docs")
    assert await ring.target_rows("SELECT count(*) FROM docs") == [(1,)]
