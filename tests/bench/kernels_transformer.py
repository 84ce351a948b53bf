"""What the transformer's kernel costs per row, beside the plain reference: `python -m tests.bench.kernels_transformer`.

Windows of 10,000 rows in batches of 1,000, shaped as the bench's workloads are: W1 inserts in transactions of 500, W2 inserts,
updates and deletes 60/30/10 in transactions of 10, W3 the same with full images of the deleted rows, W4 updates that do not
carry their TOAST value, W5 rows of 100 columns, W6 a hundred keys updated for ever, and single-row transactions. CPU time in
µs per row, medians; kernel and reference take turns. `decode` is protobuf's part: from the message's bytes to a ChangeBatch.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dbmazz.relation import Column, Relation, ReplicaIdentity
from dbmazz.v1 import change_pb2
from dbmazz_transformer.protocol import kernel
from dbmazz_transformer.protocol.layout import Layout, make_layout
from dbmazz_transformer.protocol.plan import COMMIT_RUNS

from tests.reference.transformer.windows import by_reference
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
    """One window's batches, as messages."""

    layout: Layout
    batches: list[change_pb2.ChangeBatch]


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
    return Workload(layout, [to_proto(source, batch) for batch in batches])


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


def microseconds(work: Callable[[], object]) -> tuple[float, object]:
    start = time.process_time()
    result = work()
    return (time.process_time() - start) * 1e6 / ROWS, result


def kernel_steps(workload: Workload, messages: list[bytes]) -> dict[str, float]:
    """Each step by itself, in the order of the path."""
    columns = len(workload.layout.columns)
    writer = kernel.Writer(workload.layout.columns)
    keys, non_key = workload.layout.relation.key_indices, workload.layout.non_key_bitmap
    decode, batches = microseconds(lambda: [change_pb2.ChangeBatch.FromString(message) for message in messages])
    check, rows = microseconds(lambda: [kernel.Rows(batch, columns) for batch in batches])
    fold, folded = microseconds(lambda: kernel.fold(rows, keys, non_key_bitmap=non_key, soft_delete=True))
    encode, bodies = microseconds(lambda: [writer.encode(group, TAILS) for group in folded.groups])
    runs, _ = microseconds(lambda: [group.commit_runs(COMMIT_RUNS) for group in folded.groups])
    size = sum(len(body) for body, _ in bodies)
    return {"decode": decode, "check": check, "fold": fold, "encode": encode, "runs": runs, "bytes": size / ROWS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--reference-rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(f"µs per row, {ROWS} rows, medians of {options.rounds} (reference: {options.reference_rounds})")
    print("| | decode | check | fold, group | encode | commit runs | kernel | reference | times | body B/row |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, workload in workloads(random.Random(options.seed)).items():
        messages = [batch.SerializeToString() for batch in workload.batches]
        steps, references = [], []
        for number in range(options.rounds):
            steps.append(kernel_steps(workload, messages))
            if number < options.reference_rounds:
                references.append(microseconds(lambda: by_reference(workload.batches, workload.layout, TAILS))[0])  # noqa: B023
        middle = {key: statistics.median(step[key] for step in steps) for key in steps[0]}
        total = middle["check"] + middle["fold"] + middle["encode"] + middle["runs"]
        reference = statistics.median(references)
        figures = [*(middle[key] for key in ("decode", "check", "fold", "encode", "runs")), total, reference]
        cells = " | ".join(f"{figure:.3f}" for figure in figures)
        print(f"| {name} | {cells} | {reference / total:.0f} | {middle['bytes']:.0f} |")


if __name__ == "__main__":
    main()
