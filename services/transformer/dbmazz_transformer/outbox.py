"""What is to be said to the reader: acknowledgements, of which only the last per lane counts, and the goodbye."""

from __future__ import annotations

import asyncio

from dbmazz.v1 import reader_pb2


class Outbox:
    """Never larger than one acknowledgement per lane, however slow the reader takes them."""

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch
        self._acks: dict[int, tuple[int, int]] = {}
        self._goodbye = False
        self._closed = False
        self._wake = asyncio.Event()

    def acknowledge(self, lane: int, generation: int, batch_id: int) -> None:
        """All batches of the lane up to this one are durable."""
        self._acks[lane] = (generation, batch_id)
        self._wake.set()

    def say_goodbye(self) -> None:
        """The transformer is about to stop."""
        self._goodbye = True
        self._wake.set()

    def close(self) -> None:
        """Nothing more will come."""
        self._closed = True
        self._wake.set()

    async def next(self) -> reader_pb2.StreamChangesRequest | None:
        """The next message; None when closed and all was taken."""
        while True:
            if self._goodbye:
                self._goodbye = False
                return reader_pb2.StreamChangesRequest(goodbye=reader_pb2.StreamGoodbye())
            if self._acks:
                lane = next(iter(self._acks))
                generation, batch_id = self._acks.pop(lane)
                ack = reader_pb2.BatchAck(epoch=self._epoch, lane=lane, generation=generation, batch_id=batch_id)
                return reader_pb2.StreamChangesRequest(ack=ack)
            if self._closed:
                return None
            self._wake.clear()
            await self._wake.wait()
