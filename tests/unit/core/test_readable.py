"""Values for people: cut where they are long, never rounded, never an error."""

import json

import pytest
from dbmazz.readable import json_row, shortened
from google.protobuf.json_format import MessageToDict


def shown(line: str, limit: int = 200) -> dict:
    return MessageToDict(json_row(line.encode(), limit))


def test_short_text_is_whole_and_long_text_tells_its_length():
    assert shortened("abc", 3) == "abc"
    assert shortened("abcd", 3) == "abc… (4 characters)"


def test_rows_keep_their_values():
    line = '{"id":7,"price":17.21,"note":null,"ok":true,"tags":[1,null,"x"],"doc":{"a":{"b":[]}},"text":"é"}'
    assert shown(line) == json.loads(line)


@pytest.mark.parametrize(
    ("token", "value"),
    [
        ("9007199254740992", 2**53),
        ("9007199254740993", "9007199254740993"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("1" * 5000, "1" * 200 + "… (5000 characters)"),
        ("0.1", 0.1),
        ("1.50", 1.5),
        ("0.12345678901234567890123", "0.12345678901234567890123"),
        ("1e400", "1e400"),
        ("[9007199254740993, 0.5]", ["9007199254740993", 0.5]),
    ],
)
def test_no_number_is_rounded(token, value):
    assert shown(f'{{"n":{token}}}') == {"n": value}


def test_long_strings_and_documents_are_cut():
    row = shown(json.dumps({"doc": {"key": "x" * 100}, "list": list(range(99)), "text": "y" * 21}), 20)
    assert row["doc"] == '{"key": "xxxxxxxxxxx… (111 characters)'
    assert row["list"].startswith("[0, 1, 2") and row["list"].endswith(" characters)")
    assert row["text"] == "y" * 20 + "… (21 characters)"


def test_deep_documents_become_text_and_never_break_the_answer():
    deep = "[" * 50 + "]" * 50
    assert shown(f'{{"doc":{deep}}}') == {"doc": deep}
    abyss = '{"doc":' + "[" * 100_000 + "]" * 100_000 + "}"
    assert shown(abyss, 20) == {"json": '{"doc":[[[[[[[[[[[[[… (200008 characters)'}


def test_half_a_character_is_shown_as_it_was_escaped():
    assert shown('{"doc":"\\ud800"}') == {"json": '{"doc":"\\ud800"}'}
