"""Bodies and headers: names, large values, wide tables, what StarRocks must be told."""

import json
import time
from dataclasses import replace

import orjson
import pytest
from dbmazz.relation import Column, TypeFamily
from dbmazz.v1.load_pb2 import LoadRequest
from dbmazz_transformer.loaders import load_to_proto, load_to_wire
from dbmazz_transformer.protocol.layout import LayoutError, Target, make_layout
from dbmazz_transformer.protocol.malformed import EncodeError
from dbmazz_transformer.protocol.plan import PlanOptions, plan_window

from tests.unit.transformer.transformer_world import (
    ABSENT,
    BYTEA,
    INSERT,
    INT4,
    JSONB,
    KEY,
    SYNCED_AT,
    TEXT,
    UPDATE,
    Event,
    EventBatch,
    decode,
    layout_of,
    parsed,
    plan_events,
    relation,
    target_of,
    window_of,
)

AUDIT = ("`dbmazz_op_type`", "`dbmazz_is_deleted`", "`dbmazz_synced_at`", "`dbmazz_cdc_version`")


def plan_for(source, target: Target, *events: Event):
    window = window_of(decode(source, [EventBatch(1, events)]))
    return plan_window(window, make_layout(source, target), KEY, PlanOptions(True, True, SYNCED_AT))


def test_a_row_to_the_letter():
    source = relation(("id", INT4), ("body", TEXT))
    (load,) = plan_events(source, Event(INSERT, (b"1", b"x"), 4711)).loads
    assert load.body == (
        b'{"id":1,"body":"x","dbmazz_op_type":0,"dbmazz_is_deleted":false,'
        b'"dbmazz_synced_at":"2026-01-02 03:04:05.678901","dbmazz_cdc_version":4711}\n'
    )
    assert load.columns == ("`id`", "`body`", *AUDIT)
    assert load.table == "t"
    assert load.label == "slot_7_1_1-1_0"
    assert (load.progress.batch_ids, load.progress.part, load.progress.part_count) == ((1,), 0, 1)


def test_names_that_need_escaping():
    names = ['q"uote', "back\\slash", "new\nline", "sp ace", "é漢", "back`tick", "\x01"]
    source = relation(("id", INT4), *((name, TEXT) for name in names))
    (load,) = plan_events(source, Event(INSERT, (b"1", *(b"v" for _ in names)), 1)).loads
    (row,) = parsed(load)
    assert list(row)[1:-4] == names
    assert orjson.loads(load.body) == row
    assert "`back``tick`" in load.columns


def test_names_are_spelled_as_the_target_declares_them():
    source = relation(("Id", INT4), ("EMail", TEXT), ("note", TEXT), keys=("Id",))
    target = target_of(source)
    target = Target(target.table, ("id", "EMail", "NOTE", *target.columns[3:]))
    (load,) = plan_for(source, target, Event(UPDATE, (b"1", b"a", ABSENT), 1)).loads
    assert list(parsed(load)[0])[:2] == ["id", "EMail"]
    assert load.columns == ("`id`", "`EMail`", *AUDIT)
    assert load.absent_columns == ("note",)


def test_a_column_that_the_target_lacks_is_an_error_and_not_a_silent_loss():
    source = relation(("id", INT4), ("note", TEXT))
    columns = tuple(name for name in target_of(source).columns if name not in ("note", "dbmazz_cdc_version"))
    with pytest.raises(LayoutError, match="lacks columns: dbmazz_cdc_version, note"):
        make_layout(source, Target("t", columns))


def test_bytea_goes_through_a_mapping():
    source = relation(("id", INT4), ("raw", BYTEA), ("raw__b64", TEXT))
    (load,) = plan_events(source, Event(INSERT, (b"1", b"\\x00ff", b"taken"), 1)).loads
    assert load.columns[:4] == (
        "`id`",
        "`raw__b64_`",
        "`raw` = if(`raw__b64_` = '', '', from_base64(`raw__b64_`))",
        "`raw__b64`",
    )
    row = parsed(load)[0]
    assert (row["raw__b64_"], row["raw__b64"]) == ("AP8=", "taken")


def test_null_and_empty_are_distinct():
    source = relation(("id", INT4), ("a", TEXT), ("b", JSONB))
    events = [
        Event(INSERT, (b"%d" % n, a, b), 1) for n, (a, b) in enumerate([(b"", None), (None, b"null"), (b"x", b'""')])
    ]
    (load,) = plan_events(source, *events).loads
    assert [(row["a"], row["b"]) for row in parsed(load)] == [("", None), (None, None), ("x", "")]


def test_values_of_255_bytes_beside_null_and_absent():
    """Little-endian lengths of 255 next to -1 and -2 look like them to a careless search."""
    source = relation(("id", INT4), ("a", TEXT), ("b", TEXT))
    long = b"y" * 255
    rows = [(b"1", long, None), (b"2", None, long), (b"3", long, long), (b"4", ABSENT, long), (b"5", long, ABSENT)]
    plan = plan_events(source, *(Event(UPDATE, row, 1) for row in rows))
    seen = {row["id"]: (row.get("a", "-"), row.get("b", "-")) for load in plan.loads for row in parsed(load)}
    y = long.decode()
    assert seen == {1: (y, None), 2: (None, y), 3: (y, y), 4: ("-", y), 5: (y, "-")}


def test_box_arrays_and_malformed_values_name_their_column():
    source = relation(("id", INT4), ("flag", 16))
    with pytest.raises(EncodeError, match="column flag") as caught:
        plan_events(source, Event(INSERT, (b"1", b"s3cret"), 1))
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    boxes = relation(("id", INT4), ("b", 1020))
    column = Column("b", 1020, family=TypeFamily.ARRAY, element_type_oid=603)
    boxes = type(boxes)(**{**vars(boxes), "columns": (boxes.columns[0], column)})
    (load,) = plan_events(boxes, Event(INSERT, (b"1", b"{(1,1),(0,0);(2,2),(1,1)}"), 1)).loads
    assert parsed(load)[0]["b"] == ["(1,1),(0,0)", "(2,2),(1,1)"]


@pytest.mark.parametrize("filler", ["x", "\\u00e9", '\\"'], ids=["plain", "unicode escape", "quotes"])
def test_a_12_mb_document_is_embedded_as_it_is(filler):
    document = b'{"k": "%b", "n": 1.50}' % (filler * (12_000_000 // len(filler))).encode()
    source = relation(("id", INT4), ("doc", JSONB))
    (load,) = plan_events(source, Event(INSERT, (b"1", document), 1), Event(UPDATE, (b"1", ABSENT), 2)).loads
    assert document in load.body
    assert orjson.loads(load.body)["doc"] == orjson.loads(document)


def test_a_64_mb_row_costs_linear_time():
    """Four times the bytes take about four times the time; a quadratic step would take sixteen."""
    source = relation(("id", INT4), ("body", TEXT), ("doc", JSONB))

    def seconds(size: int) -> float:
        body = (b'plain text with "quotes" and \t tabs ' * (size // 36 + 1))[:size]
        window = window_of(
            decode(source, [EventBatch(1, (Event(INSERT, (b"1", body, b'"' + b"z" * size + b'"'), 1),))])
        )
        start = time.process_time()
        (load,) = plan_window(window, layout_of(source), KEY, PlanOptions(True, True, SYNCED_AT)).loads
        taken = time.process_time() - start
        assert len(load.body) > 2 * size
        return taken

    seconds(1 << 20)
    small, large = min(seconds(8 << 20) for _ in range(2)), seconds(32 << 20)
    assert large < 10 * small + 0.1


def test_1600_columns():
    source = relation(("id", INT4), *((f"c{number}", TEXT) for number in range(1599)))
    cells = [b"v%d" % number if number % 3 else ABSENT for number in range(1599)]
    (load,) = plan_events(source, Event(UPDATE, (b"1", *cells), 1)).loads
    (row,) = parsed(load)
    assert len(row) == 1 + sum(cell is not ABSENT for cell in cells) + 4
    assert len(load.absent_columns) == 533
    assert json.loads(load.body)["c1598"] == "v1598"


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16383, 16384, 2_097_152])
def test_a_request_is_what_the_library_would_have_written(size):
    """The body is put on the wire by hand; whoever reads it must find every field as it was."""
    source = relation(("id", INT4), ("body", TEXT), ("doc", JSONB))
    event = Event(UPDATE, (b"1", b"x", ABSENT), 100, 0, 5_000_000)
    (load,) = plan_events(source, event).loads
    load = replace(load, body=b"y" * size)
    request = LoadRequest.FromString(load_to_wire(load))
    expected = load_to_proto(load)
    expected.body = load.body
    assert request == expected
    assert request.progress.batch_ids == [1]
    assert [(run.commit_time_us, run.row_count) for run in request.commit_runs] == [(5_000_000, 1)]
    assert (request.table, list(request.absent_columns), request.update_count) == ("t", ["doc"], 1)
