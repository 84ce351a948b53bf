"""Section G: transactions of several tables, 4.0 (test_multi_statement_txn, …_multi_table_rollback, …_timeout_cleanup)."""

import asyncio
import json

import pytest
import pytest_asyncio

from tests.conformance.starrocks.transactions import STRICT, TABLE1, Transactions
from tests.unit.sandbox_starrocks.conftest import basic

ALICE, BOB = {"id": 1, "name": "alice"}, {"id": 2, "name": "bob"}


@pytest_asyncio.fixture(loop_scope="session")
async def txn(db40) -> Transactions:
    await db40.sql(TABLE1)
    return Transactions(db40, multi=True)


@pytest.mark.case("G2", "G3")
async def test_single_table(db40) -> None:
    await db40.sql("CREATE TABLE test (id INT) DUPLICATE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 10")
    txn, source = Transactions(db40), {"source_type": "12"}
    begun = await txn.call("begin", "l", **source)
    assert txn.text == '{\n  "Status": "OK",\n  "Message": ""\n}' and len(txn.hops) == 1 and begun["Status"] == "OK"
    loaded = await txn.call("load", "l", b"1", table="test", **source)
    assert list(loaded) == ["Status", "Message", "Label", "TxnId", "LoadBytes", "StreamLoadPlanTimeMs",
                            "ReceivedDataTimeMs"]  # fmt: skip
    assert (loaded["Status"], loaded["LoadBytes"], len(txn.hops)) == ("OK", 1, 2)
    assert await db40.sql("SELECT count(*) FROM test") == [(0,)]
    await txn.call("commit", "l", **source)
    assert txn.text == (
        f'{{\n  "Label": "{txn.label("l")}",\n  "Status": "OK",\n  "TxnId": {loaded["TxnId"]},\n  "ChannelId": 0,\n'
        '  "Message": "",\n  "Prepared Channel Num": 1\n}'
    )
    assert await db40.sql("SELECT * FROM test") == [(1,)]
    assert (await db40.state(txn.label("l")))["state"] == "VISIBLE"


@pytest.mark.case("G5")
async def test_three_tables(db40) -> None:
    names = ("test1", "test2", "test3")
    await db40.sql(*(f"CREATE TABLE {name} (id INT)" for name in names))
    txn = Transactions(db40, multi=True)
    await txn.call("begin", "l")
    for number in (1, 2, 3):
        for name in names:
            assert (await txn.load("l", name, {"id": number}))["Status"] == "OK"
    for name in names:
        assert await db40.sql(f"SELECT count(*) FROM {name}") == [(0,)]
    assert await txn.status("commit", "l") == "OK"
    for name in names:
        assert await db40.sql(f"SELECT * FROM {name} ORDER BY id") == [(1,), (2,), (3,)]


@pytest.mark.case("G6", "G7")
async def test_commit_operations(db40, txn) -> None:
    assert await txn.status("begin", "l", table="table1") == "OK"
    await txn.load("l", "table1", ALICE)
    assert [await txn.status("commit", "l") for _ in range(2)] == ["OK", "OK"]
    late = await txn.load("l", "table1", BOB)
    assert late == {"Status": "FAILED", "Message": f"stream load task {txn.label('l')} has already been commited"}
    assert await txn.status("rollback", "l") == "FAILED"
    assert await db40.sql("SELECT * FROM table1") == [(1, "alice")]
    assert await txn.status("begin", "l", table="table1") == "LABEL_ALREADY_EXISTS"


@pytest.mark.case("G10", "G11")
async def test_rollback_operations(db40, txn) -> None:
    await txn.call("begin", "l", table="table1")
    await txn.load("l", "table1", ALICE)
    first = await txn.call("rollback", "l")
    assert (first["Status"], first["Message"]) == ("OK", f"stream load {txn.label('l')} abort")
    again = await txn.call("rollback", "l")
    assert (again["Status"], again["Message"]) == (
        "OK", f"Transaction {again['TxnId']} has already aborted, label is {txn.label('l')}",
    )  # fmt: skip
    assert (await txn.load("l", "table1", BOB))["Status"] == "FAILED"
    refused = await txn.call("commit", "l")
    assert refused["Message"] == f"Can not commit CANCELLED transaction {again['TxnId']}, label is {txn.label('l')}"
    assert await db40.sql("SELECT count(*) FROM table1") == [(0,)]
    # Other than with one table: a rolled-back label cannot be begun again.
    assert await txn.status("begin", "l", table="table1") == "LABEL_ALREADY_EXISTS"


@pytest.mark.case("G13")
async def test_without_begin(txn) -> None:
    assert (await txn.load("never", "table1", ALICE))["Message"] == (
        f"class com.starrocks.common.StarRocksException: stream load task {txn.label('never')} does not exist"
    )
    assert await txn.status("commit", "never") == "FAILED"
    assert await txn.status("rollback", "never") == "FAILED"


@pytest.mark.case("G14", "G15")
async def test_empty(db40, txn) -> None:
    assert await txn.status("begin", "a") == "OK"
    assert await txn.status("commit", "a") == "OK"
    assert await txn.status("begin", "b") == "OK"
    assert await txn.status("rollback", "b") == "OK"


@pytest.mark.case("G16")
async def test_begin_twice(txn) -> None:
    assert await txn.status("begin", "l") == "OK"
    again = await txn.call("begin", "l")
    assert again["Status"] == "LABEL_ALREADY_EXISTS"
    assert again["Message"] == f"Transaction already started with label [{txn.label('l')}], txnId: {again['TxnId']}"
    assert await txn.status("rollback", "l") == "OK"


@pytest.mark.case("G18")
async def test_a_failed_load_ends_it_for_all_tables(db40, txn) -> None:
    await db40.sql(STRICT)
    await txn.call("begin", "l")
    failed = await txn.load("l", "table_strict", ALICE, columns="id,name")
    assert failed["Status"] == "FAILED"
    assert "Column has no default value. column: required_col" in failed["Message"]
    assert (await txn.load("l", "table1", BOB))["Status"] == "FAILED"
    assert await txn.status("commit", "l") == "FAILED"
    for name in ("table1", "table_strict"):
        assert await db40.sql(f"SELECT count(*) FROM {name}") == [(0,)]


@pytest.mark.case("G19")
async def test_timeout(db40, txn) -> None:
    assert await txn.status("begin", "l", timeout="1") == "OK"
    async with asyncio.timeout(10):
        await db40.in_state(txn.label("l"), "ABORTED")
    assert (await txn.load("l", "table1", ALICE))["Status"] == "FAILED"
    assert await txn.status("commit", "l") == "FAILED"
    assert await db40.sql("SELECT count(*) FROM table1") == [(0,)]


@pytest.mark.case("G20")
async def test_begin_at_a_be(db40, txn) -> None:
    headers = {"Authorization": basic(), "label": "l", "db": db40.name, "table": "table1", "transaction_type": "multi"}
    async with db40.http.post(f"{db40.sandbox.be_url}/api/transaction/begin", headers=headers) as response:
        assert json.loads(await response.text()) == {
            "Status": "INVALID_ARGUMENT",
            "Message": "Multi-statement transaction requests can only be sent to FE nodes, not BE nodes",
        }
