"""What an answer promises holds: over SIGKILL at any moment, and over a restart with transactions under way."""

import asyncio
import json
import random
import signal
import sys
from collections.abc import Sequence

import aiohttp
import pytest
from dbmazz_sandbox.starrocks import Fault, StarRocksSandbox

from tests.conformance.starrocks.transactions import TABLE1, Transactions
from tests.unit.sandbox_starrocks.conftest import Database, basic, ndjson, run_sql

ROUNDS, WRITERS, ROWS = 4, 3, 50
SERVER = """
import asyncio, json, sys
from pathlib import Path
from dbmazz_sandbox.starrocks import StarRocksSandbox

async def main():
    async with StarRocksSandbox(Path(sys.argv[1])) as sandbox:
        print(json.dumps([sandbox.fe_url, sandbox.be_url, sandbox.mysql_port]), file=sys.stderr, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


class Writer:
    """Loads and transactions with labels of its own, until the server is gone. `said` is what was answered per label:
    "" when nothing was."""

    def __init__(self, http: aiohttp.ClientSession, urls: Sequence[str], name: str) -> None:
        self._http, (self._fe, self._be) = http, urls
        self._name = name
        self.said: dict[str, str] = {}

    async def run(self) -> None:
        number = 0
        try:
            while True:
                number += 1
                await (self._transaction if number % 4 == 0 else self._load)(f"{self._name}_{number}")
        except (aiohttp.ClientError, OSError):
            return

    def _rows(self, label: str) -> bytes:
        return ndjson(*({"id": n, "label": label} for n in range(ROWS)))

    async def _load(self, label: str) -> None:
        self.said[label] = ""
        headers = {"Authorization": basic(), "format": "json", "label": label}
        async with self._http.put(
            f"{self._be}/api/d/t/_stream_load", data=self._rows(label), headers=headers
        ) as answer:
            self.said[label] = json.loads(await answer.text())["Status"]

    async def _transaction(self, label: str) -> None:
        headers = {"Authorization": basic(), "format": "json", "label": label, "db": "d", "table": "t"}
        for operation in ("begin", "load", "prepare"):
            url, body = f"{self._be}/api/transaction/{operation}", self._rows(label) if operation == "load" else b""
            if operation == "prepare":
                self.said[label] = ""
            async with self._http.request("PUT", url, data=body, headers=headers) as answer:
                assert json.loads(await answer.text())["Status"] == "OK"
        self.said[label] = "prepared"


async def test_sigkill_at_any_moment(tmp_path, http, seed) -> None:
    chance = random.Random(seed)
    said: dict[str, str] = {}
    for number in range(ROUNDS):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SERVER, str(tmp_path), stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            assert process.stderr is not None
            async with asyncio.timeout(30):
                line = await process.stderr.readline()
            fe, be, port = json.loads(line)
            if not number:
                await asyncio.to_thread(
                    run_sql, port,
                    ["CREATE DATABASE d", "CREATE TABLE d.t (id INT, label VARCHAR(40)) DUPLICATE KEY(id)"],
                )  # fmt: skip
            writers = [Writer(http, (fe, be), f"r{number}w{n}") for n in range(WRITERS)]
            async with asyncio.TaskGroup() as group:
                for writer in writers:
                    group.create_task(writer.run())
                await asyncio.sleep(chance.uniform(0.1, 0.7))
                process.send_signal(signal.SIGKILL)
            for writer in writers:
                said |= writer.said
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
    async with StarRocksSandbox(tmp_path) as sandbox:
        await _check(Database(sandbox, http, "d"), said)


async def _check(db: Database, said: dict[str, str]) -> None:
    counts = dict(await db.sql("SELECT label, count(*) FROM t GROUP BY label"))
    assert set(counts) <= set(said) and set(counts.values()) == {ROWS}  # whole loads only, and no others
    for label, status in said.items():
        state = (await db.state(label))["state"]
        if status == "Success":
            assert state == "VISIBLE" and label in counts, label
        elif status == "prepared":
            assert state == "PREPARED" and label not in counts, label
        else:
            assert state == ("VISIBLE" if label in counts else state) and (
                state in ("UNKNOWN", "PREPARED") or label in counts
            ), label
    prepared = [label for label in said if (await db.state(label))["state"] == "PREPARED"]
    for label in prepared:
        headers = {"Authorization": basic(), "db": "d", "label": label}
        async with db.http.post(f"{db.sandbox.fe_url}/api/transaction/commit", headers=headers) as answer:
            assert json.loads(await answer.text())["Status"] == "OK"
    after = dict(await db.sql("SELECT label, count(*) FROM t GROUP BY label"))
    assert set(after) == set(counts) | set(prepared) and set(after.values()) == {ROWS}
    assert len([status for status in said.values() if status == "Success"]) > ROUNDS


async def test_a_restart_with_transactions_under_way(tmp_path, http) -> None:
    async with StarRocksSandbox(tmp_path) as first:
        await asyncio.to_thread(run_sql, first.mysql_port, ["CREATE DATABASE d", "USE d", TABLE1])
        db = Database(first, http, "d")
        txn = Transactions(db)
        for label in ("begun", "loaded", "prepared", "rolled", "short"):
            await txn.call("begin", label, table="table1")
        for number, label in enumerate(("loaded", "prepared", "rolled", "short")):
            await txn.load(label, "table1", {"id": number, "name": label})
        for label, timeout in (("prepared", "100"), ("rolled", "100"), ("short", "1")):
            await txn.call("prepare", label, table="table1", prepared_timeout=timeout)
        await txn.call("rollback", "rolled", table="table1")
        first.faults.add(Fault.PUBLISH_TIMEOUT, "d.table1", count=1, delay_ms=60_000)
        assert (await db.load("table1", b'{"id":9,"name":"late"}', label="late"))["Status"] == "Publish Timeout"
        assert await db.sql("SELECT count(*) FROM table1") == [(0,)]
    async with StarRocksSandbox(tmp_path) as second:
        db = Database(second, http, "d")
        txn = Transactions(db)
        await db.in_state("late", "VISIBLE")  # it was committed: the restart only had to publish it
        assert await db.sql("SELECT * FROM table1") == [(9, "late")]
        states = {
            label: (await db.state(txn.label(label)))["state"] for label in ("begun", "loaded", "prepared", "rolled")
        }
        assert states == {"begun": "UNKNOWN", "loaded": "UNKNOWN", "prepared": "PREPARED", "rolled": "ABORTED"}
        await db.in_state(txn.label("short"), "ABORTED")  # its deadline holds over the restart
        assert await txn.status("commit", "short") == "FAILED"
        assert await txn.status("load", "loaded", b"{}", table="table1") == "FAILED"
        assert await txn.status("begin", "loaded", table="table1") == "OK"
        assert await txn.status("commit", "prepared") == "OK"
        assert await db.sql("SELECT id FROM table1 ORDER BY id") == [(1,), (9,)]


@pytest.mark.parametrize("change", ["DROP TABLE d.table1", "DROP DATABASE d FORCE", "TRUNCATE TABLE d.table1"])
async def test_what_is_prepared_goes_with_its_table(tmp_path, http, change) -> None:
    async with StarRocksSandbox(tmp_path) as sandbox:
        await asyncio.to_thread(run_sql, sandbox.mysql_port, ["CREATE DATABASE d", "USE d", TABLE1])
        db = Database(sandbox, http, "d")
        txn = Transactions(db)
        await txn.call("begin", "l", table="table1")
        await txn.load("l", "table1", {"id": 1})
        await txn.call("prepare", "l", table="table1")
        await asyncio.to_thread(run_sql, sandbox.mysql_port, [change])
        status = await txn.status("commit", "l")
        assert status == ("FAILED" if "DATABASE" in change else "OK")
        with sandbox._cluster.store.cursor() as cursor:
            assert cursor.execute("SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'staged'").fetchall() == [
                (0,)
            ]
    async with StarRocksSandbox(tmp_path) as again:
        assert await asyncio.to_thread(run_sql, again.mysql_port, ["SELECT 1"]) == [(1,)]
