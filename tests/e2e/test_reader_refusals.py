"""The reader against a real PostgreSQL: gaps and sources that it refuses, and how it says so."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from dbmazz.config import Settings
from dbmazz.errors import ConfigError, DbmazzError, SourceError
from dbmazz.v1 import types_pb2
from dbmazz_reader.app import serve
from dbmazz_reader.protocol.resume import GapError
from dbmazz_sandbox.postgres import EmbeddedPostgres

from tests.fixtures.waiting import wait_until
from tests.unit.reader.fake_ring import ring_around

RETRYING, RUNNING = types_pb2.SERVICE_STATE_RETRYING, types_pb2.SERVICE_STATE_RUNNING


pytestmark = pytest.mark.e2e

T = "CREATE TABLE t (id int PRIMARY KEY, v text)"


async def inactive(sql, slot: str) -> None:
    async def check() -> bool:
        query = "SELECT active FROM pg_replication_slots WHERE slot_name = %s"
        return not (await (await sql.execute(query, (slot,))).fetchone())[0]

    await wait_until(check, what="slot released")


async def test_dropped_publication_is_a_gap(source_db):
    async with ring_around(source_db, T, start=False) as (ring, sql):
        await ring.start_reader()
        await ring.stop_reader()
        await sql.execute("DROP PUBLICATION dbmazz_pub")
        with pytest.raises(GapError, match="publication dbmazz_pub does not"):
            await serve(ring.settings, asyncio.Event(), str)


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
    async with ring_around(source_db, T, start=False) as (ring, sql):
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
    async with ring_around(source_db, start=False) as (ring, sql):
        slot = ring.settings.source_slot_name
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
    async with ring_around(source_db, *statements, start=False, source_set_replica_identity=True) as (ring, sql):
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
    async with ring_around(source_db, T, start=False) as (ring, sql):
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
    async with ring_around(source_db, start=False) as (ring, _):
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
