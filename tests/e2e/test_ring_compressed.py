"""A ring over slow links: bodies and messages travel compressed, and arrive as they are."""

from __future__ import annotations

import random

import pytest

from tests.fixtures.fix_postgres import SourceDatabase
from tests.fixtures.fix_ring import RingMaker

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("compression", ["lz4", "zstd", "gzip"])
async def test_compressed_all_the_way(
    source_db: SourceDatabase, make_ring: RingMaker, seed: int, compression: str
) -> None:
    rng = random.Random(seed)
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE docs (id int PRIMARY KEY, note text, big text)")
        ring = make_ring(settings={"LOAD_COMPRESSION": compression, "GRPC_COMPRESSION": "gzip"})
        ring.start()
        await ring.streaming()
        for key in range(20):
            # Incompressible, so that an update leaves it out; the note is not.
            row = [key, "again and " * 50, rng.randbytes(20_000).hex()]
            await connection.execute("INSERT INTO docs VALUES (%s, %s, %s)", row)
        await ring.caught_up()
        await connection.execute("UPDATE docs SET note = note || 'changed' WHERE id < 10")
        await connection.execute("DELETE FROM docs WHERE id = 19")
        await ring.caught_up()
    assert (await ring.reader_status()).unchanged_toast_count == 10
    await ring.assert_equal("public.docs")
    status = await ring.loader_status()
    assert (status.partial_row_count, status.rows_unaccounted) == (11, 0), "the updates, and the delete's key"
