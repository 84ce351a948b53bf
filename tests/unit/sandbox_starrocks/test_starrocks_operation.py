"""Running it: faults, the control port, restarts, SIGKILL, ports, passwords."""

import asyncio
import json
import signal
import socket
import sys
import time
from types import SimpleNamespace

import aiohttp
import pymysql
import pytest
from dbmazz_sandbox.starrocks import Fault, Faults, SandboxError, StarRocksSandbox
from dbmazz_sandbox.starrocks.labels import Labels, State
from dbmazz_sandbox.starrocks.publishing import Publisher

from tests.unit.sandbox_starrocks.conftest import Database, basic, ndjson, run_sql

SERVER = """
import asyncio, json, sys
from pathlib import Path
from dbmazz_sandbox.starrocks import StarRocksSandbox

async def main():
    async with StarRocksSandbox(Path(sys.argv[1])) as sandbox:
        ports = {"fe": sandbox.fe_url, "be": sandbox.be_url, "mysql": sandbox.mysql_port}
        print(json.dumps(ports), file=sys.stderr, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def table(db) -> str:
    await db.sql("CREATE TABLE t (id INT, a INT) PRIMARY KEY(id)")
    return f"{db.name}.t"


async def test_lost_response_is_committed(db) -> None:
    db.sandbox.faults.add(Fault.LOST_RESPONSE, await table(db), count=1)
    with pytest.raises(aiohttp.ClientError):
        await db.load("t", b'{"id":1}', label="lost")
    assert (await db.state("lost"))["state"] == "VISIBLE"
    again = await db.load("t", b'{"id":1}', label="lost")
    assert (again["Status"], again["ExistingJobStatus"]) == ("Label Already Exists", "FINISHED")
    assert await db.sql("SELECT id FROM t") == [(1,)]


async def test_http_500_and_too_many_versions_leave_nothing(db) -> None:
    name = await table(db)
    db.sandbox.faults.add("http_500", name, count=1)
    db.sandbox.faults.add("too_many_versions", name, count=1)
    async with db.http.put(
        db.sandbox.be_url + db.path("t"), data=b"{}", headers={"Authorization": basic()}
    ) as response:
        assert response.status == 500
    reply = await db.load("t", b'{"id":1}', label="x")
    assert reply["Status"] == "Fail" and "because of too many versions, current/limit: 1001/1000" in reply["Message"]
    assert await db.sql("SELECT count(*) FROM t") == [(0,)]
    await db.loaded("t", {"id": 1}, label="x")


async def test_publish_timeout_is_durable_and_unseen_until_then(db) -> None:
    db.sandbox.faults.add("publish_timeout", await table(db), count=1, delay_ms=400)
    started = time.monotonic()
    reply = await db.load("t", b'{"id":1}', label="slow")
    assert reply["Status"] == "Publish Timeout" and reply["Message"].startswith(
        "Publish timeout. The data will be visible after a while"
    )
    assert (await db.state("slow"))["state"] == "COMMITTED"
    assert await db.sql("SELECT id FROM t") == []
    again = await db.load("t", b'{"id":1}', label="slow")
    assert (again["Status"], again["ExistingJobStatus"]) == ("Label Already Exists", "FINISHED")
    await db.in_state("slow", "VISIBLE")
    assert time.monotonic() - started >= 0.4
    assert await db.sql("SELECT id FROM t") == [(1,)]


async def test_later_versions_wait_for_one_that_is_not_published(db) -> None:
    db.sandbox.faults.add("publish_timeout", await table(db), count=1, delay_ms=300)
    started = time.monotonic()
    assert (await db.load("t", b'{"id":1,"a":1}'))["Status"] == "Publish Timeout"
    await db.sql("CREATE TABLE u (id INT) PRIMARY KEY(id)")
    await db.loaded("u", {"id": 1})  # of another table: at once
    assert time.monotonic() - started < 0.3
    await db.loaded("t", {"id": 1, "a": 2}, {"id": 2, "a": 2})
    assert time.monotonic() - started >= 0.3
    assert await db.sql("SELECT id, a FROM t ORDER BY id") == [(1, 2), (2, 2)]


async def test_a_load_whose_time_is_up_behind_another_is_late_too(db) -> None:
    db.sandbox.faults.add("publish_timeout", await table(db), count=1, delay_ms=1500)
    await db.load("t", b'{"id":1,"a":1}')
    late = await db.load("t", b'{"id":1,"a":2}', timeout="1", label="behind")
    assert late["Status"] == "Publish Timeout" and (await db.state("behind"))["state"] == "COMMITTED"
    await db.in_state("behind", "VISIBLE")
    assert await db.sql("SELECT id, a FROM t") == [(1, 2)]


async def test_what_waits_to_be_published_survives_a_change_of_the_table(db) -> None:
    db.sandbox.faults.add("publish_timeout", await table(db), count=1, delay_ms=400)
    await db.load("t", b'{"id":1,"a":1}', label="waits")
    await db.sql("ALTER TABLE t ADD COLUMN b INT DEFAULT '7'", "ALTER TABLE t DROP COLUMN a")
    await db.in_state("waits", "VISIBLE")
    assert await db.sql("SELECT * FROM t") == [(1, 7)]


async def test_truncate_takes_what_waits_along(db) -> None:
    db.sandbox.faults.add("publish_timeout", await table(db), count=1, delay_ms=200)
    await db.load("t", b'{"id":1,"a":1}', label="waits")
    await db.sql("TRUNCATE TABLE t")
    await db.in_state("waits", "VISIBLE")
    assert await db.sql("SELECT count(*) FROM t") == [(0,)]


async def test_stall_lasts_until_cleared_and_only_for_its_table(db) -> None:
    name = await table(db)
    db.sandbox.faults.hits.clear()
    db.sandbox.faults.add("stall", name)
    await db.sql("CREATE TABLE u (id INT) PRIMARY KEY(id)")
    stalled = asyncio.create_task(db.load("t", b'{"id":1}', label="s"))
    await db.loaded("u", {"id": 1})
    await db.stalled()
    assert not stalled.done() and (await db.state("s"))["state"] == "PREPARE"
    assert await db.sql("SELECT count(*) FROM t") == [(0,)]
    async with db.http.delete(db.sandbox.control_url + "/faults?fault=stall") as response:
        assert response.status == 200
    assert (await stalled)["Status"] == "Success"


async def test_delay_and_rejected_rows(db) -> None:
    name = await table(db)
    db.sandbox.faults.add("delay_before_commit_ms", name, count=1, delay_ms=120)
    db.sandbox.faults.add("reject_rows", name, count=1, rows=2)
    reply = await db.load("t", ndjson({"id": 1}, {"id": 2}, {"id": 3}))
    assert (reply["Message"], reply["NumberFilteredRows"]) == ("too many filtered rows", 2)
    assert (await db.load("t", b'{"id":1}'))["CommitAndPublishTimeMs"] >= 120


async def test_fe_and_be_down(db) -> None:
    await table(db)
    db.sandbox.faults.add("fe_down")
    with pytest.raises(aiohttp.ClientError):
        await db.state("x")
    with pytest.raises(pymysql.MySQLError):
        await db.sql("SELECT 1")
    await db.loaded("t", {"id": 1})
    await db.sandbox.faults.clear("fe_down")
    db.sandbox.faults.add("be_down", count=1)
    with pytest.raises(aiohttp.ClientError):
        await db.load("t", b'{"id":2}')
    await db.loaded("t", {"id": 2})
    assert await db.sql("SELECT count(*) FROM t") == [(2,)]


async def test_control_port(db) -> None:
    url = db.sandbox.control_url + "/faults"
    async with db.http.post(url, json={"fault": "http_500", "table": "a.b", "count": 3}) as response:
        rule = await response.json()
        assert response.status == 201
        assert {k: rule[k] for k in ("fault", "table", "count")} == {"fault": "http_500", "table": "a.b", "count": 3}
    async with db.http.get(url) as response:
        assert [r["fault"] for r in (await response.json())["faults"]] == ["http_500"]
    for body, words in (
        ({"fault": "nope"}, "unknown fault 'nope': use one of fe_down, fe_restart"),
        ({}, 'the body must be a JSON object with "fault"'),
        ([], 'the body must be a JSON object with "fault"'),
        ({"fault": "stall", "count": 0}, "count must be an integer >= 1"),
        ({"fault": "stall", "tabel": "a.b"}, "unknown field 'tabel'"),
        ({"fault": "fe_down", "table": "a.b"}, "table must be null"),
        ({"fault": "stall", "table": "t"}, 'table must be null or "db.table"'),
    ):
        async with db.http.post(url, json=body) as response:
            assert response.status == 400 and words in (await response.json())["error"], body
    async with db.http.post(url, data=b"{") as response:
        assert response.status == 400
    async with db.http.delete(url) as response:
        assert (await response.json())["faults"] == []


async def test_faults_queue_and_count() -> None:
    faults = Faults()
    faults.add("http_500", "a.b", count=1)
    faults.add("http_500", count=2)
    assert [faults.take(Fault.HTTP_500, "x.y") is not None for _ in range(3)] == [True, True, False]
    first = faults.take(Fault.HTTP_500, "a.b")
    assert first is not None and first.table == "a.b" and faults.take(Fault.HTTP_500, "a.b") is None
    assert faults.hits["http_500"] == 3


async def test_restart_keeps_everything(tmp_path, http) -> None:
    async with StarRocksSandbox(tmp_path) as first:
        await asyncio.to_thread(
            run_sql,
            first.mysql_port,
            ["CREATE DATABASE d", "CREATE TABLE d.t (id INT, a JSON, b VARCHAR(9) DEFAULT 'x') PRIMARY KEY(id)"],
        )
        db = Database(first, http, "d")
        await db.loaded("t", {"id": 1, "a": {"k": [1]}}, label="kept", columns="id,a")
        await db.sql("ALTER TABLE t ADD COLUMN c INT DEFAULT '4'")
    async with StarRocksSandbox(tmp_path) as second:
        db = Database(second, http, "d")
        assert await db.sql("SELECT * FROM t") == [(1, '{"k": [1]}', "x", 4)]
        assert (await db.state("kept"))["state"] == "VISIBLE"
        again = await db.load("t", b'{"id":2}', label="kept")
        assert again["Status"] == "Label Already Exists"
        assert (await db.load("t", b'{"id":2}', columns="id"))["TxnId"] > 1
        assert len(await db.sql("SHOW ALTER TABLE COLUMN FROM d")) == 1


async def test_answered_loads_survive_sigkill(tmp_path, http) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, str(tmp_path), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    async with asyncio.timeout(30):
        ports = json.loads(await process.stderr.readline())
    answered = 0
    try:
        await asyncio.to_thread(
            run_sql, ports["mysql"], ["CREATE DATABASE d", "CREATE TABLE d.t (id INT, a INT) PRIMARY KEY(id)"]
        )
        headers = {"Authorization": basic(), "format": "json"}

        async def load(n: int) -> None:
            nonlocal answered
            body = ndjson(*({"id": n * 100 + i, "a": n} for i in range(100)))
            async with http.put(
                f"{ports['be']}/api/d/t/_stream_load", data=body, headers=headers | {"label": f"l{n}"}
            ) as reply:
                assert json.loads(await reply.text())["Status"] == "Success"
            answered = n + 1

        for n in range(12):
            await load(n)
        with pytest.raises(aiohttp.ClientError):
            for n in range(12, 100_000):
                if n == 20:
                    process.send_signal(signal.SIGKILL)
                await load(n)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    async with StarRocksSandbox(tmp_path) as sandbox:
        rows = await asyncio.to_thread(
            run_sql, sandbox.mysql_port, ["SELECT a, count(*) FROM d.t GROUP BY a ORDER BY a"]
        )
        assert [row[0] for row in rows] == list(range(len(rows))) and len(rows) in (answered, answered + 1)
        assert {row[1] for row in rows} == {100}  # whole loads only
        db = Database(sandbox, http, "d")
        assert (await db.state(f"l{answered - 1}"))["state"] == "VISIBLE"


async def test_password(tmp_path) -> None:
    async with StarRocksSandbox(tmp_path, password="secret") as sandbox:
        assert await asyncio.to_thread(run_sql, sandbox.mysql_port, ["SELECT 1"], password="secret") == [(1,)]
        for options, used in (
            ({"password": "bad"}, "YES"),
            ({"password": ""}, "NO"),
            ({"user": "x", "password": "secret"}, "YES"),
        ):
            with pytest.raises(pymysql.MySQLError) as caught:
                await asyncio.to_thread(run_sql, sandbox.mysql_port, ["SELECT 1"], **options)
            user = options.get("user", "root")
            assert caught.value.args == (1045, f"Access denied for user '{user}' (using password: {used})")


async def test_sends_clients_to_the_name_that_it_advertises(tmp_path, http) -> None:
    async with StarRocksSandbox(tmp_path, host="127.0.0.2", advertise="localhost.localdomain") as sandbox:
        port = sandbox.fe_url.rpartition(":")[2]
        assert sandbox.fe_url.startswith("http://localhost.localdomain:")
        headers = {"Authorization": basic(), "Expect": "100-continue"}
        url = f"http://127.0.0.2:{port}/api/d/t/_stream_load"
        async with http.put(url, headers=headers, allow_redirects=False) as answer:
            assert answer.status == 307
            assert answer.headers["Location"] == f"{sandbox.be_url}/api/d/t/_stream_load"
        assert sandbox.be_url.startswith("http://localhost.localdomain:")
        backends = await asyncio.to_thread(run_sql, sandbox.mysql_port, ["SHOW BACKENDS"], host="127.0.0.2")
        assert backends[0][1] == "localhost.localdomain"


async def test_port_in_use_and_second_start(tmp_path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for option in ("fe_port", "be_port", "mysql_port", "control_port"):
            with pytest.raises(
                SandboxError, match=rf"cannot listen on 127.0.0.1:{port} \(.* port\): .*; choose another port"
            ):
                await StarRocksSandbox(tmp_path / option, **{option: port}).start()
    async with StarRocksSandbox(tmp_path / "d") as sandbox:
        with pytest.raises(SandboxError, match="already running"):
            await sandbox.start()


async def test_data_directory_in_use(tmp_path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, str(tmp_path), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        assert process.stderr is not None
        await process.stderr.readline()
        with pytest.raises(SandboxError, match="cannot open the StarRocks data file"):
            await StarRocksSandbox(tmp_path).start()
    finally:
        process.kill()
        await process.wait()


def test_unknown_version(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"StarRocks version '2.5' is not emulated: use one of 3.3, 3.4, 4.0"):
        StarRocksSandbox(tmp_path, version="2.5")


async def test_stop_with_open_connections_and_stalled_loads(tmp_path, http) -> None:
    sandbox = StarRocksSandbox(tmp_path)
    await sandbox.start()
    db = Database(sandbox, http, "d")
    await asyncio.to_thread(
        run_sql, sandbox.mysql_port, ["CREATE DATABASE d", "CREATE TABLE d.t (id INT) PRIMARY KEY(id)"]
    )
    idle = await asyncio.to_thread(pymysql.connect, host="127.0.0.1", port=sandbox.mysql_port, user="root")
    sandbox.faults.add("stall")
    load = asyncio.create_task(db.load("t", b'{"id":1}'))
    await db.stalled()
    async with asyncio.timeout(10):
        await sandbox.stop()
    assert (await load)["Status"] == "Success"
    idle.close()
    async with StarRocksSandbox(tmp_path) as again:
        assert await asyncio.to_thread(run_sql, again.mysql_port, ["SELECT id FROM d.t"]) == [(1,)]


async def test_a_load_cancelled_while_it_commits_still_knows_its_end(tmp_path) -> None:
    labels = Labels()
    transaction = labels.begin("d", "x", 0.0)
    commit = asyncio.get_running_loop().create_future()
    table = SimpleNamespace(ident=1, database="d", name="t")
    cluster = SimpleNamespace(
        labels=labels, faults=Faults(), now=lambda: 0.0, lock=lambda table: asyncio.Lock(), start=lambda call: commit,
        catalog=SimpleNamespace(get=lambda database, name: table), check_frontend=lambda: None,
    )  # fmt: skip
    publishing = asyncio.ensure_future(Publisher(cluster).commit(transaction, [table], list, 1.0))
    await asyncio.sleep(0)
    publishing.cancel()
    await asyncio.sleep(0)
    assert not publishing.done()  # what is on its way to the file cannot be called back
    commit.set_result(None)
    with pytest.raises(asyncio.CancelledError):
        await publishing
    assert transaction.state is State.VISIBLE
