"""Cases J that are about loads: read from StarRocks' source, recorded nowhere (the others are with labels and HTTP)."""

import asyncio
import json

import pytest

from tests.conformance.starrocks.loading import csv, csv_loaded, json_loaded
from tests.unit.sandbox_starrocks.conftest import basic, ndjson


@pytest.mark.case("J5", inferred=True)
async def test_a_delete_in_a_conditional_load_fails_it(db) -> None:
    await db.sql("CREATE TABLE t (id INT, v INT, w INT) PRIMARY KEY(id)", "INSERT INTO t VALUES (1, 100, 1)")
    reply = await db.load("t", ndjson({"id": 1, "v": 500, "w": 2}, {"id": 2, "v": 1, "__op": 1}), merge_condition="v")
    assert reply["Status"] == "Fail" and reply["Message"].startswith("memtable of tablet ")
    assert "delete with condition column v" in reply["Message"]
    assert await db.sql("SELECT * FROM t") == [(1, 100, 1)]


@pytest.mark.case("J8", inferred=True)
async def test_a_key_only_delete_as_partial_update(db) -> None:
    await db.sql("CREATE TABLE t (id INT, a INT NOT NULL) PRIMARY KEY(id)", "INSERT INTO t VALUES (1, 1), (2, 1)")
    await json_loaded(db, "t", '{"id":1,"__op":1}', partial_update="true", columns="id,__op")
    assert await db.sql("SELECT id FROM t") == [(2,)]


@pytest.mark.case("J9", inferred=True)
async def test_a_full_delete_still_needs_not_null_columns(db) -> None:
    await db.sql("CREATE TABLE t (id INT, a INT NOT NULL, b INT) PRIMARY KEY(id)", "INSERT INTO t VALUES (1, 1, 1)")
    reply = await db.load("t", b'{"id":1,"__op":1}')
    assert reply["Message"] == "too many filtered rows"
    assert await db.error_log(reply) == "Error: NULL value in non-nullable column 'a'. Row: [1, NULL, NULL, 1]\n"
    await json_loaded(db, "t", '{"id":1,"a":0,"__op":"1"}')
    assert await db.sql("SELECT count(*) FROM t") == [(0,)]


@pytest.mark.case("J10", inferred=True)
async def test_op_null_is_filtered_and_op_missing_is_an_upsert(db) -> None:
    await db.sql("CREATE TABLE t (id INT) PRIMARY KEY(id)")
    for bad in ("null", '"delete"', "[1]"):
        reply = await db.load("t", b'{"id":1,"__op":' + bad.encode() + b"}")
        assert reply["Message"] == "too many filtered rows", bad
    await json_loaded(db, "t", '{"id":1}', columns="id")
    assert await db.sql("SELECT * FROM t") == [(1,)]


@pytest.mark.case("J13", inferred=True)
async def test_a_text_that_is_too_long(db) -> None:
    await db.sql("CREATE TABLE t (id BIGINT, c VARCHAR(3)) PRIMARY KEY(id)")
    await json_loaded(db, "t", '{"id":1,"c":"abcd"}', strict_mode="false")
    assert await db.sql("SELECT c FROM t") == [(None,)]
    reply = await db.load("t", b'{"id":1,"c":"abcd"}', strict_mode="true")
    assert reply["Message"] == "too many filtered rows"
    log = await db.error_log(reply)
    assert log == 'Error: Value length is beyond the capacity. column=c, capacity=3. Row: {"id":1,"c":"abcd"}\n'


@pytest.mark.case("J14", inferred=True)
async def test_a_hundred_megabytes_of_json(db) -> None:
    # Decided by Content-Length alone, before the body and before the label: nothing has to be sent.
    reader, writer = await asyncio.open_connection("127.0.0.1", int(db.sandbox.be_url.rpartition(":")[2]))
    head = (f"PUT {db.path('t')} HTTP/1.1\r\nHost: x\r\nAuthorization: {basic()}\r\nformat: json\r\nlabel: big\r\n"
            "Expect: 100-continue\r\nContent-Length: 104857601\r\n\r\n")  # fmt: skip
    writer.write(head.encode())
    answer = await reader.readuntil(b"}")
    writer.close()
    await writer.wait_closed()
    reply = json.loads(answer[answer.index(b"{") :])
    assert answer.startswith(b"HTTP/1.1 200") and (reply["Status"], reply["TxnId"]) == ("Fail", -1)
    assert reply["Message"] == (
        "The size of this batch exceed the max size [104857600]  of json type data  data [ 104857601 ]. "
        "Set ignore_json_size to skip the check, although it may lead huge memory consuming."
    )
    assert (await db.state("big"))["state"] == "UNKNOWN"


@pytest.mark.case("J18", inferred=True)
async def test_an_array_without_strip_outer_array(db, db40) -> None:
    for database, prefix in ((db, ""), (db40, "parse error. ")):
        await database.sql("CREATE TABLE t (id INT) PRIMARY KEY(id)")
        reply = await database.load("t", b'[{"id":1}]')
        assert (reply["Status"], reply["Message"]) == (
            "Fail",
            prefix + "The value is array type in json document stream, you can set strip_outer_array=true to parse "
            "each element of the array as individual rows",
        )
        await json_loaded(database, "t", '[{"id":1}]', strip_outer_array="true")


@pytest.mark.case("J20", inferred=True)
async def test_an_empty_body(db, db34, db40) -> None:
    old, new = "No partitions have data available for loading. ", "No rows were imported from upstream. "
    for database, start in ((db, old), (db34, old), (db40, new)):
        await database.sql("CREATE TABLE t (id INT) PRIMARY KEY(id)")
        for body, headers in (
            (b"", {}),
            (b"", {"format": "csv"}),
            (b"\n\n", {"format": "csv"}),
            (b"[]", {"strip_outer_array": "true"}),
            (b'{"id":null}', {"max_filter_ratio": "1"}),
            (b'{"id":1}', {"where": "id > 1"}),
        ):
            reply = await database.load("t", body, **headers)
            assert reply["Status"] == "Fail" and reply["Message"].startswith(start), body
        await database.sql("ADMIN SET FRONTEND CONFIG ('empty_load_as_error' = 'false')")
        try:
            assert (await database.load("t", b""))["Status"] == "Success"
        finally:
            await database.sql("ADMIN SET FRONTEND CONFIG ('empty_load_as_error' = 'true')")


@pytest.mark.case("J23", inferred=True)
async def test_the_last_operation_wins_inside_a_load(db) -> None:
    await db.sql("CREATE TABLE t (id INT, a INT) PRIMARY KEY(id)")
    await csv_loaded(db, "t", "1,1,0", "1,1,1", "2,1,1", "2,2,0", "3,1,0", "3,2,0", columns="id,a,__op")
    assert await db.sql("SELECT * FROM t ORDER BY id") == [(2, 2), (3, 2)]


@pytest.mark.case("J30", inferred=True)
async def test_a_key_that_is_too_long(db) -> None:
    await db.sql("CREATE TABLE t (id VARCHAR(200)) PRIMARY KEY(id)",
                 "CREATE TABLE u (a VARCHAR(200), b BIGINT) PRIMARY KEY(a, b)")  # fmt: skip
    await csv_loaded(db, "t", "x" * 128)
    reply = await csv(db, "t", "é" * 65)
    assert (reply["Status"], reply["Message"]) == ("Fail", "primary key size exceed the limit.")
    await csv_loaded(db, "u", "x" * 118 + ",1")
    assert (await csv(db, "u", "x" * 119 + ",1"))["Message"] == "primary key size exceed the limit."
