"""Batches, windows, labels, lane states and verdicts: the small sans-IO parts."""

import itertools

import pytest
from dbmazz.errors import WireError
from dbmazz.v1 import change_pb2, transformer_pb2
from dbmazz.v1.load_pb2 import Verdict as ProtoVerdict
from dbmazz.wire import relation_to_proto
from dbmazz_transformer.protocol.batch import Batch, BatchKind, LaneDecoder
from dbmazz_transformer.protocol.label import LABEL, load_label
from dbmazz_transformer.protocol.lane_state import TRANSITIONS, LaneEvent, LaneState, next_state
from dbmazz_transformer.protocol.outcome import Outcome, Verdict, worst
from dbmazz_transformer.protocol.plan import LaneKey, PlanError, PlanOptions, plan_window
from dbmazz_transformer.protocol.window import Collector, Window, WindowLimits

from tests.unit.transformer.transformer_world import (
    ABSENT,
    INSERT,
    INT4,
    TEXT,
    UPDATE,
    Event,
    EventBatch,
    decode,
    relation,
    to_proto,
    window_of,
)

DOCS = relation(("id", INT4), ("body", TEXT))
LIMITS = WindowLimits(rows=10, bytes=1000, age_s=1.0)
_ids = itertools.count(1)


class Rows:
    """Stands in for packed rows where only their number counts."""

    def __init__(self, row_count: int) -> None:
        self.row_count = row_count


def rows(count: int, size: int = 10, source=DOCS) -> Batch:
    return Batch(next(_ids), BatchKind.ROWS, 0, source, Rows(count), 0, size)


def barrier(source=DOCS) -> Batch:
    return Batch(next(_ids), BatchKind.SCHEMA, 0, source)


def taken(collector: Collector, now: float = 0.0, **options) -> list[int] | int | None:
    """Batch ids of a window, the id of a barrier, or None."""
    item = collector.take(now, **{"idle": True, **options})
    return [batch.batch_id for batch in item.batches] if isinstance(item, Window) else item and item.batch_id


def collected(*batches: Batch, now: float = 0.0) -> Collector:
    collector = Collector(LIMITS)
    for batch in batches:
        collector.add(batch, now)
    return collector


def busy(*batches: Batch, now: float = 0.0) -> Collector:
    """Of a lane that has just had a window."""
    collector = collected(rows(1), now=now)
    assert taken(collector, now, flush=True)
    for batch in batches:
        collector.add(batch, now)
    return collector


def test_a_window_is_due_at_its_age():
    one, two = rows(1), rows(1)
    collector = busy(one)
    collector.add(two, 0.9)
    assert collector.due_time() == 1.0
    assert taken(collector, 0.99) is None
    assert taken(collector, 1.0) == [one.batch_id, two.batch_id]
    assert collector.due_time() is None


def test_the_first_window_after_a_rest_waits_only_for_what_comes_with_it():
    one, two = rows(1), rows(1)
    collector = collected(one, now=5.0)
    assert collector.due_time() == 5.1
    collector.add(two, 5.09)
    assert collector.due_time() == pytest.approx(5.19)
    assert taken(collector, 5.19) == [one.batch_id, two.batch_id]
    collector.add(three := rows(1), 5.3)
    assert collector.due_time() == 6.3, "one load a second, however little there is"
    assert taken(collector, 6.3) == [three.batch_id]
    collector.add(rows(1), 7.3)
    assert collector.due_time() == pytest.approx(7.4)


def test_what_never_rests_is_due_at_its_age():
    collector = collected(rows(1), now=5.0)
    for tick in range(1, 20):
        collector.add(rows(0), 5.0 + tick * 0.09)
    assert collector.due_time() == 6.0


def burst(collector: Collector, gap: float) -> float:
    """Rows come fast, a batch each `gap`, and stop at the time that is returned, in the middle of a window."""
    now = 0.0
    for _ in range(40):
        collector.add(rows(4), now := now + gap)
        if len(collector._segments) > 1:
            assert taken(collector, now)
    return now


def test_the_last_window_of_a_burst_does_not_wait_for_its_age():
    collector = busy()
    end = burst(collector, 0.01)
    assert collector.due_time() == pytest.approx(end + 0.1)


def test_a_steady_stream_is_no_burst():
    collector = busy()
    end = burst(collector, 0.2)
    due = collector.due_time()
    assert end + 4 * 0.2 - 0.2 - 1e-6 <= due <= end + 1.0, "the next batch comes before it is missed"


def test_a_small_window_does_not_end_early():
    collector = busy()
    end = burst(collector, 0.01)
    assert taken(collector, end, flush=True)
    collector.add(rows(1), end + 0.01)
    assert collector.due_time() == pytest.approx(end + 1.01)


def test_an_old_window_grows_while_the_last_one_loads():
    one, two, three = rows(4), rows(4), rows(4)
    collector = collected(one, two)
    assert taken(collector, 99.0, idle=False) is None
    collector.add(three, 99.0)
    assert taken(collector, 99.0, idle=False) == [one.batch_id, two.batch_id], (
        "it would have had more rows than allowed"
    )
    assert taken(collector, 99.0, idle=False) is None
    assert taken(collector, 100.0) == [three.batch_id]


@pytest.mark.parametrize(("count", "size"), [(10, 1), (1, 1000), (5000, 1), (1, 64 << 20)])
def test_a_full_window_is_due_at_once(count, size):
    batch = rows(count, size)
    assert taken(collected(batch), idle=False) == [batch.batch_id]


def test_a_larger_row_goes_alone():
    small, large, after = rows(1), rows(1, 64 << 20), rows(1)
    collector = collected(small, large, after)
    assert [taken(collector) for _ in range(3)] == [[small.batch_id], [large.batch_id], None]


def test_a_barrier_closes_the_window_before_it():
    one, two, wall, after = rows(1), rows(1), barrier(), rows(1)
    collector = collected(one, two, wall, after)
    assert [taken(collector, idle=False) for _ in range(3)] == [[one.batch_id, two.batch_id], wall.batch_id, None]
    assert taken(collector, flush=True) == [after.batch_id]


def test_another_relation_closes_the_window():
    other = relation(("id", INT4), ("body", TEXT), ("more", TEXT))
    one, two = rows(1), rows(1, source=other)
    assert taken(collected(one, two), idle=False) == [one.batch_id]


def test_heartbeats_do_not_wait():
    beat = Batch(next(_ids), BatchKind.HEARTBEAT, 5)
    collector = collected(beat, now=3.0)
    assert taken(collector, 3.0, idle=False) is None
    assert taken(collector, 3.0) == [beat.batch_id]


def test_a_window_without_rows_is_one_load_that_only_reports():
    beats = [Batch(4, BatchKind.HEARTBEAT, 50), Batch(6, BatchKind.HEARTBEAT, 70)]
    window = Window(None, 0.0)
    for beat in beats:
        window.add(beat, 0.0)
    plan = plan_window(window, None, LaneKey("s", 9, 0, 2), PlanOptions(True, True, ""))
    (load,) = plan.loads
    assert (load.table, load.row_count, load.body, load.label) == ("", 0, b"", "s_9_0_4-6_0")
    assert load.progress.batch_ids == (4, 6)
    assert load.progress.safe_lsns == (50, 70)
    assert (load.progress.part, load.progress.part_count) == (0, 1)


def test_rows_without_a_known_table_are_never_reported_as_done():
    window = window_of(decode(DOCS, [EventBatch(1, (Event(INSERT, (b"1", b"x"), 1),))]))
    with pytest.raises(PlanError, match="not known"):
        plan_window(window, None, LaneKey("s", 9, 1, 1), PlanOptions(True, True, ""))


# Decoding


def test_the_relation_holds_until_another_comes():
    decoder = LaneDecoder()
    first = decoder.decode(
        to_proto(DOCS, EventBatch(1, (Event(INSERT, (b"1", b"x"), 1),)), relation=relation_to_proto(DOCS))
    )
    second = decoder.decode(to_proto(DOCS, EventBatch(2, (Event(UPDATE, (b"1", ABSENT), 2),))))
    again = decoder.decode(to_proto(DOCS, EventBatch(3, ()), relation=relation_to_proto(DOCS)))
    assert first.relation == DOCS
    assert second.relation is first.relation is again.relation
    wider = relation(("id", INT4), ("body", TEXT), ("more", TEXT))
    change = decoder.decode(
        change_pb2.ChangeBatch(batch_id=4, kind=change_pb2.BATCH_KIND_SCHEMA, relation=relation_to_proto(wider))
    )
    assert change.is_barrier
    assert change.relation == wider


@pytest.mark.parametrize(
    ("proto", "words"),
    [
        (change_pb2.ChangeBatch(batch_id=1, kind=1), "before its lane's relation"),
        (change_pb2.ChangeBatch(batch_id=1, kind=99), "unknown kind 99"),
        (change_pb2.ChangeBatch(batch_id=0, kind=2), "came after"),
        (change_pb2.ChangeBatch(batch_id=1, kind=1, relation=relation_to_proto(DOCS), row_count=1), "ops is 0"),
    ],
)
def test_malformed_batches_are_named(proto, words):
    with pytest.raises(WireError, match=words):
        LaneDecoder().decode(proto)


@pytest.mark.parametrize("column", [1, 63, 64, 129])
@pytest.mark.parametrize("way", ["bit without length", "length without bit"])
def test_bitmap_and_lengths_must_agree(column, way):
    """An absent cell that passes for a present one would become an empty value in the target."""
    wide = relation(("id", INT4), *((f"c{number}", TEXT) for number in range(129)))
    cells = [b"1", *(b"v" for _ in range(129))]
    whole = Event(UPDATE, tuple(cells), 1)
    cells[column] = ABSENT
    lacking = to_proto(wide, EventBatch(1, (whole, Event(UPDATE, tuple(cells), 1))), relation=relation_to_proto(wide))
    LaneDecoder().decode(lacking)
    full = to_proto(wide, EventBatch(1, (whole, whole)), relation=relation_to_proto(wide))
    if way == "bit without length":
        full.absent_bitmaps = lacking.absent_bitmaps
        broken = full
    else:
        lacking.absent_bitmaps = full.absent_bitmaps
        broken = lacking
    with pytest.raises(WireError, match="absent_bitmaps"):
        LaneDecoder().decode(broken)


# Labels


def test_label_as_it_is():
    assert load_label("dbmazz_slot", 1_790_000_000, 3, 17, 19, 2) == "dbmazz_slot_1790000000_3_17-19_2"


@pytest.mark.parametrize("slot", ["s" * 63, "S" * 500, "mit leer", "ümlaut", "a/b", "line\n", ""])
def test_labels_are_always_valid(slot):
    largest = 2**63 - 1
    for numbers in [(1, 0, 1, 1, 0), (largest, 2**31 - 1, largest, largest, 2**31 - 1)]:
        assert LABEL.match(load_label(slot, *numbers))


def test_shortened_labels_stay_distinct():
    slots = ["x" * 200 + end for end in ("a", "b")] + ["a b", "a_b", "a\tb"]
    assert len({load_label(slot, 1, 1, 1, 1, 0) for slot in slots}) == len(slots)


# States and verdicts


def test_state_and_verdict_numbers_are_those_of_the_protos():
    assert {state.name: int(state) for state in LaneState} == {
        name.removeprefix("LANE_STATE_"): number for name, number in transformer_pb2.LaneState.items() if number
    }
    assert {verdict.name: int(verdict) for verdict in Verdict} == {
        name.removeprefix("VERDICT_"): number for name, number in ProtoVerdict.items() if number
    }
    assert {kind.name: int(kind) for kind in BatchKind} == {
        name.removeprefix("BATCH_KIND_"): number for name, number in change_pb2.BatchKind.items() if number
    }


def test_a_lanes_life():
    state = LaneState.IDLE
    for event in (LaneEvent.COLLECT, LaneEvent.SEND, LaneEvent.RETRY, LaneEvent.SEND, LaneEvent.PARK, LaneEvent.SEND):
        state = next_state(state, event)
    assert state is LaneState.LOADING
    assert next_state(state, LaneEvent.DONE) is LaneState.COLLECTING
    assert next_state(state, LaneEvent.DRAINED) is LaneState.IDLE
    with pytest.raises(KeyError):
        next_state(LaneState.IDLE, LaneEvent.SEND)


def test_every_state_is_reachable_and_can_be_left():
    assert set(TRANSITIONS.values()) == set(LaneState)
    for state in LaneState:
        assert any(start is state and end is not state for (start, _), end in TRANSITIONS.items())
        assert (state, LaneEvent.COLLECT) in TRANSITIONS, "a batch may come at any time"


def test_the_worst_outcome_decides():
    outcomes = [Outcome(Verdict.LOADED), Outcome(Verdict.PARK, "p"), Outcome(Verdict.RETRY, "r")]
    assert worst(outcomes).message == "p"
    assert worst([*outcomes, Outcome(Verdict.FENCED, "f")]).verdict is Verdict.FENCED


# Other limits on the way


def test_other_limits_hold_from_the_next_window_on():
    collector = collected(one := rows(4))
    collector.change(WindowLimits(rows=30, bytes=1000, age_s=60.0))
    collector.add(two := rows(10), 0.0)
    collector.add(three := rows(20), 0.0)
    collector.add(four := rows(1), 0.0)
    # What was being collected is closed as it is, and is due although a load is under way.
    assert taken(collector, idle=False) == [one.batch_id]
    assert taken(collector, idle=False) == [two.batch_id, three.batch_id]
    assert taken(collector, 59.9) is None
    assert taken(collector, 60.0) == [four.batch_id]


def test_other_limits_while_nothing_is_collected_and_behind_a_barrier():
    collector = collected()
    collector.change(WindowLimits(rows=1, bytes=1000, age_s=60.0))
    collector.add(one := rows(1), 0.0)
    assert taken(collector, idle=False) == [one.batch_id]
    collector.add(wall := barrier(), 0.0)
    collector.change(LIMITS)
    assert taken(collector) == wall.batch_id
    collector.add(two := rows(1), 0.0)
    assert taken(collector, 0.9) is None
    assert taken(collector, 1.0) == [two.batch_id]
