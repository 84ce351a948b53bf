"""A checkpoint in this process, on a free port, with a clock that the test sets."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from dbmazz.calling import open_channel
from dbmazz.config import Settings
from dbmazz.serving import Server
from dbmazz.v1 import checkpoint_pb2, checkpoint_pb2_grpc, load_pb2
from dbmazz_checkpoint.positions import Positions
from dbmazz_checkpoint.service import FULL_NAME, CheckpointService
from dbmazz_checkpoint.store.interface import StoreError
from dbmazz_checkpoint.store.sqlite import SqliteStore

DEADLINE_S = 10
SYSTEM = "7412356890123456789"


class FaultyStore(SqliteStore):
    """A real store that fails while `broken` is set, and that can be held up in mid-write."""

    broken = False

    def hold(self) -> asyncio.Event:
        """Writes wait until the event is set."""
        self.released = asyncio.Event()
        return self.released

    async def _before_write(self) -> None:
        if getattr(self, "released", None) is not None:
            await self.released.wait()
        if self.broken:
            raise StoreError("the checkpoint store failed (SQLITE_FULL: database or disk is full)")

    async def begin(self, checkpoint, unread, streamed=()):
        await self._before_write()
        return await super().begin(checkpoint, unread, streamed)

    async def advance(self, checkpoints):
        await self._before_write()
        return await super().advance(checkpoints)


@dataclass
class Checkpoint:
    """A running checkpoint and a client of it."""

    stub: checkpoint_pb2_grpc.CheckpointServiceStub
    channel: grpc.aio.Channel
    positions: Positions
    store: FaultyStore
    address: str
    clock: list[float] = field(default_factory=list)

    async def begin(self, slot: str = "orders", *, start_lsn: int = 0, system: str = SYSTEM, timeline: int = 1):
        return await self.stub.BeginEpoch(
            checkpoint_pb2.BeginEpochRequest(
                slot=slot, system_identifier=system, timeline=timeline, start_lsn=start_lsn, replica="reader-1"
            ),
            timeout=DEADLINE_S,
        )

    async def report(self, epoch: int, *batch_ids: int, slot: str = "orders", rows: int = 1, **fields) -> None:
        """Reports a window; batch n has safe_lsn 100 n unless `safe_lsns` says otherwise."""
        fields.setdefault("safe_lsns", [100 * batch for batch in batch_ids])
        fields.setdefault("part_count", 1)
        progress = load_pb2.LoadProgress(
            slot=slot, epoch=epoch, lane=1, generation=fields.pop("generation", 1), batch_ids=batch_ids, **fields
        )
        request = checkpoint_pb2.ReportLoadedRequest(progress=progress, loaded_row_count=rows, table="orders")
        await self.stub.ReportLoaded(request, timeout=DEADLINE_S)

    def watch(self, epoch: int, slot: str = "orders"):
        return self.stub.WatchConfirmed(
            checkpoint_pb2.WatchConfirmedRequest(slot=slot, epoch=epoch), timeout=DEADLINE_S
        )


@asynccontextmanager
async def running_checkpoint(path: Path) -> AsyncIterator[Checkpoint]:
    store = await FaultyStore.open(path)
    settings = Settings(listen="127.0.0.1:0", source_url="postgresql://me:hunter2@127.0.0.1/db")
    clock = [1_763_600_000.0]
    positions = Positions(store, lambda: clock[0])
    await positions.load()
    server = Server("checkpoint", settings)
    servicer = CheckpointService(positions, settings, store.description)
    server.add(checkpoint_pb2_grpc.add_CheckpointServiceServicer_to_server, servicer, FULL_NAME)
    address = await server.start()
    # Not a TaskGroup: pytest-asyncio sets up and tears down in two tasks, and a group belongs to one.
    committing = asyncio.ensure_future(positions.commit_until_drained())
    try:
        async with open_channel(address, settings) as channel:
            stub = checkpoint_pb2_grpc.CheckpointServiceStub(channel)
            yield Checkpoint(stub, channel, positions, store, address, clock)
    finally:
        positions.drain()
        try:
            await committing
        finally:
            await server.stop()
            await store.close()


@pytest.fixture
async def checkpoint(tmp_path: Path) -> AsyncIterator[Checkpoint]:
    async with running_checkpoint(tmp_path / "checkpoint.db") as running:
        yield running


@pytest.fixture
def start_checkpoint() -> Callable:
    """Starts one on a given file: `async with start_checkpoint(path) as checkpoint`."""
    return running_checkpoint
