"""Status updates carry the confirmed LSN and nothing else, at once when asked, and by themselves."""

import asyncio
import struct

from dbmazz_reader.confirming import Confirmation
from dbmazz_reader.protocol.frames import Keepalive

from tests.fixtures.waiting import wait_until


class Stream:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.positions: list[tuple[int, int, int]] = []

    async def send(self, frame: bytes) -> None:
        letter, write, flush, apply, _, reply = struct.unpack(">BQQQqB", frame)
        assert (letter, reply) == (ord("r"), 0)
        self.positions.append((write, flush, apply))


async def test_question_is_answered_at_once_with_the_confirmed_position():
    stream = Stream()
    confirmation = Confirmation(stream, 100, interval_s=3600)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(confirmation.send_forever())
        confirmation.answer(Keepalive(wal_end=5_000, reply_requested=False))
        await asyncio.sleep(0)
        assert stream.positions == []
        confirmation.answer(Keepalive(wal_end=5_000, reply_requested=True))
        await wait_until(lambda: len(stream.positions) == 1)
        # The server has asked for 5000: news on the way there go out without waiting for the interval.
        confirmation.advance(200, 1)
        await wait_until(lambda: len(stream.positions) == 2)
        confirmation.advance(150, 1)
        confirmation.answer(Keepalive(wal_end=5_000, reply_requested=True))
        await wait_until(lambda: len(stream.positions) == 3)
        task.cancel()
    assert stream.positions == [(100,) * 3, (200,) * 3, (200,) * 3]


async def test_position_is_sent_unasked():
    stream = Stream()
    confirmation = Confirmation(stream, 7, interval_s=0.01)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(confirmation.send_forever())
        await wait_until(lambda: len(stream.positions) >= 3)
        task.cancel()
    assert set(stream.positions) == {(7, 7, 7)}


async def test_waiting_for_a_batch():
    confirmation = Confirmation(Stream(), 7, interval_s=1)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(confirmation.reached(3))
        for batch_id in (1, 2):
            confirmation.advance(7, batch_id)
            await asyncio.sleep(0)
        assert not task.done()
        confirmation.advance(7, 3)
