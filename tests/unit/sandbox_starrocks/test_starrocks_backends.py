"""Several BEs behind one FE: redirects in turn, one that is down, replicas, the BE that coordinates a transaction."""

import asyncio
import json

import aiohttp
import pymysql
import pytest
import pytest_asyncio
from dbmazz_sandbox.starrocks import Fault, StarRocksSandbox

from tests.conformance.starrocks.transactions import TABLE1, Transactions
from tests.unit.sandbox_starrocks.conftest import Database, basic, run_sql


@pytest_asyncio.fixture(loop_scope="session")
async def three(tmp_path):
    async with StarRocksSandbox(tmp_path, backends=3) as sandbox, aiohttp.ClientSession() as session:
        session._retry_connection = False
        await asyncio.to_thread(run_sql, sandbox.mysql_port, ["CREATE DATABASE d"])
        yield Database(sandbox, session, "d")


async def redirected(db: Database, table: str = "t") -> str:
    headers = {"Authorization": basic(), "Expect": "100-continue"}
    async with db.http.put(db.sandbox.fe_url + db.path(table), headers=headers, allow_redirects=False) as answer:
        if answer.status == 307:
            return answer.headers["Location"].removesuffix(db.path(table))
        return (await answer.text()).strip()


async def test_redirects_go_round(three) -> None:
    seen = [await redirected(three) for _ in range(6)]
    assert seen[:3] == seen[3:] and set(seen) == set(three.sandbox.be_urls) and len(set(seen)) == 3
    await three.sql("CREATE TABLE t (id INT) PRIMARY KEY(id)")
    for number, url in enumerate(seen[:3]):
        headers = {"Authorization": basic(), "format": "json"}
        status, reply = await three.put(url + three.path("t"), json.dumps({"id": number}).encode(), headers)
        assert (status, reply["Status"]) == (200, "Success")
    assert await three.sql("SELECT count(*) FROM t") == [(3,)]


async def test_a_be_that_is_down(three) -> None:
    sandbox = three.sandbox
    dead = sandbox.be_urls[1]
    await sandbox.stop_backend(2)
    assert dead not in [await redirected(three) for _ in range(6)]
    with pytest.raises(aiohttp.ClientConnectorError, match="Connect call failed"):
        await three.put(dead + three.path("t"), b"", {"Authorization": basic()})
    assert [(row[0], row[8]) for row in await three.sql("SHOW BACKENDS")] == [
        ("10001", "true"), ("10002", "false"), ("10003", "true"),
    ]  # fmt: skip
    await sandbox.start_backend(2)
    assert dead in [await redirected(three) for _ in range(3)] and sandbox.be_urls[1] == dead
    assert [row[8] for row in await three.sql("SHOW BACKENDS")] == ["true"] * 3


async def test_no_be_alive(three) -> None:
    for number in (1, 2, 3):
        await three.sandbox.stop_backend(number)
    assert json.loads(await redirected(three)) == {
        "Status": "FAILED", "Message": "class com.starrocks.common.DdlException: No backend alive.",
    }  # fmt: skip


async def test_replicas_need_backends(three) -> None:
    await three.sql("CREATE TABLE a (id INT) PRIMARY KEY(id) PROPERTIES ('replication_num' = '3')",
                    "CREATE TABLE b (id INT) PRIMARY KEY(id)")  # fmt: skip
    assert '"replication_num" = "3"' in (await three.sql("SHOW CREATE TABLE b"))[0][1]
    with pytest.raises(pymysql.MySQLError) as caught:
        await three.sql("CREATE TABLE c (id INT) PRIMARY KEY(id) PROPERTIES ('replication_num' = '4')")
    assert caught.value.args == (
        1064,
        "Getting analyzing error. Detail message: Table replication num should be less than of equal to the number of "
        "available BE nodes. You can change this default by setting the replication_num table properties. "
        "Current alive backend is [10001,10002,10003]..",
    )
    await three.sandbox.stop_backend(3)
    with pytest.raises(pymysql.MySQLError) as caught:
        await three.sql("CREATE TABLE c (id INT) PRIMARY KEY(id)")
    assert caught.value.args == (
        1064,
        "Table replication num should be less than or equal to the number of available BE nodes. You can change this "
        "default by setting the replication_num table properties. Current alive backend is [10001,10002]. ",
    )


async def test_one_be_has_one_replica_by_default(db) -> None:
    await db.sql("CREATE TABLE t (id INT) PRIMARY KEY(id)")
    assert '"replication_num" = "1"' in (await db.sql("SHOW CREATE TABLE t"))[0][1]
    with pytest.raises(pymysql.MySQLError, match="less than of equal to the number of available BE nodes"):
        await db.sql("CREATE TABLE u (id INT) PRIMARY KEY(id) PROPERTIES ('replication_num' = '3')")


async def test_a_transaction_stays_with_its_be(three) -> None:
    await three.sql(TABLE1)
    txn = Transactions(three)
    await txn.call("begin", "l", table="table1")
    coordinator = txn.hops[1]
    for number in range(3):
        assert (await txn.load("l", "table1", {"id": number}))["Status"] == "OK"
        assert txn.hops[1].rpartition("/")[0] == coordinator.rpartition("/")[0]
    assert await txn.status("commit", "l", table="table1") == "OK"
    assert await three.sql("SELECT count(*) FROM table1") == [(3,)]


async def test_a_transaction_ends_with_its_be(three) -> None:
    await three.sql(TABLE1)
    txn = Transactions(three)
    await txn.call("begin", "l", table="table1")
    number = [f"{url}/api/transaction/begin" for url in three.sandbox.be_urls].index(txn.hops[1]) + 1
    await txn.load("l", "table1", {"id": 1})
    await three.sandbox.stop_backend(number)
    state = await three.state(txn.label("l"))
    assert (state["state"], state["reason"]) == ("ABORTED", "coordinate BE is down")
    with pytest.raises(aiohttp.ClientConnectorError):
        await txn.load("l", "table1", {"id": 2})
    assert await txn.status("commit", "l", table="table1") == "FAILED"


async def test_a_prepared_transaction_outlives_its_be(three) -> None:
    await three.sql(TABLE1)
    txn = Transactions(three)
    await txn.call("begin", "l", table="table1")
    await txn.load("l", "table1", {"id": 1})
    await txn.call("prepare", "l", table="table1")
    for number in (1, 2, 3):
        await three.sandbox.stop_backend(number)
    assert await txn.status("commit", "l") == "OK"
    assert await three.sql("SELECT id FROM table1") == [(1,)]


async def test_tables_of_one_transaction_go_to_different_backends(tmp_path) -> None:
    async with StarRocksSandbox(tmp_path, backends=2, version="4.0") as sandbox, aiohttp.ClientSession() as session:
        await asyncio.to_thread(run_sql, sandbox.mysql_port, ["CREATE DATABASE d", "CREATE TABLE d.a (id INT)",
                                                              "CREATE TABLE d.b (id INT)"])  # fmt: skip
        db = Database(sandbox, session, "d")
        txn = Transactions(db, multi=True)
        await txn.call("begin", "l")
        places = []
        for table in ("a", "b", "a"):
            assert (await txn.load("l", table, {"id": 1}))["Status"] == "OK"
            places.append(txn.hops[1])
        assert places[0] == places[2] != places[1]
        assert await txn.status("commit", "l") == "OK"
        assert await db.sql("SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b)") == [(2, 1)]


async def test_backends_over_the_control_port(three) -> None:
    url = three.sandbox.control_url + "/backends"
    async with three.http.post(f"{url}/2", json={"alive": False}) as answer:
        assert [node["alive"] for node in (await answer.json())["backends"]] == [True, False, True]
    async with three.http.get(url) as answer:
        assert [node["id"] for node in (await answer.json())["backends"]] == [10001, 10002, 10003]
    for path, body, words in (
        ("/4", {"alive": True}, "there is no BE 4: use 1 to 3"),
        ("/x", {"alive": True}, "there is no BE x: use 1 to 3"),
        ("/1", {"alive": 1}, "alive must be true or false"),
        ("/1", [], "the body must be a JSON object"),
        ("/1", {"alive": True, "why": 1}, "unknown field 'why'"),
    ):
        async with three.http.post(url + path, json=body) as answer:
            assert answer.status == 400 and words in (await answer.json())["error"]


@pytest.mark.parametrize("number", [0, 4, -1, True, "1", None])
async def test_a_be_that_is_not_there(three, number) -> None:
    """The numbers are those of the control port: 1 is the first of be_urls."""
    for switch in (three.sandbox.stop_backend, three.sandbox.start_backend):
        with pytest.raises(ValueError, match=f"^there is no BE {number}: use 1 to 3$"):
            await switch(number)


async def test_fe_sends_to_a_dead_be_when_asked_to(three) -> None:
    three.sandbox.faults.add(Fault.REDIRECT_TO_DEAD_BE, "d.t", count=1, skip=1)
    assert await redirected(three) in three.sandbox.be_urls
    dead = await redirected(three)
    assert dead not in three.sandbox.be_urls
    with pytest.raises(aiohttp.ClientConnectorError):
        await three.put(dead + three.path("t"), b"", {})
    assert await redirected(three) in three.sandbox.be_urls


def test_how_many(tmp_path) -> None:
    with pytest.raises(ValueError, match="backends=0: use 1 to 32"):
        StarRocksSandbox(tmp_path, backends=0)
