"""The kernels alone, beside the plain references: `make bench ARGS='--only kernels'`, or this file given to pytest.

One round is a window of 10,000 rows. The transformer's round goes from the message's bytes to bodies, the reader's from
CopyData frames to sealed fields.
"""

from __future__ import annotations

import random

import pytest
from dbmazz.allocator import keep_freed_memory
from dbmazz.v1 import change_pb2
from dbmazz_reader.protocol import kernel as reader_kernel
from dbmazz_transformer.protocol import kernel
from dbmazz_transformer.protocol.plan import COMMIT_RUNS

from tests.bench.kernel_windows import ROWS, TAILS, Workload, workloads
from tests.reference.reader.plain_decoder import PlainDecoder
from tests.reference.reader.plain_lane import PlainLane
from tests.reference.transformer.windows import by_reference

# As in the services: else the pages of each body are what is measured.
keep_freed_memory()
WINDOWS = workloads(random.Random(1))
NO_LIMIT = 1 << 50

every_window = pytest.mark.parametrize("name", WINDOWS)


def described(benchmark, workload: str, of: str) -> Workload:
    benchmark.group = f"{of} {workload}"
    benchmark.extra_info.update({"workload": workload, "of": of, "rows": ROWS})
    return WINDOWS[workload]


def by_kernel(messages: list[bytes], workload: Workload) -> int:
    """Bytes of the bodies."""
    columns, relation = workload.layout.columns, workload.layout.relation
    rows = [kernel.Rows(change_pb2.ChangeBatch.FromString(message), len(columns)) for message in messages]
    bitmap = workload.layout.non_key_bitmap
    folded = kernel.fold(rows, relation.key_indices, non_key_bitmap=bitmap, soft_delete=True)
    writer, size = kernel.Writer(columns), 0
    for group in folded.groups:
        body, _ = writer.encode(group, TAILS)
        group.commit_runs(COMMIT_RUNS)
        size += len(body)
    return size


def decoded(decoder, lane, frames: list[bytes]) -> int:
    """Rows that were sealed."""
    decoder.bind(lane.relation.relation_id, lane)
    at, stop = decoder.decode_rows(frames)
    assert (at, stop) == (len(frames), reader_kernel.END)
    return sum(lane.take(0)[0] for lane in decoder.take_open())


@every_window
def test_transformer_kernel(benchmark, name):
    workload = described(benchmark, name, "transformer")
    messages = [batch.SerializeToString() for batch in workload.batches]
    assert benchmark(by_kernel, messages, workload) > 0


@every_window
def test_transformer_reference(benchmark, name):
    workload = described(benchmark, name, "transformer")
    folded, parts = benchmark.pedantic(by_reference, (workload.batches, workload.layout, TAILS), rounds=2)
    assert folded == ROWS - sum(len(part.rows) for part in parts)


@every_window
def test_reader_kernel(benchmark, name):
    workload = described(benchmark, name, "reader")
    relation = workload.layout.relation

    def fresh() -> tuple[tuple, dict]:
        decoder = reader_kernel.RowDecoder(NO_LIMIT, NO_LIMIT, readback=True)
        return (decoder, reader_kernel.PackedLane(1, relation), workload.frames), {}

    assert benchmark.pedantic(decoded, setup=fresh, rounds=30) == ROWS


@every_window
def test_reader_reference(benchmark, name):
    workload = described(benchmark, name, "reader")
    relation = workload.layout.relation

    def fresh() -> tuple[tuple, dict]:
        return (PlainDecoder(NO_LIMIT, NO_LIMIT, readback=True), PlainLane(1, relation), workload.frames), {}

    assert benchmark.pedantic(decoded, setup=fresh, rounds=2) == ROWS
