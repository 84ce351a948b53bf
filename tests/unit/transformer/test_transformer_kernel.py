"""The kernel against the plain reference: the same bytes, groups, counts and refusals for whatever may come."""

from __future__ import annotations

import gc
import random
import tracemalloc

import pytest
from dbmazz.errors import WireError
from dbmazz.relation import Column, Relation, ReplicaIdentity, TypeFamily
from dbmazz_transformer.protocol import kernel
from dbmazz_transformer.protocol.layout import Layout, make_layout
from dbmazz_transformer.protocol.malformed import EncodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference.transformer.windows import by_kernel, by_reference
from tests.unit.transformer.transformer_world import (
    ABSENT,
    DELETE,
    INSERT,
    READ,
    UPDATE,
    Event,
    EventBatch,
    target_of,
    to_proto,
)

TAILS = (b',"op":0,"v":', b',"op":1,"v":', b',"op":2,"v":')

# Type OID, and values in PostgreSQL's text form: usual ones, those at the edges, those with a policy.
TYPES: dict[int, list[bytes]] = {
    16: [b"t", b"f"],
    17: [b"\\x", b"\\x00", b"\\x00ff", b"\\xABCDEF", b"\\x" + b"0123456789abcdef" * 9],
    20: [b"0", b"-9223372036854775808", b"9223372036854775807"],
    23: [b"1", b"-1", b"2147483647"],
    25: [b"", b"plain", b'q"uote', b"back\\slash", b"1234567\n", b"\x01\x1f\x7f", "é 漢 😀".encode(), b"x" * 300],
    114: [b"null", b'{"a":\n [1, 2.50]}', b"\n\n", b'"\\n"', b"[" * 20 + b"]" * 20],
    700: [b"1.5", b"3.4028235e+38", b"-3.4028235e+38", b"NaN", b"-Infinity"],
    701: [b"1e+308", b"-0", b"Infinity", b"NaN"],
    1043: [b"", b"tab\there", b"\x00zero"],
    1082: [b"2024-02-29", b"0044-03-15 BC", b"infinity", b"10000-01-01"],
    1114: [b"2024-02-29 23:59:59.999999", b"0044-03-15 10:00:00 BC", b"-infinity", b"10000-01-01 00:00:00"],
    1184: [b"2024-02-29 23:59:59+00", b"2024-02-29 23:59:59.25-03", b"0001-01-01 00:00:00+14", b"infinity"],
    (10 << 16 | 2) + 4: [b"1.50", b"-0.01", b"NaN"],  # numeric(10,2), by its modifier
    1700: [b"3." + b"1" * 50, b"NaN"],
    2950: [b"5f3b2c1a-0000-4000-8000-000000000001"],
    3802: [b'{"k": "v"}', b"12345678901234567890", b"true"],
}
# Element's type OID, and literals.
ARRAYS: dict[int, list[bytes]] = {
    16: [b"{t,f,NULL}", b"{}"],
    23: [b"{1,-2,NULL}", b"{{1,2},{3,NULL}}", b"[0:2]={7,8,9}", b"[-1:0][2:3]={{1,2},{3,4}}", b"1 2 3", b"{1,}"],
    25: [b'{a,NULL,"NULL",null}', b'{"",",","{","}","a b"}', b'{"a\\"b","c\\\\d"}', b'{"line\nbreak"}', b"{", b""],
    603: [b"{(1,1),(0,0);(2,2),(1,1)}"],
    701: [b"{1.5,NaN,-Infinity}"],
    3802: [b'{"{\\"a\\": [1, \\"x,y\\"]}",NULL,3}'],
}


def column_of(name: str, oid: int, key_position: int = 0) -> Column:
    if oid > 100_000:
        return Column(name, 1700, oid, key_position)
    return Column(name, oid, key_position=key_position)


def array_of(name: str, element: int) -> Column:
    return Column(name, 1, family=TypeFamily.ARRAY, element_type_oid=element)


def layout_with(columns: list[Column]) -> Layout:
    source = Relation(7, "public", "t", ReplicaIdentity.DEFAULT, 1, tuple(columns))
    return make_layout(source, target_of(source))


def random_layout(rng: random.Random, width: int) -> tuple[Layout, list[list[bytes]]]:
    """A relation of any types, its key anywhere and in any order, and the values that its columns may have."""
    columns, values = [], []
    for number in range(width):
        if rng.random() < 0.2:
            oid = rng.choice(list(ARRAYS))
            columns.append(array_of(f"c{number}", oid))
            values.append(ARRAYS[oid])
        else:
            oid = rng.choice(list(TYPES))
            columns.append(column_of(f"c{number}", oid))
            values.append(TYPES[oid])
    positions = rng.sample(range(width), rng.choice((1, 1, min(2, width), min(3, width))))
    for place, index in enumerate(positions, 1):
        columns[index] = column_of(f"c{index}", rng.choice((20, 23, 25, 2950)), place)
        values[index] = [b"%d" % number for number in range(rng.choice((2, 5, 40)))]
    return layout_with(columns), values


def random_window(rng: random.Random, layout: Layout, values: list[list[bytes]]) -> list:
    """Batches as they cannot all come from PostgreSQL: any operation on any key, any column absent."""
    absent = rng.choice((0.0, 0.0, 0.1, 0.7))
    batches, lsn = [], 1000
    for batch_id in range(1, rng.randint(1, 4) + 1):
        events = []
        for _ in range(rng.choice((0, 1, 5, 30))):
            if rng.random() < 0.3:
                lsn += 8
            cells = []
            for column, choices in zip(layout.relation.columns, values, strict=True):
                if not column.key_position and rng.random() < absent:
                    cells.append(ABSENT)
                elif not column.key_position and rng.random() < 0.15:
                    cells.append(None)
                else:
                    cells.append(rng.choice(choices))
            op = rng.choice((INSERT, UPDATE, UPDATE, DELETE, READ))
            # Commit times go back now and then: clocks do.
            events.append(Event(op, tuple(cells), lsn, lsn - rng.randint(1, 7), lsn * 10 % 97))
        open_tail = bool(events) and rng.random() < 0.5
        batches.append(to_proto(layout.relation, EventBatch(batch_id, tuple(events), open_tail)))
    return batches


@pytest.mark.parametrize("round_number", range(150))
def test_the_kernel_does_what_the_reference_does(seed, round_number):
    rng = random.Random(seed * 1000 + round_number)
    layout, values = random_layout(rng, rng.choice((1, 2, 5, 9, 63, 64, 65, 130)))
    batches = random_window(rng, layout, values)
    for soft_delete in (True, False):
        expected = by_reference(batches, layout, TAILS, soft_delete=soft_delete)
        assert by_kernel(batches, layout, TAILS, soft_delete=soft_delete) == expected


@pytest.mark.parametrize("width", [1599, 1600, 1601])
def test_the_widest_tables(seed, width):
    rng = random.Random(seed + width)
    layout, values = random_layout(rng, width)
    batches = random_window(rng, layout, values)
    assert by_kernel(batches, layout, TAILS) == by_reference(batches, layout, TAILS)


def test_many_keys_and_hot_keys(seed):
    """Beyond what fits one table of hashes by chance: 20,000 rows of 7,000 keys, and 5,000 of three."""
    rng = random.Random(seed)
    layout = layout_with([column_of("id", 20, 1), column_of("n", 23), column_of("body", 25)])
    for keys, rows in ((7_000, 20_000), (3, 5_000)):
        events = [
            Event(
                rng.choice((INSERT, UPDATE, DELETE)),
                (b"%d" % rng.randrange(keys), b"%d" % number, rng.choice((ABSENT, b"x", None))),
                number // 10,
                0,
                number // 10,
            )
            for number in range(rows)
        ]
        batches = [
            to_proto(layout.relation, EventBatch(number, tuple(events[at : at + 999])))
            for number, at in enumerate(range(0, rows, 999), 1)
        ]
        assert by_kernel(batches, layout, TAILS) == by_reference(batches, layout, TAILS)


OPS = st.sampled_from((INSERT, UPDATE, DELETE, READ))
CELLS = st.one_of(st.just(ABSENT), st.none(), st.binary(max_size=20))


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(
        st.tuples(OPS, st.binary(min_size=0, max_size=2), st.lists(CELLS, min_size=3, max_size=3)), max_size=12
    ),
    soft_delete=st.booleans(),
)
def test_any_bytes_in_text_and_json(rows, soft_delete):
    layout = layout_with([column_of("a", 25), column_of("id", 25, 1), column_of("b", 3802), column_of("c", 25)])
    events = [Event(op, (cells[0], key, cells[1], cells[2]), 1) for op, key, cells in rows]
    batches = [to_proto(layout.relation, EventBatch(1, tuple(events)))]
    expected = by_reference(batches, layout, TAILS, soft_delete=soft_delete)
    assert by_kernel(batches, layout, TAILS, soft_delete=soft_delete) == expected


def outcome(write, *arguments):
    try:
        return write(*arguments)
    except (WireError, EncodeError) as error:
        return type(error).__mro__[-4:], None if isinstance(error, WireError) else str(error)


# Bytes that the value readers look at, so that a guess often comes near to something.
PIECES = [
    b"{",
    b"}",
    b'"',
    b"\\",
    b",",
    b";",
    b"NULL",
    b"[0:1]=",
    b"-",
    b"2024",
    b"+00",
    b"+05:30",
    b"C",
    b"\\x",
    b"0a",
]
PIECES += [b"9", b"t", b"f", b"NaN", b":", b" ", b"\n", b"\0", b"\xff", b"3.4028235e+38", b"-01-01 10:00:00", b"e"]


@pytest.mark.parametrize("kind", [*TYPES, *(f"array of {oid}" for oid in ARRAYS)])
def test_values_that_may_not_be_of_their_type(seed, kind):
    rng = random.Random(f"{seed} {kind}")
    oid = int(str(kind).removeprefix("array of "))
    column, known = (array_of("v", oid), ARRAYS) if isinstance(kind, str) else (column_of("v", oid), TYPES)
    layout = layout_with([column_of("id", 23, 1), column])
    refused = 0
    for _ in range(300):
        text = b"".join(rng.choices([*PIECES, *known[oid]], k=rng.randint(0, 5)))
        if rng.random() < 0.3:
            text = mutated(rng, rng.choice(known[oid]))
        batch = to_proto(layout.relation, EventBatch(1, (Event(INSERT, (b"1", text), 1),)))
        expected = outcome(by_reference, [batch], layout, TAILS)
        assert outcome(by_kernel, [batch], layout, TAILS) == expected, text
        refused += isinstance(expected[0], tuple)
    assert refused < 300


def mutated(rng: random.Random, text: bytes) -> bytes:
    changed = bytearray(text)
    for _ in range(rng.randint(1, 2)):
        at = rng.randint(0, len(changed))
        changed[at : at + rng.randint(0, 2)] = rng.choice(PIECES)
    return bytes(changed)


def test_a_key_that_is_missing_is_refused_before_one_that_is_null():
    layout = layout_with([column_of("id", 23, 1), column_of("n", 23)])
    null = Event(UPDATE, (None, b"1"), 1)
    absent = Event(UPDATE, (ABSENT, b"1"), 1)
    fine = Event(UPDATE, (b"1", b"1"), 1)
    for events, says in (((fine, null), "key is NULL"), ((null, fine, absent), "does not carry its key")):
        batch = to_proto(layout.relation, EventBatch(1, events))
        for write in (by_reference, by_kernel):
            with pytest.raises(WireError, match=says):
                write([batch], layout, TAILS)


def test_what_the_caller_may_not_ask():
    layout = layout_with([column_of("id", 23, 1), column_of("n", 23)])
    batch = to_proto(layout.relation, EventBatch(1, (Event(INSERT, (b"1", b"2"), 1),)))
    rows = kernel.Rows(batch, 2)
    for keys in ([2], [-1], [0, 5]):
        with pytest.raises(ValueError, match="key column"):
            kernel.fold([rows], keys, non_key_bitmap=0, soft_delete=True)
    with pytest.raises(WireError, match="no key columns"):
        kernel.fold([rows], [], non_key_bitmap=0, soft_delete=True)
    wide = layout_with([column_of(f"c{number}", 23, int(number == 0)) for number in range(3)])
    other = kernel.Rows(to_proto(wide.relation, EventBatch(1, (Event(INSERT, (b"1", b"2", b"3"), 1),))), 3)
    with pytest.raises(ValueError, match="same columns"):
        kernel.fold([rows, other], [0], non_key_bitmap=0, soft_delete=True)
    (group,) = kernel.fold([rows], [0], non_key_bitmap=2, soft_delete=True).groups
    with pytest.raises(ValueError, match="other columns"):
        kernel.Writer(wide.columns).encode(group, TAILS)
    for nothing in (batch, None):
        with pytest.raises(TypeError):
            kernel.fold([nothing], [0], non_key_bitmap=2, soft_delete=True)
    with pytest.raises(TypeError):
        kernel.Writer(layout.columns).encode(None, TAILS)
    with pytest.raises(TypeError):
        kernel.Writer(layout.columns).encode(group, (None, None, None))
    with pytest.raises(TypeError, match="made by fold"):
        kernel.Group()
    with pytest.raises(ValueError, match="other columns"):
        kernel.Writer(layout.columns).encode(kernel.Group.__new__(kernel.Group), TAILS)
    assert kernel.fold([], [0], non_key_bitmap=0, soft_delete=True).groups == []


@pytest.mark.parametrize("limit", [2, 3, 7, 256])
def test_commit_times_beyond_the_limit_are_told_more_coarsely(seed, limit):
    rng = random.Random(seed + limit)
    layout = layout_with([column_of("id", 23, 1)])
    for times in (
        [rng.randrange(1_000_000) for _ in range(400)],
        [rng.choice((-(2**63), 2**63 - 1, 0)) for _ in range(9)],
        [5] * 20,
        list(range(256)),
    ):
        events = [Event(INSERT, (b"%d" % at,), at + 1, 0, time) for at, time in enumerate(times)]
        batch = to_proto(layout.relation, EventBatch(1, tuple(events)))
        (group,) = kernel.fold([kernel.Rows(batch, 1)], [0], non_key_bitmap=0, soft_delete=True).groups
        runs = group.commit_runs(limit)
        assert len(runs) <= limit
        assert sum(rows for _, rows in runs) == len(times)
        assert [time for time, _ in runs] == sorted({time for time, _ in runs} & set(times))
        assert runs[0][0] == min(times)
        if len(set(times)) <= limit:
            assert runs == tuple(sorted((time, times.count(time)) for time in set(times)))
        else:
            step = (max(times) - min(times)) // limit + 1
            spans = sorted({(time - min(times)) // step for time in times})
            assert [(time - min(times)) // step for time, _ in runs] == spans
    with pytest.raises(ValueError, match="at least two"):
        group.commit_runs(1)


def test_nothing_is_kept_of_what_is_done_or_refused(seed):
    """Memory of the kernel is counted by tracemalloc, as it comes from Python's allocators."""
    rng = random.Random(seed)
    layout = layout_with([column_of("id", 23, 1), column_of("flag", 16), column_of("b", 25), array_of("a", 25)])

    def event(flag: bytes) -> Event:
        cells = (b"%d" % rng.randrange(3), flag, rng.choice((ABSENT, b"x")), b'{"a\\"b"}')
        return Event(UPDATE, cells, 1)

    batches = {
        flag: to_proto(layout.relation, EventBatch(1, tuple(event(flag) for _ in range(50)))) for flag in (b"t", b"?")
    }
    torn = to_proto(layout.relation, EventBatch(1, (event(b"t"),)))
    torn.data += b"more"

    def use() -> None:
        assert outcome(by_kernel, [batches[b"t"]], layout, TAILS)[0] == 47
        assert "flag" in outcome(by_kernel, [batches[b"?"]], layout, TAILS)[1]
        assert outcome(by_kernel, [torn], layout, TAILS)[1] is None

    for _ in range(3):
        use()
    gc.collect()
    tracemalloc.start()
    try:
        use()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(200):
            use()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 2_000
