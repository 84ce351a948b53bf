"""Values of each type: what must be equal, and that a changed value is found."""

import json

import pytest
from dbmazz.relation import Column, TypeFamily
from dbmazz_cli.array_literal import parse_array
from dbmazz_cli.comparable import comparable

NUMERIC_12_2 = (12 << 16 | 2) + 4


def column(oid: int, **options: object) -> Column:
    return Column("c", oid, **options)


def array(element: int) -> Column:
    return column(1007, family=TypeFamily.ARRAY, element_type_oid=element)


SMALLINT, INT, BIGINT, BOOL, TEXT = column(21), column(23), column(20), column(16), column(25)
NUMERIC, UNBOUNDED = column(1700, type_modifier=NUMERIC_12_2), column(1700)
FLOAT4, FLOAT8, BYTEA, UUID = column(700), column(701), column(17), column(2950)
DATE, TIMESTAMP, TIMESTAMPTZ = column(1082), column(1114), column(1184)
JSON, JSONB, ENUM = column(114), column(3802), column(16400, family=TypeFamily.ENUM)
INTERVAL, CHAR5 = column(1186), column(1042, type_modifier=9)

# Column, PostgreSQL's text, what the target sends.
EQUAL = [
    (SMALLINT, "-5", b"-5"),
    (BIGINT, "9223372036854775807", b"9223372036854775807"),
    (BOOL, "t", b"1"),
    (BOOL, "f", b"0"),
    (TEXT, "", b""),
    (TEXT, "zurück 📦\n", "zurück 📦\n".encode()),
    (CHAR5, "ab   ", b"ab   "),
    (UUID, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", b"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    (ENUM, "customer's return", b"customer's return"),
    (INTERVAL, "1 day 02:00:00", b"1 day 02:00:00"),
    (NUMERIC, "1.50", b"1.50"),
    (NUMERIC, "NaN", None),
    (UNBOUNDED, "NaN", b"NaN"),
    (UNBOUNDED, "1.500", b"1.500"),
    (FLOAT4, "0.1", b"0.1"),
    (FLOAT4, "0.1", b"0.10000000149011612"),
    (FLOAT8, "1e+300", b"1e300"),
    (FLOAT8, "0.1", b"0.1"),
    (FLOAT8, "Infinity", None),
    (FLOAT4, "NaN", None),
    (DATE, "2024-02-29", b"2024-02-29"),
    (DATE, "0044-03-15 BC", None),
    (DATE, "infinity", None),
    (DATE, "10000-01-01", None),
    (TIMESTAMP, "2024-02-29 10:00:00.5", b"2024-02-29 10:00:00.500000"),
    (TIMESTAMP, "2024-02-29 10:00:00", b"2024-02-29 10:00:00"),
    (TIMESTAMP, "-infinity", None),
    (TIMESTAMPTZ, "2024-02-29 10:00:00.123456+00", b"2024-02-29 10:00:00.123456"),
    (TIMESTAMPTZ, "0044-03-15 10:00:00+00 BC", None),
    (BYTEA, "\\x", b""),
    (BYTEA, "\\x00ff0a", b"\x00\xff\n"),
    (JSONB, '{"b": 1, "a": [1.0, true, null]}', b'{"a": [1, true, null], "b": 1}'),
    (JSONB, "12345678901234567890123", b"1.2345678901234568e+22"),
    (JSONB, "18446744073709551615", b"18446744073709551615"),
    (JSONB, "null", None),
    (JSON, '{"x": "\\u00e9"}', '{"x": "é"}'.encode()),
    (JSON, " [ 1e3 ] ", b"[1000]"),
    (array(23), "{1,NULL,3}", b"[1, null, 3]"),
    (array(23), "[0:1]={1,2}", b"[1, 2]"),
    (array(25), '{"a b",NULL,"NULL","\\"x\\\\",""}', b'["a b", null, "NULL", "\\"x\\\\", ""]'),
    (array(1700), "{1.50,NaN}", b'["1.50", "NaN"]'),
    (array(701), "{0.1,NaN}", b"[0.1, null]"),
    (array(16), "{t,f}", b"[true, false]"),
    (array(3802), '{"{\\"a\\": 1}"}', b'[{"a": 1}]'),
    (array(23), "{}", b"[]"),
    (array(23), "{{1,2},{3,4}}", b"[[1, 2], [3, 4]]"),
    (TEXT, None, None),
]

DIFFERENT = [
    (SMALLINT, "-5", b"5"),
    (INT, "5", None),
    (INT, None, b"0"),
    (INT, "5", b"5.0"),
    (BIGINT, "9223372036854775807", b"9223372036854775806"),
    (BOOL, "t", b"0"),
    (BOOL, "f", None),
    (BOOL, "t", b"2"),
    (TEXT, "a", b"a "),
    (TEXT, "", None),
    (TEXT, None, b""),
    (CHAR5, "ab   ", b"ab"),
    (UUID, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", b"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12"),
    (ENUM, "new", b"paid"),
    (NUMERIC, "1.50", b"1.51"),
    (NUMERIC, "1.50", b"NaN"),
    (NUMERIC, "NaN", b"0.00"),
    (UNBOUNDED, "1.500", b"1.5"),
    (FLOAT4, "0.1", b"0.10001"),
    (FLOAT8, "0.1", b"0.10000000000000002"),
    (FLOAT8, "NaN", b"0"),
    (DATE, "2024-02-29", b"2024-02-28"),
    (DATE, "0044-03-15 BC", b"0044-03-15"),
    (TIMESTAMP, "2024-02-29 10:00:00.5", b"2024-02-29 10:00:00"),
    (TIMESTAMPTZ, "2024-02-29 10:00:00+00", b"2024-02-29 12:00:00"),
    (TIMESTAMPTZ, "2024-02-29 10:00:00+02", b"2024-02-29 10:00:00"),
    (BYTEA, "\\x00ff", b"\\x00ff"),
    (BYTEA, "\\x00ff", b"\x00\xfe"),
    (JSONB, '{"a": 1}', b'{"a": 2}'),
    (JSONB, '{"a": 1}', b'"{\\"a\\": 1}"'),
    (JSONB, '{"a": 1}', b'{"a": true}'),
    (JSONB, '{"a": null}', b"{}"),
    (JSONB, '"1"', b"1"),
    (JSONB, '{"a": 1}', b"not json"),
    (JSONB, "{}", None),
    (JSONB, "9223372036854775807", b"9223372036854775806"),
    (array(23), "{1,2}", b"[2, 1]"),
    (array(23), "{1,NULL}", b"[1]"),
    (array(23), "{{1,2},{3,4}}", b"[1, 2, 3, 4]"),
    (array(25), '{"NULL"}', b"[null]"),
    (array(1700), "{1.50}", b"[1.5]"),
    (array(23), "{}", None),
]


@pytest.mark.parametrize(("kind", "text", "raw"), EQUAL)
def test_equal(kind: Column, text: str | None, raw: bytes | None) -> None:
    assert comparable(kind).equal(text, raw)


@pytest.mark.parametrize(("kind", "text", "raw"), DIFFERENT)
def test_a_changed_value_is_found(kind: Column, text: str | None, raw: bytes | None) -> None:
    assert not comparable(kind).equal(text, raw)


def test_a_large_document_is_compared_whole() -> None:
    document = {"rows": [{"n": number, "x": "y" * 50} for number in range(20_000)]}
    text = json.dumps(document)
    assert comparable(JSONB).equal(text, json.dumps(document, separators=(",", ":")).encode())
    document["rows"][19_999]["n"] = -1
    assert not comparable(JSONB).equal(text, json.dumps(document).encode())


@pytest.mark.parametrize("text", ["", "{", "1", "{1}}", "{1}{2}", '{"a}', "{1}x", "{a\\}", "[1:2]={1,2"])
def test_what_is_no_array_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an array"):
        parse_array(text, str)
