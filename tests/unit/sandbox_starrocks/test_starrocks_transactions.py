"""The transaction interface beyond the recorded cases: messages, timeouts, releases, what two calls do at once."""

import asyncio
import json

import aiohttp
import pytest
import pytest_asyncio
from dbmazz_sandbox.starrocks.labels import State, Transaction
from dbmazz_sandbox.starrocks.transactions.context import PHASES, Phase
from dbmazz_sandbox.starrocks.transactions.reply import hash_order
from dbmazz_sandbox.starrocks.transactions.task import TASKS, Task, TaskState

from tests.conformance.starrocks.transactions import TABLE1, Transactions
from tests.unit.sandbox_starrocks.conftest import basic

ALICE = {"id": 1, "name": "alice"}


@pytest_asyncio.fixture(loop_scope="session")
async def txn(db) -> Transactions:
    await db.sql(TABLE1)
    return Transactions(db)


@pytest_asyncio.fixture(loop_scope="session")
async def multi(db40) -> Transactions:
    await db40.sql(TABLE1)
    return Transactions(db40, multi=True)


async def at_be(db, operation: str, /, **headers: str) -> dict:
    """Straight to the BE, with these headers only."""
    url = f"{db.sandbox.be_url}/api/transaction/{operation}"
    async with db.http.request("PUT", url, headers={"Authorization": basic()} | headers) as answer:
        return json.loads(await answer.text())


@pytest.mark.parametrize(
    ("operation", "headers", "message"),
    [
        ("begin", {"db": ""}, "class com.starrocks.common.UserException: No database selected."),
        ("begin", {"label": ""}, "class com.starrocks.common.UserException: Empty label."),
        ("merge", {}, "class com.starrocks.common.UserException: Unknown transaction operation: merge"),
        ("begin", {"timeout": "x"}, 'class java.lang.NumberFormatException: For input string: "x"'),
        ("begin", {"source_type": "x"}, "class com.starrocks.common.UserException: Invalid source type: x"),
        ("begin", {"source_type": "12"}, "class com.starrocks.common.UserException: Unknown source type: 12"),
        ("begin", {"source_type": "11"}, "not emulated: header source_type 11"),
        ("begin", {"channel_id": "0", "channel_num": "1"},
         "not emulated: headers channel_id and channel_num (parallel transaction stream load)"),
        ("commit", {"label": "never"}, "class com.starrocks.common.UserException: No transaction found by label never"),
        ("load", {"label": "never"},
         "class com.starrocks.common.UserException: Transaction with op[load] and label[never] has no node."),
        ("begin", {"db": "nodb"}, "class com.starrocks.common.UserException: Database[nodb] does not exist."),
    ],
)  # fmt: skip
async def test_what_the_fe_refuses(db, txn, operation, headers, message) -> None:
    given = {"Authorization": basic(), "db": db.name, "label": "x", "table": "table1"} | headers
    async with db.http.put(f"{db.sandbox.fe_url}/api/transaction/{operation}", headers=given) as answer:
        assert json.loads(await answer.text()) == {"Status": "FAILED", "Message": message}


async def test_what_the_be_refuses(db, txn) -> None:
    label = txn.label("l")
    begun = {"db": db.name, "table": "table1", "label": label}
    for operation, headers, status, message in (
        ("begin", {}, "INVALID_ARGUMENT", "empty label"),
        ("merge", begun, "INVALID_ARGUMENT", "unsupport transaction operation merge"),
        ("begin", begun | {"table": "no"}, "ANALYSIS_ERROR", f'unknown table "{db.name}.no"'),
        ("begin", begun | {"db": "no"}, "ANALYSIS_ERROR", "unknown database, database=no"),
        ("begin", begun | {"timeout": "soon"}, "INVALID_ARGUMENT", "Invalid timeout format"),
        ("begin", begun | {"idle_transaction_timeout": "-1"}, "INVALID_ARGUMENT", "Invalid timeout format"),
        ("begin", begun | {"Authorization": "Bearer x"}, "INTERNAL_ERROR", "no valid Basic authorization"),
        ("load", {}, "INVALID_ARGUMENT", "Invalid label "),
        ("load", begun, "TXN_NOT_EXISTS", f"Transaction with label {label} not exists"),
        ("commit", begun, "TXN_NOT_EXISTS", f"transaction with label {label} not exists"),
        ("prepare", begun, "TXN_NOT_EXISTS", f"transaction with label {label} not exists"),
        ("rollback", begun, "TXN_NOT_EXISTS", f"transaction with label {label} not exists"),
    ):
        assert await at_be(db, operation, **headers) == {"Status": status, "Message": message}, (operation, headers)
    assert (await at_be(db, "begin", **begun))["Status"] == "OK"
    for operation, headers, message in (
        ("load", {"db": "other"}, f"Request database other not equal transaction database {db.name}"),
        ("load", {"table": "other"}, "Request table other not equal transaction table table1"),
        ("commit", {"db": "other"}, f"request db other transaction db {db.name} not match"),
        ("prepare", {"prepared_timeout": "0"}, "Invalid prepared_timeout: 0"),
    ):
        reply = await at_be(db, operation, **begun | headers)
        assert reply == {"Status": "INVALID_ARGUMENT", "Message": message}
    assert (await db.state(label))["state"] == "PREPARE"  # none of these ends it
    assert label in (await _list(db))
    assert (await at_be(db, "rollback", **begun)) == {"Status": "OK", "Message": "", "Label": label}
    assert (await db.state(label))["reason"] == "transaction is aborted by user."


async def _list(db) -> str:
    async with db.http.get(f"{db.sandbox.be_url}/api/transaction/list") as answer:
        return await answer.text()


async def test_the_headers_of_all_loads_are_the_same(db, txn) -> None:
    await txn.call("begin", "l", table="table1")
    await txn.load("l", "table1", ALICE)
    refused = await txn.load("l", "table1", ALICE, columns="id,name")
    assert refused == {"Status": "INTERNAL_ERROR", "Message": "load request not equal last."}
    assert (await db.state(txn.label("l")))["state"] == "ABORTED"


async def test_loads_apply_in_their_order(db) -> None:
    await db.sql("CREATE TABLE p (id INT, a INT) PRIMARY KEY(id)")
    txn = Transactions(db)
    await txn.call("begin", "l", table="p")
    for rows in (
        [{"id": 1, "a": 1}, {"id": 2, "a": 1}],
        [{"id": 1, "__op": 1}],
        [{"id": 2, "a": 3}, {"id": 3, "a": 3}],
    ):
        assert (await txn.load("l", "p", *rows))["Status"] == "OK"
    ended = await txn.call("commit", "l", table="p")
    assert (ended["NumberTotalRows"], ended["NumberLoadedRows"]) == (5, 5)
    assert await db.sql("SELECT id, a FROM p ORDER BY id") == [(2, 3), (3, 3)]


async def test_csv_bodies_are_one_stream(db, txn) -> None:
    await txn.call("begin", "l", table="table1")
    for body in (b"1,al", b"ice\n2,bob\n"):
        assert await txn.status("load", "l", body, table="table1", column_separator=",") == "OK"
    assert (await txn.call("commit", "l", table="table1"))["NumberLoadedRows"] == 2
    assert await db.sql("SELECT * FROM table1 ORDER BY id") == [(1, "alice"), (2, "bob")]


async def test_bad_rows_show_at_the_end_with_their_log(db) -> None:
    await db.sql("CREATE TABLE n (id INT, a INT NOT NULL) PRIMARY KEY(id)")
    txn = Transactions(db)
    await txn.call("begin", "l", table="n")
    assert (await txn.load("l", "n", {"id": 1, "a": 1}, {"id": 2, "a": None}))["Status"] == "OK"
    ended = await txn.call("prepare", "l", table="n")
    assert (ended["Status"], ended["Message"]) == ("INTERNAL_ERROR", "too many filtered rows")
    assert "NULL value in non-nullable column 'a'" in await db.error_log(ended)
    assert (await db.state(txn.label("l")))["state"] == "ABORTED"
    assert await db.sql("SELECT count(*) FROM n") == [(0,)]
    await txn.call("begin", "l", table="n")
    await txn.call("load", "l", b"{", table="n", format="json")
    assert (await txn.call("commit", "l", table="n"))["Status"] == "INTERNAL_ERROR"


async def test_the_json_limit_counts_all_loads(db, txn) -> None:
    await txn.call("begin", "l", table="table1")
    await txn.load("l", "table1", ALICE)
    context = db.sandbox._servers[10001]._coordinated._contexts[txn.label("l")]
    context.work.announced = 104857600
    refused = await txn.load("l", "table1", ALICE)
    assert refused["Status"] == "INTERNAL_ERROR"
    assert refused["Message"].startswith(
        "The size of this batch exceed the max size [104857600]  of json type data  data [ "
    )


async def test_one_call_at_a_time(db, txn) -> None:
    await txn.call("begin", "l", table="table1")
    await txn.load("l", "table1", ALICE)
    db.sandbox.faults.hits.clear()
    db.sandbox.faults.add("stall", f"{db.name}.table1")
    commit = asyncio.create_task(Transactions(db).call("commit", "l", table="table1"))
    await db.stalled()
    for operation in ("load", "commit", "rollback"):
        reply = await txn.call(operation, "l", b"{}", table="table1", format="json")
        assert reply["Status"] == "TXN_IN_PROCESSING"
        assert list(reply) == ["Status", "Label", "Message"]
        assert reply["Message"] == "Transaction in processing, please retry later"
    await db.sandbox.faults.clear()
    assert (await commit)["Status"] == "OK"


async def test_a_load_whose_connection_breaks_ends_it(db, txn) -> None:
    await txn.call("begin", "l", table="table1")
    db.sandbox.faults.add("reset_in_body", f"{db.name}.table1", count=1)
    with pytest.raises((aiohttp.ClientError, ConnectionResetError)):
        await txn.load("l", "table1", ALICE)
    await db.in_state(txn.label("l"), "ABORTED")


async def test_timeouts_by_their_deadlines(db, txn) -> None:
    await txn.call("begin", "whole", table="table1", timeout="1")
    await txn.call("begin", "idle", table="table1", idle_transaction_timeout="5")
    context = db.sandbox._servers[10001]._coordinated._contexts[txn.label("idle")]
    context.active -= 34.9  # 5 s of its own, after the 30 s between two looks of the BE
    db.sandbox._cluster.arm()
    await db.in_state(txn.label("idle"), "ABORTED")
    assert (await db.state(txn.label("idle")))["reason"] == "transaction is aborted by idle timeout."
    await db.in_state(txn.label("whole"), "ABORTED")
    assert (await db.state(txn.label("whole")))["reason"] == "timeout by txn manager"
    assert (await txn.load("whole", "table1", ALICE))["Status"] == "TXN_NOT_EXISTS"
    assert await txn.status("commit", "whole", table="table1") == "FAILED"


async def test_prepare_twice_and_rollback_of_prepared(db, txn) -> None:
    await txn.call("begin", "l", table="table1")
    await txn.load("l", "table1", ALICE)
    assert await txn.status("prepare", "l", table="table1") == "OK"
    assert await txn.status("prepare", "l", table="table1") == "TXN_NOT_EXISTS"
    taken = await txn.call("begin", "l", table="table1")
    assert (taken["Status"], taken["ExistingJobStatus"]) == ("LABEL_ALREADY_EXISTS", "RUNNING")
    rolled = await txn.call("rollback", "l", table="table1")
    assert list(rolled) == ["Label", "Status", "TxnId", "Message"] and (rolled["Status"], rolled["Message"]) == (
        "OK",
        "",
    )
    assert (await db.state(txn.label("l")))["reason"] == "User Aborted"
    assert await txn.status("begin", "l", table="table1") == "OK"


async def test_prepared_rows_meet_what_was_loaded_meanwhile(db) -> None:
    """The winner is who commits last, not who prepared last."""
    await db.sql("CREATE TABLE p (id INT, a INT) PRIMARY KEY(id)")
    txn = Transactions(db)
    await txn.call("begin", "l", table="p")
    await txn.load("l", "p", {"id": 1, "a": 1}, {"id": 2, "__op": 1})
    await txn.call("prepare", "l", table="p")
    await db.loaded("p", {"id": 1, "a": 9}, {"id": 2, "a": 9}, {"id": 3, "a": 9})
    assert await txn.status("commit", "l") == "OK"
    assert await db.sql("SELECT id, a FROM p ORDER BY id") == [(1, 1), (3, 9)]


async def test_a_late_commit_keeps_conditions_and_partial_updates(db) -> None:
    await db.sql("CREATE TABLE p (id INT, a INT, b VARCHAR(9), v INT) PRIMARY KEY(id)")
    await db.loaded("p", {"id": 1, "a": 1, "b": "x", "v": 5}, {"id": 2, "a": 1, "b": "x", "v": 5})
    db.sandbox.faults.add("publish_timeout", f"{db.name}.p", count=1, delay_ms=50)
    late = await db.load(
        "p", b'{"id":1,"a":7,"v":4}\n{"id":2,"a":7,"v":6}\n{"id":3,"a":null,"v":1}', label="late", partial_update="true",
        columns="id,a,v", merge_condition="v",
    )  # fmt: skip
    assert late["Status"] == "Publish Timeout"
    await db.in_state("late", "VISIBLE")
    assert await db.sql("SELECT * FROM p ORDER BY id") == [(1, 1, "x", 5), (2, 7, "x", 6), (3, None, None, 1)]


async def test_before_4_0_nothing_is_of_several_tables(db, txn) -> None:
    """`transaction_type` means nothing there: it is a transaction of the one table that the headers name."""
    begun = await txn.call("begin", "l", table="table1", transaction_type="multi")
    assert begun["TxnId"] > 0
    assert (await txn.load("l", "table1", ALICE, transaction_type="multi"))["Status"] == "OK"
    assert await txn.status("commit", "l", table="table1", transaction_type="multi") == "OK"
    refused = await txn.call("begin", "m", transaction_type="multi")
    assert refused == {"Status": "ANALYSIS_ERROR", "Message": f'unknown table "{db.name}."'}


async def test_several_tables_cannot_be_prepared(multi) -> None:
    await multi.call("begin", "l")
    assert await multi.call("prepare", "l") == {
        "Status": "FAILED",
        "Message": "class com.starrocks.common.StarRocksException: Unsupported operation: TXN_PREPARE",
    }


async def test_bad_rows_of_several_tables_show_at_the_commit(db40, multi) -> None:
    await db40.sql("CREATE TABLE n (id INT, a INT NOT NULL) PRIMARY KEY(id)")
    await multi.call("begin", "l")
    await multi.load("l", "table1", ALICE)
    assert (await multi.load("l", "n", {"id": 1, "a": None}))["Status"] == "OK"
    refused = await multi.call("commit", "l")
    assert (
        refused["Status"] == "FAILED"
        and "abnormal data more than max filter rate, tracking_url: http" in refused["Message"]
    )
    assert await db40.sql("SELECT count(*) FROM table1") == [(0,)]
    assert (await db40.state(multi.label("l")))["state"] == "ABORTED"


async def test_a_table_that_is_not_there_ends_it_for_all(db40, multi) -> None:
    await multi.call("begin", "l")
    refused = await multi.load("l", "nope", ALICE)
    assert refused["Message"] == (
        f"class com.starrocks.common.MetaNotFoundException: Failed to find table nope in db {db40.name}"
    )
    assert await multi.status("commit", "l") == "FAILED"


async def test_several_tables_commit_behind_a_late_one(db40, multi) -> None:
    db40.sandbox.faults.add("publish_timeout", f"{db40.name}.table1", count=1, delay_ms=300)
    assert (await db40.load("table1", b'{"id":9,"name":"x"}'))["Status"] == "Publish Timeout"
    await db40.sql("CREATE TABLE u (id INT) PRIMARY KEY(id)")
    await multi.call("begin", "l")
    await multi.load("l", "table1", ALICE)
    await multi.load("l", "u", {"id": 1})
    commit = asyncio.create_task(multi.call("commit", "l"))
    await db40.in_state(multi.label("l"), "COMMITTED", "VISIBLE")
    counts = await db40.sql("SELECT (SELECT count(*) FROM table1), (SELECT count(*) FROM u)")
    assert counts in ([(0, 0)], [(1, 0)], [(2, 1)])  # never one table without the other
    assert (await commit)["Status"] == "OK"
    assert await db40.sql("SELECT (SELECT count(*) FROM table1), (SELECT count(*) FROM u)") == [(2, 1)]


async def test_transactions_that_ended_are_remembered_within_bounds(multi, monkeypatch) -> None:
    monkeypatch.setattr("dbmazz_sandbox.starrocks.transactions.multi.KEEP", 2)
    for number in range(4):
        await multi.call("begin", f"n{number}")
        await multi.call("rollback", f"n{number}")
    assert [await multi.status("rollback", f"n{number}") for number in range(4)] == ["FAILED", "FAILED", "OK", "OK"]


def test_states_go_where_they_may() -> None:
    transaction = Transaction(1, "d", "l", State.PREPARED)
    with pytest.raises(ValueError, match="cannot go from PREPARED to PREPARE"):
        transaction.move(State.PREPARE)
    task = Task(transaction, TaskState.COMMITED)
    with pytest.raises(ValueError, match="cannot go from COMMITED to CANCELLED"):
        task.move(TaskState.CANCELLED)
    assert set(PHASES) == set(Phase) and set(TASKS) == set(TaskState)


def test_keys_in_the_order_of_a_java_map() -> None:
    """As recorded: test_prepared_timeout and test_multi_statement_txn."""
    assert hash_order(dict.fromkeys(["TxnId", "Label", "Status", "Message"])) == ["Label", "Status", "TxnId", "Message"]
    keys = ["Prepared Channel Num", "ChannelId", "TxnId", "Label", "Status", "Message"]
    assert hash_order(dict.fromkeys(keys)) == [
        "Label", "Status", "TxnId", "ChannelId", "Message", "Prepared Channel Num",
    ]  # fmt: skip


@pytest.mark.parametrize("operation", ["prepare", "commit"])
async def test_the_privilege_is_that_of_who_began(db, operation) -> None:
    """TransactionStreamLoadAction and TransactionMgr keep the credentials of begin (ctx->auth) and look at no others; the
    FE's loadTxnPrepare and loadTxnCommit ask for those credentials' INSERT privilege again."""
    await db.sql(TABLE1)
    may, not_may = f"may_{db.name}", f"not_{db.name}"
    for user in (may, not_may):
        await db.sql(f"CREATE USER {user} IDENTIFIED BY 'p'")
    await db.sql(f"GRANT INSERT ON TABLE table1 TO {may}")
    txn, others = Transactions(db), basic(not_may, "p")
    refused = await txn.call("begin", "refused", table="table1", Authorization=others)
    assert "INSERT privilege" in refused["Message"] and refused["Status"] != "OK"
    await txn.call("begin", "a", table="table1", Authorization=basic(may, "p"))
    assert (await txn.load("a", "table1", {"id": 1}, Authorization=others))["Status"] == "OK"
    assert await txn.status(operation, "a", table="table1", Authorization=others) == "OK"
    if operation == "prepare":
        assert await txn.status("commit", "a", Authorization=others) == "OK"
    assert await db.sql("SELECT id FROM table1") == [(1,)]
    await txn.call("begin", "b", table="table1", Authorization=basic(may, "p"))
    await txn.load("b", "table1", {"id": 2}, Authorization=others)
    await db.sql(f"REVOKE INSERT ON TABLE table1 FROM {may}")
    late = await txn.call(operation, "b", table="table1")
    assert (late["Status"], late["Message"]) == ("ANALYSIS_ERROR", refused["Message"])
    assert (await db.state(txn.label("b")))["state"] == "ABORTED"
    assert await db.sql("SELECT id FROM table1") == [(1,)]
