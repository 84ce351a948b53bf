"""Mutated messages: refused or read exactly as the reference reads them. DBMAZZ_FUZZ_ROUNDS sets how many."""

import os
import random

import pytest
from dbmazz_reader.protocol import kernel

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
