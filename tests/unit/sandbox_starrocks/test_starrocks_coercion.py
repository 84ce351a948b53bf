"""JSON values into columns (starrocks.md 5, cases C): value by value, and through a load."""

import pytest
from dbmazz_sandbox.starrocks.errors import LoadError
from dbmazz_sandbox.starrocks.protocol.coerce import Invalid, coerce_one
from dbmazz_sandbox.starrocks.protocol.coerce_columns import coerce_column
from dbmazz_sandbox.starrocks.protocol.documents import Documents
from dbmazz_sandbox.starrocks.protocol.moment import parse_moment
from dbmazz_sandbox.starrocks.types import Kind, Type

INT = {kind: Type(kind) for kind in (Kind.TINYINT, Kind.SMALLINT, Kind.INT, Kind.BIGINT, Kind.LARGEINT)}


def stored(kind: Type, token: str):
    """What a column stores for a JSON token, or Invalid; through the exact reader, as a load of decimals would."""
    documents = Documents(b'{"c":' + token.encode() + b"}", strip_outer_array=False, prefix="", keys=("c",))
    documents.make_exact()
    values, bad = coerce_column(kind, [documents.rows[0]["c"]], exact=True)
    return Invalid if bad else values[0]


@pytest.mark.parametrize(
    ("token", "value"),
    [("true", True), ("0.1", True), ("-0.1", True), ("0", False), ('"10"', True), ('"TRUE"', True), ('"false"', False),
     ('"FaLs"', Invalid), ('"0.1"', Invalid), ("[1]", Invalid), ('"t"', Invalid), ('"yes"', Invalid)],
)  # fmt: skip
def test_boolean(token: str, value: object) -> None:
    assert stored(Type(Kind.BOOLEAN), token) is value or stored(Type(Kind.BOOLEAN), token) == value


@pytest.mark.parametrize(
    ("kind", "token", "value"),
    [
        (Kind.BIGINT, "-9223372036854775808", -(2**63)),
        (Kind.BIGINT, "-9223372036854775809", Invalid),
        (Kind.BIGINT, "9223372036854775808", Invalid),
        (Kind.BIGINT, "18446744073709551616", Invalid),
        (Kind.BIGINT, "9223372036854775000.0", 9223372036854774784),
        (Kind.BIGINT, "9223372036854775807.0", Invalid),
        (Kind.BIGINT, "-9223372036854675807.0", -9223372036854675456),
        (Kind.BIGINT, "-9223372036854775809.0", -(2**63)),
        (Kind.BIGINT, "-9223372036854778808.0", Invalid),
        (Kind.INT, "2147483647.0", 2147483647),
        (Kind.INT, "2147483647.3", 2147483647),
        (Kind.INT, "2147483648.0", Invalid),
        (Kind.INT, "-2147483648.0", -2147483648),
        (Kind.INT, "-2147483649.0", Invalid),
        (Kind.INT, '"123"', 123),
        (Kind.INT, '{"f_int":1}', Invalid),
        (Kind.INT, "true", Invalid),
        (Kind.TINYINT, "128", Invalid),
        (Kind.SMALLINT, '"-32768"', -32768),
        (Kind.LARGEINT, "9223372036854775808", 9223372036854775808),
        (Kind.LARGEINT, "-9223372036854775809", -9223372036854775809),
        (Kind.LARGEINT, '"170141183460469231731687303715884105727"', 2**127 - 1),
        (Kind.LARGEINT, "170141183460469231731687303715884105728", Invalid),
    ],
)
def test_integers(kind: Kind, token: str, value: object) -> None:
    assert stored(INT[kind], token) == value


def test_an_integer_below_64_bits_is_not_read_as_a_double() -> None:
    documents = Documents(b'{"c":-9223372036854775809}', strip_outer_array=False, prefix="", keys=("c",))
    with pytest.raises(Exception, match=r"^$") as caught:
        coerce_one(INT[Kind.BIGINT], documents.rows[0]["c"])
    assert type(caught.value).__name__ == "NeedsTokens"


@pytest.mark.parametrize(
    ("token", "value"),
    [("1.005", "1.01"), ('"1.004"', "1.00"), ("-1.005", "-1.01"), ("99.99", "99.99"), ("99.995", Invalid),
     ("100", Invalid), ('"NaN"', Invalid), ("1e1", "10.00"), ('"abc"', Invalid), ("true", "1.00"), ("1e400", Invalid)],
)  # fmt: skip
def test_decimal_rounds_half_up_from_the_token(token: str, value: object) -> None:
    assert stored(Type(Kind.DECIMAL, precision=4, scale=2), token) == value


def test_wide_decimal_is_exact() -> None:
    text = "1234565789012345678901234567.123456789"
    assert stored(Type(Kind.DECIMAL, precision=37, scale=9), text) == text


@pytest.mark.parametrize(
    ("token", "value"),
    [("3.14", "3.14"), ("1.0", "1.0"), ("true", "1"), ("false", "0"), ("123", "123"), ('"a"', "a"),
     ('"\\u0000"', "\0"), ('"\\ud800"', Invalid)],
)  # fmt: skip
def test_varchar_takes_tokens(token: str, value: object) -> None:
    assert stored(Type(Kind.VARCHAR, 10), token) == value


def test_varchar_length_is_in_bytes() -> None:
    assert stored(Type(Kind.VARCHAR, 4), '"éé"') == "éé"
    with pytest.raises(Invalid, match=r"^Value length is beyond the capacity\. column=\{c\}, capacity=3$"):
        coerce_one(Type(Kind.VARCHAR, 3), "éé")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2021-12-09 10:00:00", "2021-12-09 10:00:00"),
        ("2021-12-09T10:00:00.123", "2021-12-09 10:00:00.123000"),
        ("2021-12-09 10:00:00.1234567", "2021-12-09 10:00:00.123456"),
        ("2021-12-09 10:00:00+05:30", "2021-12-09 10:00:00"),
        ("2021-12-09T10:00:00Z", "2021-12-09 10:00:00"),
        ("2021-12-09", "2021-12-09 00:00:00"),
        ("2021-1-9 1:2:3", "2021-01-09 01:02:03"),
        ("2021/12/09", "2021-12-09 00:00:00"),
        ("20211209", "2021-12-09 00:00:00"),
        ("20211209101112", "2021-12-09 10:11:12"),
        ("211209", "2021-12-09 00:00:00"),
        ("0044-03-15 BC", "0044-03-15 00:00:00"),
        ("0000-01-01", "0000-01-01 00:00:00"),
        ("9999-12-31 23:59:59.999999", "9999-12-31 23:59:59.999999"),
        ("10000-01-01", None),
        ("infinity", None),
        ("2021-02-30", None),
        ("2021-13-01", None),
        ("2021-12-09 24:00:00", None),
        ("", None),
        ("1", None),
    ],
)
def test_moments(text: str, value: str | None) -> None:
    assert parse_moment(text) == value


def test_year_zero_is_a_leap_year_and_1900_is_not() -> None:
    assert parse_moment("0000-02-29") and parse_moment("2000-02-29") and not parse_moment("1900-02-29")


@pytest.mark.parametrize(
    ("item", "token", "value"),
    [
        (Type(Kind.BOOLEAN), '[null,0.1,-0.1,1,-1,0,"TRUE","false","1"]', "[null,1,1,1,1,0,1,0,1]"),
        (Type(Kind.ARRAY, item=Type(Kind.SMALLINT)), '[["invalid",20],[30,40]]', "[[null,20],[30,40]]"),
        (Type(Kind.LARGEINT), "[[1],[2]]", "[null,null]"),
        (Type(Kind.JSON), '[{"k2":"v2"}]', '[{"k2": "v2"}]'),
        (Type(Kind.VARCHAR, 3), '["a\\"b","toolong"]', '["a\\"b",null]'),
        (Type(Kind.DECIMAL, precision=5, scale=2), "[1.005]", "[1.01]"),
    ],
)
def test_arrays(item: Type, token: str, value: str) -> None:
    assert stored(Type(Kind.ARRAY, item=item), token) == value


def test_array_from_text_is_invalid() -> None:
    assert stored(Type(Kind.ARRAY, item=Type(Kind.INT)), '"[1,2]"') is Invalid


@pytest.mark.parametrize(
    ("token", "value"),
    [
        ('{"k2":2,"k1":1}', '{"k1": 1, "k2": 2}'),
        ("9223372036854775807", "9223372036854775807"),
        ("18446744073709551615", "18446744073709551615"),
        ("18446744073709551616", "1.8446744073709552e+19"),
        ("1.10", "1.1"),
        ('"{\\"a\\":1}"', '"{\\"a\\":1}"'),
        ("[]", "[]"),
    ],
)
def test_json(token: str, value: str) -> None:
    assert stored(Type(Kind.JSON), token) == value
    quick = Documents(b'{"c":' + token.encode() + b"}", strip_outer_array=False, prefix="", keys=("c",))
    assert coerce_column(Type(Kind.JSON), [quick.rows[0]["c"]], exact=False) == ([value], {})


def test_a_bad_escape_fails_the_document() -> None:
    with pytest.raises(LoadError):
        Documents(b'{"k":"abc \\ssn"}', strip_outer_array=False, prefix="", keys=())


async def test_strict_and_lenient(db) -> None:
    await db.sql("CREATE TABLE t (id BIGINT, n INT, v VARCHAR(3), d DATE) PRIMARY KEY(id)")
    bad = {"id": 1, "n": {"f_int": 1}, "v": "abcd", "d": "never"}
    await db.loaded("t", bad)
    assert await db.sql("SELECT * FROM t") == [(1, None, None, None)]
    reply = await db.load("t", b'{"id":2,"n":2147483648}\n{"id":3,"n":1}', strict_mode="true")
    assert (reply["Status"], reply["Message"]) == ("Fail", "too many filtered rows")
    counters = [reply[f"Number{name}Rows"] for name in ("Total", "Loaded", "Filtered", "Unselected")]
    assert counters == [2, 1, 1, 0]
    assert (
        await db.error_log(reply)
        == 'Error: Value is overflow. column=n, value=2147483648. Row: {"id":2,"n":2147483648}\n'
    )
    assert await db.sql("SELECT count(*) FROM t") == [(1,)]


async def test_every_type_comes_back(db) -> None:
    await db.sql(
        "CREATE TABLE t (id INT, b BOOLEAN, i8 TINYINT, i16 SMALLINT, i64 BIGINT, i128 LARGEINT, f FLOAT, d DOUBLE, "
        "n DECIMAL(27,9), c CHAR(4), s STRING, dt DATE, ts DATETIME, j JSON, bin VARBINARY, a ARRAY<INT>) PRIMARY KEY(id)"
    )
    await db.load(
        "t",
        b'{"id":1,"b":true,"i8":-128,"i16":32767,"i64":9223372036854775807,"i128":-170141183460469231731687303715884105728,'
        b'"f":3.14,"d":9223372036854775807,"n":123456789012345678.123456789,"c":"ab","s":"\\u0000\xf0\x9f\x98\x80",'
        b'"dt":"0000-01-01","ts":"2024-02-29 01:02:03.000004","j":{"b":[1,2],"a":1},"bin":"1234","a":[1,null,3]}',
        strict_mode="true",
    )
    rows = await db.sql("SELECT CAST(dt AS STRING), CAST(ts AS STRING), CAST(b AS STRING), hex(bin), a FROM t")
    assert rows == [
        ("0000-01-01", "2024-02-29 01:02:03.000004", "1", "31323334", b"[1,null,3]")
    ]  # an ARRAY has the binary character set
    row = (await db.sql("SELECT b, i8, i16, i64, i128, f, d, n, c, s, j, bin FROM t"))[0]
    assert row[:4] == (1, -128, 32767, 2**63 - 1)
    assert row[4] == "-170141183460469231731687303715884105728"
    assert (row[5], row[6], str(row[7])) == (3.14, 9.223372036854776e18, "123456789012345678.123456789")
    assert row[8:] == ("ab", "\0😀", '{"a": 1, "b": [1, 2]}', b"1234")


async def test_double_specials_from_text(db) -> None:
    await db.sql("CREATE TABLE t (id INT, d DOUBLE) PRIMARY KEY(id)")
    await db.loaded("t", {"id": 1, "d": "nan"}, {"id": 2, "d": "-inf"}, {"id": 3, "d": None}, strict_mode="true")
    assert await db.sql("SELECT CAST(d AS STRING) FROM t ORDER BY id") == [("nan",), ("-inf",), (None,)]
