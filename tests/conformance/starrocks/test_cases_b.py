"""Recorded cases B: JSON documents."""

import pymysql
import pytest

from tests.conformance.starrocks.loading import json_loaded

PAIRS = "CREATE TABLE t (key1 INT, key2 INT) DUPLICATE KEY(key1)"
KINDS = "CREATE TABLE t (k1 VARCHAR(20), kind VARCHAR(20), ip VARCHAR(20), value INT) DUPLICATE KEY(k1)"
NESTED = "CREATE TABLE t (k1 VARCHAR(20), kind VARCHAR(20), keyname JSON) DUPLICATE KEY(k1)"
ADDRESSES = "CREATE TABLE t (ip VARCHAR(20), value VARCHAR(20)) DUPLICATE KEY(ip)"


@pytest.mark.case("B1")
async def test_concatenated_objects(db) -> None:
    await db.sql(PAIRS)
    await json_loaded(db, "t", '{"key1": 1, "key2": 2 }{"key1": 3, "key2": 4 }')
    assert await db.sql("SELECT * FROM t ORDER BY key1") == [(1, 2), (3, 4)]


@pytest.mark.case("B2")
async def test_an_outer_array(db) -> None:
    await db.sql(
        "CREATE TABLE t (category VARCHAR(20), author VARCHAR(20), title VARCHAR(20), price DOUBLE) "
        "DUPLICATE KEY(category)"
    )
    rows = ", ".join(f'{{"category":"c","author":"a","title":"t","price":{price}}}' for price in ("8.95", "12.99"))
    await json_loaded(db, "t", f"[{rows}]", strip_outer_array="true")
    assert await db.sql("SELECT price FROM t ORDER BY price") == [(8.95,), (12.99,)]


@pytest.mark.case("B3")
async def test_sparse_objects_in_any_order(db) -> None:
    await db.sql(KINDS)
    rows = [
        '{"k1":"v1","kind":"server","ip":"10.10.0.1","value":"20"}', '{"kind":"server","k1":"v2","value":"20"}',
        '{"ip":"10.20.1.1","value":"20","k1":"v3"}', '{"k1":"v4"}', '{"value":"20","k1":"v5","kind":"server"}',
    ]  # fmt: skip
    await json_loaded(db, "t", "\n".join(rows), strict_mode="true")
    assert await db.sql("SELECT * FROM t ORDER BY k1") == [
        ("v1", "server", "10.10.0.1", 20), ("v2", "server", None, 20), ("v3", None, "10.20.1.1", 20),
        ("v4", None, None, None), ("v5", "server", None, 20),
    ]  # fmt: skip


@pytest.mark.case("B4")
async def test_an_empty_object_is_a_row_of_nulls(db) -> None:
    await db.sql(KINDS)
    await json_loaded(db, "t", '{}\n{"k1":"v1"}\n{"kind":"k"}')
    rows = await db.sql("SELECT * FROM t")
    assert sorted(map(str, rows)) == sorted(
        map(str, [(None, None, None, None), ("v1", None, None, None), (None, "k", None, None)])
    )


@pytest.mark.case("B5")
async def test_the_first_of_equal_keys_counts(db) -> None:
    await db.sql("CREATE TABLE t (k1 INT, k2 INT) DUPLICATE KEY(k1)")
    await json_loaded(db, "t", '{"k1": 1,"k2": 1,"k2": 1}')
    await json_loaded(db, "t", '{"k1": 2,"k2": 7,"k2": 8}')
    assert await db.sql("SELECT * FROM t ORDER BY k1") == [(1, 1), (2, 7)]


@pytest.mark.case("B7")
async def test_jsonpaths_reach_into_objects(db) -> None:
    await db.sql(KINDS)
    rows = [f'{{"k1":"v{i}","kind":"server","keyname":{{"ip":"10.10.0.{i}","value":"{i}0"}}}}' for i in (1, 2)]
    paths = '["$.k1","$.kind","$.keyname.ip","$.keyname.value"]'
    await json_loaded(db, "t", f"[{','.join(rows)}]", strip_outer_array="true", jsonpaths=paths)
    expected = [("v1", "server", "10.10.0.1", 10), ("v2", "server", "10.10.0.2", 20)]
    assert await db.sql("SELECT * FROM t ORDER BY k1") == expected


@pytest.mark.case("B8")
async def test_an_asterisk_over_null_is_null(db) -> None:
    await db.sql("CREATE TABLE t (k1 INT, ip VARCHAR(20), kind VARCHAR(20)) DUPLICATE KEY(k1)")
    body = '{"k1":1,"keyname":null,"kind":"a"}\n{"k1":2,"keyname":{"ip":"first","x":"second"},"kind":"b"}'
    await json_loaded(db, "t", body, jsonpaths='["$.k1","$.keyname.*","$.kind"]')
    assert await db.sql("SELECT * FROM t ORDER BY k1") == [(1, None, "a"), (2, "first", "b")]


@pytest.mark.case("B9")
async def test_a_path_that_is_none(db40) -> None:
    await db40.sql(PAIRS)
    reply = await db40.load("t", b'{"key1":1}', jsonpaths="invalid path")
    assert reply["Status"] == "Fail" and reply["Message"].startswith("parse error. Invalid json path: invalid path")


@pytest.mark.case("B10")
async def test_a_body_without_braces(db40) -> None:
    await db40.sql(PAIRS)
    reply = await db40.load("t", b'"f_float": 3.14, "f_bool": true', max_filter_ratio="1")
    assert reply["Status"] == "Fail" and reply["Message"].startswith("parse error. illegal json started with")


@pytest.mark.case("B11")
@pytest.mark.parametrize("headers", [{"jsonpaths": '["$.key1"]'}, {}, {"strip_outer_array": "true"}])
async def test_a_body_that_is_null(db, headers: dict[str, str]) -> None:
    await db.sql(PAIRS)
    reply = await db.load("t", b"null", max_filter_ratio="1", **headers)
    assert reply["Status"] == "Fail" and "value should be" in reply["Message"]


FIVE = [[("v1", "server"), ("v2", "server"), ("v3", "server")], [("v4", "server"), ("v5", "server")]]


def documents() -> list[str]:
    keyname = '{"ip":"10.10.0.1","value":"10"}'
    return [
        '{"data":[' + ",".join(f'{{"k1":"{k}","kind":"{kind}","keyname":{keyname}}}' for k, kind in rows) + "]}"
        for rows in FIVE
    ]


@pytest.mark.case("B12")
async def test_a_root_in_an_array(db) -> None:
    await db.sql(NESTED)
    await json_loaded(db, "t", f"[{','.join(documents())}]", strip_outer_array="true", json_root="$.data")
    rows = await db.sql("SELECT k1, kind, keyname FROM t ORDER BY k1")
    assert [row[:2] for row in rows] == [pair for part in FIVE for pair in part]
    assert {row[2] for row in rows} == {'{"ip": "10.10.0.1", "value": "10"}'}


@pytest.mark.case("B13")
async def test_a_root_in_a_stream(db) -> None:
    await db.sql(NESTED)
    await json_loaded(db, "t", "\n".join(documents()), strip_outer_array="true", json_root="$.data")
    assert await db.sql("SELECT k1, kind FROM t ORDER BY k1") == [pair for part in FIVE for pair in part]


@pytest.mark.case("B14")
async def test_a_root_with_paths(db) -> None:
    await db.sql(ADDRESSES)
    body = "\n".join(f'{{"k1":"v{i}","keyname":{{"ip":"10.10.0.{i}","value":"{i}"}}}}' for i in range(1, 6))
    await json_loaded(db, "t", body, json_root="$.keyname", jsonpaths='["$.ip","$.value"]')
    assert await db.sql("SELECT * FROM t ORDER BY ip") == [(f"10.10.0.{i}", f"{i}") for i in range(1, 6)]


@pytest.mark.case("B16")
@pytest.mark.parametrize("strip", [False, True])
async def test_a_whole_row_keeps_its_text(db, strip: bool) -> None:
    await db.sql("CREATE TABLE t (c VARCHAR(100)) DUPLICATE KEY(c)")
    rows = ['{"test":"text1" ,  "n": 1.50}', '{"test":"\\u00e9" }']
    body = f"[ {' , '.join(rows)} ]" if strip else "\n".join(rows)
    await json_loaded(db, "t", body, jsonpaths='["$"]', strip_outer_array=str(strip).lower())
    assert {row[0] for row in await db.sql("SELECT c FROM t")} == set(rows)


@pytest.mark.case("B18")
async def test_paths_may_repeat(db) -> None:
    columns = ", ".join(f"j{i} JSON" for i in range(1, 7))
    await db.sql(f"CREATE TABLE t (id INT, {columns}) DUPLICATE KEY(id)")
    paths = '["$.id","$.keyname.ip","$","$.keyname.ip","$","$.keyname.value","$"]'
    await json_loaded(db, "t", '{"id":1,"keyname":{"ip":"a","value":1}}', jsonpaths=paths)
    whole = '{"id": 1, "keyname": {"ip": "a", "value": 1}}'
    row = await db.sql("SELECT j1, j2, j3, j4, j5, j6 FROM t")
    assert row == [('"a"', whole, '"a"', whole, "1", whole)]


@pytest.mark.case("B19")
async def test_columns_that_no_object_has_are_null(db) -> None:
    columns = ", ".join(f"x{i} VARCHAR(9)" for i in range(4))
    await db.sql(f"CREATE TABLE t (k1 VARCHAR(9), kind VARCHAR(9), value INT, {columns}) DUPLICATE KEY(k1)")
    await json_loaded(
        db, "t", '{"data":[{"k1":"a","kind":"b","value":3}]}', json_root="$.data", strip_outer_array="true"
    )
    assert await db.sql("SELECT * FROM t") == [("a", "b", 3, None, None, None, None)]


@pytest.mark.case("B20")
@pytest.mark.parametrize("garbage", ["{xxxxxxxxxxx}", "adasdas"])
@pytest.mark.parametrize("glue", ["\n", ""])
async def test_garbage_between_documents_fails_the_load(db, garbage: str, glue: str) -> None:
    await db.sql(PAIRS)
    body = glue.join(['{"key1": 1}', '{"key1": 2}', garbage, '{"key1": 3}'])
    reply = await db.load("t", body.encode(), max_filter_ratio="1")
    assert reply["Status"] == "Fail" and "improper structure" in reply["Message"]
    assert await db.sql("SELECT count(*) FROM t") == [(0,)]


@pytest.mark.case("B21")
async def test_a_truncated_tail_is_not_reported(db) -> None:
    await db.sql(PAIRS)
    await json_loaded(db, "t", '{"key1": 1} {"key1": 2} {"key1": 3} {"key4":')
    assert await db.sql("SELECT key1 FROM t ORDER BY key1") == [(1,), (2,), (3,)]


@pytest.mark.refused("B25")
async def test_add_field_is_refused(db) -> None:
    await db.sql("CREATE TABLE t (id INT, c STRUCT<a INT>) PRIMARY KEY(id)")
    await json_loaded(db, "t", '{"id":1,"c":{"a":1}}')
    with pytest.raises(pymysql.MySQLError) as caught:
        await db.sql("ALTER TABLE t MODIFY COLUMN c ADD FIELD b INT")
    assert caught.value.args == (1235, "not emulated: ALTER TABLE … MODIFY COLUMN … ADD FIELD")
    await json_loaded(db, "t", '{"id":2,"c":{"a":2}}')
    assert await db.sql("SELECT count(*) FROM t") == [(2,)]


@pytest.mark.refused("B26")
async def test_merge_commit_is_refused(db34) -> None:
    await db34.sql("CREATE TABLE t2 (id INT, name VARCHAR(9) NOT NULL, score INT NOT NULL) PRIMARY KEY(id)")
    reply = await db34.load("t2", b'{"id":1,"name":null,"score":100}', enable_merge_commit="true",
                            merge_commit_interval_ms="10", merge_commit_parallel="1")  # fmt: skip
    assert (reply["Status"], reply["Message"]) == ("Fail", "not emulated: header enable_merge_commit")
