"""Recorded cases A: basics, labels, errors."""

import asyncio
import json

import pytest
from dbmazz_sandbox.starrocks import Fault

from tests.conformance.starrocks.loading import csv, csv_loaded, ok
from tests.unit.sandbox_starrocks.conftest import basic

TAB1 = (
    "CREATE TABLE tab1 (k1 INT, k2 VARCHAR(50), v1 INT, v2 INT, v3 INT, v4 VARCHAR(50), v5 VARCHAR(50)) "
    "PRIMARY KEY(k1, k2)"
)


@pytest.mark.case("A1")
async def test_a_label_is_taken_once(db) -> None:
    await db.sql("CREATE TABLE t0 (c0 INT NOT NULL, c1 INT NOT NULL) DUPLICATE KEY(c0)")
    reply = await csv(db, "t0", "1,2", label="once")
    ok(reply)
    assert reply["Label"] == "once"
    again = await csv(db, "t0", "3,4", label="once")
    assert list(again)[:5] == ["TxnId", "Label", "Status", "ExistingJobStatus", "Message"]
    assert (again["TxnId"], again["Status"], again["ExistingJobStatus"]) == (-1, "Label Already Exists", "FINISHED")
    assert again["Message"] == "Label [once] has already been used."
    assert await db.sql("SELECT * FROM t0") == [(1, 2)]


@pytest.mark.case("A4")
async def test_a_load_without_a_label_gets_one(db) -> None:
    await db.sql("CREATE TABLE t (id INT) DUPLICATE KEY(id)")
    replies = [await csv(db, "t", "1") for _ in range(2)]
    assert len({reply["Label"] for reply in replies}) == 2 and all(reply["Label"] for reply in replies)
    ok(replies[0])


@pytest.mark.case("A7")
async def test_partial_update_keeps_other_columns_and_inserts_new_keys(db) -> None:
    await db.sql(TAB1, "INSERT INTO tab1 VALUES " + ", ".join(
        f"({k}, 'k2_{k}', {k}, {k}, {k}, 'v4_{k}', 'v5_{k}')" for k in (100, 200, 300)))  # fmt: skip
    await csv_loaded(
        db, "tab1", "100,k2_100,v6_100,111", "400,k2_400,v6_400,222",
        partial_update="true", partial_update_mode="row", columns="k1,k2,v4,v3",
    )  # fmt: skip
    assert await db.sql("SELECT * FROM tab1 WHERE k1 IN (100, 400) ORDER BY k1") == [
        (100, "k2_100", 100, 100, 111, "v6_100", "v5_100"),
        (400, "k2_400", None, None, 222, "v6_400", None),
    ]


@pytest.mark.case("A8")
async def test_a_flush_that_fails(db) -> None:
    await db.sql("CREATE TABLE t (id INT NOT NULL, name VARCHAR(9), score INT NOT NULL) PRIMARY KEY(id)")
    db.sandbox.faults.add(Fault.FLUSH_FAILURE, f"{db.name}.t", count=1)
    reply = await db.load("t", b'{"id":1,"name":"a","score":1}', label="flush")
    assert reply["Status"] == "Fail" and reply["Message"].startswith("127.0.0.1: ")
    states = await db.sql("SELECT STATE FROM information_schema.loads WHERE LABEL = 'flush' AND DB_NAME = DATABASE()")
    assert states == [("CANCELLED",)]
    assert await db.sql("SELECT count(*) FROM t") == [(0,)]


@pytest.mark.case("A9")
async def test_a_be_needs_credentials(db) -> None:
    url = db.sandbox.be_url + db.path("t")
    status, reply = await db.put(url, b"1", {"Expect": "100-continue"})
    assert (status, reply["Status"], reply["TxnId"]) == (200, "Fail", -1)


@pytest.mark.case("A11")
async def test_a_be_that_shuts_down(db) -> None:
    await db.sql("CREATE TABLE t (id INT) DUPLICATE KEY(id)")
    db.sandbox.faults.add(Fault.SHUTTING_DOWN, count=1)
    reply = await csv(db, "t", "1")
    assert (reply["Status"], reply["TxnId"]) == ("Fail", -1)
    assert reply["Message"] == "Service is shutting down, please retry later!"
    await csv_loaded(db, "t", "1")


@pytest.mark.case("A12")
async def test_enable_merge_commit_is_a_boolean(db) -> None:
    reply = await db.load("t", b"{}", enable_merge_commit="abc")
    assert reply["Message"] == "Invalid parameter enable_merge_commit. The value must be bool type, but is abc"
    assert (reply["Status"], reply["TxnId"]) == ("Fail", -1)


@pytest.mark.case("A13")
@pytest.mark.parametrize(
    "rest",
    ["\r\n", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "Content-Length: 0\r\n\r\n"],
    ids=["no length", "an empty chunked body", "length 0"],
)
async def test_without_a_body_a_load_fails(db, rest: str) -> None:
    await db.sql("CREATE TABLE t (id INT) DUPLICATE KEY(id)")
    reader, writer = await asyncio.open_connection("127.0.0.1", int(db.sandbox.be_url.rpartition(":")[2]))
    writer.write(f"PUT {db.path('t')} HTTP/1.1\r\nHost: x\r\nAuthorization: {basic()}\r\n{rest}".encode())
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        reply = json.loads(await reader.readexactly(length))
    writer.close()
    await writer.wait_closed()
    assert head.startswith(b"HTTP/1.1 200") and reply["Status"] == "Fail"
    assert await db.sql("SELECT count(*) FROM t") == [(0,)]
