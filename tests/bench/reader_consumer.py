"""What stands behind the reader in its bench, as a process of its own: a checkpoint that confirms what a transformer has
acknowledged, and a transformer that acknowledges at once.

Reads one JSON object per line on stdin and answers one per line on stdout.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from array import array

import grpc
from dbmazz.lsn import Lsn
from dbmazz.v1 import change_pb2, checkpoint_pb2, checkpoint_pb2_grpc, reader_pb2, reader_pb2_grpc

ROWS = change_pb2.BATCH_KIND_ROWS


class Checkpoint(checkpoint_pb2_grpc.CheckpointServiceServicer):
    """Says that the slot is known from `start` on; confirms what it is told."""

    def __init__(self, slot: str, start: int, system_identifier: str, timeline: int) -> None:
        self.stored = checkpoint_pb2.Checkpoint(
            slot=slot, epoch=1, confirmed_lsn=str(Lsn(start)), system_identifier=system_identifier, timeline=timeline
        )
        self.start = start
        self.confirmed = (start, 0)
        self.moved = asyncio.Event()

    async def GetCheckpoint(self, request, context):
        return checkpoint_pb2.GetCheckpointResponse(checkpoint=self.stored, confirmed_lsn=self.start)

    async def BeginEpoch(self, request, context):
        return checkpoint_pb2.BeginEpochResponse(epoch=2, confirmed_lsn=self.start)

    async def WatchConfirmed(self, request, context):
        while True:
            self.moved.clear()
            lsn, batch_id = self.confirmed
            yield checkpoint_pb2.WatchConfirmedResponse(confirmed_lsn=lsn, confirmed_batch_id=batch_id)
            await self.moved.wait()
            # A real one stores in groups, too.
            await asyncio.sleep(0.05)


class Transformer:
    """Counts, notes how old commits are when they arrive, acknowledges."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.rows = self.batches = self.bytes = 0
        self.safe_lsn = 0
        self.greeted_at = self.last_at = 0.0
        self.ages_ms: list[float] = []
        self.progress = asyncio.Event()

    async def run(self, address: str) -> None:
        options = [("grpc.max_receive_message_length", 1 << 29)]
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            stub = reader_pb2_grpc.ReaderServiceStub(channel)
            call = None
            while call is None:
                call = stub.StreamChanges(wait_for_ready=True)
                await call.write(reader_pb2.StreamChangesRequest(hello=reader_pb2.StreamHello(replica="bench")))
                try:
                    await call.read()
                except grpc.aio.AioRpcError:
                    call = None  # no session yet
                    await asyncio.sleep(0.02)
            self.greeted_at = time.monotonic()
            self.progress.set()
            while (response := await call.read()) is not grpc.aio.EOF:
                batch = response.batch
                self._take(batch)
                ack = reader_pb2.BatchAck(
                    epoch=batch.epoch, lane=batch.lane, generation=batch.generation, batch_id=batch.batch_id
                )
                await call.write(reader_pb2.StreamChangesRequest(ack=ack))
                self.checkpoint.confirmed = (max(self.safe_lsn, self.checkpoint.start), batch.batch_id)
                self.checkpoint.moved.set()
                self.progress.set()

    def _take(self, batch: change_pb2.ChangeBatch) -> None:
        self.batches += 1
        self.rows += batch.row_count
        self.bytes += len(batch.data)
        self.safe_lsn = max(self.safe_lsn, batch.safe_lsn)
        if batch.kind == ROWS:
            self.last_at, now = time.monotonic(), time.time()
            self.ages_ms += [(now - committed / 1e6) * 1000 for committed in array("q", batch.commit_times)]

    async def reach(self, rows: int, lsn: int) -> None:
        while self.rows < rows or self.safe_lsn < lsn:
            self.progress.clear()
            await self.progress.wait()

    def report(self) -> dict:
        report = {"rows": self.rows, "batches": self.batches, "bytes": self.bytes, "ages_ms": sorted(self.ages_ms)}
        report["seconds"] = self.last_at - self.greeted_at
        self.rows = self.batches = self.bytes = 0
        self.ages_ms = []
        return report


async def serve(slot: str, start: str, system_identifier: str, timeline: str) -> None:
    checkpoint = Checkpoint(slot, int(start), system_identifier, int(timeline))
    server = grpc.aio.server()
    checkpoint_pb2_grpc.add_CheckpointServiceServicer_to_server(checkpoint, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    transformer = Transformer(checkpoint)
    answer({"checkpoint": f"127.0.0.1:{port}"})
    async with asyncio.TaskGroup() as group:
        streaming: asyncio.Task[None] | None = None
        while line := await asyncio.to_thread(sys.stdin.readline):
            order = json.loads(line)
            if "dial" in order:
                streaming = group.create_task(transformer.run(order["dial"]))
                while not transformer.greeted_at:
                    transformer.progress.clear()
                    await transformer.progress.wait()
                answer({"greeted": True})
            elif "reach" in order:
                await transformer.reach(*order["reach"])
                answer(transformer.report())
            else:
                answer(transformer.report())
        if streaming is not None:
            streaming.cancel()
    await server.stop(None)


def answer(value: dict) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
