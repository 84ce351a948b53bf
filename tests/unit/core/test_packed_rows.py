"""The packed layout of a ChangeBatch: round trips of any width, and hostile lengths."""

import random
import struct
from array import array

import pytest
from dbmazz.errors import WireError
from dbmazz.rows import ABSENT, NULL, little_endian, pack_bitmaps, to_little_endian, unpack, unpack_bitmaps
from dbmazz.v1.change_pb2 import ChangeBatch


def packed(table: list[list[bytes | int]], runs: list[int], ops: bytes | None = None) -> ChangeBatch:
    """A batch of rows, packed cell by cell with struct alone."""
    width = len(table[0])
    words = max(1, -(-width // 64))
    bitmaps = [sum(1 << column for column, cell in enumerate(row) if cell == ABSENT) for row in table]
    cells = [cell for row in table for cell in row]
    return ChangeBatch(
        row_count=len(table),
        ops=ops or b"\1" * len(table),
        run_row_counts=struct.pack(f"<{len(runs)}I", *runs),
        commit_lsns=struct.pack(f"<{len(runs)}Q", *[1000 * (run + 1) for run in range(len(runs))]),
        commit_times=struct.pack(f"<{len(runs)}q", *[-run for run in range(len(runs))]),
        xids=struct.pack(f"<{len(runs)}I", *[2**32 - 1 - run for run in range(len(runs))]),
        absent_bitmaps=b"".join(bitmap.to_bytes(8 * words, "little") for bitmap in bitmaps),
        lengths=struct.pack(f"<{len(cells)}i", *[len(cell) if isinstance(cell, bytes) else cell for cell in cells]),
        data=b"".join(cell for cell in cells if isinstance(cell, bytes)),
    )


def random_cell(rng: random.Random) -> bytes | int:
    return rng.choice((NULL, ABSENT, b"", rng.randbytes(rng.randint(1, 40))))


@pytest.mark.parametrize("width", [1, 2, 63, 64, 65, 130, 1600])
def test_every_cell_comes_back(seed: int, width: int):
    rng = random.Random(f"{seed}/{width}")
    table = [[random_cell(rng) for _ in range(width)] for _ in range(rng.randint(1, 12))]
    rows = unpack(packed(table, [len(table)]), width)
    assert [[rows.cell(row, column) for column in range(width)] for row in range(len(table))] == table
    for row, bitmap in enumerate(rows.bitmaps):
        assert [bool(bitmap >> column & 1) for column in range(width)] == [cell == ABSENT for cell in table[row]]


@pytest.mark.parametrize("width", [1, 64, 65, 130, 1600])
def test_bitmaps_there_and_back(seed: int, width: int):
    rng = random.Random(f"{seed}/{width}")
    bitmaps = [rng.getrandbits(width) for _ in range(20)] + [0, 2**width - 1]
    data = pack_bitmaps(bitmaps, width)
    assert len(data) == len(bitmaps) * 8 * max(1, -(-width // 64))
    assert data == b"".join(bitmap.to_bytes(8 * max(1, -(-width // 64)), "little") for bitmap in bitmaps)
    assert unpack_bitmaps(data, width) == bitmaps


def test_runs_give_each_row_its_version():
    rows = unpack(packed([[b"x"]] * 6, [1, 3, 2]), 1)
    assert rows.versions() == [1000, 2000, 2000, 2000, 3000, 3000]
    assert rows.commit_times.tolist() == [0, -1, -2]
    assert rows.xids.tolist() == [2**32 - 1, 2**32 - 2, 2**32 - 3]


def test_a_transaction_that_goes_on_has_the_versions_of_its_changes():
    batch = packed([[b"x"]] * 4, [2, 2])
    batch.change_lsns = struct.pack("<2Q", 2**64 - 1, 1500)
    assert unpack(batch, 1).versions() == [1000, 1000, 2**64 - 1, 1500]


def test_a_batch_without_rows():
    rows = unpack(ChangeBatch(), 3)
    assert (rows.row_count, rows.versions(), rows.bitmaps) == (0, [], [])


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("row_count", 3, "ops is 2, expected 3"),
        ("row_count", -1, "ops is 2, expected -1"),
        ("row_count", 2**31 - 1, "ops is 2, expected 2147483647"),
        ("ops", b"\1", "ops is 1, expected 2"),
        ("absent_bitmaps", b"\0" * 15, "absent_bitmaps is 15, expected 16"),
        ("absent_bitmaps", b"", "absent_bitmaps is 0, expected 16"),
        ("lengths", b"\0" * 15, "lengths is 15, expected 16"),
        ("lengths", struct.pack("<4i", 1, 1, 1, 2**31 - 1), "data is 4, expected 2147483650"),
        ("lengths", struct.pack("<4i", 1, 1, 1, 0), "data is 4, expected 3"),
        ("lengths", struct.pack("<4i", 1, 1, 1, -3), "lengths holds a number below -2"),
        ("lengths", struct.pack("<4i", 1, 1, 1, -(2**31)), "lengths holds a number below -2"),
        ("data", b"abc", "data is 3, expected 4"),
        ("data", b"abcde", "data is 5, expected 4"),
        ("run_row_counts", b"\2\0\0", "run_row_counts is 3, expected 0"),
        ("run_row_counts", struct.pack("<I", 3), "run_row_counts (sum) is 3, expected 2"),
        ("run_row_counts", struct.pack("<2I", 2, 0), "commit_lsns is 8, expected 16"),
        ("commit_lsns", b"\0" * 7, "commit_lsns is 7, expected 8"),
        ("commit_times", b"", "commit_times is 0, expected 8"),
        ("xids", b"\0" * 8, "xids is 8, expected 4"),
        ("change_lsns", b"\0" * 8, "change_lsns is 8, expected 16"),
        ("change_lsns", b"\0", "change_lsns is 1, expected 16"),
    ],
)
def test_what_does_not_fit_is_named(field, value, says):
    batch = packed([[b"a", b"b"], [b"c", b"d"]], [2])
    unpack(batch, 2)
    setattr(batch, field, value)
    with pytest.raises(WireError) as caught:
        unpack(batch, 2)
    assert says in str(caught.value)


def test_a_batch_of_another_width_is_refused():
    batch = packed([[b"a", b"b"]], [1])
    for width in (1, 3, 65):
        with pytest.raises(WireError):
            unpack(batch, width)


def test_damaged_batches_are_refused_or_read_but_never_anything_else(seed: int):
    """Any field cut, grown or overwritten: a WireError, or rows that agree with their counts."""
    rng = random.Random(seed)
    fields = ["ops", "run_row_counts", "commit_lsns", "commit_times", "xids", "absent_bitmaps", "lengths", "data"]
    refused = 0
    for _ in range(500):
        width = rng.choice((1, 3, 65))
        table = [[random_cell(rng) for _ in range(width)] for _ in range(4)]
        batch = packed(table, [3, 1])
        field = rng.choice(fields)
        value = bytearray(getattr(batch, field))
        if rng.random() < 0.5 and value:
            value[rng.randrange(len(value))] = rng.randrange(256)
        else:
            value = value[: rng.randint(0, len(value))] + rng.randbytes(rng.randint(0, 3))
        setattr(batch, field, bytes(value))
        try:
            rows = unpack(batch, width)
        except WireError:
            refused += 1
            continue
        assert len(rows.versions()) == 4
        cells = [rows.cell(row, column) for row in range(4) for column in range(width)]
        assert b"".join(cell for cell in cells if isinstance(cell, bytes)) == batch.data
    assert refused > 100


def test_arrays_are_little_endian_on_the_wire():
    assert little_endian("I", b"\1\0\0\0\0\0\0\1").tolist() == [1, 1 << 24]
    assert to_little_endian(array("q", [-2])) == b"\xfe" + b"\xff" * 7
