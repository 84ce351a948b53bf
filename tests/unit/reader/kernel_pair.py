"""The compiled kernel and its plain reference side by side: every answer, error, counter and sealed byte is compared."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

from dbmazz.errors import DbmazzError
from dbmazz.rows import NULL
from dbmazz_reader.protocol import kernel

from tests.reference.reader.plain_decoder import PlainDecoder
from tests.reference.reader.plain_lane import PlainLane
from tests.unit.reader import pgoutput_messages as write
from tests.unit.reader.pgoutput_messages import UNCHANGED, xlog_data

COUNTERS = (
    *("open_rows", "open_bytes", "open_run", "xid", "committed_lsn", "last_lsn", "server_lsn"),
    *("row_count", "transaction_count", "unchanged_toast_count", "ignored_row_count"),
)
# Relation id, columns, key columns. Ids that are alike modulo 64 share a place in the kernel's table of near relations.
SHAPES = (
    (100, 1, (0,)),
    (164, 3, (0,)),
    (228, 10, (4, 2)),
    (101, 64, (63,)),
    (102, 65, (64, 0)),
    (103, 130, (1, 129, 70)),
)
LEFT_OUT = 356


class Pair:
    """Both decoders with the same lanes bound."""

    def __init__(
        self, row_limit: int = 1 << 40, byte_limit: int = 1 << 50, *, readback: bool = True, shapes=SHAPES, unread=()
    ) -> None:
        self.kernel = kernel.RowDecoder(row_limit, byte_limit, readback=readback)
        self.plain = PlainDecoder(row_limit, byte_limit, readback=readback)
        self.batches = 0
        for number, (oid, columns, keys) in enumerate(shapes, 1):
            relation = write.table(columns, keys, oid)
            for decoder, lane in (
                (self.kernel, kernel.PackedLane(number, relation)),
                (self.plain, PlainLane(number, relation)),
            ):
                lane.unread = oid in unread
                decoder.bind(oid, lane)
        self.kernel.bind(LEFT_OUT, None)
        self.plain.bind(LEFT_OUT, None)

    def decode(self, frames: Sequence[bytes], start: int = 0) -> tuple[int, int] | str:
        """What one call answers, or the text of the error that it raises; the same from both."""
        answers = [_answer(decoder, list(frames), start) for decoder in (self.kernel, self.plain)]
        assert answers[0] == answers[1]
        for counter in COUNTERS:
            if not isinstance(answers[0], str) or counter not in ("unchanged_toast_count", "ignored_row_count"):
                assert getattr(self.kernel, counter) == getattr(self.plain, counter), counter
        assert [(lane.lane, lane.row_count) for lane in self.kernel.open] == [
            (lane.lane, lane.row_count) for lane in self.plain.open
        ]
        return answers[0]

    def run(self, frames: Sequence[bytes], rng: random.Random | None = None) -> str:
        """All frames, sealing at limits and passing over what is not the kernel's; the text of the error that ended it."""
        at = 0
        while True:
            answer = self.decode(frames, at)
            if isinstance(answer, str):
                return answer
            at, stop = answer
            if stop == kernel.END:
                return ""
            if stop == kernel.LIMIT or (rng and rng.random() < 0.3):
                self.seal(rng)
            if stop in (kernel.KEEPALIVE, kernel.RARE):
                at += 1

    def seal(self, rng: random.Random | None = None) -> list[tuple]:
        """All open lanes, after what they want read back was answered at random; the fields of each."""
        sealed = []
        run = self.kernel.open_run
        for lane, plain in zip(self.kernel.take_open(), self.plain.take_open(), strict=True):
            assert lane.lane == plain.lane
            assert lane.readbacks == plain.readbacks
            assert lane.unchanged_toast_count == plain.unchanged_toast_count
            if rng is not None:
                completions = [
                    (asked.row, {column: rng.choice((None, b"", b"read", b"x" * 300)) for column in asked.columns})
                    for asked in lane.readbacks
                    if rng.random() < 0.8
                ]
                rng.shuffle(completions)
                lane.complete(completions)
                plain.complete(completions)
            sealed.append(lane.take(run))
            assert sealed[-1] == plain.take(run)
            assert (lane.row_count, lane.readbacks) == (0, [])
            self.batches += 1
        assert self.kernel.open_rows == self.kernel.open_bytes == 0
        return sealed


def _answer(decoder, frames: list[bytes], start: int) -> tuple[int, int] | str:
    try:
        return decoder.decode_rows(frames, start)
    except DbmazzError as error:
        return f"{type(error).__name__} {error}"


def random_value(rng: random.Random) -> bytes:
    return rng.randbytes(rng.choice((0, 1, 3, 8, 40, 300)))


def random_image(rng: random.Random, columns: int, keys: Sequence[int], unchanged: float) -> list:
    cells = [
        UNCHANGED if rng.random() < unchanged else None if rng.random() < 0.2 else random_value(rng)
        for _ in range(columns)
    ]
    for index in keys:
        cells[index] = b"%d" % rng.randrange(50)
    return cells


def random_row(rng: random.Random, oid: int, columns: int, keys: Sequence[int]) -> bytes:
    """A row message as PostgreSQL could write it, under any replica identity."""
    kind = rng.choice("IIIUUUUD")
    if kind == "I":
        return write.insert(oid, random_image(rng, columns, keys, 0))
    old = random_image(rng, columns, keys, 0)
    key_only = [cell if index in keys else None for index, cell in enumerate(old)]
    before = rng.choice(({"key": key_only}, {"old": old}, {} if kind == "U" else {"key": key_only}))
    if kind == "D":
        return write.delete(oid, **before)
    new = random_image(rng, columns, keys, rng.choice((0, 0, 0.3, 0.9)))
    if before:
        for index in keys:  # a large key that did not change is in the old image only
            new[index] = rng.choice((old[index], old[index], UNCHANGED, new[index]))
    return write.update(oid, new, **before)


def random_stream(rng: random.Random, transactions: int, shapes=SHAPES) -> list[bytes]:
    """CopyData frames of some transactions, with all that comes between them."""
    frames: list[bytes] = []
    lsn = rng.randrange(1 << 40)

    def add(body: bytes) -> None:
        nonlocal lsn
        lsn += rng.randrange(1, 1000)
        frames.append(xlog_data(lsn, body))

    others = (
        write.origin("somewhere"),
        write.message("prefix", b"content"),
        write.type_name(5, "public", "mood"),
        write.relation(100, "public", "t100", "d", [(1, "c0", 25, -1)]),
        write.truncate([100], 1),
    )
    for _ in range(transactions):
        commit_lsn = lsn + rng.randrange(1, 1 << 20)
        add(write.begin(commit_lsn, rng.randrange(1 << 52), rng.randrange(1 << 32)))
        for _ in range(rng.choice((0, 1, 3, 10, 40))):
            if rng.random() < 0.05:
                frames.append(b"k" + struct.pack(">QqB", lsn, 0, rng.randrange(2)))
            if rng.random() < 0.05:
                add(rng.choice(others))
            if rng.random() < 0.05:
                add(write.insert(LEFT_OUT, [b"1"]))
            add(random_row(rng, *rng.choice(shapes)))
        add(write.commit(commit_lsn, commit_lsn + 8))
    return frames


def cells_of(fields: tuple, columns: int) -> list[list[bytes | int]]:
    """The cells of sealed rows."""
    rows, lengths, data = fields[0], fields[8], fields[9]
    sizes = struct.unpack(f"<{rows * columns}i", lengths)
    at, cells = 0, []
    for size in sizes:
        cells.append(size if size < 0 else data[at : at + size])
        at += max(size, 0)
    assert at == len(data)
    assert min(sizes, default=NULL) >= -2
    return [cells[row * columns : (row + 1) * columns] for row in range(rows)]
