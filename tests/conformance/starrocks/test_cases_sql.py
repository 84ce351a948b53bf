"""The recorded cases of SQL beside loads: section I, INSERT and UPDATE as partial updates, loads around ALTER TABLE."""

import pymysql
import pytest

ANALYZING = "Getting analyzing error. Detail message: "


async def refused(db, statement: str) -> tuple[int, str]:
    with pytest.raises(pymysql.MySQLError) as caught:
        await db.sql(statement)
    return caught.value.args


@pytest.mark.case("I1")
async def test_update_without_where(db) -> None:
    await db.sql("CREATE TABLE t (k INT, v INT) PRIMARY KEY(k)", "INSERT INTO t VALUES (1,1)")
    full = (1064, f"{ANALYZING}must specify where clause to prevent full table update.")
    assert await refused(db, "UPDATE t SET v = 1") == full
    assert await refused(db, "UPDATE t SET v = (SELECT max(v) FROM t)") == full
    assert await db.sql("SELECT * FROM t") == [(1, 1)]


@pytest.mark.case("I2")
async def test_column_mode_update_of_a_sort_key_column(db) -> None:
    await db.sql("CREATE TABLE t (k INT, v INT, w INT) PRIMARY KEY(k) ORDER BY(v)", "INSERT INTO t VALUES (1,1,1)")
    connection = db.sql("SET partial_update_mode = 'column'", "UPDATE t SET v = 2 WHERE k = 1")
    with pytest.raises(pymysql.MySQLError) as caught:
        await connection
    code, message = caught.value.args
    assert code == 5609
    assert message.endswith(": column mode partial update on table with sort key cannot update sort key column")
    await db.sql("SET partial_update_mode = 'column'", "UPDATE t SET w = 5 WHERE k = 1")
    assert await db.sql("SELECT * FROM t") == [(1, 1, 5)]


@pytest.mark.case("I3")
async def test_the_last_assignment_wins(db) -> None:
    await db.sql("CREATE TABLE t (k INT, v INT) PRIMARY KEY(k)", "INSERT INTO t VALUES (1,1),(2,2)",
                 "UPDATE t SET v = 100, v = 200 WHERE k = 2")  # fmt: skip
    assert await db.sql("SELECT * FROM t ORDER BY k") == [(1, 1), (2, 200)]


@pytest.mark.case("I4")
async def test_hex_of_binary(db) -> None:
    await db.sql("CREATE TABLE t (k INT, b VARBINARY) PRIMARY KEY(k)", "INSERT INTO t VALUES (1, x'00abff')")
    assert await db.sql("SELECT hex(b), b FROM t") == [("00ABFF", b"\x00\xab\xff")]


@pytest.mark.refused("I6")
async def test_decimal_division_is_refused_by_name(db) -> None:
    await db.sql("CREATE TABLE t (k INT, n DECIMAL(38,18)) PRIMARY KEY(k)", "INSERT INTO t VALUES (1, 1.5)")
    assert await refused(db, "SELECT n / 0.000000000000000001 FROM t") == (1235, "not emulated: division of DECIMALs")


@pytest.mark.case("D15")
async def test_insert_with_a_column_list_is_a_partial_update(db) -> None:
    await db.sql("CREATE TABLE t (pk INT, v0 STRING NOT NULL, v1 INT DEFAULT '7') PRIMARY KEY(pk)",
                 "INSERT INTO t VALUES (1,'v0',1),(2,'v2',2)", "INSERT INTO t (pk, v1) VALUES (1,11),(3,3)")  # fmt: skip
    assert await db.sql("SELECT * FROM t ORDER BY pk") == [(1, "v0", 11), (2, "v2", 2), (3, "", 3)]


@pytest.mark.case("D16")
async def test_insert_partial_update_can_be_switched_off(db) -> None:
    await db.sql("CREATE TABLE t (pk INT, v0 STRING NOT NULL, v1 INT DEFAULT '7') PRIMARY KEY(pk)")
    with pytest.raises(pymysql.MySQLError) as caught:
        await db.sql("SET enable_insert_partial_update = false", "INSERT INTO t (pk, v1) VALUES (1,11),(3,3)")
    assert caught.value.args == (
        1064, f"{ANALYZING}'v0' must be explicitly mentioned in column permutation:  pk  v1 .")  # fmt: skip


@pytest.mark.case("D17")
async def test_insert_partial_update_needs_the_sort_key(db) -> None:
    await db.sql("CREATE TABLE t (pk INT, v0 STRING NOT NULL, v1 INT) PRIMARY KEY(pk) ORDER BY(v1)")
    code, message = await refused(db, "INSERT INTO t (pk, v0) VALUES (1, 'a')")
    assert code in (1064, 5609)
    assert "partial update on table with sort key must provide all sort key columns" in message


@pytest.mark.case("D19")
async def test_update_in_column_mode_ignores_the_case_of_names(db) -> None:
    await db.sql("CREATE TABLE t (k INT, v1 INT, V2 INT) PRIMARY KEY(k)", "INSERT INTO t VALUES (1,1,1)",
                 "SET partial_update_mode = 'column'", "UPDATE t SET V1 = 5, v2 = 6 WHERE K = 1")  # fmt: skip
    assert await db.sql("SELECT * FROM t") == [(1, 5, 6)]


@pytest.mark.case("E6")
async def test_insert_with_a_merge_condition(db) -> None:
    await db.sql("CREATE TABLE t (k1 INT, v1 INT, v2 INT) PRIMARY KEY(k1)", "INSERT INTO t VALUES (1, 300, 3)",
                 "INSERT INTO t PROPERTIES('merge_condition' = 'v1') VALUES (1, 200, 2)")  # fmt: skip
    assert await db.sql("SELECT * FROM t") == [(1, 300, 3)]
    await db.sql("INSERT INTO t PROPERTIES('merge_condition' = 'v1') VALUES (1, 400, 4)")
    assert await db.sql("SELECT * FROM t") == [(1, 400, 4)]
    code, message = await refused(db, "INSERT INTO t PROPERTIES('merge_condition' = 'k1') VALUES (1, 400, 4)")
    assert (code, "Merge condition column k1 should not be primary key!" in message) == (1064, True)


async def _evolved(db) -> None:
    await db.sql("CREATE TABLE tab1 (k1 INT, k2 VARCHAR(20), v1 INT, v2 INT, v3 INT, v4 VARCHAR(50), v5 VARCHAR(50)) "
                 "PRIMARY KEY(k1, k2)",
                 "INSERT INTO tab1 VALUES (100,'k2_100',100,100,100,'v4_100','v5_100'),"
                 "(200,'k2_200',200,200,200,'v4_200','v5_200')",
                 "ALTER TABLE tab1 ADD COLUMN v6 VARCHAR(200) DEFAULT '0'")  # fmt: skip


async def _partial(db, columns: str, body: bytes) -> None:
    headers = {"partial_update": "true", "columns": columns, "column_separator": ",", "format": "csv"}
    reply = await db.load("tab1", body, **headers)
    assert (reply["Status"], reply["Message"]) == ("Success", "OK"), reply


@pytest.mark.case("D4")
async def test_partial_load_after_add_column(db) -> None:
    await _evolved(db)
    await _partial(db, "k1,k2,v6,v2", b"100,k2_100,v6_100,111\n400,k2_400,v6_400,222")
    assert await db.sql("SELECT k1, v1, v2, v3, v4, v6 FROM tab1 ORDER BY k1") == [
        (100, 100, 111, 100, "v4_100", "v6_100"), (200, 200, 200, 200, "v4_200", "0"),
        (400, None, 222, None, None, "v6_400"),
    ]  # fmt: skip


@pytest.mark.case("D5")
async def test_partial_load_after_drop_column_and_update(db) -> None:
    await _evolved(db)
    await db.sql("INSERT INTO tab1 (k1, k2) VALUES (400, 'k2_400')", "ALTER TABLE tab1 DROP COLUMN v4",
                 "UPDATE tab1 SET v3 = 999 WHERE k1 > 0")  # fmt: skip
    await _partial(db, "k1,k2,v6,v3", b"100,k2_100,v6_100,111\n400,k2_400,v6_400,222")
    assert await db.sql("SELECT k1, v3, v6 FROM tab1 ORDER BY k1") == [
        (100, 111, "v6_100"), (200, 999, "0"), (400, 222, "v6_400"),
    ]  # fmt: skip
