"""Partial updates in both modes, and merge_condition beside them (starrocks.md 2.3, 2.4)."""

import pytest

from tests.unit.sandbox_starrocks.conftest import ndjson

COLUMN = {"partial_update": "true", "partial_update_mode": "column"}
ROW = {"partial_update": "true"}


@pytest.mark.parametrize(
    "mode", [ROW, COLUMN, ROW | {"partial_update_mode": "auto"}, ROW | {"partial_update_mode": "COLUMN"}]
)
async def test_what_a_new_key_gets_for_the_columns_left_out(db, mode: dict[str, str]) -> None:
    await db.sql(
        "CREATE TABLE t (id INT, v INT, a INT NOT NULL, s STRING NOT NULL, b BOOLEAN NOT NULL, n DECIMAL(5,2) NOT NULL, "
        "d DOUBLE NOT NULL, x VARBINARY NOT NULL, c INT DEFAULT '7', m INT NOT NULL DEFAULT '8', z STRING, "
        "at DATETIME DEFAULT CURRENT_TIMESTAMP) PRIMARY KEY(id)"
    )
    await db.loaded("t", {"id": 1, "v": 5}, columns="id,v", **mode)
    rows = await db.sql("SELECT v, a, s, b, CAST(n AS STRING), d, x, c, m, z, at IS NOT NULL FROM t")
    assert rows == [(5, 0, "", 0, "0.00", 0.0, b"", 7, 8, None, 1)]
    await db.loaded("t", {"id": 1}, columns="id,v", **mode)  # a key that is missing in a row writes NULL
    assert await db.sql("SELECT v, c FROM t") == [(None, 7)]


async def test_deletes_in_column_mode_fail_the_load(db) -> None:
    await db.sql("CREATE TABLE t (id INT, v INT) PRIMARY KEY(id)", "INSERT INTO t VALUES (1, 1)")
    reply = await db.load("t", ndjson({"id": 1, "__op": 1}, {"id": 2, "v": 2}), columns="id,v", **COLUMN)
    words = "Mixed upsert/delete transactions not supported in column mode partial updates"
    assert (reply["Status"], reply["Message"]) == ("Fail", words)
    assert await db.sql("SELECT * FROM t") == [(1, 1)]


async def test_the_mode_means_nothing_without_partial_update(db) -> None:
    await db.sql("CREATE TABLE t (id INT, v INT, w INT) PRIMARY KEY(id)", "INSERT INTO t VALUES (1, 1, 1)")
    await db.loaded("t", {"id": 1, "__op": 1}, partial_update_mode="column")
    assert await db.sql("SELECT count(*) FROM t") == [(0,)]


async def test_row_mode_needs_the_sort_key_unless_it_only_deletes(db) -> None:
    await db.sql(
        "CREATE TABLE t (id INT, v INT, w INT) PRIMARY KEY(id) ORDER BY(v)", "INSERT INTO t VALUES (1, 1, 1), (2, 2, 2)"
    )
    words = "partial update on table with sort key must provide all sort key columns"
    for rows in ([{"id": 1, "w": 5}], [{"id": 1, "w": 5}, {"id": 2, "__op": 1}]):
        assert (await db.load("t", ndjson(*rows), columns="id,w", **ROW))["Message"] == words
    await db.loaded("t", {"id": 1, "__op": 1}, columns="id", **ROW)
    await db.loaded("t", {"id": 2, "v": 5}, columns="id,v", **ROW)
    assert await db.sql("SELECT * FROM t") == [(2, 5, 2)]
    await db.loaded("t", {"id": 2, "v": 6, "w": 6}, columns="id,v,w", **COLUMN)  # all columns: no partial update
    assert await db.sql("SELECT * FROM t") == [(2, 6, 6)]


async def test_row_mode_with_a_condition(db) -> None:
    await db.sql(
        "CREATE TABLE t (id INT, v INT, w INT) PRIMARY KEY(id)", "INSERT INTO t VALUES (1, 10, 1), (2, NULL, 1)"
    )
    rows = ({"id": 1, "v": 9}, {"id": 2, "v": -1}, {"id": 3, "v": None}, {"id": 3, "v": 1}, {"id": 3, "v": 0})
    await db.loaded("t", *rows, columns="id,v", merge_condition="v", **ROW)
    assert await db.sql("SELECT * FROM t ORDER BY id") == [(1, 10, 1), (2, -1, 1), (3, 1, None)]
    await db.loaded("t", {"id": 1, "v": None}, columns="id,v", merge_condition="v", **ROW)
    assert await db.sql("SELECT v FROM t WHERE id = 1") == [(10,)]


@pytest.mark.parametrize(
    "kind", ["VARCHAR(9)", "CHAR(9)", "JSON", "VARBINARY", "ARRAY<INT>", "MAP<INT,INT>", "STRUCT<a INT>"]
)
async def test_types_that_are_no_condition(db, kind: str) -> None:
    await db.sql(f"CREATE TABLE t (id INT, c {kind}) PRIMARY KEY(id)")
    reply = await db.load("t", b'{"id":1}', merge_condition="c")
    assert reply["Message"] == "Merge condition column has invalid type maybe bitmap/hll/percentile/json/varchar!"


async def test_a_wide_decimal_as_condition_is_refused(db40) -> None:
    await db40.sql("CREATE TABLE t (id INT, c DECIMAL(50,2)) PRIMARY KEY(id)")
    reply = await db40.load("t", b'{"id":1}', merge_condition="c")
    assert reply["Message"] == "not emulated: merge_condition on a DECIMAL of more than 38 digits"


async def test_auto_increment_over_full_loads(db) -> None:
    await db.sql("CREATE TABLE t (id BIGINT NOT NULL, n BIGINT AUTO_INCREMENT, v INT) PRIMARY KEY(id)")
    await db.loaded("t", {"id": 5, "v": 1}, {"id": 6, "v": 1})
    await db.loaded("t", {"id": 7, "v": 1}, columns="id,v")
    assert await db.sql("SELECT id, n FROM t ORDER BY id") == [(5, 1), (6, 2), (7, 3)]
    await db.loaded("t", {"id": 8, "n": 100}, columns="id,n")
    reply = await db.load("t", ndjson({"id": 9, "n": None}, {"id": 10, "n": 5}), columns="id,n")
    assert (reply["Message"], reply["NumberFilteredRows"]) == ("too many filtered rows", 2)
    assert "NULL value in auto increment column 'n'" in await db.error_log(reply)
    assert await db.sql("SELECT id, n FROM t WHERE id > 7") == [(8, 100)]
