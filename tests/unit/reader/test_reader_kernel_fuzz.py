"""Mutated messages: refused or read exactly as the reference reads them. DBMAZZ_FUZZ_ROUNDS sets how many."""

import os
import random
import struct

import pytest
from dbmazz.errors import SourceError
from dbmazz_reader.protocol import kernel
from dbmazz_reader.protocol.malformed import MalformedMessage

from tests.unit.reader import pgoutput_messages as write
from tests.unit.reader.kernel_pair import SHAPES, Pair, random_row, random_stream
from tests.unit.reader.pgoutput_messages import begin, xlog_data

ROUNDS = int(os.environ.get("DBMAZZ_FUZZ_ROUNDS", "20000"))


def mutated(rng: random.Random, frame: bytes) -> bytes:
    damaged = bytearray(frame)
    for _ in range(rng.choice((1, 1, 2, 5))):
        kind = rng.randrange(5)
        at = rng.randrange(len(damaged)) if damaged else 0
        if kind == 0 and damaged:
            damaged[at] = rng.randrange(256)
        elif kind == 1 and damaged:
            damaged[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del damaged[at:]
        elif kind == 3:
            damaged[at:at] = rng.randbytes(rng.choice((1, 4, 9)))
        else:
            damaged[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\x80\0\0\0"))
    return bytes(damaged)


@pytest.mark.timeout(0)
def test_mutated_messages(seed):
    rng = random.Random(f"messages {seed}")
    refused = 0
    for _ in range(ROUNDS // 50):
        pair = Pair(unread=[100, 228])
        pair.decode([xlog_data(1, begin(5000))])
        narrow = SHAPES[: rng.choice((2, 3, 3, 6))]
        frames = [xlog_data(2, random_row(rng, *rng.choice(narrow))) for _ in range(10)]
        for _ in range(50):
            # Behind the frame's header mostly: damage there is told by one byte.
            frame = rng.choice(frames)
            frame = mutated(rng, frame) if rng.random() < 0.1 else frame[:25] + mutated(rng, frame[25:])
            answer = pair.decode([frame])
            refused += isinstance(answer, str)
            if answer == (0, kernel.RARE) and rng.random() < 0.1:
                pair.seal(rng)
        pair.seal(rng)
    assert ROUNDS // 50 * 50 * 0.3 < refused < ROUNDS


@pytest.mark.timeout(0)
def test_mutated_streams(seed):
    rng = random.Random(f"streams {seed}")
    for _ in range(max(1, ROUNDS // 2000)):
        frames = random_stream(rng, 5, SHAPES[:3])
        for _ in range(20):
            damaged = list(frames)
            for _ in range(rng.choice((1, 2, 5))):
                at = rng.randrange(len(damaged))
                action = rng.randrange(3)
                if action == 0:
                    damaged[at] = mutated(rng, damaged[at])
                elif action == 1:
                    damaged.insert(at, rng.choice(frames))
                else:
                    del damaged[at]
            pair = Pair(rng.choice((3, 1000)), 1 << 40, unread=[164])
            pair.run(damaged, rng)
            pair.seal(rng)


MILLION = 1_000_000
HEADER = 25
WORDS = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\x80\0\0\0")


def quickly_mutated(rng: random.Random, frame: bytes) -> bytes:
    """One thing wrong behind the header."""
    chance = rng.getrandbits(64)
    at = HEADER + (chance >> 32) % (len(frame) - HEADER)
    match chance & 3:
        case 0:
            return frame[:at]
        case 1:
            return frame[:at] + WORDS[chance >> 2 & 3] + frame[at + 4 :]
        case 2:
            return frame[:at] + frame[at + (chance >> 2 & 7) :]
    damaged = bytearray(frame)
    damaged[at] = chance >> 2 & 255
    return bytes(damaged)


@pytest.mark.timeout(600)
def test_a_million_mutated_messages(seed):
    """Without the reference beside it: each is refused by name, with its place, or read; what is read is whole."""
    rng = random.Random(f"million {seed}")
    decoder = kernel.RowDecoder(1 << 40, 1 << 50, readback=True)
    for number, (oid, columns, keys) in enumerate(SHAPES[:3], 1):
        decoder.bind(oid, kernel.PackedLane(number, write.table(columns, keys, oid)))
    decoder.decode_rows([xlog_data(1, begin(5000))])
    frames = [xlog_data(2, random_row(rng, *rng.choice(SHAPES[:3]))) for _ in range(100)]
    refused = read = 0
    for number in range(MILLION):
        frame = quickly_mutated(rng, frames[number % len(frames)])
        before = decoder.open_rows
        try:
            decoder.decode_rows([frame])
        except MalformedMessage as error:
            refused += 1
            assert 0 <= error.offset <= len(frame) - HEADER
        except SourceError:
            refused += 1
        else:
            read += decoder.open_rows - before
            continue
        assert decoder.open_rows == before, "no half row"
        if refused % 5000 == 0:
            assert sealed(decoder) <= read
    assert MILLION * 0.3 < refused < MILLION * 0.95
    assert read > MILLION * 0.05


def sealed(decoder: kernel.RowDecoder) -> int:
    """Rows of the open lanes, whose fields agree with each other."""
    rows = 0
    for lane in decoder.take_open():
        columns = lane.columns
        count, ops, *_, bitmaps, lengths, data = lane.take(decoder.open_run)
        cells = struct.unpack(f"<{count * columns}i", lengths)
        assert len(ops) == count
        assert len(bitmaps) == count * ((columns + 63) // 64) * 8
        assert sum(cell for cell in cells if cell > 0) == len(data)
        rows += count
    return rows
