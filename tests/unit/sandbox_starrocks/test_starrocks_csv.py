"""CSV bodies: how they are cut, what fields become, and what a load answers (starrocks.md 2.5, 1.5)."""

import json

import pytest
from dbmazz_sandbox.starrocks.errors import LoadError
from dbmazz_sandbox.starrocks.protocol.coerce import Invalid
from dbmazz_sandbox.starrocks.protocol.delimited import Fields
from dbmazz_sandbox.starrocks.protocol.fields import convert
from dbmazz_sandbox.starrocks.protocol.headers import Delimited, read_early, read_headers
from dbmazz_sandbox.starrocks.types import Kind, Type

COMMA = Delimited(column_separator=",")


def cut(body: str | bytes, width: int, form: Delimited = COMMA) -> list[tuple[str, ...]]:
    fields = Fields(body.encode() if isinstance(body, str) else body, form, width)
    return list(zip(*fields.columns, strict=True))


def quoted(**options: str | bool) -> Delimited:
    return Delimited(column_separator=",", enclose='"', **options)


@pytest.mark.parametrize(
    ("body", "form", "rows"),
    [
        ("a,b\nc,d\n", COMMA, [("a", "b"), ("c", "d")]),
        ("a,b\nc,d", COMMA, [("a", "b"), ("c", "d")]),
        ("\n\na,b\n\n", COMMA, [("a", "b")]),  # blank rows are no rows
        ('1,"xx"', COMMA, [("1", '"xx"')]),  # nothing is a quote without enclose
        (",", COMMA, [("", "")]),
        (" a , b ", Delimited(column_separator=",", trim_space=True), [("a", "b")]),
        ("a\tb\nc\td", Delimited(), [("a", "b"), ("c", "d")]),
        ("a||b$$c||d$$", Delimited("||", "$$"), [("a", "b"), ("c", "d")]),
        ("x,y\na,b\nc,d", Delimited(",", skip_header=2), [("c", "d")]),
        ('"a,1",b\n"c\n2",d', quoted(), [("a,1", "b"), ("c\n2", "d")]),
        ('"say ""hi""",b', quoted(), [('say "hi"', "b")]),
        ('"",b', quoted(), [("", "b")]),
        ('  "a" ,b', quoted(trim_space=True), [("a", "b")]),
        ("a\\,1,b", quoted(escape="\\"), [("a,1", "b")]),
        ('"a\\"1",b', quoted(escape="\\"), [('a"1', "b")]),
        ("a\\\\,b", quoted(escape="\\"), [("a\\", "b")]),
        ("a,\\N", quoted(escape="\\"), [("a", "N")]),  # an escape takes the backslash away: no NULL any more
        ("a,\\N", quoted(), [("a", "\\N")]),
        ('"a",b\n\n"c",d\n', quoted(), [("a", "b"), ("c", "d")]),
        ('h,h\n"a",b', quoted(skip_header=1), [("a", "b")]),
    ],
)
def test_rows_and_fields(body: str, form: Delimited, rows: list[tuple[str, str]]) -> None:
    assert cut(body, 2, form) == rows


def test_rows_of_another_width_and_broken_text_are_told_apart() -> None:
    fields = Fields(b"1,a\n0,aaaa,x\n2,\xff\n7\n3,c", COMMA, 2)
    assert list(zip(*fields.columns, strict=True)) == [("1", "a"), ("3", "c")] and fields.count == 2
    assert fields.texts == ["1,a", "3,c"]
    assert [reason for _, reason in fields.bad] == [
        "Value count does not match column count. Expect 2, but got 3", "Invalid UTF-8 row",
        "Value count does not match column count. Expect 2, but got 1",
    ]  # fmt: skip


def test_skip_header_past_the_end() -> None:
    with pytest.raises(LoadError, match="'skip_header' is set to 3, but there are only 1 rows in the csv file"):
        cut("a,b", 2, Delimited(",", skip_header=3))


@pytest.mark.parametrize(
    ("header", "separator"),
    [("\\x01", "\x01"), ("\\x2c2C", ",,"), ("0x7c", "|"), ("\\t", "\t"), ("||", "||"), ("a\\nb", "a\nb")],
)
def test_separators(header: str, separator: str) -> None:
    headers = {"format": "csv", "column_separator": header, "row_delimiter": header}
    csv = read_headers(headers, read_early(headers, 1, "")).csv
    assert csv is not None and (csv.column_separator, csv.row_delimiter) == (separator, separator)


@pytest.mark.parametrize(
    ("header", "reason"),
    [("\\x", ": empty hex string"), ("\\x1", ": hex length must be a even number"), ("0xzz", "': invalid hex format")],
)
def test_separators_that_are_none(header: str, reason: str) -> None:
    headers = {"format": "csv", "column_separator": header}
    with pytest.raises(LoadError) as caught:
        read_headers(headers, read_early(headers, 1, ""))
    assert caught.value.message == f"Getting analyzing error. Detail message: Invalid delimiter '{header}{reason}."


ARRAY = Type(Kind.ARRAY, item=Type(Kind.INT))
TEXTS = Type(Kind.ARRAY, item=Type(Kind.VARCHAR, 3))


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (Type(Kind.INT), "7", 7), (Type(Kind.INT), " 7 ", 7), (Type(Kind.INT), "7.9", 7), (Type(Kind.INT), "", Invalid),
        (Type(Kind.INT), "\\N", None), (Type(Kind.INT), "2147483648", Invalid), (Type(Kind.INT), "1_0", Invalid),
        (Type(Kind.INT), "٣", Invalid), (Type(Kind.INT), "x", Invalid), (Type(Kind.TINYINT), "-128", -128),
        (Type(Kind.BIGINT), "9223372036854775807", 2**63 - 1), (Type(Kind.BIGINT), "1.5", 1),
        (Type(Kind.LARGEINT), str(2**127 - 1), 2**127 - 1), (Type(Kind.LARGEINT), str(2**127), Invalid),
        (Type(Kind.BOOLEAN), "TRUE", True), (Type(Kind.BOOLEAN), "0.1", True), (Type(Kind.BOOLEAN), "0", False),
        (Type(Kind.BOOLEAN), "yes", Invalid), (Type(Kind.DOUBLE), "1e3", 1000.0), (Type(Kind.DOUBLE), "x", Invalid),
        (Type(Kind.DECIMAL, precision=4, scale=2), "1.005", "1.01"),
        (Type(Kind.DECIMAL, precision=4, scale=2), "100", Invalid),
        (Type(Kind.DATE), "2024-02-30", Invalid), (Type(Kind.DATE), "20240229", "2024-02-29"),
        (Type(Kind.DATETIME), "2024-01-01T01:02:03Z", "2024-01-01 01:02:03"),
        (Type(Kind.VARCHAR, 3), "abcd", "abcd"),  # the sink measures texts
        (Type(Kind.JSON), '{"b":1,"a":2}', '{"a": 2, "b": 1}'), (Type(Kind.JSON), "plain", '"plain"'),
        (Type(Kind.JSON), "{", Invalid), (Type(Kind.VARBINARY, 9), "AAH/", b"\x00\x01\xff"),
        (Type(Kind.VARBINARY, 9), "a b", b"a b"), (Type(Kind.VARBINARY, 1), "a b", Invalid),
        (ARRAY, "[1,null,3]", "[1,null,3]"), (ARRAY, "[]", "[]"), (ARRAY, "1,2", Invalid), (ARRAY, "[1,x]", Invalid),
        (TEXTS, '["a","b""c"]', '["a","b\\"c"]'), (TEXTS, "[a]", Invalid), (TEXTS, '["long"]', Invalid),
        (Type(Kind.ARRAY, item=ARRAY), "[[1],[2,3]]", "[[1],[2,3]]"), (Type(Kind.ARRAY, item=ARRAY), "[[1]", Invalid),
    ],
)  # fmt: skip
def test_fields_become_values(kind: Type, field: str, value: object) -> None:
    stored, bad = convert(kind, [field], 4)
    assert (Invalid if bad else stored[0]) == value
    if bad:
        assert stored[0] is None and bad[0].startswith(
            f"The field (name = {{c}}, pos = 4) is out of range. Type: {kind.debug}"
        )


async def test_strict_and_not(db) -> None:
    await db.sql("CREATE TABLE t (id INT, n INT, v VARCHAR(3)) PRIMARY KEY(id)")
    body = b"1,x,abc\n2,5,\\N\n"
    headers = {"format": "csv", "column_separator": ","}
    assert (await db.load("t", body, **headers))["Status"] == "Success"
    assert await db.sql("SELECT * FROM t ORDER BY id") == [(1, None, "abc"), (2, 5, None)]
    reply = await db.load("t", body, strict_mode="true", **headers)
    counters = [reply[f"Number{name}Rows"] for name in ("Total", "Loaded", "Filtered", "Unselected")]
    assert reply["Message"] == "too many filtered rows" and counters == [2, 1, 1, 0]
    assert await db.error_log(reply) == (
        "Error: The field (name = n, pos = 1) is out of range. Type: INT, Value length: 1, Value: x. Row: 1,x,abc\n"
    )


async def test_long_texts_are_filtered_whatever_the_mode(db) -> None:
    await db.sql("CREATE TABLE t (id INT, v VARCHAR(5)) PRIMARY KEY(id)")
    reply = await db.load("t", "1,ééé\n2,abcde".encode(), format="csv", column_separator=",", max_filter_ratio="0.5")
    assert (reply["Status"], reply["NumberLoadedRows"], reply["NumberFilteredRows"]) == ("Success", 1, 1)
    words = "Error: String 'ééé'(length=6) is too long. The max length of 'v' is 5. Row: [1, 'ééé', 0]\n"
    assert await db.error_log(reply) == words


async def test_every_row_of_another_width(db) -> None:
    await db.sql("CREATE TABLE t (a INT, b VARCHAR(9)) DUPLICATE KEY(a)")
    reply = await db.load("t", b"0,aaaa\n1,bbbb\n2,c\n3,d\n", format="csv")  # the separator is a tab by default
    counters = [reply[f"Number{name}Rows"] for name in ("Total", "Loaded", "Filtered")]
    assert (reply["Message"], counters) == ("too many filtered rows", [4, 0, 4])
    first = (await db.error_log(reply)).splitlines()[0]
    assert first == "Error: Value count does not match column count. Expect 2, but got 1. Row: 0,aaaa"


async def test_operations_in_csv(db) -> None:
    await db.sql("CREATE TABLE t (id INT, v INT) PRIMARY KEY(id)")
    for body, columns, rows in (
        (b"1,1\n2,2\n3,3", "id,v", [(1, 1), (2, 2), (3, 3)]),
        (b"1,0,1\n2,9,0", "id,v,__op", [(2, 9), (3, 3)]),
        (b"2", "id,__op='DELETE'", [(3, 3)]),
        (b"3,d\n4,u", "id,kind,__op=if(kind='d',1,0)", [(4, None)]),
        (b"4,1", "id,kind,__op=kind", []),
        (b"5,1", "id,v,__op='upsert'", [(5, 1)]),
        (b"5,1", "id,v,__op=1", []),
    ):
        reply = await db.load("t", body, format="csv", column_separator=",", columns=columns)
        assert reply["Status"] == "Success", (columns, reply)
        assert await db.sql("SELECT * FROM t ORDER BY id") == rows, columns


async def test_types_that_no_field_becomes(db) -> None:
    await db.sql("CREATE TABLE t (id INT, s STRUCT<a INT>, m MAP<INT,INT>) PRIMARY KEY(id)")
    for columns, words in (
        ("id,s", "Unsupported CSV type STRUCT{a INT}"),
        ("id,m", "not emulated: a MAP column in CSV"),
    ):
        reply = await db.load("t", b"1,x", format="csv", column_separator=",", columns=columns)
        assert (reply["Status"], reply["Message"]) == ("Fail", words)


async def test_a_wide_csv_load_comes_back(db, seed: int) -> None:
    await db.sql("CREATE TABLE t (id INT, v VARCHAR(100), j JSON, d DATETIME) PRIMARY KEY(id)")
    texts = ["plain", "é😀", "a'b", "\\", "  blanks ", "", "0", "null"]
    lines = [f'{i}\t{texts[i % 8]}\t{{"n":{i}}}\t2024-01-01 00:00:{i % 60:02d}' for i in range(5000)]
    reply = await db.load("t", "\n".join(lines).encode(), format="csv", strict_mode="true")
    assert (reply["Status"], reply["NumberLoadedRows"]) == ("Success", 5000)
    rows = await db.sql("SELECT id, v, j, CAST(d AS STRING) FROM t ORDER BY id")
    assert rows == [(i, texts[i % 8], json.dumps({"n": i}), f"2024-01-01 00:00:{i % 60:02d}") for i in range(5000)]


def test_the_100_mb_rule_is_for_json_whose_length_is_announced() -> None:
    large = 104857601
    for headers, length in (
        ({"format": "csv"}, large),
        ({"format": "gzip"}, large),
        ({"format": "json"}, None),
        ({"format": "json"}, large - 1),
        ({"format": "json", "ignore_json_size": "TRUE"}, large),
    ):
        read_early(headers, length, "")
    with pytest.raises(LoadError, match="exceed the max size"):
        read_early({"format": "JSON", "compression": "gzip"}, large, "")  # measured as it is sent
    with pytest.raises(LoadError, match=r"^body size 107374182401 exceed limit: 107374182400, id=1\. You can increase"):
        read_early({"format": "csv"}, 107374182401, "id=1")
