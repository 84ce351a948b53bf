"""Tells PostgreSQL what is durable: the confirmed LSN of the checkpoint, and never anything else.

Sent unasked at an interval, at once when the server asks, by a task of its own: however slow the ring is and whether or not
the socket is being read, wal_sender_timeout is never hit and nothing is confirmed that is not stored.
"""

from __future__ import annotations

import asyncio
import time

from dbmazz_reader.checkpointing import CheckpointClient
from dbmazz_reader.postgres.stream import ReplicationStream
from dbmazz_reader.protocol.frames import Keepalive, standby_status


class Confirmation:
    """The confirmed LSN of one session."""

    def __init__(self, stream: ReplicationStream, confirmed_lsn: int, interval_s: float) -> None:
        self.lsn = confirmed_lsn
        self.batch_id = 0
        self._stream = stream
        self._interval_s = interval_s
        self._due = asyncio.Event()
        # What the server wants to see confirmed: while it shuts down it waits for that, so news go out at once.
        self._awaited_lsn = 0
        self._moved = asyncio.Event()
        self._asking = False

    def answer(self, keepalive: Keepalive) -> None:
        """Takes note of a keepalive; one that asks is answered at once."""
        if keepalive.reply_requested:
            self._awaited_lsn = keepalive.wal_end
            self._due.set()

    def advance(self, lsn: int, batch_id: int) -> None:
        """The checkpoint has stored a position."""
        if lsn > self.lsn:
            if self.lsn < self._awaited_lsn:
                self._due.set()
            self.lsn = lsn
        self.batch_id = max(self.batch_id, batch_id)
        self._moved.set()

    async def follow(self, checkpoint: CheckpointClient, epoch: int) -> None:
        """Follows the checkpoint; raises FencedError when the epoch is over."""
        async for lsn, batch_id in checkpoint.confirmed(epoch):
            self.advance(lsn, batch_id)

    async def reached(self, batch_id: int) -> None:
        """Waits until all batches up to this one are confirmed."""
        while self.batch_id < batch_id:
            self._moved.clear()
            await self._moved.wait()

    def hurry(self) -> None:
        """Has the position sent now, and not only at the next interval."""
        self._due.set()

    def ask(self) -> None:
        """Has the server asked how far it has sent; a keepalive tells."""
        self._asking = True
        self._due.set()

    async def send_forever(self) -> None:
        """The keepalive task."""
        while True:
            try:
                async with asyncio.timeout(self._interval_s):
                    await self._due.wait()
            except TimeoutError:
                pass  # unasked
            self._due.clear()
            await self.send()

    async def send(self) -> None:
        """One status update."""
        asking, self._asking = self._asking, False
        await self._stream.send(standby_status(self.lsn, time.time_ns() // 1000, reply_requested=asking))
