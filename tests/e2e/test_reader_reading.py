"""How the reader reads the socket of a real PostgreSQL: in gulps, but never too late, with TLS and without."""

import asyncio
import shutil
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from dbmazz.v1 import types_pb2
from dbmazz_reader.session import Session

from tests.fixtures.tls_proxy import TlsProxy, make_certificate
from tests.fixtures.waiting import wait_until
from tests.unit.reader.fake_ring import arrived, incompressible, ring_around

pytestmark = pytest.mark.e2e

T = "CREATE TABLE t (id int PRIMARY KEY, v text)"


@asynccontextmanager
async def encrypted(source_db, directory):
    """(the same database behind TLS, the proxy)."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    address = urlsplit(source_db.url)
    certificate, key = make_certificate(directory)
    async with TlsProxy((address.hostname, address.port), certificate, key) as proxy:
        url = address._replace(netloc=f"{address.username}@127.0.0.1:{proxy.port}", query="sslmode=require").geturl()
        yield replace(source_db, url=url), proxy


async def test_nothing_stays_behind_in_tls(source_db, tmp_path):
    """What TLS has decrypted and libpq has not taken is invisible to the kernel; the reader must not wait for more."""
    async with (
        encrypted(source_db, tmp_path) as (behind_tls, proxy),
        ring_around(behind_tls, T, start=False) as (ring, sql),
    ):
        await ring.start_reader()
        taker = await ring.transformer()
        count = 0
        for size in (10, 5_000, 16_000, 17_000, 100_000, 1_000_000):
            text = incompressible(size)
            rows = 3 if size > 50_000 else 200
            await sql.execute(
                "INSERT INTO t SELECT g, %s FROM generate_series(%s::int, %s) g", (text, count + 1, count + rows)
            )
            count += rows
            found = await arrived(taker, "public.t", count)
            assert [row.values["v"] for row in found[-rows:]] == [text] * rows
        # The reader's, the catalogue's and this test's own.
        assert proxy.encrypted >= 3


async def test_keepalives_are_answered_while_the_socket_fills(source_db, monkeypatch):
    """The server's patience is 1 s, and the reader's own interval far longer: only answers at once keep the connection."""
    # Else it would be a third of the server's patience.
    monkeypatch.setattr(Session, "_status_interval", lambda *_: 30.0)
    async with ring_around(source_db, T, start=False, options="-c wal_sender_timeout=1s") as (ring, sql):
        await ring.start_reader(coalesce_max_ms=200)
        taker = await ring.transformer()
        epoch = (await ring.status()).epoch
        (begin,) = await (await sql.execute("SELECT clock_timestamp()")).fetchone()
        written = 0
        while True:
            await sql.execute("INSERT INTO t VALUES (%s, 'row')", (written := written + 1,))
            (now,) = await (await sql.execute("SELECT clock_timestamp()")).fetchone()
            if (now - begin).total_seconds() > 3.5:
                break
            await asyncio.sleep(0.005)
        await arrived(taker, "public.t", written)
        status = await ring.status()
        assert (status.status.state, status.epoch) == (types_pb2.SERVICE_STATE_RUNNING, epoch)


async def test_a_lone_transaction_is_read_at_once(source_db):
    """A second of COALESCE_MAX_MS, and nobody waits for it after silence."""
    async with ring_around(source_db, T, start=False) as (ring, sql):
        await ring.start_reader(coalesce_max_ms=1000)
        taker = await ring.transformer()
        loop = asyncio.get_running_loop()
        took = []
        for number in range(3):
            quiet_since = loop.time()
            await wait_until(lambda since=quiet_since: loop.time() > since + 1.2, what="silence")
            begun = loop.time()
            await sql.execute("INSERT INTO t VALUES (%s)", (number,))
            await arrived(taker, "public.t", number + 1)
            took.append(loop.time() - begun)
        # What the server itself has to say now and then breaks the silence of one, not of all.
        assert min(took) < 0.7


async def test_a_lone_transaction_leaves_at_once(source_db):
    """Ten seconds of collecting, and nobody waits for them after a rest as long."""
    async with ring_around(source_db, T, start=False) as (ring, sql):
        await ring.start_reader(batch_interval_ms=10_000, flush_interval_ms=10_000)
        taker = await ring.transformer()
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await sql.execute("INSERT INTO t VALUES (1)")
        await arrived(taker, "public.t", 1)
        assert loop.time() - begun < 5


async def test_what_a_burst_leaves_behind_does_not_wait_for_its_age(source_db):
    async with ring_around(source_db, T, start=False) as (ring, sql):
        await ring.start_reader(batch_interval_ms=10_000, flush_interval_ms=10_000, batch_rows=100)
        taker = await ring.transformer()
        loop = asyncio.get_running_loop()
        begun = loop.time()
        # The first batch leaves as one after a rest; those behind it because they are full, but for the last.
        await sql.execute("INSERT INTO t VALUES (0)")
        await arrived(taker, "public.t", 1)
        await sql.execute("INSERT INTO t SELECT g FROM generate_series(1, 1050) g")
        await arrived(taker, "public.t", 1051)
        assert loop.time() - begun < 5


async def test_a_stream_that_ends_under_load_is_noticed(source_db):
    async with ring_around(source_db, T, start=False) as (ring, sql):
        await ring.start_reader(coalesce_max_ms=1000, status_interval_s=30.0)
        taker = await ring.transformer()
        await sql.execute("INSERT INTO t SELECT g FROM generate_series(1, 10) g")
        await arrived(taker, "public.t", 10)
        epoch = (await ring.status()).epoch
        slot = ring.settings.source_slot_name
        terminate = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %s"
        await sql.execute(terminate, (slot,))

        async def again() -> bool:
            return (await ring.status()).epoch > epoch

        await wait_until(again, what="another session")
