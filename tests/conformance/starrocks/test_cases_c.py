"""Recorded cases C: JSON values into columns. A value that is not valid is NULL, and in strict mode filters its row."""

import json

import pytest

from tests.conformance.starrocks.loading import json_loaded
from tests.unit.sandbox_starrocks.conftest import Database

NULL = None


async def stored(db: Database, kind: str, *tokens: str) -> list[object]:
    """What a column of this type holds of each JSON token, as SELECT prints it, in a load that is not strict."""
    await db.sql(f"CREATE TABLE t (id INT, c {kind}) PRIMARY KEY(id)")
    await json_loaded(db, "t", "\n".join(f'{{"id":{i},"c":{token}}}' for i, token in enumerate(tokens)))
    return [plain(row[0]) for row in await db.sql("SELECT c FROM t ORDER BY id")]


def plain(value: object) -> object:
    """Nested values come as bytes: their columns have the binary character set."""
    return value.decode() if isinstance(value, bytes) else value


async def refused(db: Database, *tokens: str) -> str:
    """The reason why a strict load of each token filters its row."""
    reasons = set()
    for token in tokens:
        reply = await db.load("t", f'{{"id":100,"c":{token}}}'.encode(), strict_mode="true")
        assert (reply["Status"], reply["Message"], reply["NumberFilteredRows"]) == ("Fail", "too many filtered rows", 1)
        reasons.add((await db.error_log(reply)).removeprefix("Error: ").partition(". Row: ")[0])
    return reasons.pop() if len(reasons) == 1 else str(sorted(reasons))


@pytest.mark.case("C2")
async def test_booleans_that_are_none(db) -> None:
    bad = ('"FaLs"', '"0.1"', "[1]")
    assert await stored(db, "BOOLEAN", *bad, '"FaLsE"', '"10"', "0.1", "0") == [NULL, NULL, NULL, 0, 1, 1, 0]
    for token in bad:
        assert "boolean" in await refused(db, token)


@pytest.mark.case("C3")
async def test_an_array_of_booleans(db) -> None:
    assert await stored(db, "ARRAY<BOOLEAN>", '[null,0.1,-0.1,1,-1,0,"TRUE","false","1"]') == ["[null,1,1,1,1,0,1,0,1]"]


@pytest.mark.case("C4")
async def test_an_object_is_no_number(db) -> None:
    assert await stored(db, "INT", '{"f_int":1}') == [NULL]
    assert await refused(db, '{"f_int":1}') == "Unsupported value type. Numeric type is required. column=c"


@pytest.mark.case("C6")
async def test_bigint_bounds(db) -> None:
    bad = ("-9223372036854775809", "9223372036854775808", "18446744073709551616")
    assert await stored(db, "BIGINT", "-9223372036854775808", *bad) == [-(2**63), NULL, NULL, NULL]
    for token in bad:
        assert await refused(db, token) == f"Value is overflow. column=c, value={token}"


@pytest.mark.case("C7")
async def test_largeint_is_exact(db) -> None:
    tokens = ("9223372036854775808", "-9223372036854775809", "18446744073709551616")
    assert await stored(db, "LARGEINT", *tokens, f'"{2**127 - 1}"') == [*tokens, str(2**127 - 1)]


@pytest.mark.case("C8")
async def test_float_from_number_and_text(db) -> None:
    assert await stored(db, "FLOAT", "3.14", '"3.14"') == [3.14, 3.14]


C9A = {
    "9223372036854775000.0": 9223372036854774784, "9223372036854775807.0": NULL, "9223372036854775807.3": NULL,
    "9223372036854775808.0": NULL, "9223372036854775809.0": NULL, "-9223372036854675807.0": -9223372036854675456,
    "-9223372036854775807.0": -(2**63), "-9223372036854775808.0": -(2**63), "-9223372036854775809.0": -(2**63),
    "-9223372036854778808.0": NULL, "32767": 32767, "32768": 32768, "32769": 32769, "-32765": -32765,
    "-32766": -32766, "-32767": -32767, "-32768": -32768, "-32769": -32769, "-32770": -32770,
    "9223372036854775808": NULL, "9223372036854775810": NULL,
}  # fmt: skip


@pytest.mark.case("C9a")
async def test_bigint_from_fractions(db) -> None:
    assert await stored(db, "BIGINT", *C9A) == list(C9A.values())


@pytest.mark.case("C9b")
async def test_int_from_fractions(db) -> None:
    given = {"2147483647.0": 2147483647, "2147483647.3": 2147483647, "2147483648.0": NULL,
             "-2147483648.0": -2147483648, "-2147483649.0": NULL}  # fmt: skip
    assert await stored(db, "INT", *given) == list(given.values())


@pytest.mark.case("C10")
async def test_double_from_all_of_them(db) -> None:
    assert await stored(db, "DOUBLE", *C9A) == [float(token) for token in C9A]
    assert await db.sql("SELECT CAST(9223372036854775807 AS DOUBLE)") == [(9.223372036854776e18,)]


@pytest.mark.case("C11")
async def test_sixteen_types_in_a_row(db) -> None:
    await db.sql(
        "CREATE TABLE t (id INT, f_bool BOOLEAN, f_tiny TINYINT, f_small SMALLINT, f_int INT, f_big BIGINT, f_float FLOAT, "
        "f_double DOUBLE, f_varchar VARCHAR(20), f_date DATE, f_datetime DATETIME, f_dec DECIMAL(38,9), "
        "f_array ARRAY<INT>, f_struct STRUCT<s1 INT, s2 VARCHAR(9)>, f_map MAP<VARCHAR(9),DOUBLE>, f_json JSON) "
        "PRIMARY KEY(id)"
    )
    row = {
        "id": 1, "f_bool": True, "f_tiny": 127, "f_small": 32767, "f_int": 2147483647, "f_big": 9223372036854775807,
        "f_float": 3.14, "f_double": 3.14, "f_varchar": "abc", "f_date": "2021-12-09",
        "f_datetime": "2021-12-09 10:00:00", "f_dec": "1234565789012345678901234567.123456789",
        "f_array": [1, 3, 5], "f_struct": {"s1": 1, "s2": "x"}, "f_map": {"a": 1.5}, "f_json": {"k1": 1},
    }  # fmt: skip
    await json_loaded(db, "t", json.dumps(row), strict_mode="true")
    first = (await db.sql("SELECT f_bool, f_tiny, f_small, f_int, f_big, f_float, f_double, f_varchar FROM t"))[0]
    assert first == (1, 127, 32767, 2147483647, 9223372036854775807, 3.14, 3.14, "abc")
    rest = await db.sql("SELECT CAST(f_date AS STRING), CAST(f_datetime AS STRING), CAST(f_dec AS STRING) FROM t")
    assert rest == [("2021-12-09", "2021-12-09 10:00:00", "1234565789012345678901234567.123456789")]
    nested = await db.sql("SELECT f_array, f_struct, f_map, f_json FROM t")
    assert [tuple(map(plain, row)) for row in nested] == [("[1,3,5]", '{"s1":1,"s2":"x"}', '{"a":1.5}', '{"k1": 1}')]


@pytest.mark.case("C12")
async def test_casts(db) -> None:
    await db.sql("CREATE TABLE t (id INT, v VARCHAR(20), d DOUBLE, n INT) PRIMARY KEY(id)")
    body = '{"id":1,"v":3.14,"d":"3.14","n":"123"}\n{"id":2,"v":true}\n{"id":3,"v":123}\n{"id":4,"v":"a"}'
    await json_loaded(db, "t", body, strict_mode="true")
    assert await db.sql("SELECT v FROM t ORDER BY id") == [("3.14",), ("1",), ("123",), ("a",)]
    assert await db.sql("SELECT d, n FROM t WHERE id = 1") == [(3.14, 123)]


@pytest.mark.case("C13")
async def test_json_is_kept_natively(db) -> None:
    given = {
        "true": "true", "127": "127", "2147483647": "2147483647", "9223372036854775807": "9223372036854775807",
        "3.14": "3.14", '"text"': '"text"', '{"k2":2,"k1":1}': '{"k1": 1, "k2": 2}',
        '[1,[2,{"a":[]}]]': '[1, [2, {"a": []}]]', '"{\\"a\\":1}"': '"{\\"a\\":1}"',
    }  # fmt: skip
    assert await stored(db, "JSON", *given) == list(given.values())


@pytest.mark.case("C15")
async def test_an_array_of_json(db) -> None:
    assert await stored(db, "ARRAY<JSON>", '[{"k2":"v2"}]') == ['[{"k2": "v2"}]']


@pytest.mark.case("C16")
async def test_a_bad_element_is_null_in_strict_mode_too(db) -> None:
    token = '[["invalid",20],[30,40]]'
    assert await stored(db, "ARRAY<ARRAY<SMALLINT>>", token) == ["[[null,20],[30,40]]"]
    await json_loaded(db, "t", f'{{"id":9,"c":{token}}}', strict_mode="true")
    assert plain((await db.sql("SELECT c FROM t WHERE id = 9"))[0][0]) == "[[null,20],[30,40]]"


@pytest.mark.case("C17")
async def test_arrays_of_the_wrong_depth(db) -> None:
    assert await stored(db, "ARRAY<ARRAY<SMALLINT>>", "[10,20,30,40]") == ["[null,null,null,null]"]
    await db.sql("CREATE TABLE u (id INT, c ARRAY<LARGEINT>) PRIMARY KEY(id)")
    await json_loaded(db, "u", '{"id":1,"c":[[10,20],[30,40]]}')
    assert plain((await db.sql("SELECT c FROM u"))[0][0]) == "[null,null]"


@pytest.mark.case("C18")
async def test_struct_and_map(db) -> None:
    token = '{"key1":"foo","key2":"bar","key3":"baz"}'
    assert await stored(db, "STRUCT<key1 VARCHAR(9), key2 VARCHAR(9)>", token, "null") == [
        '{"key1":"foo","key2":"bar"}', NULL,
    ]  # fmt: skip
    await db.sql("CREATE TABLE m (id INT, c MAP<VARCHAR(9),VARCHAR(9)>) PRIMARY KEY(id)")
    await json_loaded(db, "m", f'{{"id":1,"c":{token}}}\n{{"id":2,"c":null}}')
    assert [plain(row[0]) for row in await db.sql("SELECT c FROM m ORDER BY id")] == [token, NULL]


@pytest.mark.case("C19")
async def test_a_bad_escape_in_json(db) -> None:
    await db.sql("CREATE TABLE t (id INT, c JSON) PRIMARY KEY(id)")
    reply = await db.load("t", b'{"id":1,"c":"abc \\ssn"}', strict_mode="true")
    assert reply["Status"] == "Fail" and await db.sql("SELECT count(*) FROM t") == [(0,)]
    # A value that the JSON type itself cannot hold is told with its text, cut at 1 KB.
    reply = await db.load("t", b'{"id":1,"c":"\\ud800' + b"x" * 3000 + b'"}', strict_mode="true")
    log = await db.error_log(reply)
    assert "Failed to convert simdjson value, json=" in log and "x" * 1000 in log.partition(", error=")[0]
    assert "x" * 1025 not in log.partition(", error=")[0]


@pytest.mark.case("C20")
async def test_varbinary_takes_the_bytes_as_they_are(db) -> None:
    await db.sql("CREATE TABLE t (c1 INT, c2 VARBINARY) DUPLICATE KEY(c1)")
    await json_loaded(db, "t", '[{"c1":"1","c2":"1234"}]', strip_outer_array="true", jsonpaths='["$.c1","$.c2"]')
    assert await db.sql("SELECT * FROM t") == [(1, b"1234")]
