"""The reader's neighbours, just enough of them: a checkpoint that confirms when it is told to, and a transformer."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import quote

import grpc
import psycopg
from dbmazz.config import Settings
from dbmazz.errors import EPOCH_FENCED, NOT_FOUND, abort
from dbmazz.lsn import Lsn
from dbmazz.relation import Relation
from dbmazz.rows import ABSENT, NULL, unpack
from dbmazz.v1 import change_pb2, checkpoint_pb2, checkpoint_pb2_grpc, reader_pb2, reader_pb2_grpc, types_pb2
from dbmazz.wire import relation_from_proto
from dbmazz_reader.app import serve

from tests.fixtures.fix_postgres import SourceDatabase
from tests.fixtures.waiting import wait_until

OPERATIONS = {
    types_pb2.OPERATION_INSERT: "insert",
    types_pb2.OPERATION_UPDATE: "update",
    types_pb2.OPERATION_DELETE: "delete",
    types_pb2.OPERATION_READ: "read",
}


class FakeCheckpoint(checkpoint_pb2_grpc.CheckpointServiceServicer):
    """Stores nothing on disk; `confirm` plays the part of the whole ring behind the reader."""

    def __init__(self) -> None:
        self.stored: checkpoint_pb2.Checkpoint | None = None
        self.confirmed_lsn = 0
        self.confirmed_batch_id = 0
        self.epoch = 1000
        self.fenced = False
        self.unread: list[checkpoint_pb2.UnreadTable] = []
        self.streamed: list[int] = []
        self.loads: dict[int, checkpoint_pb2.TableLoad] = {}
        self._moved = asyncio.Condition()

    async def confirm(self, lsn: int, batch_id: int = 0) -> None:
        async with self._moved:
            self.confirmed_lsn = max(self.confirmed_lsn, lsn)
            self.confirmed_batch_id = max(self.confirmed_batch_id, batch_id)
            self._moved.notify_all()

    async def fence(self) -> None:
        """What a restart of the checkpoint looks like to a reader."""
        async with self._moved:
            self.fenced = True
            self._moved.notify_all()

    async def GetCheckpoint(self, request, context):
        if self.stored is None:
            await abort(context, grpc.StatusCode.NOT_FOUND, NOT_FOUND, "nothing stored")
        return checkpoint_pb2.GetCheckpointResponse(
            checkpoint=self.stored, confirmed_lsn=self.confirmed_lsn, streamed_tables=self.streamed
        )

    async def ListTableLoads(self, request, context):
        return checkpoint_pb2.ListTableLoadsResponse(loads=self.loads.values())

    async def StoreTableLoad(self, request, context):
        self.loads[request.load.relation_id] = request.load
        if request.load.state == checkpoint_pb2.TABLE_LOAD_STATE_DONE:
            self.unread = [table for table in self.unread if table.relation_id != request.load.relation_id]
        return checkpoint_pb2.StoreTableLoadResponse()

    async def BeginEpoch(self, request, context):
        self.epoch += 1
        self.fenced = False
        self.confirmed_batch_id = 0
        self.confirmed_lsn = max(self.confirmed_lsn, request.start_lsn)
        self.stored = checkpoint_pb2.Checkpoint(
            slot=request.slot,
            epoch=self.epoch,
            confirmed_lsn=str(Lsn(self.confirmed_lsn)),
            system_identifier=request.system_identifier,
            timeline=request.timeline,
        )
        self.unread.extend(request.unread_tables)
        self.streamed = list(request.streamed_tables)
        return checkpoint_pb2.BeginEpochResponse(
            epoch=self.epoch, confirmed_lsn=self.confirmed_lsn, unread_tables=self.unread
        )

    async def WatchConfirmed(self, request, context):
        told = None
        while True:
            async with self._moved:
                await self._moved.wait_for(lambda told=told: self.fenced or told != self._position())
            if self.fenced or request.epoch != self.epoch:
                code = grpc.StatusCode.FAILED_PRECONDITION
                await abort(context, code, EPOCH_FENCED, "the epoch is not the current one")
            told = self._position()
            yield checkpoint_pb2.WatchConfirmedResponse(confirmed_lsn=told[0], confirmed_batch_id=told[1])

    def _position(self) -> tuple[int, int]:
        return self.confirmed_lsn, self.confirmed_batch_id


@dataclass
class Row:
    """One row event, readable: values by column, None for NULL, absent columns left out."""

    table: str
    operation: str
    values: dict[str, str | None]
    absent: set[str]
    commit_lsn: int
    version: int
    xid: int


@dataclass
class FakeTransformer:
    """Takes batches; acknowledges and confirms them unless told not to."""

    name: str
    stub: reader_pb2_grpc.ReaderServiceStub
    checkpoint: FakeCheckpoint
    acknowledge: bool = True
    batches: list[change_pb2.ChangeBatch] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    relations: dict[tuple[int, int], Relation] = field(default_factory=dict)
    releases: list[tuple[int, int]] = field(default_factory=list)
    # Limits of windows, as they came after the greeting.
    told: list[reader_pb2.FlushSettings] = field(default_factory=list)
    session: reader_pb2.StreamSession | None = None
    call: grpc.aio.StreamStreamCall | None = None
    # gRPC takes one write of a call at a time; the test and the stream both acknowledge.
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self) -> None:
        """One stream, from hello to its end; returns when the reader ends it."""
        self.call = self.stub.StreamChanges()
        await self.call.write(reader_pb2.StreamChangesRequest(hello=reader_pb2.StreamHello(replica=self.name)))
        while (response := await self.call.read()) is not grpc.aio.EOF:
            event = response.WhichOneof("event")
            if event == "session":
                self.session = response.session
            elif event == "release":
                self.releases.append((response.release.lane, response.release.generation))
            elif event == "flush":
                self.told.append(response.flush)
            else:
                await self._take(response.batch)

    async def run_again(self) -> None:
        """Dials again whenever the stream ends, as a real one does."""
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError):
                await self.run()
            await asyncio.sleep(0.05)

    async def ack(self, batch: change_pb2.ChangeBatch) -> None:
        ack = reader_pb2.BatchAck(
            epoch=batch.epoch, lane=batch.lane, generation=batch.generation, batch_id=batch.batch_id
        )
        async with self.writing:
            await self.call.write(reader_pb2.StreamChangesRequest(ack=ack))

    async def ack_all(self) -> None:
        for batch in self.batches:
            await self.ack(batch)

    async def goodbye(self) -> None:
        await self.call.write(reader_pb2.StreamChangesRequest(goodbye=reader_pb2.StreamGoodbye()))

    async def _take(self, batch: change_pb2.ChangeBatch) -> None:
        self.batches.append(batch)
        if batch.HasField("relation"):
            self.relations[batch.lane, batch.generation] = relation_from_proto(batch.relation)
        if batch.kind == change_pb2.BATCH_KIND_ROWS:
            self.rows += readable(self.relations[batch.lane, batch.generation], batch)
        if self.acknowledge:
            await self.checkpoint.confirm(batch.safe_lsn, batch.batch_id)
            await self.ack(batch)

    def of(self, table: str) -> list[Row]:
        return [row for row in self.rows if row.table == table]


def readable(relation: Relation, batch: change_pb2.ChangeBatch) -> list[Row]:
    """The rows of a batch."""
    packed = unpack(batch, len(relation.columns))
    runs = [run for run, count in enumerate(packed.run_row_counts) for _ in range(count)]
    rows = []
    for row, (run, version) in enumerate(zip(runs, packed.versions(), strict=True)):
        cells = {column.name: packed.cell(row, index) for index, column in enumerate(relation.columns)}
        absent = {name for name, cell in cells.items() if cell == ABSENT}
        bits = {column.name for index, column in enumerate(relation.columns) if packed.bitmaps[row] >> index & 1}
        assert absent == bits, "bitmap and lengths disagree"
        rows.append(
            Row(
                table=relation.qualified_name,
                operation=OPERATIONS[packed.ops[row]],
                values={n: None if c == NULL else c.decode() for n, c in cells.items() if n not in absent},
                absent=absent,
                commit_lsn=packed.commit_lsns[run],
                version=version,
                xid=packed.xids[run],
            )
        )
    return rows


class FakeRing:
    """A checkpoint, a reader under test in this process, and transformers as they are asked for."""

    def __init__(self, settings: Settings, group: asyncio.TaskGroup) -> None:
        self.settings = settings
        self.checkpoint = FakeCheckpoint()
        self.address = ""
        self.stub: reader_pb2_grpc.ReaderServiceStub | None = None
        self._group = group
        self._stack = contextlib.AsyncExitStack()
        self._stop = asyncio.Event()
        self._reader: asyncio.Task[int] | None = None
        self._dialling: list[asyncio.Task[None]] = []

    async def start_checkpoint(self) -> None:
        server = grpc.aio.server()
        checkpoint_pb2_grpc.add_CheckpointServiceServicer_to_server(self.checkpoint, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        self._stack.push_async_callback(server.stop, None)
        self.settings = self.settings.replace(checkpoint_address=f"127.0.0.1:{port}")

    async def start_reader(self, *, wait: bool = True, **changes: object) -> None:
        """Starts the reader; with `wait`, returns when it streams."""
        self.settings = self.settings.replace(**changes)
        self._stop = asyncio.Event()
        bound: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._reader = self._group.create_task(serve(self.settings, self._stop, bound.set_result))
        self.address = await bound
        channel = grpc.aio.insecure_channel(
            self.address, options=[("grpc.max_receive_message_length", 1 << 29), ("grpc.use_local_subchannel_pool", 1)]
        )
        self._stack.push_async_callback(channel.close)
        self.stub = reader_pb2_grpc.ReaderServiceStub(channel)
        if wait:
            await self.reach(types_pb2.SERVICE_STATE_RUNNING)

    async def reach(self, state: types_pb2.ServiceState) -> None:
        async def reached() -> bool:
            if self._reader.done():
                self._reader.result()
            return (await self.status()).status.state == state

        await wait_until(reached, timeout=20, what=f"reader in state {state}")

    async def stop_reader(self) -> int:
        """SIGTERM's way out."""
        self._stop.set()
        return await self._reader

    async def status(self) -> reader_pb2.ReaderServiceGetStatusResponse:
        return await self.stub.GetStatus(reader_pb2.ReaderServiceGetStatusRequest(), timeout=5, wait_for_ready=True)

    async def tables(self) -> dict[str, reader_pb2.ReplicatedTable]:
        response = await self.stub.ListTables(reader_pb2.ListTablesRequest(), timeout=5)
        return {table.name: table for table in response.tables}

    async def transformer(self, name: str = "one", *, acknowledge: bool = True) -> FakeTransformer:
        """Connects; returns when the reader has greeted it."""
        transformer = FakeTransformer(name, self.stub, self.checkpoint, acknowledge)
        self._dialling.append(self._group.create_task(transformer.run_again()))
        await wait_until(lambda: transformer.session is not None, what="session message")
        return transformer

    async def hang_up(self, position: int) -> None:
        """Ends the stream of one transformer, as a crash would, and keeps it from dialling again."""
        self._dialling[position].cancel()
        await asyncio.wait([self._dialling[position]])

    async def close(self) -> None:
        self._stop.set()
        if self._reader is not None:
            await asyncio.wait([self._reader])
        for task in self._dialling:
            task.cancel()
        await self._stack.aclose()


@contextlib.asynccontextmanager
async def fake_ring(source_url: str, **settings: object) -> AsyncIterator[FakeRing]:
    """A ring around one source database; the reader starts when told to."""
    values = {"source_url": source_url, "listen": "127.0.0.1:0", "batch_interval_ms": 10, "status_interval_s": 0.2}
    values["do_snapshot"] = False  # these tests are about the stream
    async with asyncio.TaskGroup() as group:
        ring = FakeRing(Settings().replace(**{**values, **settings}), group)
        await ring.start_checkpoint()
        try:
            yield ring
        finally:
            await ring.close()


@contextlib.asynccontextmanager
async def ring_around(
    source_db: SourceDatabase, *statements: str, start: bool = True, options: str = "", **settings: object
) -> AsyncIterator[tuple[FakeRing, psycopg.AsyncConnection]]:
    """(ring, SQL connection) after these statements; the reader runs unless `start` is false. `options` go to libpq."""
    slot = f"slot_{source_db.name}_{source_db.major}"
    url = source_db.url + (f"?options={quote(options)}" if options else "")
    connection = await source_db.connect()
    async with connection, fake_ring(url, source_slot_name=slot, **settings) as ring:
        for statement in statements:
            await connection.execute(statement)
        if start:
            await ring.start_reader()
        yield ring, connection


def incompressible(size: int) -> str:
    """A text that TOAST cannot make small."""
    return os.urandom(size // 2).hex()


async def arrived(taker: FakeTransformer, table: str, count: int) -> list[Row]:
    """The rows of a table once there are `count`, which must be all."""
    await wait_until(lambda: len(taker.of(table)) >= count, what=f"{count} rows of {table}")
    assert len(taker.of(table)) == count
    return taker.of(table)
