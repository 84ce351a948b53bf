"""Every fault, as a client sees it, word for word; and how rules queue, skip and count."""

import asyncio
import socket
import time
from urllib.parse import urlsplit

import aiohttp
import pymysql
import pytest
import pytest_asyncio
from dbmazz_sandbox.starrocks import Fault, Faults, StarRocksSandbox

from tests.conformance.starrocks.transactions import Transactions
from tests.unit.sandbox_starrocks.conftest import Database, basic, run_sql, until

ROW = b'{"id":1,"a":1}'
HEADERS = {"Authorization": basic(), "Expect": "100-continue", "format": "json"}


@pytest_asyncio.fixture(loop_scope="session")
async def name(db) -> str:
    await db.sql("CREATE TABLE t (id INT, a INT) PRIMARY KEY(id)")
    db.sandbox.faults.hits.clear()
    return f"{db.name}.t"


async def fe(db: Database) -> tuple[int, str, dict[str, str]]:
    async with db.http.put(db.sandbox.fe_url + db.path("t"), headers=HEADERS, allow_redirects=False) as answer:
        return answer.status, await answer.text(), dict(answer.headers)


def tablet(db: Database) -> int:
    return db.sandbox._cluster.catalog.table(db.name, "t").ident + 1


FAILURES = {
    "disk_full": "disk 4611686018427387904 on backend 10001 exceed limit usage",
    "memory_limit": (
        "memory limit exceeded, please reduce load frequency or increase config "
        "`load_process_max_memory_hard_limit_ratio` or add more BE nodes"
    ),
    "get_tablet_race": (
        "Fail to get tablet, perhaps this table is doing schema change, or it has already been deleted. "
        "Please try again. tablet_id={tablet}"
    ),
    "too_many_versions": (
        "Failed to load data into tablet {tablet}, because of too many versions, current/limit: 1001/1000. You can "
        "reduce the loading job concurrency, or increase loading data batch size. If you are loading data with Routine "
        "Load, you can increase FE configs routine_load_task_consume_second and max_routine_load_batch_size,"
    ),
}


@pytest.mark.parametrize("fault", FAILURES)
async def test_failures_that_abort_the_transaction(db, name, fault) -> None:
    db.sandbox.faults.add(fault, name, count=1)
    reply = await db.load("t", ROW, label="x")
    assert (reply["Status"], reply["Message"]) == ("Fail", FAILURES[fault].format(tablet=tablet(db)))
    assert reply["TxnId"] > 0 and (await db.state("x")) == {
        "state": "ABORTED", "reason": reply["Message"], "status": "OK", "code": "0", "msg": "Success", "message": "OK",
    }  # fmt: skip
    assert await db.sql("SELECT count(*) FROM t") == [(0,)]
    await db.loaded("t", {"id": 1}, label="x")


async def test_the_limit_of_running_transactions(db, name) -> None:
    db.sandbox.faults.add("running_txns_limit", name, count=1)
    reply = await db.load("t", ROW, label="x")
    ident = db.sandbox._cluster.labels.idents[db.name]
    assert reply["Message"] == f"current running txns on db {ident} is 1000, larger than limit 1000"
    assert (reply["Status"], reply["TxnId"]) == ("Fail", -1)
    assert (await db.state("x"))["state"] == "UNKNOWN"


@pytest.mark.parametrize(("fault", "existing"), [("running", "RUNNING"), ("finished", "FINISHED")])
async def test_label_already_exists(db, name, fault, existing) -> None:
    db.sandbox.faults.add(f"label_already_exists_{fault}", name, count=1)
    reply = await db.load("t", ROW, label="x")
    assert (reply["TxnId"], reply["Status"], reply["ExistingJobStatus"], reply["Message"]) == (
        -1, "Label Already Exists", existing, "Label [x] has already been used.",
    )  # fmt: skip
    await db.loaded("t", {"id": 1}, label="x")


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_http_errors_of_fe_and_be(db, name, status) -> None:
    db.sandbox.faults.add("fe_http_500", name, count=1, status=status)
    db.sandbox.faults.add("http_500", name, count=1, status=status)
    words = {500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout"}
    assert (await fe(db))[:2] == (status, words[status])
    assert (await fe(db))[0] == 307
    async with db.http.put(db.sandbox.be_url + db.path("t"), data=ROW, headers=HEADERS) as answer:
        assert (answer.status, await answer.text()) == (status, words[status])
    assert await db.sql("SELECT count(*) FROM t") == [(0,)]


async def test_unauthorized(db, name) -> None:
    db.sandbox.faults.add("unauthorized", name, count=1)
    status, text, headers = await fe(db)
    assert (status, headers["WWW-Authenticate"]) == (401, 'Basic realm=""')
    said = "Access denied for root@127.0.0.1"
    assert text == f'{{"status":"FAILED","code":"1","msg":"{said}","message":"{said}"}}'
    assert (await fe(db))[0] == 307


async def test_a_connection_reset_in_the_body(db, name) -> None:
    db.sandbox.faults.add("reset_in_body", name, count=1, after_bytes=5)
    with pytest.raises((aiohttp.ClientConnectionError, ConnectionResetError)):
        await db.load("t", ROW, label="cut")
    await db.in_state("cut", "ABORTED")
    assert await db.sql("SELECT count(*) FROM t") == [(0,)]
    await db.loaded("t", {"id": 1}, label="cut")


@pytest.mark.parametrize("after", [0, 5, 10_000])
async def test_the_reset_is_one_for_tcp(db, name, after) -> None:
    """RST, whether the client still sends, or everything it sent was read: a closed connection is another fault."""
    db.sandbox.faults.add("reset_in_body", name, count=1, after_bytes=after)
    place = urlsplit(db.sandbox.be_url)
    head = f"PUT {db.path('t')} HTTP/1.1\r\nHost: x\r\nAuthorization: {basic()}\r\nformat: json\r\nContent-Length: 14\r\n\r\n"
    with socket.create_connection((place.hostname, place.port), timeout=10) as peer:
        peer.sendall(head.encode() + ROW)
        with pytest.raises(ConnectionResetError):
            await asyncio.to_thread(peer.recv, 1)


async def test_a_be_that_is_down_for_one_table(db, name) -> None:
    await db.sql("CREATE TABLE u (id INT) PRIMARY KEY(id)")
    rule = db.sandbox.faults.add("be_down", name, skip=1, count=2)
    txn = Transactions(db)
    await db.loaded("u", {"id": 1})
    await db.loaded("t", {"id": 1})
    with pytest.raises(aiohttp.ClientError):
        await db.load("t", ROW)
    await db.loaded("u", {"id": 2})
    async with db.http.get(db.sandbox.be_url + "/api/health") as answer:
        assert answer.status == 200
    assert await txn.status("begin", "u", table="u") == "OK"
    with pytest.raises(aiohttp.ClientError):
        await txn.call("begin", "t", table="t")
    assert rule.hits == 2
    await txn.call("rollback", "u", table="u")


async def test_a_stall_counts_loads(db, name) -> None:
    rule = db.sandbox.faults.add("stall", name, skip=1, count=1)
    await db.loaded("t", {"id": 1}, timeout="5")
    held = asyncio.create_task(db.load("t", b'{"id":2}'))
    await db.stalled()
    await db.loaded("t", {"id": 3}, {"id": 4}, timeout="5")  # only the counted one stalls
    async with db.http.get(db.sandbox.control_url + "/faults") as answer:
        listed = await answer.json()
    (used,) = [one for one in listed["used"] if one["id"] == rule.ident]
    assert (used["count"], used["hits"], listed["hits"]["stall"]) == (0, 1, 1) and not held.done()
    assert await db.sql("SELECT count(*) FROM t") == [(3,)]
    await db.sandbox.faults.clear("http_500")
    assert not held.done()
    await db.sandbox.faults.clear("stall")
    assert (await held)["Status"] == "Success"
    assert await db.sql("SELECT count(*) FROM t") == [(4,)]


async def test_a_stall_without_a_count_holds_every_load(db, name) -> None:
    rule = db.sandbox.faults.add("stall", name)
    held = [asyncio.create_task(db.load("t", b'{"id":%d}' % number)) for number in range(3)]

    async def all_hold() -> bool:
        return rule.hits == 3

    await until(all_hold)
    assert not any(load.done() for load in held)
    await db.sandbox.faults.clear()
    assert [reply["Status"] for reply in await asyncio.gather(*held)] == ["Success"] * 3


async def test_what_cannot_be_cleared(db) -> None:
    async with db.http.delete(db.sandbox.control_url + "/faults?fault=nope") as answer:
        said = (await answer.json())["error"]
    assert answer.status == 400 and said.startswith("unknown fault 'nope': use one of fe_down, fe_restart, ")


async def test_a_delay_after_the_commit(db, name) -> None:
    db.sandbox.faults.add("delay_after_commit_ms", name, count=1, delay_ms=60_000)
    load = asyncio.create_task(db.load("t", ROW, label="late", timeout="1"))
    await db.in_state("late", "VISIBLE")
    assert await db.sql("SELECT count(*) FROM t") == [(1,)]
    reply = await load  # its own timeout ends the delay; it is committed
    assert (reply["Status"], reply["Message"]) == ("Success", "OK")


async def test_the_third_load_of_a_table_loses_its_response(db, name) -> None:
    await db.sql("CREATE TABLE u (id INT) PRIMARY KEY(id)")
    db.sandbox.faults.add("lost_response_after_commit", name, skip=2, count=1)
    outcome = []
    for number in range(5):
        await db.loaded("u", {"id": number})  # of another table: does not count
        try:
            outcome.append((await db.load("t", b'{"id":%d}' % number, label=f"n{number}"))["Status"])
        except aiohttp.ClientError:
            outcome.append("lost")
    assert outcome == ["Success", "Success", "lost", "Success", "Success"]
    assert [(await db.state(f"n{number}"))["state"] for number in range(5)] == ["VISIBLE"] * 5
    assert await db.sql("SELECT count(*) FROM t") == [(5,)]
    async with db.http.get(db.sandbox.control_url + "/faults") as answer:
        listed = await answer.json()
    (used,) = [rule for rule in listed["used"] if rule["table"] == name]
    assert (used["count"], used["skip"], used["hits"], listed["hits"]["lost_response_after_commit"]) == (0, 0, 1, 1)


async def test_lost_responses_of_a_transaction(db, name) -> None:
    txn = Transactions(db)
    for operation in ("prepare", "commit"):
        await txn.call("begin", operation, table="t")
        await txn.load(operation, "t", {"id": 1})
        db.sandbox.faults.add("lost_response_after_commit", name, count=1)
        with pytest.raises(aiohttp.ClientError):
            await txn.call(operation, operation, table="t")
        state = (await db.state(txn.label(operation)))["state"]
        assert state == {"prepare": "PREPARED", "commit": "VISIBLE"}[operation]
    db.sandbox.faults.add("lost_response_after_commit", name, count=1)
    with pytest.raises(aiohttp.ClientError):
        await txn.call("commit", "prepare", table="t")  # the FE's answer to the commit of the prepared one
    assert (await db.state(txn.label("prepare")))["state"] == "VISIBLE"


async def test_publish_timeout_of_transactions(db, name) -> None:
    txn = Transactions(db)
    await txn.call("begin", "p", table="t")
    await txn.load("p", "t", {"id": 1})
    await txn.call("prepare", "p", table="t")
    db.sandbox.faults.add("publish_timeout", name, count=1, delay_ms=300)
    refused = await txn.call("commit", "p", table="t")
    assert (
        refused["Status"] == "FAILED" and "UserException: publish timeout: 20000, transactionId=" in refused["Message"]
    )
    assert (await db.state(txn.label("p")))["state"] == "COMMITTED"
    assert await db.sql("SELECT count(*) FROM t") == [(0,)]
    await db.in_state(txn.label("p"), "VISIBLE")
    await txn.call("begin", "c", table="t")
    await txn.load("c", "t", {"id": 2})
    db.sandbox.faults.add("publish_timeout", name, count=1, delay_ms=100)
    late = await txn.call("commit", "c", table="t")
    assert late["Status"] == "PUBLISH_TIMEOUT" and late["Message"].startswith(
        "Publish timeout. The data will be visible"
    )
    await db.in_state(txn.label("c"), "VISIBLE")
    assert await db.sql("SELECT count(*) FROM t") == [(2,)]


async def test_a_restart_of_the_fe(tmp_path, http) -> None:
    async with StarRocksSandbox(tmp_path) as sandbox:
        await asyncio.to_thread(
            run_sql, sandbox.mysql_port, ["CREATE DATABASE d", "CREATE TABLE d.t (id INT, a INT) PRIMARY KEY(id)"]
        )
        db = Database(sandbox, http, "d")
        idle = await asyncio.to_thread(pymysql.connect, host="127.0.0.1", port=sandbox.mysql_port, user="root")
        sandbox.faults.add(Fault.STALL, "d.t")
        running = asyncio.create_task(db.load("t", ROW, label="running"))
        await db.stalled()
        sandbox.faults.add(Fault.FE_RESTART, "d.t", skip=1, count=1, delay_ms=700)
        assert (await fe(db))[0] == 307
        started = time.monotonic()
        with pytest.raises(aiohttp.ClientConnectionError):
            await fe(db)  # this one is cut
        with pytest.raises(aiohttp.ClientConnectorError):
            await fe(db)  # and now nobody listens
        with pytest.raises(pymysql.MySQLError):
            await db.sql("SELECT 1")
        with pytest.raises(pymysql.MySQLError):
            await asyncio.to_thread(idle.ping, reconnect=False)
        await sandbox.faults.clear("stall")
        reply = await running  # the BE lives, but cannot commit without its FE
        assert reply["Status"] == "Fail" and reply["Message"].startswith("FE RPC failure, address=TNetworkAddress(")
        assert (await db.load("t", ROW))["Message"].startswith("FE RPC failure, address=TNetworkAddress(")

        async def back() -> bool:
            try:
                return (await fe(db))[0] == 307
            except aiohttp.ClientConnectorError:
                return False

        await until(back)
        assert time.monotonic() - started >= 0.7
        assert (await db.state("running"))["state"] == "UNKNOWN"  # what only ran is not in its log
        await db.loaded("t", {"id": 1}, label="running")
        assert await db.sql("SELECT count(*) FROM t") == [(1,)]


async def test_a_load_that_outlives_a_restart_of_the_fe_is_not_known_any_more(tmp_path, http) -> None:
    async with StarRocksSandbox(tmp_path) as sandbox:
        await asyncio.to_thread(
            run_sql, sandbox.mysql_port, ["CREATE DATABASE d", "CREATE TABLE d.t (id INT, a INT) PRIMARY KEY(id)"]
        )
        db = Database(sandbox, http, "d")
        sandbox.faults.add(Fault.STALL, "d.t")
        running = asyncio.create_task(db.load("t", ROW))
        await db.stalled()
        async with db.http.post(sandbox.control_url + "/frontend/restart", json={"seconds": 0}) as answer:
            assert answer.status == 200

        async def back() -> bool:
            return sandbox._cluster.frontend_up

        await until(back)
        await sandbox.faults.clear()
        reply = await running
        assert reply["Message"] == f"transaction not found: {reply['TxnId']}"
        assert await db.sql("SELECT count(*) FROM t") == [(0,)]


async def test_stop_while_the_fe_is_away(tmp_path, http) -> None:
    async with asyncio.timeout(10):
        async with StarRocksSandbox(tmp_path) as sandbox:
            await sandbox.restart_frontend(3600)
        async with StarRocksSandbox(tmp_path) as sandbox:
            assert await asyncio.to_thread(run_sql, sandbox.mysql_port, ["SELECT 1"]) == [(1,)]


async def test_cancel(db, name) -> None:
    db.sandbox.faults.add("stall", name)
    running = asyncio.create_task(db.load("t", ROW, label="c"))
    await db.in_state("c", "PREPARE")
    await db.stalled()

    async def cancel(path: str) -> str:
        url = f"{db.sandbox.fe_url}/api/{db.name}/{path}"
        async with db.http.post(url, headers={"Authorization": basic()}) as answer:
            return await answer.text()

    assert await cancel("t/_cancel?label=c") == '{"status":"OK","code":"0","msg":"Success","message":"OK"}'
    await db.sandbox.faults.clear()
    reply = await running
    assert (reply["Status"], reply["Message"]) == ("Fail", "user cancel")
    assert (await db.state("c"))["reason"] == "user cancel"
    assert '"msg":"transaction not found: c"' in await cancel("t/_cancel?label=c")
    assert '"msg":"transaction not found: z"' in await cancel("z/_cancel")  # 3.3: the label in the path


async def test_alter_faults(db, name) -> None:
    db.sandbox.faults.add("failed_alter", name, count=1)
    db.sandbox.faults.add("slow_alter", name, skip=1, count=1, delay_ms=300)
    for added, state in (("b", "CANCELLED"), ("c", "FINISHED")):
        await db.sql(f"ALTER TABLE t ADD COLUMN {added} INT")
        assert added not in [row[0] for row in await db.sql("DESC t")]
        await db.loaded("t", {"id": 1, "a": 1})  # loads go on meanwhile

        async def ended(state: str = state) -> bool:
            return (await db.sql("SHOW ALTER TABLE COLUMN ORDER BY CreateTime DESC LIMIT 1"))[0][9] == state

        await until(ended)
    assert [row[0] for row in await db.sql("DESC t")] == ["id", "a", "c"]


async def test_rules_count_chances_each_for_itself() -> None:
    faults = Faults()
    faults.add("http_500", "a.b", skip=2, count=1)
    faults.add("http_500", "a.b", skip=4, count=1)
    assert [faults.take(Fault.HTTP_500, "a.b") is not None for _ in range(6)] == [
        False,
        False,
        True,
        False,
        True,
        False,
    ]
    assert [rule.hits for rule in faults.used()] == [1, 1] and faults.list() == []
    for wrong, words in (
        ({"skip": -1}, "skip must be an integer >= 0"),
        ({"status": 404}, "status must be one of 500, 502, 503, 504"),
        ({"after_bytes": -1}, "bytes must be an integer >= 0"),
        ({"skip": True}, "skip must be an integer >= 0"),
    ):
        with pytest.raises(ValueError, match=words):
            faults.add("http_500", **wrong)


def test_every_fault_has_a_test() -> None:
    """By its name or its member, in this file or beside it."""
    from pathlib import Path

    tests = Path(__file__).parents[2]
    files = [*tests.glob("unit/sandbox_starrocks/test_*.py"), *tests.glob("conformance/starrocks/test_*.py")]
    text = "".join(path.read_text() for path in files)
    missing = [f for f in Fault if f'"{f.value}"' not in text and f"Fault.{f.name}" not in text]
    assert [f for f in missing if not f.value.startswith("label_already_exists_")] == []
