"""Recorded cases D: partial update (D4, D5, D15 to D17 and D19 are with the SQL cases)."""

import pytest

from tests.conformance.starrocks.loading import csv, csv_loaded, json_loaded

USERS = (
    "CREATE TABLE users (id INT, name CHAR(20) DEFAULT '', city CHAR(20) DEFAULT '', age CHAR(5) DEFAULT '') "
    "PRIMARY KEY(id)"
)
SEVEN = "(k1 INT, k2 INT, k3 INT, v1 INT, v2 INT, v3 INT, v4 INT) PRIMARY KEY(k1, k2)"
COLUMN = {"partial_update": "true", "partial_update_mode": "column"}
ROW = {"partial_update": "true", "partial_update_mode": "row"}


async def users(db) -> None:
    await db.sql(USERS, "INSERT INTO users VALUES " + ", ".join(f"({i}, 'name{i}', 'c{i}', '5')" for i in (1, 2, 3)))


@pytest.mark.case("D1")
async def test_partial_update_with_char(db) -> None:
    await users(db)
    await json_loaded(db, "users", '{"id":1,"city":"xx"}', partial_update="true", columns="id, city")
    assert await db.sql("SELECT * FROM users WHERE id = 1") == [(1, "name1", "xx", "5")]


@pytest.mark.case("D2")
async def test_an_upper_case_key_in_columns(db) -> None:
    await users(db)
    await csv_loaded(db, "users", '1,"xx"', partial_update="true", columns="ID, city")
    assert await db.sql("SELECT * FROM users WHERE id = 1") == [(1, "name1", '"xx"', "5")]


@pytest.mark.case("D3")
async def test_not_null_without_default_gets_zero(db) -> None:
    await db.sql("CREATE TABLE t (id INT, name VARCHAR(9) NOT NULL, score INT NOT NULL) PRIMARY KEY(id)",
                 "INSERT INTO t VALUES (101, 'Tom', 80)")  # fmt: skip
    await csv_loaded(db, "t", "101,Lily", "102,Rose", "103,Alice", partial_update="true", columns="id,name")
    assert await db.sql("SELECT * FROM t ORDER BY id") == [(101, "Lily", 80), (102, "Rose", 0), (103, "Alice", 0)]


@pytest.mark.case("D7")
async def test_column_mode_cannot_write_a_sort_key_that_is_no_key(db) -> None:
    await db.sql(f"CREATE TABLE tab1 {SEVEN} ORDER BY(k3, k2)")
    words = "partial update on table with sort key must provide all sort key columns"
    for columns, line in (("k1,k2,k3,v1", "100,1112,2222,111"), ("k1,k2,v1", "200,1112,2222")):
        reply = await csv(db, "tab1", line, columns=columns, **COLUMN)
        assert reply["Status"] == "Fail" and words in reply["Message"]
    assert await db.sql("SELECT count(*) FROM tab1") == [(0,)]


@pytest.mark.case("D8")
async def test_column_mode_inserts_new_keys(db) -> None:
    await db.sql(f"CREATE TABLE tab2 {SEVEN} ORDER BY(k1, k2)")
    await csv_loaded(db, "tab2", "100,1112,2222,111", "400,4444,432,222", columns="k1,k2,k3,v1", **COLUMN)
    await csv_loaded(db, "tab2", "200,1112,2222", "500,4444,432", columns="k1,k2,v1", **COLUMN)
    rest = (None, None, None)
    assert await db.sql("SELECT * FROM tab2 ORDER BY k1") == [
        (100, 1112, 2222, 111, *rest), (200, 1112, None, 2222, *rest),
        (400, 4444, 432, 222, *rest), (500, 4444, None, 432, *rest),
    ]  # fmt: skip


@pytest.mark.case("D9")
@pytest.mark.parametrize("order", ["", " ORDER BY(k2, k1)"])
async def test_each_key_gets_its_own_value_whatever_the_order(db, order: str) -> None:
    await db.sql(f"CREATE TABLE t (k1 INT, k2 INT, v1 INT, v2 INT, v3 INT) PRIMARY KEY(k1, k2){order}",
                 "INSERT INTO t VALUES " + ", ".join(f"({i}, {9 - i}, {i}, {i}, {i})" for i in range(10)))  # fmt: skip
    lines = [f"{i},{9 - i},{i * 100}" for i in (5, 3, 9, 0, 7, 1, 8, 2, 6, 4)]
    await csv_loaded(db, "t", *lines, columns="k1,k2,v3", **COLUMN)
    assert await db.sql("SELECT * FROM t ORDER BY k1") == [(i, 9 - i, i, i, i * 100) for i in range(10)]


@pytest.mark.case("D10", "D11")
async def test_current_timestamp_for_new_keys(db) -> None:
    await db.sql("CREATE TABLE t (k1 INT, v1 INT, v2 INT, v3 DATETIME DEFAULT CURRENT_TIMESTAMP) PRIMARY KEY(k1)",
                 "INSERT INTO t (k1, v1, v2) VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3)")  # fmt: skip
    for mode, keys, count in ((ROW, (4, 5), 5), (COLUMN, (6, 7), 7)):
        await csv_loaded(db, "t", *(f"{key},1,1" for key in (1, *keys)), columns="k1,v1,v2", **mode)
        assert await db.sql("SELECT count(v3) FROM t") == [(count,)]


@pytest.mark.case("D12")
async def test_auto_increment_is_stable(db) -> None:
    await db.sql("CREATE TABLE t (k1 BIGINT NOT NULL, k2 BIGINT NOT NULL, k3 BIGINT NOT NULL, k4 BIGINT AUTO_INCREMENT) "
                 "PRIMARY KEY(k1)")  # fmt: skip
    await csv_loaded(db, "t", "1,2,3", columns="k1,k2,k3")
    for _ in range(3):
        await csv_loaded(db, "t", "1,20,30", "2,40,50", columns="k1,k2,k3", partial_update="true")
        assert await db.sql("SELECT * FROM t ORDER BY k1") == [(1, 20, 30, 1), (2, 40, 50, 2)]


@pytest.mark.case("D14")
async def test_column_mode_ignores_unknown_names(db) -> None:
    await db.sql("CREATE TABLE t (k BIGINT NOT NULL, v1 BIGINT AUTO_INCREMENT, v2 BIGINT, v3 BIGINT) PRIMARY KEY(k)")
    await csv_loaded(db, "t", "1,2,4", columns="k,v2,v3")
    await csv_loaded(db, "t", "1,20,anything", "2,40,x", columns="k,v2,xx", **COLUMN)
    assert await db.sql("SELECT * FROM t ORDER BY k") == [(1, 1, 20, 4), (2, 2, 40, None)]


@pytest.mark.case("D18")
async def test_column_mode_over_many_columns_in_any_order(db) -> None:
    names = ["k1", "k2", *(f"v{i}" for i in range(1, 16))]
    await db.sql(f"CREATE TABLE t ({', '.join(f'{name} INT' for name in names)}) PRIMARY KEY(k1, k2)",
                 "INSERT INTO t VALUES " + ", ".join(f"({k}, {k}" + f", {k}" * 15 + ")" for k in (1, 2, 3)))  # fmt: skip
    listed = ["k1", "k2", "v9", "v10", "v14", "v11", "v15", "v5", "v4"]
    await csv_loaded(db, "t", "1,1" + ",7" * 7, "3,3" + ",8" * 7, columns=",".join(listed), **COLUMN)
    rows = {row[0]: dict(zip(names, row, strict=True)) for row in await db.sql("SELECT * FROM t")}
    for key, new in ((1, 7), (2, 2), (3, 8)):
        assert rows[key] == {name: new if name in listed[2:] else key for name in names}
