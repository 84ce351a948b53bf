"""Stream Load end to end: the recorded cases A, D, E, J that are in scope, each named by its id."""

import asyncio
import json

import pytest
from dbmazz_sandbox.starrocks import Fault

from tests.unit.sandbox_starrocks.conftest import basic, ndjson

TAB1 = "CREATE TABLE tab1 (k1 INT, k2 VARCHAR(20), v1 INT, v2 INT, v3 INT, v4 VARCHAR(20), v5 VARCHAR(20)) PRIMARY KEY(k1, k2)"
USERS = (
    "CREATE TABLE users (id INT, name VARCHAR(20) DEFAULT '', city VARCHAR(20) DEFAULT '', age CHAR(5) DEFAULT '') "
    "PRIMARY KEY(id)"
)


def row(k: int, **values: object) -> dict[str, object]:
    return {"k1": k, "k2": f"k2_{k}"} | values


async def tab1(db, *keys: int) -> None:
    await db.sql(TAB1)
    full = [row(k, v1=k, v2=k, v3=k, v4=f"v4_{k}", v5=f"v5_{k}") for k in keys]
    await db.loaded("tab1", *full)


async def test_reply_fields_and_their_order(db, db40) -> None:
    for database, extra in ((db, []), (db40, ["Db", "Table"])):
        await database.sql("CREATE TABLE t (id INT) PRIMARY KEY(id)")
        body = b'{"id":1}'
        reply = await database.load("t", body)
        assert list(reply) == [
            "TxnId", "Label", *extra, "Status", "Message", "NumberTotalRows", "NumberLoadedRows", "NumberFilteredRows",
            "NumberUnselectedRows", "LoadBytes", "LoadTimeMs", "BeginTxnTimeMs", "StreamLoadPlanTimeMs",
            "ReadDataTimeMs", "WriteDataTimeMs", "CommitAndPublishTimeMs",
        ]  # fmt: skip
        assert reply["LoadBytes"] == len(body) and all(type(reply[k]) is int for k in list(reply)[-11:])


async def test_columns_header_ignores_case_of_names_but_not_of_json_keys(db) -> None:
    await db.sql(USERS)
    await db.loaded("users", {"ID": 1, "city": "a"}, partial_update="true", columns="ID, city")
    assert await db.sql("SELECT id, city FROM users") == [(1, "a")]
    reply = await db.load("users", b'{"id":2,"city":"a"}', partial_update="true", columns="ID, city")
    assert reply["Message"] == "too many filtered rows"
    assert "NULL value in non-nullable column 'ID'" in await db.error_log(reply) or "'id'" in await db.error_log(reply)


async def test_d4_d5_partial_after_add_and_drop_column(db) -> None:
    await tab1(db, 100, 200)
    await db.sql("ALTER TABLE tab1 ADD COLUMN v6 VARCHAR(200) DEFAULT '0'")
    await db.loaded("tab1", row(100, v6="x", v2=7), partial_update="true", columns="k1,k2,v6,v2")
    assert await db.sql("SELECT k1, v2, v6 FROM tab1 ORDER BY k1") == [(100, 7, "x"), (200, 200, "0")]
    await db.sql("ALTER TABLE tab1 DROP COLUMN v4", "UPDATE tab1 SET v3 = 999 WHERE k1 > 0")
    await db.loaded("tab1", row(400, v6="y", v3=1), partial_update="true", columns="k1,k2,v6,v3")
    assert await db.sql("SELECT k1, v3, v6 FROM tab1 ORDER BY k1") == [(100, 999, "x"), (200, 999, "0"), (400, 1, "y")]
    reply = await db.load(
        "tab1", ndjson(row(1, v4="q")), partial_update="true", columns="k1,k2,v4", merge_condition="v1"
    )
    assert reply["Status"] == "Fail"


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"partial_update": "true"}, "key column k1 not in partial update columns"),
        ({"partial_update": "true", "columns": "k1,v1"}, "key column k2 not in partial update columns"),
        ({"partial_update": "maybe"}, "Invalid partial update flag format. Must be bool type"),
        ({"strict_mode": "maybe"}, "Invalid strict mode format. Must be bool type"),
        ({"columns": "k1,k2,K1"}, "Duplicate column: K1"),
        ({"columns": "k1,k2,a,v1=from_base64(a),v1=from_base64(a)"}, "Duplicate column mapping: v1"),
        ({"columns": "k1,k2,a,zz=from_base64(a)"}, "Mapping column is not in table. column: zz"),
        ({"columns": "k1,k2,v4=from_base64(a)"},
         "Referenced column 'a' in expr 'from_base64(`a`)' can't be found in column list, derived column is 'v4'"),
        ({"negative": "true"}, "Primary key table does not support negative load"),
        ({"compression": "gzip", "Content-Encoding": "gzip"},
         "Only one of http header content-encoding and compression can be set"),
        ({"load_mem_limit": "-1"}, "load_mem_limit must be equal or greater than 0"),
        ({"timeout": "0"}, None),
        ({"partial_update": "true", "columns": "k1,k2,v1,__op='x'"}, "load op type string not supported: x"),
        ({"columns": "k1,k2,__op=2"}, "const load op type column should only be upsert(0)/delete(1)"),
    ],
)  # fmt: skip
async def test_header_and_plan_errors_leave_the_label_free(db, headers, message) -> None:
    await db.sql(TAB1)
    reply = await db.load("tab1", ndjson(row(1)), label="again", **headers)
    assert reply["Status"] == "Fail"
    assert message is None or reply["Message"] == message
    assert (await db.load("tab1", ndjson(row(1)), label="again"))["Status"] == "Success"


@pytest.mark.parametrize(
    ("headers", "feature"),
    [
        ({"compression": "snappy"}, "compression snappy"),
        ({"Content-Encoding": "lz4"}, "compression lz4"),
        ({"format": "csv", "compression": "gzip"}, "compression gzip of CSV by a header"),
        ({"where": "murmur_hash3_32(k1) > 1"}, "function murmur_hash3_32 in the where header"),
        ({"columns": "k1,k2,t,v1=case when t then 1 end"}, "CASE in the columns header"),
        ({"columns": "k1,k2,t,v1=cast(t as time)"}, "CAST to TIME in the columns header"),
        ({"columns": "k1,k2,t,v1=murmur_hash3_32(t)"}, "function murmur_hash3_32 in the columns header"),
        ({"enable_merge_commit": "true"}, "header enable_merge_commit"),
        ({"partitions": "p1"}, "header partitions"),
    ],
)
async def test_what_is_not_emulated_is_refused_by_name(db, headers, feature) -> None:
    await db.sql(TAB1)
    reply = await db.load("tab1", ndjson(row(1)), **headers)
    assert reply["Status"] == "Fail" and reply["Message"].startswith(f"not emulated: {feature}")
    assert await db.sql("SELECT count(*) FROM tab1") == [(0,)]


async def test_unknown_format_and_timeout(db) -> None:
    assert (await db.load("t", b"", format="xml"))["Message"] == "unknown data format, format=xml"
    assert (await db.load("t", b"", timeout="soon"))["Message"] == "Invalid timeout format"


async def test_missing_column_uses_default_or_fails(db) -> None:
    await db.sql("CREATE TABLE t (id INT, a INT NOT NULL, b INT NOT NULL DEFAULT '7', c INT) PRIMARY KEY(id)")
    reply = await db.load("t", b'{"id":1}', columns="id")
    assert reply["Message"] == "Column has no default value. column: a"
    await db.loaded("t", {"id": 1, "a": 1}, columns="id,a")
    assert await db.sql("SELECT * FROM t") == [(1, 1, 7, None)]
    # A key that is missing from the row is NULL, whatever the default: only the column list decides.
    reply = await db.load("t", b'{"id":1,"a":1}')
    assert reply["Message"] == "too many filtered rows"
    assert "NULL value in non-nullable column 'b'" in await db.error_log(reply)


async def test_full_load_resets_unlisted_columns(db) -> None:
    await db.sql("CREATE TABLE t (id INT, a INT DEFAULT '7', c INT) PRIMARY KEY(id)")
    await db.loaded("t", {"id": 1, "a": 1, "c": 1})
    await db.loaded("t", {"id": 1}, columns="id")
    assert await db.sql("SELECT * FROM t") == [(1, 7, None)]


async def test_partial_on_duplicate_key_table(db) -> None:
    await db.sql("CREATE TABLE t (id INT, a INT) DUPLICATE KEY(id)")
    reply = await db.load("t", b'{"id":1}', partial_update="true", columns="id")
    assert reply["Message"] == "Only primary key table support partial update"
    reply = await db.load("t", b'{"id":1}', merge_condition="a")
    assert reply["Message"] == "Conditional update only support primary key table t"
    await db.loaded("t", {"id": 1, "a": 1}, {"id": 1, "a": 1})
    assert await db.sql("SELECT count(*) FROM t") == [(2,)]


async def test_merge_condition_of_a_wrong_type(db) -> None:
    await tab1(db, 100)
    missing = (
        "Merge condition column {c} does not exist. If you are doing partial update with condition update, please check "
        "condition column is in the given update columns. Otherwise please check condition column is in table tab1"
    )
    cases = [
        ({"merge_condition": "k1"}, "Merge condition column k1 should not be primary key!"),
        ({"merge_condition": "v6"}, missing.format(c="v6")),
        ({"merge_condition": "V1"}, missing.format(c="V1")),
        ({"merge_condition": "v2", "partial_update": "true", "columns": "k1,k2,v1"}, missing.format(c="v2")),
        (
            {"merge_condition": "v4"},
            "Merge condition column has invalid type maybe bitmap/hll/percentile/json/varchar!",
        ),
    ]
    for headers, message in cases:
        reply = await db.load("tab1", ndjson(row(100, v1=1)), **headers)
        assert (reply["Status"], reply["Message"]) == ("Fail", message)
    assert await db.sql("SELECT v1 FROM tab1") == [(100,)]


async def test_highest_condition_wins_inside_a_load(db) -> None:
    await db.sql("CREATE TABLE t (id INT, modified INT, a INT) PRIMARY KEY(id)")
    rows = [{"id": 1, "modified": 1, "a": 1}, {"id": 1, "modified": 0, "a": 2}, {"id": 2, "modified": 5, "a": 1},
            {"id": 2, "modified": 5, "a": 2}, {"id": 3, "modified": 1, "a": 1}, {"id": 3, "a": 2}]  # fmt: skip
    await db.loaded("t", *rows, merge_condition="modified")
    assert await db.sql("SELECT * FROM t ORDER BY id") == [(1, 1, 1), (2, 5, 2), (3, 1, 1)]


async def test_condition_null_sorts_lowest(db) -> None:
    await db.sql("CREATE TABLE t (id INT, v BIGINT, a INT) PRIMARY KEY(id)")
    await db.loaded("t", {"id": 1, "a": 1}, {"id": 2, "v": 1, "a": 1})
    await db.loaded("t", {"id": 1, "v": -5, "a": 2}, {"id": 2, "a": 2}, merge_condition="v")
    assert await db.sql("SELECT * FROM t ORDER BY id") == [(1, -5, 2), (2, 1, 1)]
    await db.loaded("t", {"id": 3, "a": 1}, merge_condition="v")
    await db.loaded("t", {"id": 3, "a": 2}, merge_condition="v")
    assert await db.sql("SELECT a FROM t WHERE id = 3") == [(2,)]


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [("DATETIME", "2024-01-01 00:00:00", "2024-01-01T00:00:00.000001"), ("DECIMAL(20,2)", "9.5", "10"),
     ("DOUBLE", -1.5, 2), ("LARGEINT", 5, 2**100), ("BOOLEAN", False, True), ("DATE", "2024-01-09", "2024-01-10")],
)  # fmt: skip
async def test_condition_types(db, kind, low, high) -> None:
    await db.sql(f"CREATE TABLE t (id INT, v {kind}, a INT) PRIMARY KEY(id)")
    await db.loaded("t", {"id": 1, "v": high, "a": 1}, {"id": 1, "v": low, "a": 2}, merge_condition="v")
    await db.loaded("t", {"id": 1, "v": low, "a": 3}, merge_condition="v")
    assert await db.sql("SELECT a FROM t") == [(1,)]


async def test_op_from_a_constant_or_another_key(db) -> None:
    await db.sql("CREATE TABLE t (id INT) PRIMARY KEY(id)")
    await db.loaded("t", {"id": 1}, {"id": 2}, {"id": 3})
    await db.loaded("t", {"id": 1}, columns="id,__op='delete'")
    await db.loaded("t", {"id": 2, "kind": 1}, columns="id,kind,__op=kind")
    assert await db.sql("SELECT * FROM t") == [(3,)]


@pytest.mark.parametrize("label", ["a b", "x" * 129, "é"])
async def test_j16_label_format(db, label) -> None:
    await db.sql("CREATE TABLE t (id INT) PRIMARY KEY(id)")
    reply = await db.load("t", b'{"id":1}', label=label)
    assert reply["TxnId"] == -1
    assert (
        reply["Message"]
        == f"Getting analyzing error. Detail message: Label format error. regex: ^[-\\w]{{1,128}}$, label: {label}"
    )


async def test_j17_failed_label_may_be_used_again(db) -> None:
    await db.sql("CREATE TABLE t (id INT) PRIMARY KEY(id)")
    assert (await db.load("t", b'{"id":null}', label="retry"))["Status"] == "Fail"
    state = await db.state("retry")
    assert (state["state"], state["reason"]) == ("ABORTED", "too many filtered rows")
    await db.loaded("t", {"id": 1}, label="retry")
    assert (await db.state("retry"))["state"] == "VISIBLE"


async def test_keys_are_folded_by_value_not_by_spelling(db) -> None:
    await db.sql("CREATE TABLE t (ts DATETIME, d DATE, a INT) PRIMARY KEY(ts, d)")
    await db.loaded("t", {"ts": "2024-01-01T00:00:00", "d": "2024-01-01", "a": 1},
                    {"ts": "2024-01-01 00:00:00.000", "d": "20240101", "a": 2})  # fmt: skip
    assert await db.sql("SELECT a FROM t") == [(2,)]


async def test_max_filter_ratio(db) -> None:
    await db.sql("CREATE TABLE t (id INT) PRIMARY KEY(id)")
    body = ndjson({"id": 1}, {"id": 2}, {"id": 3}, {"id": None})
    assert (await db.load("t", body, max_filter_ratio="0.2"))["Status"] == "Fail"
    reply = await db.load("t", body, max_filter_ratio="0.25")
    assert (reply["Status"], reply["NumberLoadedRows"], reply["NumberFilteredRows"]) == ("Success", 3, 1)
    assert "Error: NULL value in non-nullable column 'id'. Row: " in await db.error_log(reply)


async def test_unknown_database_and_table(db) -> None:
    reply = await db.load("nope", b"{}")
    assert (reply["TxnId"], reply["Message"]) == (-1, f'unknown table "{db.name}.nope"')
    status, reply = await db.put(
        f"{db.sandbox.be_url}/api/nodb/t/_stream_load", b"{}", {"Authorization": basic(), "format": "json"}
    )
    assert (status, reply["Message"]) == (200, "unknown database, database=nodb")


async def test_expressions(db) -> None:
    await db.sql(
        "CREATE TABLE t (id INT, b VARBINARY, h VARBINARY, u VARBINARY, j JSON, n INT, at DATETIME) PRIMARY KEY(id)"
    )
    await db.loaded(
        "t", {"id": 1, "x": "AAH/", "y": "00ff", "z": "é", "w": '{"b":1,"a":[]}'},
        {"id": 2, "x": "*", "y": None, "z": "", "w": "{"},
        columns="id,x,y,z,w,b=from_base64(x),h=to_binary(y,'hex'),u=to_binary(z,'utf8'),j=parse_json(w),n=5,at=now()",
        strict_mode="true",
    )  # fmt: skip
    rows = await db.sql("SELECT hex(b), hex(h), hex(u), j, n, at IS NOT NULL FROM t ORDER BY id")
    assert rows == [("0001FF", "00FF", "C3A9", '{"a": [], "b": 1}', 5, 1), (None, None, "", None, 5, 1)]


async def test_from_base64_of_nothing_is_null_and_if_tells_it_apart(db) -> None:
    await db.sql("CREATE TABLE t (id INT, plain VARBINARY, guarded VARBINARY) PRIMARY KEY(id)")
    await db.loaded(
        "t", {"id": 1, "x": ""}, {"id": 2, "x": None}, {"id": 3, "x": "AAH/"},
        columns="id,x,plain=from_base64(x),guarded=if(x = '', '', from_base64(x))",
        strict_mode="true",
    )  # fmt: skip
    rows = await db.sql("SELECT id, hex(plain), hex(guarded) FROM t ORDER BY id")
    assert rows == [(1, None, ""), (2, None, None), (3, "0001FF", "0001FF")]


async def test_column_that_is_its_own_source(db) -> None:
    await db.sql("CREATE TABLE t (id INT, b VARBINARY) PRIMARY KEY(id)")
    await db.loaded("t", {"id": 1, "b": "AAH/"}, columns="id,b,b=from_base64(b)", strict_mode="true")
    assert await db.sql("SELECT b FROM t") == [(b"\x00\x01\xff",)]


async def test_twelve_megabyte_document_and_64_megabyte_row(db) -> None:
    await db.sql("CREATE TABLE t (id INT, doc JSON, a INT) PRIMARY KEY(id)")
    document = {
        f"k{i}": {"n": i, "s": 'é\\"\n' * 20, "big": 2**63 + i, "neg": -(2**63), "f": i / 7} for i in range(50_000)
    }
    assert len(json.dumps(document)) > 12_000_000
    huge = {"x": "0123456789abcdef" * (66 << 16)}
    await db.loaded("t", {"id": 1, "doc": document, "a": 1}, ignore_json_size="true", strict_mode="true")
    await db.loaded("t", {"id": 2, "doc": huge, "a": 1}, ignore_json_size="true", strict_mode="true")
    await db.loaded("t", {"id": 1, "a": 2}, {"id": 2, "a": 2}, partial_update="true", columns="id,a")
    rows = dict(await db.sql("SELECT id, doc FROM t WHERE a = 2"))
    assert json.loads(rows[1]) == document
    assert json.loads(rows[2]) == huge


async def test_wide_table_in_one_load(db) -> None:
    names = [f"column_number_{i}" for i in range(400)]
    await db.sql(f"CREATE TABLE t (id INT, {', '.join(f'{n} INT' for n in names)}) PRIMARY KEY(id)")
    await db.loaded("t", {"id": 1} | {n: i for i, n in enumerate(names)}, columns=",".join(["id", *names]))
    assert (await db.sql("SELECT * FROM t"))[0] == (1, *range(400))


async def test_concurrent_loads_of_one_table_all_arrive(db) -> None:
    await db.sql("CREATE TABLE t (id INT, a INT) PRIMARY KEY(id)")
    bodies = [ndjson(*({"id": i, "a": n} for i in range(n * 100, n * 100 + 150))) for n in range(8)]
    replies = await asyncio.gather(*(db.load("t", body) for body in bodies))
    assert {r["Status"] for r in replies} == {"Success"}
    assert await db.sql("SELECT count(*), count(DISTINCT id) FROM t") == [(850, 850)]


async def test_same_label_twice_at_once_is_loaded_once(db) -> None:
    await db.sql("CREATE TABLE t (id INT) PRIMARY KEY(id)")
    db.sandbox.faults.add(Fault.STALL, f"{db.name}.t")
    first = asyncio.create_task(db.load("t", b'{"id":1}', label="twin"))
    try:
        await db.in_state("twin", "PREPARE")
        second = await db.load("t", b'{"id":2}', label="twin")
        assert (second["Status"], second["ExistingJobStatus"]) == ("Label Already Exists", "RUNNING")
    finally:
        await db.sandbox.faults.clear()
    assert (await first)["Status"] == "Success"
    assert await db.sql("SELECT * FROM t") == [(1,)]


async def test_queries_see_whole_loads_only(db) -> None:
    await db.sql("CREATE TABLE t (id INT, n INT) PRIMARY KEY(id)")
    await db.loaded("t", *({"id": i, "n": 0} for i in range(2000)))
    loads = [asyncio.create_task(db.load("t", ndjson(*({"id": i, "n": n} for i in range(2000))))) for n in range(1, 6)]
    while not all(load.done() for load in loads):
        assert await db.sql("SELECT count(*), count(DISTINCT n) FROM t") == [(2000, 1)]
    assert {(await load)["Status"] for load in loads} == {"Success"}
