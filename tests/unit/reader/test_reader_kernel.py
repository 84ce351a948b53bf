"""The compiled kernel against its plain reference, and against what it must refuse."""

import gc
import random
import struct
import sys
import tracemalloc

import pytest
from dbmazz.errors import SourceError
from dbmazz.rows import ABSENT, NULL
from dbmazz_reader.protocol import kernel
from dbmazz_reader.protocol.malformed import MalformedMessage
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.reference.reader.plain_lane import PlainLane
from tests.unit.reader import pgoutput_messages as write
from tests.unit.reader.kernel_pair import LEFT_OUT, SHAPES, Pair, cells_of, random_stream
from tests.unit.reader.pgoutput_messages import UNCHANGED, xlog_data

# Hypothesis keeps no examples on disk: the sanitizer's run must not share them.
PROPERTY = settings(deadline=None, database=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
OID, COLUMNS, KEYS = 164, 3, (0,)
ROWS = [
    write.insert(OID, [b"s3cret", b"value", None]),
    write.insert(OID, [b"s3cret", b"", b"x" * 300]),
    write.update(OID, [b"s3cret", UNCHANGED, None]),
    write.update(OID, [b"new", b"s3cret", None], key=[b"s3cret", None, None]),
    write.update(OID, [UNCHANGED, b"s3cret", UNCHANGED], key=[b"s3cret", None, None]),
    write.update(OID, [b"new", b"v", UNCHANGED], old=[b"s3cret", b"v", b"s3cret"]),
    write.delete(OID, key=[b"s3cret", None, None]),
    write.delete(OID, old=[b"key", b"v", b"s3cret"]),
    write.commit(5000, 5008),
]


def begun(**options) -> Pair:
    pair = Pair(**options)
    assert pair.decode([xlog_data(1, write.begin(5000))]) == (1, kernel.END)
    return pair


@pytest.mark.parametrize("readback", [False, True])
def test_random_streams_give_the_same_batches(readback, seed):
    for round_ in range(25):
        rng = random.Random(f"{seed} {round_} {readback}")
        unread = [oid for oid, _, _ in SHAPES if rng.random() < 0.5]
        limits = rng.choice(((1 << 40, 1 << 50), (7, 1 << 50), (1 << 40, 2000), (1, 1)))
        pair = Pair(*limits, readback=readback, unread=unread)
        frames = random_stream(rng, 12)
        forms = [memoryview(frame) if rng.random() < 0.5 else frame for frame in frames]
        assert pair.run(forms, rng) == ""
        pair.seal(rng)
        assert pair.batches


def test_frames_may_come_in_any_portions(seed):
    rng = random.Random(seed)
    frames = random_stream(rng, 30)
    whole, parted = Pair(), Pair()
    assert whole.run(frames) == ""
    at = 0
    while at < len(frames):
        size = rng.choice((1, 2, 17, 200))
        assert parted.run(frames[at : at + size]) == ""
        at += size
    assert whole.seal() == parted.seal()


CELL = st.one_of(st.none(), st.just(UNCHANGED), st.binary(max_size=12))


@st.composite
def messages(draw):
    """Any images, also those that PostgreSQL would not write: of the wrong width, without keys, inserted without values."""
    oid, columns, _ = draw(st.sampled_from([*SHAPES[:3], (LEFT_OUT, 1, ()), (999, 2, ())]))
    width = draw(st.sampled_from([columns] * 8 + [columns + 1, 0]))
    image = st.lists(CELL, min_size=width, max_size=width)
    kind = draw(st.sampled_from("IUKOdeBC"))
    if kind == "I":
        return write.insert(oid, draw(image))
    if kind == "U":
        return write.update(oid, draw(image))
    if kind == "K":
        return write.update(oid, draw(image), key=draw(image) or [None])
    if kind == "O":
        return write.update(oid, draw(image), old=draw(image) or [None])
    if kind == "d":
        return write.delete(oid, key=draw(image) or [None])
    if kind == "e":
        return write.delete(oid, old=draw(image) or [None])
    commit_lsn = draw(st.sampled_from([5000, 6000, 2**64 - 1]))
    if kind == "B":
        return write.begin(commit_lsn, draw(st.integers(-(2**62), 2**62)), draw(st.integers(0, 2**32 - 1)))
    return write.commit(commit_lsn, draw(st.integers(0, 2**64 - 1)))


@PROPERTY
@given(st.lists(messages(), max_size=12), st.booleans(), st.sampled_from([1 << 40, 3]))
def test_any_messages_are_read_or_refused_alike(bodies, unread, row_limit):
    pair = begun(unread=[oid for oid, _, _ in SHAPES] if unread else (), row_limit=row_limit)
    pair.run([xlog_data(10 + index, body) for index, body in enumerate(bodies)])
    pair.seal()


@PROPERTY
@given(st.lists(st.one_of(st.binary(max_size=60), st.binary(max_size=40).map(lambda b: xlog_data(1, b))), max_size=5))
@example([b""])
@example([b"w"])
@example([b"w" + bytes(24)])
@example([b"k"])
@example([b"k" + bytes(17), b"k" + bytes(16) + b"\1", b"k" + bytes(18)])
def test_any_bytes_are_read_or_refused_alike(frames):
    begun().run(frames)


@pytest.mark.parametrize("body", ROWS, ids=lambda body: chr(body[0]) + chr(body[5]))
def test_message_cut_anywhere_is_refused_and_leaves_nothing_behind(body):
    pair = begun()
    whole = xlog_data(1, body)
    for part in [whole[:size] for size in range(len(whole))] + [whole + b"\0"]:
        said = pair.decode([part])
        assert said.startswith("MalformedMessage"), part
        assert "s3cret" not in said
        assert pair.kernel.open == []
        assert pair.kernel.open_rows == 0
    assert pair.decode([whole]) == (1, kernel.END)


HOSTILE = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


@pytest.mark.parametrize("body", ROWS, ids=lambda body: chr(body[0]) + chr(body[5]))
def test_any_length_may_lie(body):
    # Behind the first 60 bytes of the longest there is nothing but its value.
    for at in range(1, min(len(body), 60)):
        for value in HOSTILE:
            for layout in (">B", ">H", ">I"):
                size = struct.calcsize(layout)
                if at + size > len(body) or value >= 1 << 8 * size:
                    continue
                damaged = bytearray(body)
                struct.pack_into(layout, damaged, at, value)
                pair = begun(unread=[OID], shapes=SHAPES[1:2])
                pair.run([xlog_data(1, bytes(damaged))])
                pair.seal()


def test_named_errors_say_where():
    decoder = begun().kernel
    with pytest.raises(MalformedMessage) as caught:
        decoder.decode_rows([xlog_data(1, write.insert(OID, [b"1", b"2"]))])
    assert (caught.value.letter, caught.value.offset) == ("I", 6)
    assert caught.value.problem == "row of 2 columns, expected 3"
    lying = b"I" + struct.pack(">IcHcI", OID, b"N", 3, b"t", 0xFFFFFFFF) + b"abc"
    with pytest.raises(MalformedMessage, match="ends within a row") as caught:
        decoder.decode_rows([xlog_data(1, lying)])
    assert caught.value.offset == len(lying)
    with pytest.raises(SourceError, match="does not carry the table's key"):
        decoder.decode_rows([xlog_data(1, write.delete(OID, key=[None, b"1", None]))])


def test_commit_time_that_no_number_holds_is_refused():
    body = b"B" + struct.pack(">QqI", 1, 2**63 - 1, 1)
    assert "commit time out of range" in Pair().decode([xlog_data(1, body)])


@pytest.mark.parametrize("columns", [1, 63, 64, 65, 127, 128, 129, 1600])
def test_bitmaps_of_any_width(columns, seed):
    rng = random.Random(seed + columns)
    keys = (columns - 1,)
    pair = begun(shapes=[(7, columns, keys)])
    images = []
    for _ in range(20):
        image = [rng.choice((UNCHANGED, None, b"v")) for _ in range(columns)]
        image[-1] = b"key"
        images.append(image)
        assert pair.decode([xlog_data(1, write.update(7, image))]) == (1, kernel.END)
    (fields,) = pair.seal()
    words = (columns + 63) // 64
    for row, (image, cells) in enumerate(zip(images, cells_of(fields, columns), strict=True)):
        assert cells == [ABSENT if cell is UNCHANGED else NULL if cell is None else cell for cell in image]
        bits = int.from_bytes(fields[7][row * 8 * words : (row + 1) * 8 * words], "little")
        assert bits == sum(1 << index for index, cell in enumerate(image) if cell is UNCHANGED)


def test_what_is_not_bytes_is_refused():
    decoder = kernel.RowDecoder(1, 1, readback=False)
    with pytest.raises(TypeError):
        decoder.decode_rows(["text"])
    with pytest.raises(TypeError):
        decoder.decode_rows((b"k",))
    with pytest.raises(IndexError):
        decoder.decode_rows([], -1)
    view = memoryview(xlog_data(1, write.begin(1)))
    with pytest.raises(BufferError):
        decoder.decode_rows([view[::2]])
    view.release()
    with pytest.raises(ValueError, match="released"):
        decoder.decode_rows([view])
    with pytest.raises(TypeError):
        decoder.bind(1, object())


def test_completions_that_do_not_fit_are_refused_and_change_nothing():
    pair = begun(unread=[OID])
    pair.run([xlog_data(1, write.update(OID, [b"k", UNCHANGED, b"z"]))] * 3)
    lane = pair.kernel.open[0]
    for wrong in ([(3, {})], [(-1, {})], [(1, {1: b"x"}), (1, {1: b"y"})]):
        with pytest.raises(ValueError, match="row"):
            lane.complete(wrong)
    with pytest.raises(TypeError):
        lane.complete([(0, {1: "text"})])
    # A column that is not absent, or not there, is left alone.
    lane.complete([(2, {0: b"no", 1: b"yes", 9: b"no"})])
    fields = lane.take(0)
    assert cells_of(fields, 3) == [[b"k", ABSENT, b"z"]] * 2 + [[b"k", b"yes", b"z"]]


def test_frames_are_not_held_and_memory_is_given_back(seed):
    frames = random_stream(random.Random(seed), 20)
    broken = [frames[0], xlog_data(1, write.insert(OID, [b"1" * 10_000, b"2"])[:-1])]
    pair = Pair()

    def everything() -> None:
        pair.run(frames)
        pair.seal()
        Pair().run(broken)

    everything()
    held = sys.getrefcount(frames[0])
    tracemalloc.start()
    try:
        now = 0
        for _ in range(5):
            everything()
            gc.collect()
            # The kernel's own blocks are seen by tracemalloc as well.
            last, now = now, tracemalloc.get_traced_memory()[0]
        assert now <= last + 1000
    finally:
        tracemalloc.stop()
    still_held = sys.getrefcount(frames[0])
    assert still_held == held


def test_relations_that_share_a_place_are_told_apart(seed):
    rng = random.Random(seed)
    shapes = [(7 + 64 * number, 1, (0,)) for number in range(20)]
    pair = begun(shapes=shapes)
    frames = [xlog_data(1, write.insert(rng.choice(shapes)[0], [b"%d" % n])) for n in range(2000)]
    assert pair.run(frames) == ""
    # The one that was asked for last is bound anew.
    assert pair.run([xlog_data(1, write.insert(7, [b"last"]))]) == ""
    other = write.table(2, (1,), 7)
    pair.kernel.bind(7, kernel.PackedLane(99, other))
    pair.plain.bind(7, PlainLane(99, other))
    assert pair.run([xlog_data(1, write.insert(7, [b"1", b"2"]))]) == ""
    assert len(pair.seal()) == 21
