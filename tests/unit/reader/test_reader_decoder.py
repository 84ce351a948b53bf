"""Rows: decoded, packed, sealed and read again, held to a slow reference; and what is no row is refused."""

import random
import struct
from array import array

import pytest
from dbmazz.errors import SourceError
from dbmazz.rows import ABSENT, NULL, unpack
from dbmazz.v1 import change_pb2, types_pb2
from dbmazz_reader.protocol.decoder import Decoder, KeepaliveSeen, LimitReached, RelationSeen, TruncateSeen
from dbmazz_reader.protocol.frames import Keepalive
from dbmazz_reader.protocol.lanes import LaneBuilder
from dbmazz_reader.protocol.malformed import MalformedMessage

from tests.unit.reader import pgoutput_messages as write
from tests.unit.reader.pgoutput_messages import UNCHANGED, xlog_data

OID = 100
INSERT, UPDATE, DELETE = types_pb2.OPERATION_INSERT, types_pb2.OPERATION_UPDATE, types_pb2.OPERATION_DELETE


def decoder_of(columns: int, keys=(0,), *, readback: bool = False) -> tuple[Decoder, LaneBuilder]:
    decoder = Decoder(1 << 30, 1 << 40, readback=readback)
    lane = LaneBuilder(1, write.table(columns, keys, OID))
    decoder.bind(OID, lane)
    return decoder, lane


def decode(decoder: Decoder, *bodies: bytes, lsn: int = 1000) -> None:
    messages = [xlog_data(lsn + index, body) for index, body in enumerate(bodies)]
    assert decoder.decode(messages) == (len(messages), None)


def sealed(decoder: Decoder) -> list[tuple[LaneBuilder, change_pb2.ChangeBatch]]:
    return [(lane, response.batch) for lane, response in decoder.seal()]


def cells_of(batch, columns: int) -> list[tuple[int, list]]:
    """(operation, cells) per row, NULL and ABSENT as numbers."""
    rows = unpack(batch, columns)
    return [(rows.ops[row], [rows.cell(row, column) for column in range(columns)]) for row in range(rows.row_count)]


def transaction(*bodies: bytes, lsn: int = 5000) -> list[bytes]:
    return [write.begin(lsn), *bodies, write.commit(lsn, lsn + 8)]


def reference(columns: int, keys, changes) -> list[tuple[int, list]]:
    """What the rows must be: one obvious rule after another, cell by cell."""
    rows = []
    for kind, old_kind, old, new in changes:
        plain_old = None
        if old is not None:
            plain_old = [NULL if cell is None else cell for cell in old]
            if old_kind == "K":
                plain_old = [cell if index in keys else ABSENT for index, cell in enumerate(plain_old)]
        if kind == "delete":
            rows.append((DELETE, plain_old))
            continue
        plain_new = [NULL if cell is None else ABSENT if cell is UNCHANGED else cell for cell in new]
        if plain_old is not None:
            for index in range(columns):
                if plain_new[index] == ABSENT and (old_kind == "O" or index in keys):
                    plain_new[index] = plain_old[index]
            if any(plain_old[index] != plain_new[index] for index in keys):
                rows.append((DELETE, plain_old))
        rows.append((INSERT if kind == "insert" else UPDATE, plain_new))
    return rows


def random_change(rng: random.Random, columns: int, keys) -> tuple:
    def value():
        return rng.randbytes(rng.choice((0, 1, 5, 40))).hex().encode()

    def image(unchanged: float):
        cells = [
            UNCHANGED if rng.random() < unchanged else None if rng.random() < 0.2 else value() for _ in range(columns)
        ]
        for index in keys:
            cells[index] = value() + b"k"
        return cells

    kind = rng.choice(("insert", "update", "update", "update", "delete"))
    if kind == "insert":
        return kind, "", None, image(0)
    old_kind = rng.choice("KO" if kind == "delete" else ["", "K", "O"])
    old = image(0) if old_kind else None
    if old_kind == "K":
        old = [cell if index in keys else None for index, cell in enumerate(old)]
    if kind == "delete":
        return kind, old_kind, old, None
    new = image(0.3)
    if old_kind and rng.random() < 0.5:
        for index in keys:  # a large key that did not change is sent in the old image only
            new[index] = rng.choice((old[index], UNCHANGED))
    return kind, old_kind, old, new


def written(kind: str, old_kind: str, old, new) -> bytes:
    before = {"K": {"key": old}, "O": {"old": old}}.get(old_kind, {})
    if kind == "insert":
        return write.insert(OID, new)
    return write.delete(OID, **before) if kind == "delete" else write.update(OID, new, **before)


@pytest.mark.parametrize("columns", [1, 2, 10, 63, 64, 65, 128, 130, 300])
def test_random_rows_survive(columns, seed):
    rng = random.Random(seed + columns)
    keys = rng.sample(range(columns), min(columns, rng.choice((1, 1, 2, 3))))
    decoder, lane = decoder_of(columns, keys)
    changes = [random_change(rng, columns, keys) for _ in range(60)]
    decode(decoder, *transaction(*(written(*change) for change in changes)))
    ((sealed_lane, batch),) = sealed(decoder)
    expected = reference(columns, keys, changes)
    assert sealed_lane is lane
    assert cells_of(batch, columns) == expected
    assert decoder.row_count == len(expected)
    assert decoder.unchanged_toast_count == sum(
        cell is UNCHANGED for change in changes if change[3] for cell in change[3]
    )
    packed = unpack(batch, columns)
    for row, (_, cells) in enumerate(expected):
        assert packed.bitmaps[row] == sum(1 << index for index, cell in enumerate(cells) if cell == ABSENT)
    assert sealed(decoder) == []


def test_runs_tell_transactions_apart():
    decoder, _ = decoder_of(1)
    for number in (1, 2, 3):
        rows = [write.insert(OID, [b"%d" % value]) for value in range(number)]
        bodies = [write.begin(number * 100, 1_700_000_000_000_000 + number, number), *rows]
        decode(decoder, *bodies, write.commit(number * 100, number * 100 + 8))
    ((_, batch),) = sealed(decoder)
    packed = unpack(batch, 1)
    assert list(packed.run_row_counts) == [1, 2, 3]
    assert list(packed.commit_lsns) == [100, 200, 300]
    assert list(packed.xids) == [1, 2, 3]
    assert packed.commit_times[2] == 1_700_000_000_000_003
    assert packed.versions() == [100, 200, 200, 300, 300, 300]
    assert not batch.change_lsns
    assert decoder.committed_lsn == 308


def test_open_transaction_is_versioned_by_change():
    decoder, _ = decoder_of(1)
    decode(decoder, *transaction(write.insert(OID, [b"1"]), lsn=500))
    decode(decoder, write.begin(9000), write.insert(OID, [b"2"]), write.insert(OID, [b"3"]), lsn=1000)
    ((_, first),) = sealed(decoder)
    decode(decoder, write.insert(OID, [b"4"]), write.commit(9000, 9008), lsn=2000)
    ((_, second),) = sealed(decoder)
    assert unpack(first, 1).versions() == [500, 1001, 1002]
    assert unpack(first, 1).change_lsns == array("Q", [1001, 1002])
    assert unpack(second, 1).versions() == [9000]
    assert not second.change_lsns


def test_lane_without_rows_of_the_open_transaction_has_no_change_lsns():
    decoder, _ = decoder_of(1)
    other = LaneBuilder(2, write.table(1, (0,), 200))
    decoder.bind(200, other)
    decode(decoder, *transaction(write.insert(OID, [b"1"]), lsn=500))
    decode(decoder, write.begin(9000), write.insert(200, [b"2"]))
    (_, first), (_, second) = sealed(decoder)
    assert not first.change_lsns
    assert len(second.change_lsns) == 8


def test_lanes_are_sealed_in_order_of_their_first_row():
    decoder, _ = decoder_of(1)
    decoder.bind(200, LaneBuilder(2, write.table(1, (0,), 200)))
    decode(decoder, *transaction(write.insert(200, [b"1"]), write.insert(OID, [b"1"]), write.insert(200, [b"2"])))
    assert [lane.lane for lane, _ in sealed(decoder)] == [2, 1]


def test_limits_stop_decoding_between_messages():
    decoder, _ = decoder_of(1)
    decoder.row_limit = 2
    messages = [xlog_data(1, body) for body in transaction(*(write.insert(OID, [b"%d" % n]) for n in range(3)))]
    at, event = decoder.decode(messages)
    assert (at, event) == (3, LimitReached())
    ((_, batch),) = sealed(decoder)
    assert batch.row_count == 2
    assert decoder.decode(messages, at) == (5, None)
    assert decoder.open_rows == 1


def test_moved_row_asks_for_what_it_lacks():
    decoder, lane = decoder_of(4, (1, 0), readback=True)
    old = [b"a", b"b", None, None]
    decode(decoder, write.begin(1), write.update(OID, [b"a", b"c", UNCHANGED, UNCHANGED], key=old))
    (readback,) = lane.readbacks
    assert (readback.key, readback.columns) == ((b"c", b"a"), (2, 3))
    lane.complete([(readback.row, {2: b"value", 3: None})])
    decode(decoder, write.commit(1, 2))
    ((_, batch),) = sealed(decoder)
    moved = (DELETE, [b"a", b"b", ABSENT, ABSENT])
    assert cells_of(batch, 4) == [moved, (UPDATE, [b"a", b"c", b"value", NULL])]
    assert unpack(batch, 4).bitmaps == [0b1100, 0]


def test_row_that_is_not_read_back_stays_absent():
    decoder, _ = decoder_of(2, readback=True)
    decode(
        decoder, *transaction(write.update(OID, [b"b", UNCHANGED], key=[b"a", None]), write.insert(OID, [b"c", b"x"]))
    )
    ((_, batch),) = sealed(decoder)
    assert cells_of(batch, 2)[1:] == [(UPDATE, [b"b", ABSENT]), (INSERT, [b"c", b"x"])]


def test_rows_of_a_relation_that_is_left_out_are_counted():
    decoder, _ = decoder_of(1)
    decoder.bind(200, None)
    decode(decoder, *transaction(write.insert(200, [b"1"]), write.delete(200, key=[b"1"]), write.truncate([200])))
    assert (sealed(decoder), decoder.ignored_row_count) == ([], 2)


def test_events_stop_decoding():
    decoder, lane = decoder_of(1)
    described = write.relation(7, "s", "t", "d", [(1, "id", 23, -1)])
    bodies = [write.begin(1), described, write.truncate([OID]), write.type_name(1, "s", "t"), write.origin("o")]
    messages = [xlog_data(10 + index, body) for index, body in enumerate(bodies)]
    at, event = decoder.decode(messages)
    assert (at, type(event), event.message.relation_id) == (2, RelationSeen, 7)
    at, event = decoder.decode(messages, at)
    assert (at, event) == (3, TruncateSeen((lane,), 12))
    messages.insert(at, b"k" + struct.pack(">QqB", 77, 0, 1))
    assert decoder.decode(messages, at) == (4, KeepaliveSeen(Keepalive(77, True)))
    assert decoder.decode(messages, 4) == (6, None)


ROWS = [
    write.insert(OID, [b"s3cret", b"value", None]),
    write.update(OID, [b"s3cret", UNCHANGED, None]),
    write.update(OID, [b"new", b"s3cret", None], key=[b"s3cret", None, None]),
    write.update(OID, [b"new", b"v", UNCHANGED], old=[b"s3cret", b"v", b"s3cret"]),
    write.delete(OID, key=[b"s3cret", None, None]),
    write.delete(OID, old=[b"key", b"v", b"s3cret"]),
]


@pytest.mark.parametrize("body", ROWS, ids=lambda body: chr(body[0]))
def test_row_cut_anywhere_is_refused_and_leaves_nothing_behind(body):
    decoder, lane = decoder_of(3)
    decode(decoder, write.begin(1))
    for part in [body[:size] for size in range(len(body))] + [body + b"\0"]:
        with pytest.raises(MalformedMessage) as caught:
            decoder.decode([xlog_data(1, part)])
        assert 0 <= caught.value.offset <= len(part)
        assert "s3cret" not in str(caught.value)
        assert (lane.row_count, decoder.open) == (0, [])
    decode(decoder, body)
    assert lane.row_count


def test_random_damage_is_refused_or_read_but_never_crashes(seed):
    rng = random.Random(seed)
    for _ in range(3000):
        decoder, lane = decoder_of(3)
        decode(decoder, write.begin(1))
        body = bytearray(rng.choice(ROWS))
        for _ in range(rng.choice((1, 1, 2, 5))):
            body[rng.randrange(len(body))] = rng.randrange(256)
        try:
            decoder.decode([xlog_data(1, bytes(body))])
        except (MalformedMessage, SourceError):
            pass
        for _, batch in sealed(decoder):
            unpack(batch, 3)
        assert not lane.row_count


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "unknown kind"),
        (b"S\0", "unknown kind of message in protocol 1"),
        (write.insert(999, [b"1"]), "not described"),
        (write.insert(OID, [b"1", b"2"]), "row of 2 columns, expected 1"),
        (write.insert(OID, [UNCHANGED]), "unchanged value"),
        (write.begin(2), "within another"),
        (write.commit(2, 3), "has not begun"),
        (write.truncate([999]), "relation 999"),
        (write.insert(OID, [b"1"])[:-6] + b"b" + bytes(4), "unknown kind of value"),
        (b"I" + bytes(2), "within the relation"),
    ],
)
def test_what_cannot_be_is_refused(body, words):
    decoder, _ = decoder_of(1)
    decode(decoder, write.begin(1))
    with pytest.raises(MalformedMessage, match=words):
        decoder.decode([xlog_data(1, body)])


@pytest.mark.parametrize("body", [write.insert(OID, [b"1"]), write.truncate([OID])])
def test_change_outside_of_a_transaction_is_refused(body):
    decoder, _ = decoder_of(1)
    with pytest.raises(MalformedMessage, match="outside of a transaction"):
        decoder.decode([xlog_data(1, body)])


@pytest.mark.parametrize(
    "body",
    [
        write.update(OID, [UNCHANGED, b"1"]),
        write.delete(OID, key=[None, b"1"]),
        write.update(OID, [None, b"1"], old=[b"1", b"1"]),
    ],
)
def test_change_without_its_key_is_refused(body):
    decoder, lane = decoder_of(2)
    decode(decoder, write.begin(1))
    with pytest.raises(SourceError, match=r"public\.t100 does not carry the table's key"):
        decoder.decode([xlog_data(1, body)])
    assert not lane.row_count
