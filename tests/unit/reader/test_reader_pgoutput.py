"""Messages that are rare, whole, cut at every byte, and with bytes behind them."""

import pytest
from dbmazz_reader.protocol import pgoutput
from dbmazz_reader.protocol.malformed import MalformedMessage

from tests.unit.reader import pgoutput_messages as write

COLUMNS = [(1, "id", 23, -1), (0, "größe", 1043, 14), (0, "", 16400, 0)]

CASES = {
    "O": (write.origin("node"), pgoutput.origin),
    "R": (write.relation(1, "s", "t", "f", COLUMNS), pgoutput.relation),
    "Y": (write.type_name(16400, "s", "mood"), pgoutput.type_name),
    "T": (write.truncate([1, 2], 3), pgoutput.truncate),
    "M": (write.message("prefix", b"\0content"), pgoutput.message),
}
EXPECTED = {
    "O": pgoutput.Origin(5, "node"),
    "R": pgoutput.RelationMessage(1, "s", "t", "f", tuple(pgoutput.RelationColumn(*column) for column in COLUMNS)),
    "Y": pgoutput.Type(16400, "s", "mood"),
    "T": pgoutput.Truncate((1, 2), True, True),
    "M": pgoutput.Message(True, 7, "prefix", 8),
}


@pytest.mark.parametrize("letter", CASES)
def test_whole_message(letter):
    body, read = CASES[letter]
    assert read(body) == EXPECTED[letter]


@pytest.mark.parametrize("letter", CASES)
def test_message_cut_anywhere_is_refused_by_letter_and_offset(letter):
    body, read = CASES[letter]
    for size in range(1, len(body)):
        with pytest.raises(MalformedMessage) as caught:
            read(body[:size])
        assert caught.value.letter == letter
        assert 0 <= caught.value.offset <= size


@pytest.mark.parametrize("letter", CASES)
def test_bytes_behind_a_message_are_refused(letter):
    body, read = CASES[letter]
    with pytest.raises(MalformedMessage):
        read(body + b"\0")


def test_empty_schema_is_pg_catalog():
    assert pgoutput.relation(write.relation(1, "", "t", "d", [])).schema == "pg_catalog"
    assert pgoutput.type_name(write.type_name(1, "", "int4")).schema == "pg_catalog"


def test_replica_identity_must_be_known():
    with pytest.raises(MalformedMessage, match="replica identity"):
        pgoutput.relation(write.relation(1, "s", "t", "x", []))


def test_name_that_is_not_utf8_is_refused_without_being_shown():
    body = write.origin("name").replace(b"name", b"s\xffcret")
    with pytest.raises(MalformedMessage, match="UTF-8") as caught:
        pgoutput.origin(body)
    assert "cret" not in str(caught.value)
