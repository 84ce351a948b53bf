"""Every column type against every kind of JSON value, strict and not (starrocks.md 5), through whole loads."""

import pytest

NULL = None
BAD = object()  # NULL where the load is not strict, a filtered row where it is

INPUTS = ("true", "7", "-1", "300", "70000", "3.7", "1e2", '"7"', '"x"', '""', '"true"', '"2024-02-29"',
          '"2024-02-29T01:02:03.5Z"', '"nan"', "[1,\"x\"]", '{"b":1,"a":[2]}', "null", "9223372036854775808")  # fmt: skip
DAY, TIME = "2024-02-29", "2024-02-29 01:02:03.500000"
# Column type, then what it stores of each of INPUTS.
MATRIX: dict[str, tuple[object, ...]] = {
    "BOOLEAN": (1, 1, 1, 1, 1, 1, 1, 1, BAD, BAD, 1, BAD, BAD, BAD, BAD, BAD, NULL, 1),
    "TINYINT": (BAD, 7, -1, BAD, BAD, 3, 100, 7, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, NULL, BAD),
    "SMALLINT": (BAD, 7, -1, 300, BAD, 3, 100, 7, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, NULL, BAD),
    "INT": (BAD, 7, -1, 300, 70000, 3, 100, 7, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, NULL, BAD),
    "BIGINT": (BAD, 7, -1, 300, 70000, 3, 100, 7, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, NULL, BAD),
    "LARGEINT": ("1", "7", "-1", "300", "70000", BAD, BAD, "7", BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, NULL,
                 "9223372036854775808"),
    "FLOAT": (BAD, 7, -1, 300, 70000, 3.7, 100, 7, BAD, BAD, BAD, BAD, BAD, "nan", BAD, BAD, NULL, 9.223372e18),
    "DOUBLE": (BAD, 7, -1, 300, 70000, 3.7, 100, 7, BAD, BAD, BAD, BAD, BAD, "nan", BAD, BAD, NULL, 9223372036854775808.0),
    "DECIMAL(5,1)": ("1.0", "7.0", "-1.0", "300.0", BAD, "3.7", "100.0", "7.0", BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD,
                     NULL, BAD),
    "CHAR(12)": ("1", "7", "-1", "300", "70000", "3.7", "1e2", "7", "x", "", "true", DAY, BAD, "nan", '[1,"x"]', BAD,
                 NULL, BAD),
    "VARCHAR(30)": ("1", "7", "-1", "300", "70000", "3.7", "1e2", "7", "x", "", "true", DAY, "2024-02-29T01:02:03.5Z", "nan",
                    '[1,"x"]', '{"b":1,"a":[2]}', NULL, "9223372036854775808"),
    "DATE": (BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, DAY, DAY, BAD, BAD, BAD, NULL, BAD),
    "DATETIME": (BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, DAY + " 00:00:00", TIME, BAD, BAD, BAD, NULL, BAD),
    "JSON": ("true", "7", "-1", "300", "70000", "3.7", "100.0", '"7"', '"x"', '""', '"true"', f'"{DAY}"',
             '"2024-02-29T01:02:03.5Z"', '"nan"', '[1, "x"]', '{"a": [2], "b": 1}', NULL, "9223372036854775808"),
    "VARBINARY": ("1", "7", "-1", "300", "70000", "3.7", "1e2", "7", "x", "", "true", DAY, "2024-02-29T01:02:03.5Z", "nan",
                  '[1,"x"]', '{"b":1,"a":[2]}', NULL, "9223372036854775808"),
    "ARRAY<INT>": (*[BAD] * 14, "[1,null]", BAD, NULL, BAD),
    "ARRAY<VARCHAR(9)>": (*[BAD] * 14, '["1","x"]', BAD, NULL, BAD),
    "MAP<VARCHAR(9),INT>": (*[BAD] * 15, '{"b":1,"a":null}', NULL, BAD),
    "STRUCT<a ARRAY<INT>, b INT, c INT>": (*[BAD] * 15, '{"a":[2],"b":1,"c":null}', NULL, BAD),
}  # fmt: skip


def shown(value: object, kind: str) -> object:
    """A value of the result as the table above has it."""
    if value is None:
        return None
    if isinstance(value, bytes):
        return value.decode()
    if kind.startswith(("DATE", "DECIMAL")):
        return str(value)
    return "nan" if value != value else value


@pytest.mark.parametrize("kind", MATRIX)
async def test_a_column_type_against_every_value(db, kind: str) -> None:
    expected = MATRIX[kind]
    assert len(expected) == len(INPUTS)
    column = "CAST(c AS STRING)" if kind.startswith(("DATE", "DECIMAL")) else "c"
    await db.sql(f"CREATE TABLE t (id INT, c {kind}) PRIMARY KEY(id)")
    rows = [f'{{"id":{i},"c":{token}}}' for i, token in enumerate(INPUTS)]
    reply = await db.load("t", "\n".join(rows).encode())
    assert (reply["Status"], reply["NumberFilteredRows"]) == ("Success", 0)
    stored = [shown(row[0], kind) for row in await db.sql(f"SELECT {column} FROM t ORDER BY id")]
    assert stored == [None if value is BAD else value for value in expected]

    await db.sql("TRUNCATE TABLE t")
    reply = await db.load("t", "\n".join(rows).encode(), strict_mode="true", max_filter_ratio="1")
    bad = [i for i, value in enumerate(expected) if value is BAD]
    assert (reply["NumberTotalRows"], reply["NumberFilteredRows"]) == (len(INPUTS), len(bad))
    if bad:
        log = (await db.error_log(reply)).splitlines()
        assert [line.partition(". Row: ")[2] for line in log] == [rows[i] for i in bad]
        assert all(line.startswith("Error: ") for line in log)
    kept = {row[0]: shown(row[1], kind) for row in await db.sql(f"SELECT id, {column} FROM t")}
    assert kept == {i: value for i, value in enumerate(expected) if value is not BAD}


@pytest.mark.parametrize("kind", MATRIX)
async def test_what_is_null_is_filtered_where_a_column_is_not_null(db, kind: str) -> None:
    await db.sql(f"CREATE TABLE t (id INT, c {kind} NOT NULL) PRIMARY KEY(id)")
    rows = [f'{{"id":{i},"c":{token}}}' for i, token in enumerate(INPUTS)]
    reply = await db.load("t", "\n".join(rows).encode(), max_filter_ratio="1")
    bad = [value for value in MATRIX[kind] if value is BAD or value is None]
    assert reply["NumberFilteredRows"] == len(bad)
    log = (await db.error_log(reply)).splitlines()
    assert all(line.startswith("Error: NULL value in non-nullable column 'c'. Row: [") for line in log)


WIDE = "9" * 70 + ".123456"


@pytest.mark.parametrize(
    ("token", "stored"),
    [(WIDE, WIDE), (f'"{WIDE}"', WIDE), ("1.0000005", "1.000001"), ("-1.0000004", "-1.000000"), ("1" * 71, BAD)],
)  # fmt: skip
async def test_decimals_of_76_digits(db40, token: str, stored: object) -> None:
    await db40.sql("CREATE TABLE t (id INT, c DECIMAL(76,6)) PRIMARY KEY(id)")
    reply = await db40.load("t", f'{{"id":1,"c":{token}}}'.encode(), strict_mode="true")
    if stored is BAD:
        assert reply["Message"] == "too many filtered rows"
        assert f"Decimal '{token}' is out of range. The type of 'c' is DECIMAL256(76,6)'" in await db40.error_log(reply)
    else:
        assert reply["Status"] == "Success"
        assert await db40.sql("SELECT CAST(c AS STRING) FROM t") == [(stored,)]


async def test_a_wide_decimal_needs_4_0(db) -> None:
    with pytest.raises(Exception, match="DECIMAL's precision should range from 1 to 38"):
        await db.sql("CREATE TABLE t (id INT, c DECIMAL(39,6)) PRIMARY KEY(id)")
