"""The reader against a real PostgreSQL: restarts, gaps, back-pressure, and what it refuses."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from dbmazz.config import Settings
from dbmazz.errors import ConfigError, DbmazzError, SourceError
from dbmazz.lsn import Lsn
from dbmazz.v1 import change_pb2, types_pb2
from dbmazz_reader.app import serve
from dbmazz_reader.protocol.resume import GapError
from dbmazz_sandbox.postgres import EmbeddedPostgres

from tests.fixtures.fix_postgres import SourceDatabase
from tests.fixtures.waiting import wait_until
from tests.unit.reader.fake_ring import fake_ring

pytestmark = pytest.mark.e2e

RETRYING, RUNNING = types_pb2.SERVICE_STATE_RETRYING, types_pb2.SERVICE_STATE_RUNNING


def slot_name(source_db: SourceDatabase) -> str:
    return f"slot_{source_db.name}_{source_db.major}"


async def confirmed_flush(sql, slot: str) -> int:
    query = "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = %s"
    (text,) = await (await sql.execute(query, (slot,))).fetchone()
    return Lsn.parse(text)


async def inactive(sql, slot: str) -> None:
    async def check() -> bool:
        query = "SELECT active FROM pg_replication_slots WHERE slot_name = %s"
        return not (await (await sql.execute(query, (slot,))).fetchone())[0]

    await wait_until(check, what="slot released")


@contextlib.asynccontextmanager
async def ring_around(source_db: SourceDatabase, *statements: str, options: str = "", **settings: object):
    url = source_db.url + (f"?options={quote(options)}" if options else "")
    connection = await source_db.connect()
    async with connection, fake_ring(url, source_slot_name=slot_name(source_db), **settings) as ring:
        for statement in statements:
            await connection.execute(statement)
        yield ring, connection


T = "CREATE TABLE t (id int PRIMARY KEY, v text)"


@pytest.mark.parametrize("source_db", [16, 18], indirect=True)
async def test_restart_goes_on_from_the_checkpoint(source_db):
    async with ring_around(source_db, T) as (ring, sql):
        await ring.start_reader()
        taker = await ring.transformer()
        await sql.execute("INSERT INTO t VALUES (1)")
        await wait_until(lambda: len(taker.rows) == 1, what="first row")
        await ring.stop_reader()
        stored = ring.checkpoint.confirmed_lsn
        # Drained: the last status update said what the checkpoint has, and no more.
        assert await confirmed_flush(sql, ring.settings.source_slot_name) == stored
        await sql.execute("INSERT INTO t VALUES (2)")
        await sql.execute("DELETE FROM t WHERE id = 1")
        await ring.start_reader()
        again = await ring.transformer("two")
        await wait_until(lambda: len(again.rows) == 2, what="rows from the pause")
        assert [(row.operation, row.values["id"]) for row in again.rows] == [("insert", "2"), ("delete", "1")]


async def test_nothing_is_confirmed_before_the_checkpoint_says_so(source_db):
    async with ring_around(source_db, T) as (ring, sql):
        await ring.start_reader()
        taker = await ring.transformer(acknowledge=False)
        slot = ring.settings.source_slot_name
        start = await confirmed_flush(sql, slot)
        await sql.execute("INSERT INTO t VALUES (1)")
        await wait_until(lambda: len(taker.rows) == 1, what="row")

        async def reply_seen() -> bool:
            query = "SELECT reply_time, flush_lsn FROM pg_stat_replication WHERE application_name = 'dbmazz reader'"
            query += " AND pid = (SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s)"
            time, flushed = await (await sql.execute(query, (slot,))).fetchone()
            assert flushed is None or Lsn.parse(flushed) <= start
            seen.add(time)
            return len(seen) > 3

        seen: set = set()
        await wait_until(reply_seen, what="three more status updates")
        assert await confirmed_flush(sql, slot) == start
        # An acknowledgement alone is not a confirmation either.
        await taker.ack_all()
        seen.clear()
        await wait_until(reply_seen, what="three more status updates")
        assert await confirmed_flush(sql, slot) == start
        await ring.checkpoint.confirm(taker.batches[-1].safe_lsn, taker.batches[-1].batch_id)

        async def moved() -> bool:
            return await confirmed_flush(sql, slot) == taker.batches[-1].safe_lsn

        await wait_until(moved, what="confirmation")


async def test_back_pressure_bounds_memory_and_keeps_the_connection(source_db):
    async with ring_around(source_db, T, options="-c wal_sender_timeout=1s", retained_bytes=1 << 20) as (ring, sql):
        await ring.start_reader(batch_bytes=1 << 16, status_interval_s=30.0)
        taker = await ring.transformer(acknowledge=False)
        await sql.execute("INSERT INTO t SELECT g, repeat('x', 1000) FROM generate_series(1, 20000) g")

        async def full() -> bool:
            return (await ring.status()).retained_bytes >= 1 << 20

        await wait_until(full, what="retention at its bound")
        epoch = (await ring.status()).epoch
        query = "SELECT clock_timestamp()"
        (begin,) = await (await sql.execute(query)).fetchone()

        async def patience_over() -> bool:
            (now,) = await (await sql.execute(query)).fetchone()
            return (now - begin).total_seconds() > 2.5

        await wait_until(patience_over, what="more than twice wal_sender_timeout")
        status = await ring.status()
        # One round of reading may come on top of the bound.
        assert status.retained_bytes < 4 << 20
        assert (status.status.state, status.epoch) == (RUNNING, epoch)
        assert len(taker.rows) < 20000
        taker.acknowledge = True
        await ring.checkpoint.confirm(taker.batches[-1].safe_lsn, taker.batches[-1].batch_id)
        await taker.ack_all()
        await wait_until(lambda: len(taker.rows) == 20000, what="all rows")
        assert (await ring.status()).epoch == epoch


async def test_unacknowledged_batches_go_to_another_transformer(source_db):
    async with ring_around(source_db, T, "CREATE TABLE u (id int PRIMARY KEY)") as (ring, sql):
        await ring.start_reader()
        first = await ring.transformer("first", acknowledge=False)
        await sql.execute("INSERT INTO t SELECT generate_series(1, 100)")
        await sql.execute("INSERT INTO u SELECT generate_series(1, 100)")
        await wait_until(lambda: len(first.rows) == 200, what="rows at the first")
        second = await ring.transformer("second")
        assert (await ring.status()).transformers == ["first", "second"]
        await ring.hang_up(0)
        await wait_until(lambda: len(second.rows) == 200, what="rows at the second")
        assert [b.batch_id for b in second.batches] == sorted(b.batch_id for b in first.batches)
        assert {row.values["id"] for row in second.of("public.t")} == {str(number) for number in range(1, 101)}
        for batch in second.batches:
            assert batch.generation == 2
        lanes = {}
        for batch in second.batches:
            lanes.setdefault(batch.lane, []).append(batch)
        assert all(batches[0].HasField("relation") for batches in lanes.values() if batches[0].lane)
        await wait_until(
            lambda: ring.checkpoint.confirmed_batch_id == second.batches[-1].batch_id, what="confirmed batches"
        )


async def test_lanes_spread_and_return(source_db):
    tables = [f"CREATE TABLE t{number} (id int PRIMARY KEY)" for number in range(4)]
    async with ring_around(source_db, *tables) as (ring, _):
        await ring.start_reader()
        await ring.transformer("one")

        async def held() -> dict[str, int]:
            holders = [table.transformer for table in (await ring.tables()).values()]
            return {name: holders.count(name) for name in set(holders)}

        async def is_held(**expected: int) -> bool:
            return await held() == expected

        await wait_until(lambda: is_held(one=4), what="four lanes at one")
        two = await ring.transformer("two")
        await wait_until(lambda: is_held(one=2, two=2), what="two lanes each")
        await two.goodbye()
        await wait_until(lambda: is_held(one=4), what="four lanes at one again")
        assert len(two.releases) == 2


async def test_fenced_epoch_is_followed_by_a_new_one(source_db):
    async with ring_around(source_db, T) as (ring, sql):
        await ring.start_reader()
        taker = await ring.transformer(acknowledge=False)
        await sql.execute("INSERT INTO t VALUES (1)")
        await wait_until(lambda: len(taker.rows) == 1, what="row")
        epoch = taker.session.epoch
        await taker.ack_all()
        taker.acknowledge = True
        await ring.checkpoint.fence()
        # It was acknowledged, but never confirmed: the next epoch brings it again.
        await wait_until(lambda: len(taker.rows) == 2, what="the row again")
        assert taker.session.epoch > epoch
        assert {batch.epoch for batch in taker.batches} == {epoch, taker.session.epoch}
        first = next(batch for batch in taker.batches if batch.epoch != epoch)
        assert (first.batch_id, first.kind) == (1, change_pb2.BATCH_KIND_SCHEMA)


async def test_lost_postgres_is_retried(source_db):
    async with ring_around(source_db, T) as (ring, sql):
        await ring.start_reader()
        taker = await ring.transformer()
        await sql.execute("INSERT INTO t VALUES (1)")
        await wait_until(lambda: len(taker.rows) == 1, what="row")
        await asyncio.to_thread(source_db.server.stop, "immediate")
        await ring.reach(RETRYING)
        assert "PostgreSQL" in (await ring.status()).status.last_error
        await asyncio.to_thread(source_db.server.start)
        await ring.reach(RUNNING)
        async with await source_db.connect() as again:
            await again.execute("INSERT INTO t VALUES (2)")
        await wait_until(lambda: any(row.values["id"] == "2" for row in taker.rows), what="row after the crash")
        assert not (await ring.status()).status.last_error


async def test_second_reader_waits_for_the_slot(source_db):
    async with ring_around(source_db, T) as (ring, _sql):
        await ring.start_reader()
        async with fake_ring(source_db.url, source_slot_name=slot_name(source_db)) as other:
            await other.start_reader(wait=False)
            await other.reach(RETRYING)
            assert "is active" in (await other.status()).status.last_error
            assert (await ring.status()).status.state == RUNNING
            await ring.stop_reader()
            await other.reach(RUNNING)


async def lost(sql, slot: str) -> None:
    await sql.execute("SELECT pg_drop_replication_slot(%s)", (slot,))


async def made_again(sql, slot: str) -> None:
    await lost(sql, slot)
    await sql.execute("INSERT INTO t VALUES (100)")
    await sql.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (slot,))


async def moved_on(sql, slot: str) -> None:
    await sql.execute("INSERT INTO t VALUES (100)")
    await sql.execute("SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn())", (slot,))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lost, "does not exist, but the checkpoint has confirmed"),
        (made_again, "beyond the checkpoint"),
        (moved_on, "beyond the checkpoint"),
    ],
)
async def test_gap_is_refused_and_the_slot_left_alone(source_db, damage, words):
    async with ring_around(source_db, T) as (ring, sql):
        slot = ring.settings.source_slot_name
        await ring.start_reader()
        await ring.stop_reader()
        await inactive(sql, slot)
        await damage(sql, slot)
        before = await (await sql.execute("SELECT slot_name, confirmed_flush_lsn FROM pg_replication_slots")).fetchall()
        with pytest.raises(GapError, match=words):
            await serve(ring.settings, asyncio.Event(), str)
        after = await (await sql.execute("SELECT slot_name, confirmed_flush_lsn FROM pg_replication_slots")).fetchall()
        assert before == after


async def test_dropped_publication_is_a_gap(source_db):
    async with ring_around(source_db, T) as (ring, sql):
        await ring.start_reader()
        await ring.stop_reader()
        await sql.execute("DROP PUBLICATION dbmazz_pub")
        with pytest.raises(GapError, match="publication dbmazz_pub does not"):
            await serve(ring.settings, asyncio.Event(), str)


@pytest.mark.parametrize(
    ("statement", "tables", "words"),
    [
        ("SELECT 1", ("public.nowhere",), "TABLES names public.nowhere"),
        ("SELECT 1", (), "no table that could be replicated"),
        ("CREATE TABLE k (id int)", ("k",), "public.k has no primary key.*ADD PRIMARY KEY"),
        ("CREATE UNLOGGED TABLE k (id int PRIMARY KEY)", ("k",), "UNLOGGED.*SET LOGGED"),
        ("CREATE PUBLICATION dbmazz_pub", (), "has no table.*ALTER PUBLICATION"),
        (
            "CREATE TABLE k (id int PRIMARY KEY); ALTER TABLE k REPLICA IDENTITY NOTHING",
            ("k",),
            "REPLICA IDENTITY NOTHING.*ALTER TABLE",
        ),
        (
            "CREATE SCHEMA a; CREATE TABLE a.b (id int PRIMARY KEY); CREATE TABLE a__b (id int PRIMARY KEY)",
            (),
            "both become a__b",
        ),
        ("SELECT pg_create_physical_replication_slot(%(slot)s); CREATE TABLE k (id int PRIMARY KEY)", (), "physical"),
    ],
)
async def test_source_that_cannot_be_replicated_is_refused(source_db, statement, tables, words):
    async with ring_around(source_db) as (ring, sql):
        slot = slot_name(source_db)
        await sql.execute(statement.replace("%(slot)s", f"'{slot}'"))
        if "physical" in words:
            await sql.execute("CREATE PUBLICATION dbmazz_pub FOR ALL TABLES")
        try:
            with pytest.raises((SourceError, ConfigError), match=words):
                await serve(ring.settings.replace(tables=tables), asyncio.Event(), str)
        finally:
            await sql.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE plugin IS NULL"
            )


async def test_identity_is_set_when_that_is_allowed(source_db):
    statements = ("CREATE TABLE k (id int PRIMARY KEY)", "ALTER TABLE k REPLICA IDENTITY NOTHING")
    async with ring_around(source_db, *statements, source_set_replica_identity=True) as (ring, sql):
        await ring.start_reader()
        query = "SELECT relreplident FROM pg_class WHERE oid = 'k'::regclass"
        assert (await (await sql.execute(query)).fetchone())[0] in ("f", b"f")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server that asks for passwords and lacks wal_level = logical."""
    directory: Path = tmp_path_factory.mktemp("guarded") / "data"
    with EmbeddedPostgres(directory, password="right", settings={"wal_level": "replica"}, fast=True) as server:
        yield server


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("right", "wrong"), "refuses the connection.*password authentication failed"),
        (("/postgres", "/nowhere"), "refuses the connection.*does not exist"),
        (("postgres:right", "nobody:right"), "refuses the connection"),
        (("", ""), "wal_level is replica.*ALTER SYSTEM SET wal_level"),
    ],
)
async def test_refused_connection_ends_the_reader(guarded, change, words):
    url = guarded.url
    position = url.rindex(change[0]) if change[0] else 0
    url = url[:position] + change[1] + url[position + len(change[0]) :]
    settings = Settings().replace(source_url=url, listen="127.0.0.1:0")
    with pytest.raises(DbmazzError, match=words) as caught:
        await serve(settings, asyncio.Event(), str)
    assert "wrong" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_role_without_the_right_to_replicate_is_refused(source_db):
    name = f"plain_{source_db.name}_{os.getpid()}"
    async with ring_around(source_db, T) as (ring, sql):
        await sql.execute(f"CREATE ROLE {name} LOGIN")
        try:
            url = source_db.url.replace("//postgres@", f"//{name}@")
            with pytest.raises(SourceError, match=f'ALTER ROLE "{name}" REPLICATION'):
                await serve(ring.settings.replace(source_url=url), asyncio.Event(), str)
            await sql.execute(f"ALTER ROLE {name} REPLICATION")
            with pytest.raises(SourceError, match="CREATE PUBLICATION"):
                await serve(ring.settings.replace(source_url=url), asyncio.Event(), str)
        finally:
            await sql.execute(f"DROP ROLE {name}")


@pytest.mark.parametrize("url", ["nonsense", "postgresql://127.0.0.1:x/db", "postgresql://127.0.0.1", "mysql://a/b"])
async def test_url_that_cannot_be_read_is_refused(url):
    with pytest.raises(ConfigError, match="SOURCE_URL"):
        await serve(Settings().replace(source_url=url, listen="127.0.0.1:0"), asyncio.Event(), str)


async def test_nobody_at_the_address_is_retried(source_db):
    async with ring_around(source_db) as (ring, _):
        away = source_db.url.replace(f":{source_db.server.port}/", ":1/")
        await ring.start_reader(wait=False, source_url=away)
        await ring.reach(RETRYING)
        assert "cannot be reached" in (await ring.status()).status.last_error


def process(**variables: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SOURCE_", "PG"))}
    environment |= {"LISTEN": "127.0.0.1:0", **variables}
    command = [sys.executable, "-m", "dbmazz_reader"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_process_ends_with_one_line_when_nothing_can_go_on():
    with process(SOURCE_URL="postgresql://me:s3cret@host") as reader:
        output, errors = reader.communicate(timeout=20)
    assert reader.returncode == 2
    assert output == ""
    assert errors.splitlines() == [
        "dbmazz reader: SOURCE_URL names no database. It takes postgresql://user:password@host:5432/database"
    ]


def test_process_that_waits_for_its_peers_ends_on_sigterm():
    with process(SOURCE_URL="postgresql://postgres@127.0.0.1:1/db") as reader:
        assert json.loads(reader.stdout.readline())["service"] == "reader"
        reader.terminate()
        reader.communicate(timeout=20)
    assert reader.returncode == 0
