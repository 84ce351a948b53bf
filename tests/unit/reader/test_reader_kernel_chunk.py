"""COPY's text to cells, and what of a chunk goes into the lane: the kernel against plain Python."""

from __future__ import annotations

import os
import random
import struct

import pytest
from dbmazz.relation import Relation
from dbmazz.rows import ABSENT, NULL, unpack
from dbmazz.v1 import types_pb2
from dbmazz_reader.protocol import kernel
from dbmazz_reader.protocol.lanes import LaneBuilder, pack

from tests.unit.reader import pgoutput_messages as write
from tests.unit.reader.pgoutput_messages import UNCHANGED, xlog_data

ROUNDS = int(os.environ.get("DBMAZZ_FUZZ_ROUNDS", "300"))
ALPHABET = b"a\t\n\\N\r\b\f\v'\"\x00 \xc3\xa9{}"


def escaped(value: bytes | None) -> bytes:
    """As PostgreSQL's COPY TO writes it (CopyAttributeOutText)."""
    if value is None:
        return b"\\N"
    letters = {8: b"\\b", 9: b"\\t", 10: b"\\n", 11: b"\\v", 12: b"\\f", 13: b"\\r", 92: b"\\\\"}
    return b"".join(letters.get(letter, bytes([letter])) for letter in value)


def line(values: list[bytes | None]) -> bytes:
    return b"\t".join(map(escaped, values)) + b"\n"


def copied(relation: Relation, rows: list[list[bytes | None]]) -> kernel.CopiedRows:
    found = kernel.CopiedRows(len(relation.columns), relation.key_indices)
    found.take([line(row) for row in rows])
    return found


def cells(relation: Relation, fields: kernel.Fields) -> list[tuple]:
    """(operation, version, xid, cells) of each row, as a peer reads the batch."""
    batch = pack(LaneBuilder(1, relation), fields).batch
    rows = unpack(batch, len(relation.columns))
    runs = [run for run, count in enumerate(rows.run_row_counts) for _ in range(count)]
    columns = range(len(relation.columns))
    return [
        (rows.ops[row], version, rows.xids[run], tuple(rows.cell(row, column) for column in columns))
        for row, (run, version) in enumerate(zip(runs, rows.versions(), strict=True))
    ]


def value(rng: random.Random) -> bytes | None:
    if rng.random() < 0.2:
        return None
    return bytes(rng.choice(ALPHABET) for _ in range(rng.randrange(6)))


@pytest.mark.parametrize("columns", [1, 2, 3, 64, 65, 130])
def test_values_come_out_as_they_went_in(columns: int, seed: int) -> None:
    rng = random.Random(seed)
    relation = write.table(columns, (columns - 1,))
    for _ in range(max(ROUNDS // 50, 3)):
        rows = [[value(rng) for _ in range(columns)] for _ in range(rng.randrange(8))]
        for row in rows:
            row[-1] = row[-1] or b"k"
        chunk = copied(relation, rows)
        assert chunk.row_count == len(rows)
        assert chunk.last_key() == ((rows[-1][-1],) if rows else None)
        batches, *counts = kernel.merge(chunk, None, 77, 5, rng.randrange(1, 5), 1 << 20)
        assert counts == [len(rows), 0, 0]
        found = [cell for fields in batches for cell in cells(relation, fields)]
        wanted = [tuple(NULL if cell is None else cell for cell in row) for row in rows]
        assert found == [(types_pb2.OPERATION_READ, 77, 0, row) for row in wanted]


@pytest.mark.parametrize("text", [b"", b"a\tb", b"a\n", b"a\tb\tc\n", b"\n"])
def test_what_is_no_row_is_refused_and_leaves_nothing(text: bytes) -> None:
    chunk = kernel.CopiedRows(2, (0,))
    chunk.take([b"k\tv\n"])
    with pytest.raises(ValueError, match="COPY"):
        chunk.take([text])
    chunk.take([b"l\tw\n"])
    assert chunk.row_count == 2 and chunk.last_key() == (b"l",)
    relation = write.table(2, (0,))
    (fields,), *_ = kernel.merge(chunk, None, 1, 1, 100, 1 << 20)
    assert [row[3] for row in cells(relation, fields)] == [(b"k", b"v"), (b"l", b"w")]


def test_any_bytes_are_a_row_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(ROUNDS):
        chunk = kernel.CopiedRows(3, (1, 0))
        text = bytes(rng.choice(b"ab\t\t\t\\\\N\n") for _ in range(rng.randrange(14))) + b"\n" * rng.randrange(2)
        try:
            chunk.take([text])
        except ValueError:
            assert chunk.row_count == 0
            continue
        (fields,), *_ = kernel.merge(chunk, None, 1, 1, 1, 1)
        assert len(cells(write.table(3, (1, 0)), fields)) == 1


def test_batches_end_at_their_limits() -> None:
    relation = write.table(1, (0,))
    chunk = copied(relation, [[b"%03d" % number] for number in range(100)])
    batches, *_ = kernel.merge(chunk, None, 1, 1, 30, 1 << 20)
    assert [fields[0] for fields in batches] == [30, 30, 30, 10]
    batches, *_ = kernel.merge(chunk, None, 1, 1, 1000, 7 * 10)  # three bytes of value and four of length each
    assert [fields[0] for fields in batches] == [10] * 10


# What the stream changes meanwhile

RELATION = write.table(4, (1, 0))


def streamed(*messages: bytes, xid: int = 9, commit_lsn: int = 1000, open_run: bool = False):
    """One transaction's batch."""
    decoder = kernel.RowDecoder(1 << 30, 1 << 40, readback=False)
    lane = LaneBuilder(1, RELATION)
    decoder.bind(100, lane)
    frames = [xlog_data(0, write.begin(commit_lsn, xid=xid))]
    frames += [xlog_data(500 + number, message) for number, message in enumerate(messages)]
    if not open_run:
        frames.append(xlog_data(commit_lsn, write.commit(commit_lsn, commit_lsn + 40)))
    decoder.decode_rows(frames)
    return lane.seal(decoder.open_run).batch


def merged(batches: list, *, rows=None) -> list[tuple]:
    chunk = copied(RELATION, rows or [[b"a", b"1", b"x", b"big"], [b"b", b"2", None, b"big2"]])
    changes = kernel.ChangedKeys(4, RELATION.key_indices)
    for batch, visible in batches:
        changes.take(batch, [not visible] * (len(batch.xids) // 4))
    found, *_ = kernel.merge(chunk, changes, 77, 5, 100, 1 << 20)
    return [row for fields in found for row in cells(RELATION, fields)]


A = (types_pb2.OPERATION_READ, 77, 0, (b"a", b"1", b"x", b"big"))
B = (types_pb2.OPERATION_READ, 77, 0, (b"b", b"2", NULL, b"big2"))
UPDATE_A = write.update(100, (b"a", b"1", b"new", UNCHANGED))
DELETE_A = write.delete(100, key=(b"a", b"1", None, None))


def completes(version: int) -> tuple:
    return (types_pb2.OPERATION_UPDATE, version, 9, (b"a", b"1", ABSENT, b"big"))


@pytest.mark.parametrize(
    ("messages", "visible", "wanted"),
    [
        ((UPDATE_A,), True, [A, B]),  # the chunk has it
        ((UPDATE_A,), False, [completes(1000), B]),
        ((write.update(100, (b"a", b"1", b"new", b"all")),), False, [B]),
        ((write.update(100, (b"a", b"1", b"new", b"all")), UPDATE_A), False, [B]),  # some image carries it
        ((UPDATE_A, DELETE_A), False, [B]),
        ((DELETE_A,), False, [B]),
        ((DELETE_A, write.insert(100, (b"a", b"1", b"n", None))), False, [B]),
        # Another row has moved to the key, and left its large value where it was: the chunk's is not its own.
        ((DELETE_A, write.update(100, (b"a", b"1", b"m", UNCHANGED), key=(b"z", b"9", None, None))), False, [B]),
        ((write.insert(100, (b"c", b"3", None, None)),), False, [A, B]),  # not in the chunk
        ((write.delete(100, key=(b"1", b"a", None, None)),), False, [A, B]),  # another key: the order counts
    ],
)
def test_newer_images_win_and_take_what_they_lack(messages, visible, wanted) -> None:
    assert merged([(streamed(*messages), visible)]) == wanted


def test_a_change_in_an_open_transaction_has_the_version_of_its_change() -> None:
    assert merged([(streamed(UPDATE_A, open_run=True), False)]) == [completes(500), B]


def test_only_keys_of_the_chunk_are_kept_when_asked() -> None:
    chunk = copied(RELATION, [[b"a", b"1", b"x", b"big"]])
    changes = kernel.ChangedKeys(4, RELATION.key_indices)
    others = [write.insert(100, (b"%d" % number, b"5", None, None)) for number in range(50)]
    changes.take(streamed(UPDATE_A, *others), [True])
    assert len(changes) == 51
    changes.restrict(chunk)
    assert len(changes) == 1
    changes.take(streamed(*others, commit_lsn=2000), [True])
    assert len(changes) == 1


# Versions above those of a load


def versions(floor: int, commit_lsn: int, *lsns: int) -> list[int]:
    decoder = kernel.RowDecoder(1 << 30, 1 << 40, readback=False)
    lane = LaneBuilder(1, RELATION)
    lane.version_floor = floor
    decoder.bind(100, lane)
    frames = [xlog_data(0, write.begin(commit_lsn))]
    frames += [xlog_data(lsn, write.insert(100, (b"%d" % lsn, b"1", None, None))) for lsn in lsns]
    decoder.decode_rows(frames)
    lsns_sent = lane.seal(decoder.open_run).batch.change_lsns
    return list(struct.unpack(f"<{len(lsns_sent) // 8}Q", lsns_sent))


def test_changes_from_before_a_load_are_raised_above_it_and_stay_below_their_commit() -> None:
    assert versions(0, 5000, 100, 4000) == [100, 4000]
    assert versions(3000, 5000, 100, 2999, 3000, 4000) == [3000, 3000, 3000, 4000]
    assert versions(9000, 5000, 100, 4000) == [4983, 4983]


def test_a_truncate_stays_between_the_changes_around_it() -> None:
    decoder = kernel.RowDecoder(1 << 30, 1 << 40, readback=False)
    lane = LaneBuilder(1, RELATION)
    decoder.bind(100, lane)
    decoder.decode_rows([xlog_data(0, write.begin(5000))])
    assert lane.barrier(200, decoder.open_run, decoder.commit_lsn) == 200
    lane.version_floor = 9000
    barriers = [lane.barrier(lsn, decoder.open_run, decoder.commit_lsn) for lsn in (300, 400)]
    decoder.decode_rows([xlog_data(450, write.insert(100, (b"a", b"1", None, None)))])
    (version,) = struct.unpack("<Q", lane.seal(decoder.open_run).batch.change_lsns)
    assert 4983 < barriers[0] < barriers[1] <= version < 5000
