"""TailChanges costs nothing without callers, filters, and drops rather than waits."""

from dbmazz.v1 import types_pb2
from dbmazz_reader import inspection as module
from dbmazz_reader.inspection import Inspection, Wish
from dbmazz_reader.protocol.cuts import Cutter, SealedBatch
from dbmazz_reader.protocol.decoder import Decoder
from dbmazz_reader.protocol.lanes import LaneBuilder
from google.protobuf.json_format import MessageToDict

from tests.unit.reader import pgoutput_messages as write
from tests.unit.reader.pgoutput_messages import UNCHANGED, xlog_data


def sealed(*bodies: bytes) -> SealedBatch:
    decoder = Decoder(1 << 20, 1 << 30, readback=False)
    decoder.bind(7, LaneBuilder(1, write.table(2, (0,), 7)))
    messages = [write.begin(90, 1_700_000_000_000_001, 5), *bodies, write.commit(90, 98)]
    decoder.decode([xlog_data(index, body) for index, body in enumerate(messages)])
    return Cutter(1, 0).cut(decoder)[0]


async def test_rows_are_readable_and_filtered():
    inspection = Inspection()
    batch = sealed(write.insert(7, [b"1", None]), write.update(7, [b"1", UNCHANGED]), write.delete(7, key=[b"1", None]))
    inspection.offer(batch)  # nobody listens: nothing is kept
    some = Wish(frozenset({"public.t7"}), frozenset({types_pb2.OPERATION_UPDATE}), with_cells=True)
    with (
        inspection.listening(Wish()) as all_rows,
        inspection.listening(some) as updates,
        inspection.listening(Wish(frozenset({"public.other"}))) as other,
    ):
        inspection.offer(batch)
        assert [listener.queue.qsize() for listener in (all_rows, updates, other)] == [3, 1, 0]
        row = await updates.next()
        assert (row.table, row.commit_lsn, row.xid, row.commit_time.nanos) == ("public.t7", "0/5A", 5, 1000)
        assert [(cell.column, cell.WhichOneof("value")) for cell in row.cells] == [("c0", "text"), ("c1", "absent")]
        inserted, updated, deleted = [await all_rows.next() for _ in range(3)]
        assert MessageToDict(inserted)["row"] == {"c0": "1", "c1": None}
        assert (MessageToDict(updated)["row"], list(updated.absent_columns)) == ({"c0": "1"}, ["c1"])
        assert (MessageToDict(deleted)["row"], list(deleted.absent_columns)) == ({"c0": "1"}, ["c1"])
        assert not inserted.cells and not row.HasField("row")
    inspection.offer(batch)
    assert updates.queue.empty()


async def test_long_values_are_cut_and_tell_their_length():
    inspection = Inspection()
    long = "é" * 201
    with inspection.listening(Wish()) as usual, inspection.listening(Wish(value_limit=3)) as brief:
        inspection.offer(sealed(write.insert(7, [b"1234", long.encode()]), write.insert(7, [b"\xff", b"x" * 200])))
        assert MessageToDict(await usual.next())["row"] == {"c0": "1234", "c1": "é" * 200 + "… (201 characters)"}
        assert MessageToDict(await usual.next())["row"] == {"c0": "\ufffd", "c1": "x" * 200}
        assert MessageToDict(await brief.next())["row"] == {"c0": "123… (4 characters)", "c1": "ééé… (201 characters)"}


async def test_slow_caller_misses_rows_and_is_told(monkeypatch):
    inspection = Inspection()
    with inspection.listening(Wish(with_cells=True)) as listener:
        rows = [write.insert(7, [b"%d" % number, b"x" * 100]) for number in range(module.QUEUE_ROWS + 5)]
        inspection.offer(sealed(*rows))
        assert listener.queue.qsize() == module.QUEUE_ROWS
        await listener.next()
        inspection.offer(sealed(write.insert(7, [b"last", None])))
        taken = [await listener.next() for _ in range(module.QUEUE_ROWS)]
        assert [row.dropped_count for row in taken if row.dropped_count] == [5]
        assert (taken[-1].cells[0].text, taken[-1].dropped_count) == ("last", 5)
        assert listener.waiting_bytes == 0
        monkeypatch.setattr(module, "QUEUE_BYTES", 300)
        inspection.offer(sealed(*rows))
        assert listener.queue.qsize() < 5
