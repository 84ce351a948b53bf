"""Hands batches to the connected transformers of one epoch: wakes whoever has something to send, counts what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

from dbmazz.v1 import change_pb2, reader_pb2
from dbmazz.wire import relation_to_proto

from dbmazz_reader.protocol.cuts import SealedBatch
from dbmazz_reader.protocol.leases import Lane, Leases, Release, Send
from dbmazz_reader.protocol.retention import Retention


class Feed:
    """The leases of one epoch, made awaitable."""

    def __init__(self, slot: str, system_identifier: str, epoch: int, retained_limit: int) -> None:
        # Limits of windows for all transformers; None leaves them to their own settings.
        self.flush: reader_pb2.FlushSettings | None = None
        self.epoch = epoch
        self.retention = Retention(retained_limit)
        self.leases = Leases(self.retention)
        self.closed = False
        self._slot = slot
        self._system_identifier = system_identifier
        self._wakes: dict[int, asyncio.Event] = {}
        self._progress = asyncio.Event()

    @property
    def transformers(self) -> list[str]:
        """Names of the connected transformers, in order of their arrival."""
        return [transformer.name for transformer in self.leases.transformers.values()]

    def holder(self, lane: int) -> tuple[int, str]:
        """(generation, name of the transformer) of a lane; (0, "") when nobody ever held it."""
        lease = self.leases.lanes.get(lane)
        if lease is None:
            return 0, ""
        return lease.generation, "" if lease.owner is None else self.leases.transformers[lease.owner].name

    def pending(self) -> list[Lane]:
        """Lanes with rows or barriers that are not acknowledged, by number; what only moves the position is not waited for."""
        if self.retention.empty:
            return []
        lanes = self.leases.lanes
        return [lanes[number] for number in sorted(lanes) if number and lanes[number].queue.batch_count]

    def first_open(self, lane: int) -> int | None:
        """The first batch of a lane that is not acknowledged: all before it are durable. None when all are."""
        lease = self.leases.lanes.get(lane)
        return lease and lease.queue.first_open

    def append(self, batches: Iterable[SealedBatch]) -> None:
        """New batches; they are kept until they are acknowledged."""
        self.leases.append(batches)
        self._wake()

    def connect(self, name: str) -> Link:
        """A transformer has said hello."""
        key = self.leases.connect(name)
        self._wakes[key] = asyncio.Event()
        self._wake()
        return Link(self, key)

    def tell(self, flush: reader_pb2.FlushSettings | None) -> None:
        """Other limits of windows, for who is connected and for who will be."""
        self.flush = flush
        self._wake()

    def greeting(self) -> reader_pb2.StreamSession:
        """What a stream begins with."""
        return reader_pb2.StreamSession(
            slot=self._slot, epoch=self.epoch, system_identifier=self._system_identifier, flush=self.flush
        )

    async def progress(self, timeout: float) -> None:
        """Waits until something is acknowledged, at most `timeout` seconds."""
        self._progress.clear()
        try:
            async with asyncio.timeout(timeout):
                await self._progress.wait()
        except TimeoutError:
            return

    def close(self) -> None:
        """The epoch is over: every stream ends."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        for wake in self._wakes.values():
            wake.set()
        self._progress.set()

    def _disconnect(self, key: int) -> None:
        del self._wakes[key]
        self.leases.disconnect(key)
        self._wake()


class Link:
    """One connected transformer."""

    def __init__(self, feed: Feed, key: int) -> None:
        self.session = feed.greeting()
        self._feed = feed
        self._key = key
        self._told = feed.flush

    def acknowledge(self, ack: reader_pb2.BatchAck) -> None:
        """WireError for batches that were never sent; what belongs to another epoch or generation is ignored."""
        if ack.epoch == self._feed.epoch:
            self._feed.leases.acknowledge(self._key, ack.lane, ack.generation, ack.batch_id)
            self._feed._wake()

    def goodbye(self) -> None:
        """The transformer is about to stop."""
        self._feed.leases.goodbye(self._key)
        self._feed._wake()

    async def events(self) -> AsyncIterator[reader_pb2.StreamChangesResponse]:
        """What to send, as it becomes due; ends with the epoch."""
        wake = self._feed._wakes[self._key]
        while not self._feed.closed:
            wake.clear()
            if self._told is not self._feed.flush:
                self._told = self._feed.flush
                yield reader_pb2.StreamChangesResponse(flush=self._told or reader_pb2.FlushSettings())
            while (due := self._feed.leases.next(self._key)) is not None:
                yield _response(due)
                if self._feed.closed:
                    return
            await wake.wait()

    def disconnect(self) -> None:
        """The stream is gone; what was not acknowledged goes to others."""
        self._feed._disconnect(self._key)


def _response(due: Send | Release) -> reader_pb2.StreamChangesResponse:
    if isinstance(due, Release):
        release = reader_pb2.LaneRelease(lane=due.lane, generation=due.generation)
        return reader_pb2.StreamChangesResponse(release=release)
    # The message itself is kept for sending it again, so what belongs to this sending only is set on it each time: a copy
    # would double the memory of everything retained.
    batch: change_pb2.ChangeBatch = due.batch.batch
    batch.generation = due.generation
    if due.relation is None:
        batch.ClearField("relation")
    else:
        batch.relation.CopyFrom(relation_to_proto(due.relation))
    return due.batch.response or reader_pb2.StreamChangesResponse(batch=batch)
