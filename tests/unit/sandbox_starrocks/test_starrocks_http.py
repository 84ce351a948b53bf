"""FE and BE over raw HTTP: Expect, header limits, bodies, bad input; labels (the cases A9, J1 to J4 are conformance's)."""

import asyncio

import pytest
from dbmazz_sandbox.starrocks.errors import LoadError
from dbmazz_sandbox.starrocks.labels import Labels, State

from tests.unit.sandbox_starrocks.conftest import basic


async def raw(url: str, head: str, *, body: bytes = b"", until: bytes | None = None) -> bytes:
    """Send one request as it stands; what came back, up to `until` or the end of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(head.replace("\n", "\r\n").encode() + b"\r\n" + body)
    try:
        async with asyncio.timeout(15):
            return await (reader.read() if until is None else reader.readuntil(until))
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


def put(path: str, *lines: str, version: str = "1.1") -> str:
    return "\n".join([f"PUT {path} HTTP/{version}", "Host: x", *lines, ""])


async def test_fe_takes_http_1_0_without_expect(db) -> None:
    answer = await raw(db.sandbox.fe_url, put(db.path("t"), f"Authorization: {basic()}", version="1.0"))
    assert answer.split(b"\r\n")[0].endswith(b"307 Temporary Redirect")


async def test_fe_redirects_for_tables_that_are_not_there_and_keeps_labels_free(db) -> None:
    head = put(db.path("nope"), f"Authorization: {basic()}", "Expect: 100-continue", "label: l1", "Content-Length: 0")
    assert (await raw(db.sandbox.fe_url, head)).startswith(b"HTTP/1.1 307")
    assert (await db.state("l1"))["state"] == "UNKNOWN"


async def test_fe_header_limit(db) -> None:
    head = put(
        db.path("t"),
        f"Authorization: {basic()}",
        "Expect: 100-continue",
        f"columns: {'c,' * 16400}",
        "Content-Length: 0",
    )
    answer = (await raw(db.sandbox.fe_url, head)).decode()
    assert answer.startswith("HTTP/1.1 400") and answer.endswith(
        "Bad Request. <br/> HTTP header is larger than 32768 bytes."
    )


async def test_health_needs_no_credentials(db) -> None:
    async with db.http.get(db.sandbox.fe_url + "/api/health") as response:
        assert response.status == 200 and (await response.json())["status"] == "OK"


async def test_be_bad_password_comes_after_the_format_check(db) -> None:
    reply = await db.load("t", b"{}", Authorization=basic("root", "bad"))
    assert reply["Message"] == "Access denied for root@127.0.0.1"
    assert (await db.load("t", b"{}", Authorization=basic("root", "bad"), format="xml"))[
        "Message"
    ] == "unknown data format, format=xml"


async def test_be_sends_100_only_after_the_plan(db) -> None:
    await db.sql("CREATE TABLE t (id INT) PRIMARY KEY(id)")
    common = (f"Authorization: {basic()}", "format: json", "Expect: 100-continue", "Content-Length: 8")
    good = await raw(db.sandbox.be_url, put(db.path("t"), *common), until=b"\r\n\r\n")
    assert good == b"HTTP/1.1 100 Continue\r\n\r\n"
    bad = await raw(db.sandbox.be_url, put(db.path("t"), *common, "columns: nope"), until=b"}")
    assert bad.startswith(b"HTTP/1.1 200 OK\r\n") and b"100 Continue" not in bad


async def test_be_does_not_need_expect_and_takes_chunked_bodies(db) -> None:
    await db.sql("CREATE TABLE t (id INT) PRIMARY KEY(id)")
    head = put(
        db.path("t"), f"Authorization: {basic()}", "format: json", "Transfer-Encoding: chunked", "Connection: close"
    )
    answer = await raw(db.sandbox.be_url, head, body=b'3\r\n{"i\r\n5\r\nd":1}\r\n0\r\n\r\n')
    assert b'"Status": "Success"' in answer and answer.startswith(b"HTTP/1.1 200")
    assert await db.sql("SELECT * FROM t") == [(1,)]


async def test_load_timeout_aborts(db) -> None:
    await db.sql("CREATE TABLE t (id INT) PRIMARY KEY(id)")
    db.sandbox.faults.add("stall", f"{db.name}.t")
    reply = await db.load("t", b'{"id":1}', timeout="1", label="slow")
    assert (reply["Status"], reply["Message"]) == ("Fail", "timeout by txn manager")
    assert (await db.state("slow"))["state"] == "ABORTED"
    assert await db.sql("SELECT count(*) FROM t") == [(0,)]


async def test_garbage_does_not_harm_the_servers(db) -> None:
    for url in (db.sandbox.fe_url, db.sandbox.be_url, db.sandbox.control_url, f"http://x:{db.sandbox.mysql_port}"):
        await raw(url, "\x00\x01garbage\n\n")
    assert await db.sql("SELECT 1") == [(1,)]


def test_labels_expire_after_three_days() -> None:
    labels = Labels()
    labels.finish(labels.begin("d", "old", 0.0), State.VISIBLE, 0.0)
    labels.finish(labels.begin("d", "new", 300_000.0), State.VISIBLE, 300_000.0)
    assert labels.state("d", "old", 300_000.0)[0] is State.UNKNOWN


def test_a_final_state_is_final() -> None:
    labels = Labels()
    transaction = labels.begin("d", "x", 0.0)
    labels.finish(transaction, State.ABORTED, 0.0)
    with pytest.raises(ValueError, match="cannot go from ABORTED to VISIBLE"):
        labels.finish(transaction, State.VISIBLE, 0.0)


async def test_a13_cut_body_aborts_the_load(db) -> None:
    await db.sql("CREATE TABLE t (id INT) PRIMARY KEY(id)")
    _reader, writer = await asyncio.open_connection("127.0.0.1", int(db.sandbox.be_url.rpartition(":")[2]))
    head = put(db.path("t"), f"Authorization: {basic()}", "format: json", "label: cut", "Content-Length: 100")
    writer.write(head.replace("\n", "\r\n").encode() + b'\r\n{"id":1}')
    await writer.drain()
    await db.in_state("cut", "PREPARE")
    writer.close()
    await writer.wait_closed()
    await db.in_state("cut", "ABORTED")
    await db.loaded("t", {"id": 2}, label="cut")


def test_nothing_calls_back_what_is_being_committed() -> None:
    labels = Labels()
    transaction = labels.begin("d", "x", 0.0, timeout=5)
    transaction.committing = True
    assert labels.expire_all(10.0) == [] and labels.next_deadline() == 0.0
    with pytest.raises(LoadError, match="transaction not found: x"):
        labels.cancel("d", "x", 1.0)
    labels.restart(1.0)
    assert labels.drop_database("d") == []
    labels.finish(transaction, State.VISIBLE, 1.0)
    assert transaction.state is State.VISIBLE
