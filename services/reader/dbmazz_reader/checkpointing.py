"""The reader's side of the checkpoint: what is stored, a new epoch, and the confirmed LSN as it moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import NoReturn

import grpc
import structlog
from dbmazz.backoff import Backoff
from dbmazz.calling import QUICK_S, open_channel
from dbmazz.config import Settings
from dbmazz.errors import EPOCH_FENCED, SYSTEM_IDENTIFIER_MISMATCH, DbmazzError, FencedError, reason_of
from dbmazz.telemetry import replica_name
from dbmazz.v1 import checkpoint_pb2, checkpoint_pb2_grpc

from dbmazz_reader.protocol.resume import Checkpoint, Server

log = structlog.get_logger("dbmazz.reader")

_PASSING = frozenset(
    (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    )
)


class CheckpointClient:
    """Calls that wait for the checkpoint for as long as it is away, and say so once."""

    def __init__(self, settings: Settings) -> None:
        self._slot = settings.source_slot_name
        self._address = settings.checkpoint_address
        self._channel = open_channel(settings.checkpoint_address, settings)
        self._stub = checkpoint_pb2_grpc.CheckpointServiceStub(self._channel)
        # The last reason for waiting; "" when the checkpoint answers.
        self.trouble = ""

    async def close(self) -> None:
        """Ends the channel."""
        await self._channel.close()

    async def stored(self) -> Checkpoint | None:
        """The stored position of the slot; None when nothing was ever stored."""
        try:
            response = await self._persist(
                self._stub.GetCheckpoint, checkpoint_pb2.GetCheckpointRequest(slot=self._slot)
            )
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            self._refused(error)
        stored = response.checkpoint
        streamed = frozenset(response.streamed_tables)
        return Checkpoint(response.confirmed_lsn, stored.system_identifier, stored.timeline, streamed)

    async def begin_epoch(
        self, server: Server, start_lsn: int, unread: Mapping[int, int], streamed: Iterable[int]
    ) -> tuple[int, int, dict[int, int]]:
        """(epoch, confirmed LSN, unread tables). To be called when the slot is ours.

        `unread`: relations that were found to hold rows from before, with estimates; all that are stored come back. `streamed`:
        the relations that this epoch replicates.
        """
        request = checkpoint_pb2.BeginEpochRequest(
            slot=self._slot,
            system_identifier=server.system_identifier,
            timeline=server.timeline,
            start_lsn=start_lsn,
            replica=replica_name(),
            unread_tables=[
                checkpoint_pb2.UnreadTable(relation_id=relation_id, row_estimate=rows)
                for relation_id, rows in unread.items()
            ],
            streamed_tables=streamed,
        )
        try:
            response = await self._persist(self._stub.BeginEpoch, request)
        except grpc.aio.AioRpcError as error:
            self._refused(error)
        stored = {table.relation_id: table.row_estimate for table in response.unread_tables}
        return response.epoch, response.confirmed_lsn, stored

    async def loads(self) -> list[checkpoint_pb2.TableLoad]:
        """How far the loads of the slot's tables are."""
        request = checkpoint_pb2.ListTableLoadsRequest(slot=self._slot)
        try:
            response = await self._persist(self._stub.ListTableLoads, request)
        except grpc.aio.AioRpcError as error:
            self._refused(error)
        return list(response.loads)

    async def store_load(self, epoch: int, load: checkpoint_pb2.TableLoad) -> None:
        """Durable when it returns; FencedError when the epoch is over."""
        request = checkpoint_pb2.StoreTableLoadRequest(slot=self._slot, epoch=epoch, load=load)
        try:
            await self._persist(self._stub.StoreTableLoad, request)
        except grpc.aio.AioRpcError as error:
            self._refused(error)

    async def confirmed(self, epoch: int) -> AsyncIterator[tuple[int, int]]:
        """(confirmed LSN, confirmed batch id) at once and whenever it moves, for ever; FencedError when the epoch is over."""
        backoff = Backoff(first_s=0.1, cap_s=5.0)
        while True:
            call = self._stub.WatchConfirmed(checkpoint_pb2.WatchConfirmedRequest(slot=self._slot, epoch=epoch))
            try:
                async for response in call:
                    backoff.reset()
                    self._answers()
                    yield response.confirmed_lsn, response.confirmed_batch_id
                trouble = "it ended the stream"
            except grpc.aio.AioRpcError as error:
                if error.code() not in _PASSING:
                    self._refused(error)
                trouble = f"{error.code().name}: {error.details()}"
            finally:
                call.cancel()
            await self._pause(backoff, trouble)

    async def _persist(self, method, request):
        """Calls until the checkpoint answers; errors that do not pass by themselves are raised."""
        backoff = Backoff(first_s=0.1, cap_s=5.0)
        while True:
            try:
                response = await method(request, timeout=QUICK_S)
            except grpc.aio.AioRpcError as error:
                if error.code() not in _PASSING:
                    raise
                await self._pause(backoff, f"{error.code().name}: {error.details()}")
            else:
                self._answers()
                return response

    async def _pause(self, backoff: Backoff, trouble: str) -> None:
        if not self.trouble:
            log.warning("checkpoint_away", address=self._address, error=trouble)
        self.trouble = f"the checkpoint at {self._address} is away ({trouble}); it is tried again"
        await asyncio.sleep(backoff.next_delay())

    def _answers(self) -> None:
        if self.trouble:
            log.info("checkpoint_back", address=self._address)
            self.trouble = ""

    def _refused(self, error: grpc.aio.AioRpcError) -> NoReturn:
        if reason_of(error) == EPOCH_FENCED:
            raise FencedError(f"the checkpoint has closed this epoch: {error.details()}") from None
        if reason_of(error) == SYSTEM_IDENTIFIER_MISMATCH:
            raise DbmazzError(error.details()) from None
        raise DbmazzError(
            f"the checkpoint at {self._address} refuses: {error.code().name}: {error.details()}",
            "Does CHECKPOINT_ADDRESS lead to a checkpoint of this version of dbmazz?",
        ) from None
