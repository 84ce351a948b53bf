"""Section F: transactions of one table (test_stream_load_basic_txn, …_exception_handling, test_prepared_timeout)."""

import asyncio

import pytest
import pytest_asyncio

from tests.conformance.starrocks.transactions import STRICT, TABLE1, Transactions
from tests.unit.sandbox_starrocks.conftest import until

ALICE = {"id": 1, "name": "alice"}
BOB = {"id": 2, "name": "bob"}


@pytest_asyncio.fixture(loop_scope="session")
async def txn(db) -> Transactions:
    await db.sql(TABLE1)
    return Transactions(db)


@pytest.mark.case("F1", "F2", "F3", "F4", "F5", "F6")
async def test_commit_operations(db, txn) -> None:
    assert await txn.status("begin", "l", table="table1") == "OK"
    assert (await txn.load("l", "table1", ALICE))["Status"] == "OK"
    assert await db.sql("SELECT count(*) FROM table1") == [(0,)]
    assert await txn.status("commit", "l", table="table1") == "OK"
    assert await db.sql("SELECT * FROM table1") == [(1, "alice")]
    again = await txn.call("commit", "l", table="table1")
    assert list(again) == ["Label", "Status", "TxnId", "Message"]
    assert again["Message"] == f"Transaction {again['TxnId']} has already committed, label is {txn.label('l')}"
    late = await txn.load("l", "table1", BOB)
    assert late == {"Status": "TXN_NOT_EXISTS", "Message": f"Transaction with label {txn.label('l')} not exists"}
    refused = await txn.call("rollback", "l", table="table1")
    assert refused["Status"] == "FAILED" and refused["Message"].endswith(
        f"Can not abort VISIBLE transaction {again['TxnId']}, label is {txn.label('l')}"
    )
    taken = await txn.call("begin", "l", table="table1")
    assert taken == {"Status": "LABEL_ALREADY_EXISTS", "ExistingJobStatus": "FINISHED",
                     "Message": f"Label [{txn.label('l')}] has already been used."}  # fmt: skip
    assert await db.sql("SELECT * FROM table1") == [(1, "alice")]


@pytest.mark.case("F7", "F8", "F9", "F10", "F11")
async def test_rollback_operations(db, txn) -> None:
    begun = await txn.call("begin", "l", table="table1")
    await txn.load("l", "table1", ALICE)
    assert await txn.call("rollback", "l", table="table1") == {"Status": "OK", "Message": "", "Label": txn.label("l")}
    again = await txn.call("rollback", "l", table="table1")
    assert again["Status"] == "OK"
    assert again["Message"] == f"Transaction {begun['TxnId']} has already aborted, label is {txn.label('l')}"
    assert (await txn.load("l", "table1", BOB))["Status"] == "TXN_NOT_EXISTS"
    refused = await txn.call("commit", "l", table="table1")
    assert refused["Status"] == "FAILED" and "Can not commit ABORTED transaction" in refused["Message"]
    assert await db.sql("SELECT count(*) FROM table1") == [(0,)]
    assert (await db.state(txn.label("l")))["state"] == "ABORTED"
    assert await txn.status("begin", "l", table="table1") == "OK"
    assert await txn.status("rollback", "l", table="table1") == "OK"


@pytest.mark.case("F14", "F15")
async def test_edge_cases(txn) -> None:
    assert await txn.status("begin", "empty", table="table1") == "OK"
    assert await txn.status("rollback", "empty", table="table1") == "OK"
    assert await txn.status("begin", "double", table="table1") == "OK"
    assert await txn.status("begin", "double", table="table1") == "LABEL_ALREADY_EXISTS"
    assert await txn.status("rollback", "double", table="table1") == "OK"


async def test_without_begin_and_without_a_load(db, txn) -> None:
    """The same recording as F14 and F15."""
    for operation in ("load", "commit", "rollback"):
        assert await txn.status(operation, "never", b"{}", table="table1") == "FAILED"
    assert await txn.status("begin", "bare", table="table1") == "OK"
    refused = await txn.call("commit", "bare", table="table1")
    assert refused["Status"] == "INTERNAL_ERROR"
    assert refused["Message"].endswith(f"label={txn.label('bare')}, db={db.name} hasn't send any data yet")
    assert (await db.state(txn.label("bare")))["state"] == "ABORTED"


@pytest.mark.case("F16", "F17", "F18")
async def test_load_failure(db) -> None:
    await db.sql(STRICT)
    txn = Transactions(db)
    for label, end in (("a", "rollback"), ("b", "commit")):
        assert await txn.status("begin", label, table="table_strict") == "OK"
        failed = await txn.load(label, "table_strict", ALICE, columns="id,name")
        assert failed == {
            "Status": "ANALYSIS_ERROR", "Message": "Column has no default value. column: required_col",
        }  # fmt: skip
        full = {**BOB, "required_col": 100}
        assert (await txn.load(label, "table_strict", full))["Status"] == "TXN_NOT_EXISTS"
        assert await txn.status(end, label, table="table_strict") == {"rollback": "OK", "commit": "FAILED"}[end]
        assert await db.sql("SELECT count(*) FROM table_strict") == [(0,)]


@pytest.mark.case("F20")
async def test_reply_of_begin(txn) -> None:
    reply = await txn.call("begin", "l", table="table1")
    assert list(reply) == ["Status", "Message", "Label", "TxnId", "BeginTxnTimeMs"]
    assert reply | {"TxnId": 0} == {
        "Status": "OK",
        "Message": "",
        "Label": txn.label("l"),
        "TxnId": 0,
        "BeginTxnTimeMs": 0,
    }
    assert txn.text.startswith('{\n    "Status": "OK",\n    "Message": "",\n    "Label": "l_d')


@pytest_asyncio.fixture(loop_scope="session")
async def csv(db) -> Transactions:
    """The table and the body of test_prepared_timeout: one column, `1`."""
    await db.sql("CREATE TABLE test_normal (id INT) DUPLICATE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 10")
    return Transactions(db)


@pytest.mark.case("F21", "F25")
async def test_prepare_and_commit(db, csv) -> None:
    begun = await csv.call("begin", "l", table="test_normal")
    loaded = await csv.call("load", "l", b"1", table="test_normal")
    assert list(loaded) == ["Status", "Message", "Label", "TxnId", "LoadBytes", "StreamLoadPlanTimeMs",
                            "ReceivedDataTimeMs"]  # fmt: skip
    assert (loaded["Status"], loaded["TxnId"], loaded["LoadBytes"]) == ("OK", begun["TxnId"], 1)
    prepared = await csv.call("prepare", "l", table="test_normal", prepared_timeout="300")
    assert list(prepared) == [
        "Status", "Message", "Label", "TxnId", "NumberTotalRows", "NumberLoadedRows", "NumberFilteredRows",
        "NumberUnselectedRows", "LoadBytes", "LoadTimeMs", "StreamLoadPlanTimeMs", "ReceivedDataTimeMs",
        "WriteDataTimeMs", "CommitAndPublishTimeMs",
    ]  # fmt: skip
    assert [prepared[name] for name in list(prepared)[4:9]] == [1, 1, 0, 0, 1]
    assert (await db.state(csv.label("l")))["state"] == "PREPARED"
    assert await db.sql("SELECT count(*) FROM test_normal") == [(0,)]
    committed = await csv.call("commit", "l")
    assert csv.text == (
        f'{{\n  "Label": "{csv.label("l")}",\n  "Status": "OK",\n  "TxnId": {begun["TxnId"]},\n  "Message": ""\n}}'
    )
    assert committed["Status"] == "OK" and len(csv.hops) == 1  # the FE itself
    assert await db.sql("SELECT * FROM test_normal") == [(1,)]
    transaction = db.sandbox._cluster.labels.get(db.name, csv.label("l"), 0)
    assert (transaction.state, transaction.prepared_timeout_ms) == ("VISIBLE", 300_000)


@pytest.mark.case("F22")
async def test_prepare_without_a_timeout(db, csv) -> None:
    await csv.call("begin", "l", table="test_normal")
    await csv.call("load", "l", b"2", table="test_normal")
    assert await csv.status("prepare", "l", table="test_normal") == "OK"
    assert await csv.status("commit", "l") == "OK"
    assert db.sandbox._cluster.labels.get(db.name, csv.label("l"), 0).prepared_timeout_ms == 86_400_000


@pytest.mark.case("F23")
async def test_a_prepared_transaction_times_out(db, csv) -> None:
    await csv.call("begin", "l", table="test_normal")
    await csv.call("load", "l", b"3", table="test_normal")
    assert await csv.status("prepare", "l", table="test_normal", prepared_timeout="1") == "OK"
    async with asyncio.timeout(10):
        await db.in_state(csv.label("l"), "ABORTED")
    assert (await db.state(csv.label("l")))["reason"] == "timeout by txn manager"
    assert await csv.status("commit", "l") == "FAILED"
    assert await db.sql("SELECT count(*) FROM test_normal") == [(0,)]

    async def discarded() -> bool:
        with db.sandbox._cluster.store.cursor() as cursor:
            return cursor.execute("SELECT count(*) FROM sandbox.staged").fetchall() == [(0,)]

    await until(discarded)
