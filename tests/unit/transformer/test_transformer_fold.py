"""Folding and grouping, by hand-written cases: what one window makes of the events of a few keys."""

import pytest
from dbmazz.errors import WireError
from dbmazz_transformer.protocol.kernel import fold

from tests.unit.transformer.transformer_world import (
    ABSENT,
    DELETE,
    INSERT,
    INT4,
    READ,
    TEXT,
    UPDATE,
    Event,
    EventBatch,
    decode,
    parsed,
    plan_events,
    plan_of,
    relation,
)

DOCS = relation(("id", INT4), ("n", INT4), ("body", TEXT))


def by_signature(plan) -> dict[tuple, dict]:
    return {load.absent_columns: {row["id"]: row for row in parsed(load)} for load in plan.loads}


def values(row: dict) -> tuple:
    return tuple(value for name, value in row.items() if not name.startswith("dbmazz_"))


def test_mixed_batch_makes_the_right_groups():
    """The predecessor's worst defect (L4), and the INSERT with a partial UPDATE of the same key behind it."""
    plan = plan_events(
        DOCS,
        Event(INSERT, (b"1", b"10", b"a"), 100),
        Event(UPDATE, (b"2", b"20", ABSENT), 100),
        Event(INSERT, (b"3", b"30", b"c"), 100),
        Event(UPDATE, (b"4", b"40", b"new"), 100),
        Event(INSERT, (b"5", b"50", b"e"), 100),
        Event(UPDATE, (b"5", b"51", ABSENT), 200),
    )
    full, partial = by_signature(plan)[()], by_signature(plan)[("body",)]
    assert {key: values(row) for key, row in full.items()} == {
        1: (1, 10, "a"),
        3: (3, 30, "c"),
        4: (4, 40, "new"),
        5: (5, 51, "e"),
    }
    assert {key: values(row) for key, row in partial.items()} == {2: (2, 20)}
    assert [full[key]["dbmazz_op_type"] for key in (1, 3, 4, 5)] == [0, 0, 1, 0]
    assert full[5]["dbmazz_cdc_version"] == 200
    assert [load.partial_update for load in plan.loads] == [False, True]
    assert (plan.row_count, plan.folded_count) == (6, 1)
    assert plan.loads[1].columns[:2] == ("`id`", "`n`")
    assert "`body`" not in plan.loads[1].columns


def test_the_same_beyond_column_64():
    wide = relation(("id", INT4), *((f"c{number}", TEXT) for number in range(1, 130)))

    def row(key: bytes, **given) -> tuple:
        cells = [b"v%d" % number for number in range(1, 130)]
        for name, value in given.items():
            cells[int(name[1:]) - 1] = value
        return (key, *cells)

    plan = plan_events(
        wide,
        Event(INSERT, row(b"1"), 100),
        Event(UPDATE, row(b"2", c70=ABSENT, c129=ABSENT), 100),
        Event(INSERT, row(b"3", c129=b"e"), 100),
        Event(UPDATE, row(b"3", c128=b"x", c129=ABSENT), 100),
        Event(UPDATE, row(b"4", c129=None), 100),
    )
    groups = by_signature(plan)
    assert set(groups) == {(), ("c70", "c129")}
    assert set(groups[()]) == {1, 3, 4}
    assert (groups[()][3]["c128"], groups[()][3]["c129"], groups[()][4]["c129"]) == ("x", "e", None)
    assert not {"c70", "c129"} & set(groups["c70", "c129"][2])
    assert len(groups["c70", "c129"][2]) == 130 - 2 + 4


@pytest.mark.parametrize(
    ("events", "op", "cells"),
    [
        ([(INSERT, b"1", b"x")], 0, (1, "x")),
        ([(READ, b"1", b"x")], 0, (1, "x")),
        ([(UPDATE, b"1", b"x")], 1, (1, "x")),
        ([(INSERT, b"1", b"x"), (UPDATE, b"2", ABSENT)], 0, (2, "x")),
        ([(READ, b"1", b"x"), (UPDATE, b"2", ABSENT)], 0, (2, "x")),
        # A new TOAST value stays through a later update that leaves it unchanged.
        ([(UPDATE, b"1", b"new"), (UPDATE, b"2", ABSENT), (UPDATE, b"3", ABSENT)], 1, (3, "new")),
        # NULL is a value: it is not resurrected.
        ([(UPDATE, b"1", b"x"), (UPDATE, b"1", None), (UPDATE, b"2", ABSENT)], 1, (2, None)),
        ([(INSERT, b"1", b"x"), (DELETE, ABSENT, ABSENT)], 2, (1, "x")),
        ([(UPDATE, b"1", ABSENT), (DELETE, ABSENT, ABSENT)], 2, (1,)),
        ([(DELETE, ABSENT, ABSENT)], 2, ()),
        ([(DELETE, b"1", b"old")], 2, (1, "old")),
        ([(DELETE, ABSENT, ABSENT), (INSERT, b"2", b"again")], 0, (2, "again")),
        ([(DELETE, ABSENT, ABSENT), (INSERT, b"2", b"again"), (UPDATE, b"3", ABSENT)], 0, (3, "again")),
        ([(INSERT, b"1", b"x"), (DELETE, ABSENT, ABSENT), (INSERT, b"2", b"y")], 0, (2, "y")),
        # An upsert that a key change left behind a delete of the same key.
        ([(DELETE, ABSENT, ABSENT), (UPDATE, b"2", b"moved")], 1, (2, "moved")),
    ],
)
def test_images_of_one_key(events, op, cells):
    plan = plan_events(DOCS, *(Event(kind, (b"7", n, body), 100) for kind, n, body in events))
    (load,) = plan.loads
    (row,) = parsed(load)
    assert values(row) == (7, *cells)
    assert row["dbmazz_op_type"] == op
    assert row["dbmazz_is_deleted"] is (op == 2)
    assert plan.folded_count == len(events) - 1


def test_values_are_carried_over_batches_and_through_chains():
    wide = relation(("id", INT4), ("a", TEXT), ("b", TEXT), ("c", TEXT))
    plan = plan_of(
        wide,
        [
            EventBatch(
                1, (Event(UPDATE, (b"1", b"a1", b"b1", ABSENT), 10), Event(UPDATE, (b"2", b"x", b"y", b"z"), 10))
            ),
            EventBatch(2, (Event(UPDATE, (b"1", b"a2", ABSENT, ABSENT), 20),)),
            EventBatch(3, (Event(UPDATE, (b"1", ABSENT, ABSENT, b"c3"), 30),)),
        ],
    )
    (load,) = plan.loads
    rows = {row["id"]: values(row) for row in parsed(load)}
    assert rows == {1: (1, "a2", "b1", "c3"), 2: (2, "x", "y", "z")}


def test_composite_key_in_its_own_order():
    lines = relation(("qty", INT4), ("line", INT4), ("order_id", INT4), keys=("order_id", "line"))
    plan = plan_events(
        lines,
        Event(INSERT, (b"1", b"1", b"12"), 10),
        Event(INSERT, (b"2", b"11", b"2"), 10),
        Event(UPDATE, (b"3", b"1", b"12"), 10),
    )
    (load,) = plan.loads
    assert [(row["order_id"], row["line"], row["qty"]) for row in parsed(load)] == [(2, 11, 2), (12, 1, 3)]


def test_versions_and_commit_runs():
    batch = EventBatch(
        1,
        (
            Event(INSERT, (b"1", b"1", b"x"), 100, 91, 1_000),
            Event(INSERT, (b"2", b"1", b"x"), 100, 92, 1_000),
            Event(UPDATE, (b"1", b"2", ABSENT), 300, 201, 2_000),
        ),
        open_tail=True,
    )
    (load,) = plan_of(DOCS, [batch]).loads
    versions = {row["id"]: row["dbmazz_cdc_version"] for row in parsed(load)}
    assert versions == {2: 100, 1: 201}, "inside an open transaction the change's own LSN guards the row"
    assert load.commit_runs == ((1_000, 1), (2_000, 1))
    assert (load.insert_count, load.update_count, load.delete_count) == (2, 0, 0)


def test_real_deletes_go_in_a_load_of_their_own():
    plan = plan_events(
        DOCS,
        Event(INSERT, (b"1", b"1", b"x"), 100),
        Event(UPDATE, (b"2", b"1", ABSENT), 100),
        Event(DELETE, (b"3", ABSENT, ABSENT), 100),
        Event(UPDATE, (b"4", b"9", b"y"), 100),
        Event(DELETE, (b"4", ABSENT, ABSENT), 100),
        soft_delete=False,
    )
    assert [load.version_column for load in plan.loads] == ["dbmazz_cdc_version", "dbmazz_cdc_version", ""]
    removing = plan.loads[-1]
    assert parsed(removing) == [{"id": 3, "__op": 1}, {"id": 4, "__op": 1}]
    assert removing.columns == ("`id`", "`__op`")
    assert (removing.partial_update, removing.delete_count) == (True, 2)
    assert removing.absent_columns == ("n", "body")


def test_parts_come_by_signature_and_not_by_first_row():
    plan = plan_events(
        DOCS,
        Event(DELETE, (b"1", ABSENT, ABSENT), 100),
        Event(UPDATE, (b"2", ABSENT, ABSENT), 100),
        Event(UPDATE, (b"3", b"1", ABSENT), 100),
        Event(UPDATE, (b"4", ABSENT, b"x"), 100),
        Event(INSERT, (b"5", b"1", b"x"), 100),
        soft_delete=False,
    )
    assert [load.absent_columns for load in plan.loads] == [(), ("n",), ("body",), ("n", "body"), ("n", "body")]
    assert [load.delete_count for load in plan.loads] == [0, 0, 0, 0, 1]
    assert [load.label for load in plan.loads] == [f"slot_7_1_1-1_{part}" for part in range(5)]


def test_soft_deletes_carry_the_guard_where_it_is_on():
    (guarded,) = plan_events(DOCS, Event(DELETE, (b"3", ABSENT, ABSENT), 100)).loads
    (open_,) = plan_events(DOCS, Event(DELETE, (b"3", ABSENT, ABSENT), 100), version_guard=False).loads
    assert (guarded.version_column, open_.version_column) == ("dbmazz_cdc_version", "")
    assert guarded.body == open_.body


@pytest.mark.parametrize("key", [ABSENT, None])
def test_a_row_without_key_is_refused(key):
    with pytest.raises(WireError, match="key"):
        plan_events(DOCS, Event(UPDATE, (key, b"1", b"x"), 100))


def test_an_unknown_operation_is_refused():
    with pytest.raises(WireError, match="unknown operation"):
        plan_events(DOCS, Event(9, (b"1", b"1", b"x"), 100))


def test_a_relation_without_key_is_refused():
    rows = [batch.rows for batch in decode(DOCS, [EventBatch(1, (Event(INSERT, (b"1", b"1", b"x"), 1),))])]
    with pytest.raises(WireError, match="no key columns"):
        fold(rows, (), non_key_bitmap=0, soft_delete=True)
