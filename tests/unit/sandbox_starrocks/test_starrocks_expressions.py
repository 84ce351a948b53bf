"""Expressions of the `columns` and `where` headers, value by value and through loads (starrocks.md 2.2)."""

import datetime as dt

import pytest
from dbmazz_sandbox.starrocks.errors import LoadError
from dbmazz_sandbox.starrocks.protocol.columns_header import parse_columns, parse_where
from dbmazz_sandbox.starrocks.protocol.evaluate import evaluate, values_of
from dbmazz_sandbox.starrocks.protocol.expression import sql
from dbmazz_sandbox.starrocks.types import Kind, Type

SHANGHAI = dt.timezone(dt.timedelta(hours=8))
NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=SHANGHAI)
TEXT, NUMBER, BINARY, MOMENT = Type(Kind.VARCHAR, 99), Type(Kind.INT), Type(Kind.VARBINARY, 99), Type(Kind.DATETIME)
JSON, DECIMAL, DOUBLE = Type(Kind.JSON), Type(Kind.DECIMAL, precision=9, scale=2), Type(Kind.DOUBLE)


def value(expression: str, target: Type, given: str | None = None) -> object:
    _, [(_, parsed)] = parse_columns(f"x={expression}")
    return evaluate(parsed, target, {"a": [given]}, 1, NOW)[0]


@pytest.mark.parametrize(
    ("expression", "given", "target", "stored"),
    [
        ("from_base64(a)", "AAH/", BINARY, b"\x00\x01\xff"), ("from_base64(a)", "", BINARY, None),
        ("from_base64(a)", "*", BINARY, None), ("to_binary(a)", "00ff", BINARY, b"\x00\xff"),
        ("to_binary(a, 'hex')", "0", BINARY, b""), ("to_binary(a, 'base64')", "AAE=", BINARY, b"\x00\x01"),
        ("to_binary(a, 'utf8')", "é", BINARY, "é".encode()), ("unhex(a)", "4142", TEXT, "AB"),
        ("hex(a)", "AB", TEXT, "4142"), ("hex(255)", None, TEXT, "FF"), ("to_base64(a)", "ab", TEXT, "YWI="),
        ("parse_json(a)", '{"b":1,"a":2}', JSON, '{"a": 2, "b": 1}'), ("parse_json(a)", "star", JSON, '"star"'),
        ("parse_json(a)", "{", JSON, None), ("a", "[1]", JSON, "[1]"), ("if(a = '', 'empty', a)", "", TEXT, "empty"),
        ("if(a > 5, 1, 0)", "7", NUMBER, 1), ("if(a = 'x', 1, 0)", None, NUMBER, 0), ("ifnull(a, 'none')", None, TEXT, "none"),
        ("coalesce(NULL, a, 'z')", "y", TEXT, "y"), ("nullif(a, '0')", "0", TEXT, None), ("cast(a as int)", "12", NUMBER, 12),
        ("cast(a as date)", "2024-02-29 10:00:00", MOMENT, "2024-02-29 00:00:00"), ("cast(a as int)", "x", NUMBER, None),
        ("cast(a as decimal(9, 1))", "1.25", DECIMAL, "1.30"), ("a", "1.005", DECIMAL, "1.01"),
        ("a", "1000", Type(Kind.TINYINT), None),
        ("a + 1", "2", NUMBER, 3), ("a * 2 - 1", "3", NUMBER, 5), ("(a + 1) * 2", "3", NUMBER, 8), ("7 % 4", None, NUMBER, 3),
        ("-7 % 4", None, NUMBER, -3), ("a / 2", "3", DOUBLE, 1.5), ("1 / 0", None, DOUBLE, None), ("a + 1", "x", NUMBER, None),
        ("1.5 + 1", None, DECIMAL, "2.50"), ("abs(-3)", None, NUMBER, 3), ("concat(a, '-', 1)", "x", TEXT, "x-1"),
        ("concat(a, 'x')", None, TEXT, None), ("upper(a)", "é", TEXT, "É"), ("trim(a)", " b ", TEXT, "b"),
        ("substr(a, 2, 2)", "abcd", TEXT, "bc"), ("substring(a, -2)", "abcd", TEXT, "cd"),
        ("substr(a, 0)", "ab", TEXT, ""),
        ("length(a)", "é", NUMBER, 2), ("char_length(a)", "é", NUMBER, 1), ("replace(a, 'b', '')", "abab", TEXT, "aa"),
        ("str_to_date(a, '%Y/%m/%d')", "2024/02/29", MOMENT, "2024-02-29 00:00:00"),
        ("str_to_date(a, '%Y')", "x", MOMENT, None),
        ("from_unixtime(a)", "0", MOMENT, "1970-01-01 08:00:00"), ("from_unixtime(a, '%Y')", "0", TEXT, "1970"),
        ("from_unixtime(a)", "-1", MOMENT, None), ("year(a)", "2024-02-29", NUMBER, 2024),
        ("hour(a)", "2024-02-29 05:00:00", NUMBER, 5),
        ("now()", None, MOMENT, "2026-01-02 03:04:05"), ("current_timestamp", None, MOMENT, "2026-01-02 03:04:05"),
        ("utc_timestamp()", None, MOMENT, "2026-01-01 19:04:05"), ("NULL", None, TEXT, None), ("true", None, NUMBER, 1),
        ("'it''s'", None, TEXT, "it's"), ("a", "true", Type(Kind.BOOLEAN), True), ("`a`", "q", TEXT, "q"),
    ],
)  # fmt: skip
def test_values(expression: str, given: str | None, target: Type, stored: object) -> None:
    assert value(expression, target, given) == stored


@pytest.mark.parametrize(
    ("where", "chosen"),
    [
        ("n > 1", [2, 3]), ("n >= 1 and n < 3", [1, 2]), ("n = 1 or n = 3", [1, 3]), ("not n = 1", [2, 3]),
        ("s is null", [3]), ("s is not null", [1, 2]), ("s = 'a'", [1]), ("s <> 'a'", [2]), ("s in ('a', 'b')", [1, 2]),
        ("s not in ('a')", [2]), ("n between 2 and 3", [2, 3]), ("n not between 2 and 3", [1]), ("s like 'a%'", [1]),
        ("s <=> null", [3]), ("d >= '2024-01-02'", [2, 3]), ("d = '2024-01-02 00:00:00'", [2]), ("true", [1, 2, 3]),
        ("n in (1, null)", [1]), ("s = 'a' or s is null", [1, 3]), ("(n > 1 or n < 0) and s = 'b'", [2]),
        ("isnull(s)", [3]), ("n == 2", [2]),
    ],
)  # fmt: skip
async def test_where_chooses_rows(db, where: str, chosen: list[int]) -> None:
    await db.sql("CREATE TABLE t (n INT, s VARCHAR(9), d DATE) PRIMARY KEY(n)")
    body = b'{"n":1,"s":"a","d":"2024-01-01"}\n{"n":2,"s":"b","d":"2024-01-02"}\n{"n":3,"d":"2024-01-03"}'
    reply = await db.load("t", body, where=where)
    counters = [reply[f"Number{name}Rows"] for name in ("Total", "Loaded", "Filtered", "Unselected")]
    assert (reply["Status"], counters) == ("Success", [3, len(chosen), 0, 3 - len(chosen)])
    assert [row[0] for row in await db.sql("SELECT n FROM t ORDER BY n")] == chosen


async def test_the_ratio_looks_at_selected_rows_only(db) -> None:
    await db.sql("CREATE TABLE t (n INT NOT NULL, m INT NOT NULL) DUPLICATE KEY(n)")
    body = b'{"n":1,"m":1}\n{"n":2,"m":null}\n{"n":9,"m":null}\n{"n":9,"m":1}'
    reply = await db.load("t", body, where="n < 5", max_filter_ratio="0.5")
    counters = [reply[f"Number{name}Rows"] for name in ("Total", "Loaded", "Filtered", "Unselected")]
    assert (reply["Status"], counters) == ("Success", [4, 1, 1, 2])  # a row that is not chosen is not filtered
    reply = await db.load("t", body, where="n < 5", max_filter_ratio="0.4")
    assert reply["Message"] == "too many filtered rows"


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"where": "x > 1"}, "unknown column in where statement. the column 'x' in where clause must be in the target table."),
        ({"where": "n + 1"}, "where statement is not a valid statement return bool"),
        ({"where": "n >"}, "Getting syntax error"),
        ({"where": "n > 1;"}, None),
        ({"where": "sleep(1) = 0"}, "not emulated: function sleep in the where header"),
        ({"where": "(" * 500 + "n" + ")" * 500 + " > 1"}, "not emulated: more than 100 nested expressions in the where header"),
        ({"where": "not " * 500 + "n > 1"}, "not emulated: more than 100 nested expressions in the where header"),
        ({"where": "- - n > 1"}, "not emulated: a double minus in the where header"),
        ({"columns": "n,s,m=n+"}, "parse columns header failed"),
        ({"columns": "n,m=if(n)"}, "Getting analyzing error. Detail message: No matching function with signature: if"),
        ({"columns": "n,m=cast(n as decimal(99,1))"}, "Getting analyzing error. Detail message: DECIMAL's precision"),
        ({"columns": "n,m=to_binary(n, n)"}, "not emulated: a second argument of to_binary that is no constant"),
        ({"timezone": "Mars/Olympus"}, "Unknown or incorrect time zone: 'Mars/Olympus'"),
        ({"timezone": "+14:01"}, "Unknown or incorrect time zone: '+14:01'"),
        ({"skip_header": "x"}, "Invalid csv load skip_header format"),
        ({"skip_header": "-1"}, "skip_header must be equal or greater than 0"),
        ({"trim_space": "maybe"}, "Invalid trim space format. Must be bool type"),
        ({"load_dop": "x"}, "Invalid load_dop format"), ({"load_mem_limit": "x"}, "Invalid load mem limit format"),
        ({"exec_mem_limit": "0"}, "exec_mem_limit must be greater than 0"),
        ({"log_rejected_record_num": "-2"}, "log_rejected_record_num must be equal or greater than -1"),
        ({"compression": "rar"}, "Unsupported compression type: rar"),
    ],
)  # fmt: skip
async def test_headers_that_are_refused(db, headers: dict[str, str], words: str | None) -> None:
    await db.sql("CREATE TABLE t (n INT, m INT) PRIMARY KEY(n)")
    reply = await db.load("t", b'{"n":2,"m":1}', label="again", **headers)
    assert words is None or (reply["Status"] == "Fail" and words in reply["Message"]), reply
    assert words is None or reply["TxnId"] > 0
    assert (await db.load("t", b'{"n":2,"m":1}', label="again" if words else "other"))["Status"] == "Success"


async def test_where_sees_defaults_and_a_partial_update_only_what_it_writes(db) -> None:
    await db.sql("CREATE TABLE t (n INT, m INT DEFAULT '5', s STRING) PRIMARY KEY(n)")
    await db.loaded("t", {"n": 1}, columns="n", where="m = 5 and s is null")
    reply = await db.load("t", b'{"n":1}', columns="n", where="m = 5", partial_update="true")
    assert reply["Message"].startswith("unknown column in where statement. the column 'm'")


async def test_now_follows_the_time_zone_of_the_load(db) -> None:
    await db.sql("CREATE TABLE t (id INT, a DATETIME, b DATETIME) PRIMARY KEY(id)")
    for ident, zone, hours in ((1, {}, 8), (2, {"timezone": "UTC"}, 0), (3, {"timezone": "-03:30"}, -3.5)):
        await db.loaded("t", {"id": ident}, columns="id,a=now(),b=utc_timestamp()", **zone)
        rows = await db.sql(f"SELECT a, b FROM t WHERE id = {ident}")
        assert rows[0][0] - rows[0][1] == dt.timedelta(hours=hours)


async def test_a_column_that_an_expression_reads_too_is_read_as_text(db) -> None:
    await db.sql("CREATE TABLE t (id INT, d DATE, y INT) PRIMARY KEY(id)")
    await db.loaded("t", {"id": 1, "d": "2024-02-29"}, {"id": 2, "d": "never"}, columns="id,d,y=year(d)")
    assert await db.sql("SELECT id, CAST(d AS STRING), y FROM t ORDER BY id") == [
        (1, "2024-02-29", 2024),
        (2, None, None),
    ]
    reply = await db.load("t", b'{"id":2,"d":"never"}', columns="id,d,y=year(d)", strict_mode="true")
    words = 'Error: Value \'never\' is out of range. The type of \'d\' is DATE. Row: {"id":2,"d":"never"}\n'
    assert await db.error_log(reply) == words


@pytest.mark.parametrize(
    ("expression", "printed"),
    [("from_base64( a )", "from_base64(`a`)"), ("a+1", "`a` + 1"), ("cast(a as int)", "CAST(`a` AS INT)"),
     ("if(a='x', null, true)", "if(`a` = 'x', NULL, TRUE)")],
)  # fmt: skip
def test_expressions_as_messages_show_them(expression: str, printed: str) -> None:
    _, [(_, parsed)] = parse_columns(f"x={expression}")
    assert sql(parsed) == printed


def test_conditions_know_three_values() -> None:
    def holds(text: str) -> object:
        where = parse_where(text)
        assert where is not None
        return values_of(where, {"n": [None]}, 1, NOW)[0]

    given = {"n = 1": None, "n = 1 or true": True, "n = 1 and false": False, "not n = 1": None,
             "n in (1)": None, "n <=> null": True,
             "1 in (2, n)": None, "n is null and 1 = 1": True,
             "n between 1 and 2": None, "3 between 4 and n": False}  # fmt: skip
    assert {text: holds(text) for text in given} == given


def test_unknown_names_are_errors_before_any_row() -> None:
    with pytest.raises(LoadError, match="parse columns header failed"):
        parse_columns("a,,b")
    with pytest.raises(LoadError, match="not emulated: this expression in the columns header: b"):
        parse_columns("a b")
