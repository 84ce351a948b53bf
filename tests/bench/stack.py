"""What a bench runs on: PostgreSQL, the sandbox, the null target beside it, and a ring of four processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
from dbmazz.calling import QUICK_S
from dbmazz.lsn import Lsn
from dbmazz.v1 import reader_pb2, reader_pb2_grpc
from dbmazz_cli.comparison import Target, compare
from dbmazz_sandbox.postgres import EmbeddedPostgres

from tests.bench.meter import pss_bytes, rss_bytes
from tests.bench.replay import replay
from tests.fixtures.fix_ring import Sandbox, running_sandbox
from tests.fixtures.ring import SERVICES, Ring

# As the measurements that the targets come from were taken.
_POSTGRES = {
    "shared_buffers": "512MB",
    "logical_decoding_work_mem": "256MB",
    "autovacuum": "off",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
    "max_connections": "100",
}
_POLL_S = 0.05
_DRAIN_S = 600.0


@dataclass
class Stack:
    """The servers that all benches of a run share."""

    postgres: EmbeddedPostgres
    sandbox: Sandbox
    directory: Path
    null_target: bool

    def database(self, name: str) -> str:
        """A fresh database in PostgreSQL; its URL."""
        with psycopg.connect(self.postgres.url, autocommit=True) as source:
            source.execute(f'CREATE DATABASE "{name}"')  # type: ignore[arg-type]
        return self.postgres.url_of(name)

    @contextlib.asynccontextmanager
    async def ring(self, name: str, url: str, settings: dict[str, str]) -> AsyncIterator[BenchRing]:
        """A ring that streams from the database into the null target, or into the sandbox."""
        directory = self.directory / name
        directory.mkdir()
        sink = self.sandbox.settings(f"bench_{name}")
        with self._target(directory) as sink_url:
            ring = Ring(
                url,
                {**sink, "SINK_URL": sink_url},
                directory,
                name=name,
                settings={"FLUSH_INTERVAL_MS": "1000", "LOG_LEVEL": "WARNING", **settings},
            )
            try:
                ring.start()
                await ring.streaming()
                yield BenchRing(self, ring, directory if self.null_target else None)
            finally:
                await ring.close()

    @contextlib.contextmanager
    def _target(self, directory: Path) -> Iterator[str]:
        if not self.null_target:
            yield self.sandbox.sink_url
            return
        command = [sys.executable, "-m", "tests.bench.null_target", str(directory)]
        # It ends with its standard input, whatever becomes of this process.
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["sink_url"]


@dataclass
class BenchRing:
    """A running ring, held and let go by the reader's own controls."""

    stack: Stack
    ring: Ring
    recorded: Path | None

    @property
    def pids(self) -> dict[str, int]:
        """Process id of each service, and of the walsender that serves the reader."""
        found = {service: process.pid for service in SERVICES if (process := self.ring[service].process)}
        with psycopg.connect(self.ring.source_url, autocommit=True) as source:
            query = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s"
            row = source.execute(query, [self.ring.slot]).fetchone()
        assert row is not None and row[0] is not None, "the slot has no walsender"
        return {**found, "walsender": row[0]}

    def rss(self) -> dict[str, int]:
        """Resident bytes of each service now."""
        return {service: rss_bytes(process.pid) for service in SERVICES if (process := self.ring[service].process)}

    def pss(self) -> int:
        """Bytes of the four together, pages that they share counted once (and in parts where others share them, too)."""
        return sum(pss_bytes(process.pid) for service in SERVICES if (process := self.ring[service].process))

    async def pause(self) -> None:
        """Nothing is read from PostgreSQL any more; the answer comes when that is so."""
        await self._reader().Pause(reader_pb2.PauseRequest(reason="bench"), timeout=QUICK_S)

    async def resume(self) -> None:
        await self._reader().Resume(reader_pb2.ResumeRequest(), timeout=QUICK_S)

    async def confirmed(self, end: Lsn) -> None:
        """Waits until everything up to `end` is durable and confirmed."""
        async with asyncio.timeout(_DRAIN_S):
            while Lsn.parse((await self.ring.reader_status()).confirmed_lsn) < end:
                self.ring.assert_alive()
                await asyncio.sleep(_POLL_S)

    async def compare(self, tables: tuple[str, ...]) -> int:
        """Rows that were compared, every value; AssertionError when source and target differ.

        What the null target has taken is loaded into the sandbox first.
        """
        if self.recorded is not None:
            await replay(self.recorded, self.stack.sandbox.sink_url, self.ring.sink_database)
        target = Target(**self.ring.target)
        rows = 0
        for table in await asyncio.to_thread(compare, self.ring.source_url, target, tables):
            assert table.equal, f"{table.name} differs: {table.problem or table}"
            rows += table.source_rows
        return rows

    def _reader(self) -> reader_pb2_grpc.ReaderServiceStub:
        return reader_pb2_grpc.ReaderServiceStub(self.ring.channel(self.ring["reader"]))


@contextlib.contextmanager
def running(directory: Path, *, null_target: bool) -> Iterator[Stack]:
    """PostgreSQL and the sandbox, until the block ends."""
    with (
        EmbeddedPostgres(directory / "postgres", settings=_POSTGRES, fast=True) as postgres,
        running_sandbox(directory) as sandbox,
    ):
        yield Stack(postgres, sandbox, directory, null_target)


def wal_end(source: psycopg.Connection) -> Lsn:
    """End of the last commit, which is where a client of the slot gets to; flushed, since a walsender sends nothing before."""
    row = source.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
    assert row is not None
    with source.transaction():
        source.execute("SET LOCAL synchronous_commit = on")
        source.execute("SELECT pg_logical_emit_message(true, 'bench', 'flush')")
    return Lsn.parse(row[0])
