"""Hostile batches: the kernel refuses them by name or does what the reference does, and never reads where it should not.

DBMAZZ_FUZZ_ROUNDS says how many are tried; `make sanitize` tries more, with the sanitizers watching.
"""

from __future__ import annotations

import os
import random
import struct

import pytest
from dbmazz.errors import WireError
from dbmazz.v1 import change_pb2
from dbmazz_transformer.protocol import kernel
from dbmazz_transformer.protocol.malformed import EncodeError, MalformedBatch

from tests.reference.transformer.windows import by_kernel, by_reference
from tests.unit.transformer.test_transformer_kernel import TAILS, column_of, layout_with, random_layout, random_window
from tests.unit.transformer.transformer_world import INSERT, Event, EventBatch, to_proto

ROUNDS = int(os.environ.get("DBMAZZ_FUZZ_ROUNDS", "3000"))
SHARES = 4
FIELDS = (
    "ops",
    "run_row_counts",
    "commit_lsns",
    "commit_times",
    "xids",
    "change_lsns",
    "absent_bitmaps",
    "lengths",
    "data",
)
NUMBERS = (0, 1, -1, -2, -3, 2, 255, 65536, 2**31 - 1, -(2**31), 2**30)


def torn(rng: random.Random, batch: change_pb2.ChangeBatch) -> change_pb2.ChangeBatch:
    """The batch with one or two things wrong, or at least different."""
    changed = change_pb2.ChangeBatch.FromString(batch.SerializeToString())
    for _ in range(rng.randint(1, 2)):
        if rng.random() < 0.1:
            counts = (0, -1, min(changed.row_count + 1, 2**31 - 1), 2**31 - 1, -(2**31), changed.row_count // 2)
            changed.row_count = rng.choice(counts)
            continue
        name = rng.choice((*FIELDS, "lengths", "lengths", "absent_bitmaps"))
        setattr(changed, name, bent(rng, getattr(changed, name)))
    return changed


def bent(rng: random.Random, value: bytes) -> bytes:
    content = bytearray(value)
    words = len(content) // 4
    match rng.randint(0, 6):
        case 0:
            del content[rng.randint(0, len(content)) :]
        case 1:
            content += rng.randbytes(rng.choice((1, 4, 8, 64)))
        case 2 if content:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        case 3 if words:
            struct.pack_into("<i", content, 4 * rng.randrange(words), rng.choice(NUMBERS))
        case 4 if words > 1:  # the sum stays
            one, other = rng.sample(range(words), 2)
            by = rng.choice((1, 2, 2**20, 2**30))
            for at, delta in ((one, by), (other, -by)):
                (number,) = struct.unpack_from("<I", content, 4 * at)
                struct.pack_into("<I", content, 4 * at, (number + delta) % 2**32)
        case 5 if words > 1:  # lengths that add up to 2**32 and more, so that 32 bits would see what is expected
            for at in rng.sample(range(words), min(words, 4)):
                struct.pack_into("<I", content, 4 * at, 2**30)
        case _:
            content = bytearray(rng.randbytes(len(content)))
    return bytes(content)


def outcome(write, batches, layout, soft_delete):
    try:
        return write(batches, layout, TAILS, soft_delete=soft_delete)
    except WireError:
        return "refused batch"
    except EncodeError:
        return "refused value"


@pytest.mark.timeout(60 + ROUNDS // 100)
@pytest.mark.parametrize("share", range(SHARES))
def test_hostile_batches(seed, share):
    rng = random.Random(seed * 10 + share)
    refused = done = 0
    while refused + done < ROUNDS // SHARES:
        layout, values = random_layout(rng, rng.choice((1, 2, 2, 3, 3, 3, 4, 5, 9, 65)))
        batches = [batch for batch in random_window(rng, layout, values) if batch.row_count <= 5]
        for number, batch in enumerate(batches):
            for _ in range(10):
                window = [*batches[:number], torn(rng, batch), *batches[number + 1 :]]
                soft_delete = rng.random() < 0.5
                expected = outcome(by_reference, window, layout, soft_delete)
                assert outcome(by_kernel, window, layout, soft_delete) == expected
                refused += isinstance(expected, str)
                done += not isinstance(expected, str)
    assert refused > done / 10, "most of what is torn must be seen"
    assert done, "and something must get through"


MILLION = 1_000_000
WORDS = tuple(struct.pack("<i", number) for number in NUMBERS)


def quickly_bent(chance: int, value: bytes) -> bytes:
    """One thing wrong."""
    at = (chance >> 32) % (len(value) + 1)
    match chance & 3:
        case 0:
            return value[:at]
        case 1:
            at &= -4
            return value[:at] + WORDS[(chance >> 2) % len(WORDS)] + value[at + 4 :]
        case 2:
            return value[:at] + b"\xff" * (chance >> 2 & 7) + value[at:]
    damaged = bytearray(value or b"\0")
    damaged[at % len(damaged)] ^= 1 << (chance >> 2 & 7)
    return bytes(damaged)


@pytest.mark.timeout(600)
def test_a_million_mutated_batches(seed):
    """Without the reference beside it: each is refused by name, with its place, or written as JSON, a line for each row."""
    rng = random.Random(f"million {seed}")
    refused = written = 0
    while refused + written < MILLION:
        layout, values = random_layout(rng, rng.choice((1, 2, 3, 5, 9, 65)))
        relation, columns = layout.relation, len(layout.relation.columns)
        writer = kernel.Writer(layout.columns)
        batches = [batch for batch in random_window(rng, layout, values) if 0 < batch.row_count <= 5]
        for batch in batches:
            for _ in range(MILLION // 100):
                chance = rng.getrandbits(64)
                name = FIELDS[(chance >> 8) % len(FIELDS)]
                kept = getattr(batch, name)
                setattr(batch, name, quickly_bent(chance, kept))
                try:
                    rows = kernel.Rows(batch, columns)
                    folded = kernel.fold(
                        [rows], relation.key_indices, non_key_bitmap=layout.non_key_bitmap, soft_delete=True
                    )
                    lines = sum(writer.encode(group, TAILS)[0].count(b"\n") for group in folded.groups)
                except (WireError, EncodeError):
                    refused += 1
                else:
                    written += 1
                    assert lines == sum(group.row_count for group in folded.groups) <= batch.row_count
                setattr(batch, name, kept)
    assert refused > MILLION * 0.2
    assert written > MILLION * 0.02


def small_batch(*cells: tuple[bytes, bytes]) -> change_pb2.ChangeBatch:
    source = layout_with([column_of("id", 23, 1), column_of("body", 25)]).relation
    return to_proto(source, EventBatch(1, tuple(Event(INSERT, cell, 7) for cell in cells)))


@pytest.mark.parametrize(
    ("field", "value", "name", "offset"),
    [
        ("lengths", struct.pack("<4i", 1, 1, -3, 3), "lengths", 8),
        ("lengths", struct.pack("<4i", 1, 1, -(2**31), 3), "lengths", 8),
        ("lengths", struct.pack("<4i", 1, -2, 1, 1), "absent_bitmaps", 0),
        ("absent_bitmaps", struct.pack("<2Q", 0, 2), "absent_bitmaps", 8),
        ("absent_bitmaps", struct.pack("<2Q", 0, 4), "absent_bitmaps", 8),
        ("absent_bitmaps", struct.pack("<Q", 0), "absent_bitmaps", 8),
        ("lengths", struct.pack("<4i", 1, 1, 1, 2), "data", 4),
        # Sums that are right in 32 bits.
        ("lengths", struct.pack("<4I", 2**30 + 1, 2**30 + 1, 2**30 + 1, 2**30 + 1), "data", 4),
        ("lengths", struct.pack("<4i", 2**31 - 1, 2**31 - 1, 3, 3), "data", 4),
        ("run_row_counts", struct.pack("<I", 2**32 - 1), "run_row_counts (sum)", 2),
        ("run_row_counts", struct.pack("<I", 1), "run_row_counts (sum)", 1),
        ("run_row_counts", b"\1\0\0", "run_row_counts", 0),
        ("change_lsns", b"\0" * 8, "change_lsns", 8),
        ("commit_lsns", b"", "commit_lsns", 0),
        ("commit_times", b"\0" * 16, "commit_times", 8),
        ("xids", b"", "xids", 0),
        ("ops", b"\1", "ops", 1),
        ("row_count", -1, "ops", -1),
        ("row_count", 2**31 - 1, "ops", 2),
    ],
)
def test_what_is_wrong_is_named_with_its_place(field, value, name, offset):
    batch = small_batch((b"1", b"a"), (b"2", b"b"))
    assert kernel.Rows(batch, 2).row_count == 2
    setattr(batch, field, value)
    with pytest.raises(MalformedBatch) as caught:
        kernel.Rows(batch, 2)
    assert (caught.value.field, caught.value.offset) == (name, offset)
    assert str(caught.value).startswith(f"change batch: {name} ")


def test_run_counts_that_overflow_32_bits_are_seen():
    batch = small_batch((b"1", b"a"), (b"2", b"b"))
    batch.run_row_counts = struct.pack("<3I", 2**32 - 1, 2**32 - 1, 4)
    batch.commit_lsns = batch.commit_times = b"\0" * 24
    batch.xids = b"\0" * 12
    with pytest.raises(MalformedBatch, match="run_row_counts"):
        kernel.Rows(batch, 2)


@pytest.mark.parametrize("columns", [0, 1, 3, 64, 65, 2**31, 2**60, -1])
def test_another_number_of_columns_than_was_packed(columns):
    batch = small_batch((b"1", b"a"), (b"2", b"b"))
    with pytest.raises((MalformedBatch, ValueError)):
        kernel.Rows(batch, columns)


def test_a_batch_of_rows_without_columns_has_no_key():
    batch = small_batch()
    batch.row_count, batch.ops, batch.absent_bitmaps = 2, b"\1\1", b"\0" * 16
    batch.run_row_counts, batch.commit_lsns, batch.commit_times = struct.pack("<I", 2), b"\0" * 8, b"\0" * 8
    batch.xids = b"\0" * 4
    rows = kernel.Rows(batch, 0)
    with pytest.raises(ValueError, match="key column"):
        kernel.fold([rows], [0], non_key_bitmap=0, soft_delete=True)
