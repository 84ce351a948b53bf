"""The bench's workloads as messages in memory, for the kernels alone: windows of 10,000 rows in batches of 1,000.

W1 inserts in transactions of 500, W2 inserts, updates and deletes 60/30/10 in transactions of 10, W3 the same with full
images of the deleted rows, W4 updates that do not carry their TOAST value, W5 rows of 100 columns, W6 a hundred keys
updated for ever, and single-row transactions.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from dbmazz.relation import Column, Relation, ReplicaIdentity
from dbmazz.v1 import change_pb2
from dbmazz_transformer.protocol.layout import Layout, make_layout

from tests.unit.reader.pgoutput_messages import UNCHANGED, begin, commit, delete, insert, update, xlog_data
from tests.unit.transformer.transformer_world import (
    ABSENT,
    DELETE,
    INSERT,
    UPDATE,
    Event,
    EventBatch,
    target_of,
    to_proto,
)

ROWS, BATCH = 10_000, 1_000
_TAIL = (
    b',"dbmazz_op_type":%d,"dbmazz_is_deleted":%b,"dbmazz_synced_at":"2026-01-02 03:04:05.678901","dbmazz_cdc_version":'
)
TAILS = (_TAIL % (0, b"false"), _TAIL % (1, b"false"), _TAIL % (2, b"true"))
ORDERS = {
    "id": 20,
    "customer": 23,
    "status": 25,
    "note": 25,
    "amount": (12 << 16 | 2) + 4,
    "paid": 16,
    "created_at": 1184,
    "updated_at": 1114,
    "ref": 2950,
    "doc": 3802,
}


@dataclass(frozen=True)
class Workload:
    """One window: its batches as the transformer gets them, and its CopyData frames as the reader does."""

    layout: Layout
    batches: list[change_pb2.ChangeBatch]
    frames: list[bytes]


def layout_with(types: dict[str, int]) -> Layout:
    columns = tuple(
        # A number beyond the type OIDs used here is the modifier of a numeric.
        Column(name, 1700, oid, int(position == 0))
        if oid > 100_000
        else Column(name, oid, key_position=int(position == 0))
        for position, (name, oid) in enumerate(types.items())
    )
    source = Relation(7, "public", "t", ReplicaIdentity.DEFAULT, 1, columns)
    return make_layout(source, target_of(source))


def order(rng: random.Random, key: int) -> tuple:
    """About 280 bytes, as W1 has."""
    return (
        b"%d" % key,
        b"%d" % rng.randrange(1_000_000),
        rng.choice((b"new", b"paid", b"shipped")),
        b"an ordinary note of some words, number %d, and then a few more of them" % rng.randrange(10**9),
        b"%d.%02d" % (rng.randrange(10_000), rng.randrange(100)),
        rng.choice((b"t", b"f")),
        b"2026-01-02 03:04:05.%06d+00" % rng.randrange(10**6),
        rng.choice((None, b"2026-01-02 03:04:05")),
        b"5f3b2c1a-0000-4000-8000-%012d" % rng.randrange(10**9),
        b'{"k": "value %d", "n": [1, 2, 3], "deep": {"a": null}}' % rng.randrange(10**6),
    )


def packed(layout: Layout, changes: Iterator[tuple[int, tuple]], transaction: int) -> Workload:
    rows = [
        Event(op, values, 10**9 + number // transaction * 100, 0, 10**15 + number // transaction * 1_000)
        for number, (op, values) in zip(range(ROWS), changes, strict=False)
    ]
    source = layout.relation
    batches = [EventBatch(at // BATCH + 1, tuple(rows[at : at + BATCH])) for at in range(0, len(rows), BATCH)]
    return Workload(layout, [to_proto(source, batch) for batch in batches], list(copied(source, rows, transaction)))


def copied(source: Relation, rows: list[Event], transaction: int) -> Iterator[bytes]:
    """The frames that give these rows; a delete whose image lacks columns carries its key alone."""
    for at in range(0, len(rows), transaction):
        lsn = rows[at].commit_lsn
        yield xlog_data(lsn, begin(lsn))
        for row in rows[at : at + transaction]:
            values = [UNCHANGED if value is ABSENT else value for value in row.values]
            if row.op == INSERT:
                change = insert(source.relation_id, values)
            elif row.op == UPDATE:
                change = update(source.relation_id, values)
            elif UNCHANGED in values:
                change = delete(source.relation_id, key=[None if value is UNCHANGED else value for value in values])
            else:
                change = delete(source.relation_id, old=values)
            yield xlog_data(lsn, change)
        yield xlog_data(lsn, commit(lsn, lsn + 50))


def inserts(rng: random.Random) -> Iterator[tuple[int, tuple]]:
    for key in range(ROWS):
        yield INSERT, order(rng, key)


def mixed(rng: random.Random, full: bool) -> Iterator[tuple[int, tuple]]:
    key, live = 0, []
    while True:
        for op in (INSERT,) * 6 + (UPDATE,) * 3 + (DELETE,):
            if op == INSERT:
                key += 1
                live.append(key)
            at = key if op == INSERT else rng.choice(live[-2000:])
            row = order(rng, at)
            yield op, row if op != DELETE or full else (row[0], *[ABSENT] * (len(row) - 1))


def unchanged_toast(rng: random.Random) -> Iterator[tuple[int, tuple]]:
    for key in range(ROWS):
        yield UPDATE, (b"%d" % key, b"%d" % rng.randrange(10**6), ABSENT)


def wide(rng: random.Random) -> Iterator[tuple[int, tuple]]:
    for key in range(ROWS):
        yield INSERT, (b"%d" % key, *(b"value %d" % rng.randrange(10**6) for _ in range(99)))


def hot(rng: random.Random) -> Iterator[tuple[int, tuple]]:
    while True:
        yield UPDATE, order(rng, rng.randrange(100))


def workloads(rng: random.Random) -> dict[str, Workload]:
    orders = layout_with(ORDERS)
    documents = layout_with({"id": 20, "n": 23, "doc": 3802})
    hundred = layout_with({"id": 20} | {f"c{number}": 25 for number in range(99)})
    return {
        "W1": packed(orders, inserts(rng), 500),
        "W2": packed(orders, mixed(rng, full=False), 10),
        "W3": packed(orders, mixed(rng, full=True), 10),
        "W4": packed(documents, unchanged_toast(rng), 10),
        "W5": packed(hundred, wide(rng), 500),
        "W6": packed(orders, hot(rng), 10),
        "single": packed(orders, mixed(rng, full=False), 1),
    }
