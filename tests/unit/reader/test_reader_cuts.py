"""Batch ids, safe LSNs and barriers over random transactions."""

import random

from dbmazz.rows import unpack
from dbmazz.v1 import change_pb2
from dbmazz_reader.protocol.cuts import Cutter
from dbmazz_reader.protocol.decoder import Decoder
from dbmazz_reader.protocol.lanes import LaneBuilder

from tests.unit.reader import pgoutput_messages as write
from tests.unit.reader.pgoutput_messages import xlog_data


def test_safe_lsn_never_runs_ahead_of_what_batches_hold(seed):
    rng = random.Random(seed)
    decoder = Decoder(1 << 30, 1 << 40, readback=False)
    for number in range(1, 5):
        decoder.bind(number, LaneBuilder(number, write.table(1, (0,), number)))
    cutter = Cutter(epoch=9, safe_lsn=50)
    batches, ends, written = [], {}, {}
    lsn = 100
    for transaction in range(201):
        # The last one ends with the final cut: one whose rows were cut before its commit waits for a heartbeat.
        last = transaction == 200
        commit_lsn = lsn + 1000
        messages = [(lsn, write.begin(commit_lsn, xid=transaction))]
        for change in range(1 if last else rng.choice((0, 1, 3, 20))):
            lsn += 10
            messages.append((lsn, write.insert(rng.randint(1, 4), [b"%d.%d" % (transaction, change)])))
            written[commit_lsn] = written.get(commit_lsn, 0) + 1
        messages.append((commit_lsn, write.commit(commit_lsn, commit_lsn + 8)))
        ends[commit_lsn] = commit_lsn + 8
        lsn = commit_lsn + 20
        for message in messages:
            decoder.decode([xlog_data(*message)])
            if not last and rng.random() < 0.1:
                batches += cutter.cut(decoder)
    batches += cutter.cut(decoder)
    assert [sealed.batch_id for sealed in batches] == list(range(1, len(batches) + 1))
    held: dict[int, int] = {}
    previous = 50
    for sealed in batches:
        batch = sealed.batch
        assert (batch.epoch, batch.batch_id, batch.lane) == (9, sealed.batch_id, sealed.lane)
        rows = unpack(batch, 1)
        for commit_lsn, count in zip(rows.commit_lsns, rows.run_row_counts, strict=True):
            held[commit_lsn] = held.get(commit_lsn, 0) + count
        assert batch.safe_lsn >= previous
        previous = batch.safe_lsn
        for commit_lsn, count in written.items():
            if ends[commit_lsn] <= batch.safe_lsn:
                assert held.get(commit_lsn, 0) == count, "declared safe before all its rows were in batches"
        # A row's version lies between the commits before and its own.
        for version, commit_lsn in zip(
            rows.versions(),
            (c for c, n in zip(rows.commit_lsns, rows.run_row_counts, strict=True) for _ in range(n)),
            strict=True,
        ):
            assert commit_lsn - 1020 < version <= commit_lsn
    assert previous == ends[max(written)]
    assert sum(held.values()) == sum(written.values())


def test_barriers_and_heartbeats_keep_the_position():
    decoder = Decoder(10, 1 << 20, readback=False)
    lane = LaneBuilder(3, write.table(1, (0,), 7))
    decoder.bind(7, lane)
    cutter = Cutter(epoch=1, safe_lsn=40)
    schema = cutter.schema(3, lane.relation)
    assert (schema.batch.kind, schema.batch.safe_lsn, schema.batch.row_count) == (change_pb2.BATCH_KIND_SCHEMA, 40, 0)
    decoder.decode(
        [xlog_data(50, write.begin(90)), xlog_data(51, write.insert(7, [b"1"])), xlog_data(60, write.insert(7, [b"2"]))]
    )
    (rows,) = cutter.cut(decoder)
    truncate = cutter.truncate(lane, 70)
    assert (rows.batch.safe_lsn, truncate.batch.safe_lsn) == (40, 40)
    assert (truncate.batch.kind, truncate.batch.barrier_lsn) == (change_pb2.BATCH_KIND_TRUNCATE, 70)
    assert unpack(rows.batch, 1).versions() == [51, 60]
    decoder.decode([xlog_data(80, write.insert(7, [b"3"])), xlog_data(90, write.commit(90, 98))])
    (last,) = cutter.cut(decoder, 0.2501)
    assert (rows.batch.age_ms, last.batch.age_ms) == (0, 251)
    assert (last.batch.safe_lsn, last.batch_id) == (98, 4)
    beat = cutter.heartbeat(120)
    assert (beat.batch.kind, beat.lane, beat.relation) == (change_pb2.BATCH_KIND_HEARTBEAT, 0, None)
    assert (beat.batch.safe_lsn, beat.batch_id) == (120, 5)
    assert cutter.heartbeat(100).batch.safe_lsn == 120
