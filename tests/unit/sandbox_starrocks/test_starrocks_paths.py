"""jsonpaths and json_root: their dialect, and what a row that does not follow becomes (starrocks.md 2.1)."""

import pytest
from dbmazz_sandbox.starrocks.errors import LoadError
from dbmazz_sandbox.starrocks.protocol.jsonpath import BadPath, NotFound, follow, parse_path, parse_paths

from tests.conformance.starrocks.loading import json_loaded

ROW = {"a": {"b": [1, {"c": 2}], "x.y": 3, "n": None}, "l": [[5]], "s": "text", "e": {}}


@pytest.mark.parametrize(
    ("path", "value"),
    [("$.a.b[0]", 1), ("$.a.b[1].c", 2), ('$.a."x.y"', 3), ("a.s", "text"), ("$.s", "text"), ("$.a.*", [1, {"c": 2}]),
     ("$.a.b[7]", NotFound), ("$.zz", NotFound), ("$.a.n", NotFound), ("$.s.x", NotFound), ("$.s[0]", BadPath),
     ("$.*", BadPath), ("$", BadPath), ("$.e.*", {}), ("$.a.b[*]", NotFound), ("$.l[0]", [5])],
)  # fmt: skip
def test_following(path: str, value: object) -> None:
    steps = parse_path(path, "")
    if isinstance(value, type):
        with pytest.raises(value):
            follow(ROW, steps)
    else:
        assert follow(ROW, steps) == value


@pytest.mark.parametrize("header", ["$.a", '{"a":1}', "[1]", '["$.a[x]"]', '["$.a]"]', "[", "[" * 5000])
def test_paths_that_are_none(header: str) -> None:
    with pytest.raises(LoadError, match=r"^parse error\. Invalid json path"):
        parse_paths(header, "parse error. ")


async def test_paths_feed_columns_by_position(db) -> None:
    await db.sql("CREATE TABLE t (id INT, a INT, b VARCHAR(30), c INT DEFAULT '7') PRIMARY KEY(id)")
    body = b'{"k":{"id":1},"v":{"x":[1,{"y": 2.50}]},"op":0,"v2":1,"v2":2}'
    await json_loaded(db, "t", body.decode(), jsonpaths='["$.k.id","$.v2","$.v.x[1]"]', columns="id,a,b")
    # The first of equal keys; an object in a text column is minified; fewer paths than columns leave NULL.
    assert await db.sql("SELECT * FROM t") == [(1, 1, '{"y":2.50}', 7)]
    await json_loaded(db, "t", body.decode(), jsonpaths='["$.k.id"]')
    assert await db.sql("SELECT * FROM t") == [(1, None, None, None)]


async def test_an_operation_needs_a_path(db) -> None:
    await db.sql("CREATE TABLE t (id INT, a INT) PRIMARY KEY(id)", "INSERT INTO t VALUES (1, 1), (2, 2)")
    await json_loaded(db, "t", '{"id":1,"__op":1,"a":5}', jsonpaths='["$.id","$.a"]')
    assert await db.sql("SELECT * FROM t ORDER BY id") == [(1, 5), (2, 2)]
    await json_loaded(db, "t", '{"id":1,"kind":1}\n{"id":2}', jsonpaths='["$.id","$.kind"]', columns="id,__op")
    assert await db.sql("SELECT * FROM t") == [(2, None)]  # a path that leads nowhere is an upsert


async def test_rows_that_do_not_follow_are_filtered(db) -> None:
    await db.sql("CREATE TABLE t (id INT, a INT, r VARCHAR(9)) PRIMARY KEY(id)")
    body = b'{"id":1,"a":[5]}\n{"id":2,"a":6}\n{"id":3}'
    reply = await db.load("t", body, jsonpaths='["$.id","$.a[0]"]', max_filter_ratio="0.5")
    assert (reply["Status"], reply["NumberFilteredRows"]) == ("Success", 1)
    assert "failed to access field as array, field: a, jsonpath: $.a[0]. Row: " in await db.error_log(reply)
    assert await db.sql("SELECT id, a FROM t ORDER BY id") == [(1, 5), (3, None)]
    reply = await db.load("t", b'{"id":4}', jsonpaths='["$.id","$"]', strict_mode="true")
    assert "json object could only load into JSON/VARCHAR column" in await db.error_log(reply)
    reply = await db.load("t", b'{"id":4,"x":"0123456789"}', jsonpaths='["$.id","$.zz","$"]', strict_mode="true")
    assert "Value length 25 exceed the column length r(9)" in await db.error_log(reply)


UNDER = "the value under json root should be array type with strip_outer_array=true in json "


@pytest.mark.parametrize(
    ("body", "strip", "words"),
    [
        (b'{"x":1}', "false", "unable to find key: $.d"),
        (b'{"d":[{"id":1}]}', "false", "The value is array type in json document stream with json root"),
        (b'{"d":5}', "false", "The value should be object type in json document stream with json root"),
        (b'{"d":{"id":1}}', "true", UNDER + "document stream"),
        (b'[{"d":{"id":1}}]', "true", UNDER + "array"),
        (b'{"d":[5]}', "true", "the value should be object type in expanded json document stream with json root"),
    ],
)  # fmt: skip
async def test_a_root_that_leads_elsewhere_fails_the_load(db, body: bytes, strip: str, words: str) -> None:
    await db.sql("CREATE TABLE t (id INT) PRIMARY KEY(id)")
    reply = await db.load("t", body, json_root="$.d", strip_outer_array=strip, max_filter_ratio="1")
    assert (reply["Status"], reply["Message"][: len(words)]) == ("Fail", words)


async def test_a_root_of_objects(db) -> None:
    await db.sql("CREATE TABLE t (id INT, v VARCHAR(9)) PRIMARY KEY(id)")
    for body in (b'{"d":{"id":1,"v":1.50}}{"d":{"id":2,"v":"b"}}', b'[{"d":{"id":1,"v":1.50}},{"d":{"id":2,"v":"b"}}]'):
        await json_loaded(db, "t", body.decode(), json_root="$.d")
        assert await db.sql("SELECT * FROM t ORDER BY id") == [(1, "1.50"), (2, "b")]
        await db.sql("TRUNCATE TABLE t")
