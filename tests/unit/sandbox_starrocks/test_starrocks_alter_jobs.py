"""ALTER TABLE as a job that takes time, fails, or is cancelled; loads go on meanwhile."""

from __future__ import annotations

import asyncio

import pymysql
import pytest
import pytest_asyncio
from dbmazz_sandbox.starrocks import StarRocksSandbox
from dbmazz_sandbox.starrocks.alters import TRANSITIONS, Alters, Job, JobState
from dbmazz_sandbox.starrocks.errors import SqlError

from tests.unit.sandbox_starrocks.conftest import run_sql, until

SHOW = "SHOW ALTER TABLE COLUMN FROM {} WHERE TableName='t' ORDER BY CreateTime DESC LIMIT 1"


async def job(db) -> dict[str, object]:
    """The newest row of SHOW ALTER TABLE COLUMN."""

    def ask() -> dict[str, object]:
        connection = pymysql.connect(host="127.0.0.1", port=db.sandbox.mysql_port, user="root", ssl_disabled=True)
        try:
            with connection.cursor(pymysql.cursors.DictCursor) as cursor:
                cursor.execute(SHOW.format(db.name))
                return cursor.fetchall()[0]
        finally:
            connection.close()

    return await asyncio.to_thread(ask)


async def ended(db) -> dict[str, object]:
    async def over() -> bool:
        return (await job(db))["State"] in ("FINISHED", "CANCELLED")

    await until(over)
    return await job(db)


@pytest_asyncio.fixture(loop_scope="session")
async def slow(db):
    """A table whose next ALTER takes a while."""
    await db.sql("CREATE TABLE t (k INT, v INT) PRIMARY KEY(k)", "INSERT INTO t VALUES (1, 1)")
    return lambda ms: db.sandbox.faults.add("slow_alter", f"{db.name}.t", count=1, delay_ms=ms)


async def test_a_slow_alter_goes_through_its_states_while_loads_go_on(db, slow) -> None:
    slow(1200)
    await db.sql("ALTER TABLE t MODIFY COLUMN v BIGINT")
    seen = [await job(db)]
    assert seen[0]["State"] == "PENDING" and seen[0]["Progress"] is None and seen[0]["FinishTime"] is None
    await db.loaded("t", {"k": 2, "v": 2})  # with the old columns
    assert (await db.sql("DESC t"))[1][1] == "int(11)"
    with pytest.raises(pymysql.MySQLError) as caught:
        await db.sql("ALTER TABLE t ADD COLUMN w INT")
    assert caught.value.args == (1064, "Table[t]'s is not in NORMAL state")

    async def over() -> bool:
        seen.append(await job(db))
        return seen[-1]["State"] == "FINISHED"

    await until(over)
    states = list(dict.fromkeys(row["State"] for row in seen))
    assert states == [s for s in ("PENDING", "WAITING_TXN", "RUNNING", "FINISHED") if s in states]
    assert {"PENDING", "RUNNING", "FINISHED"} <= set(states)
    progress = [row["Progress"] for row in seen if row["State"] == "RUNNING"]
    assert progress == sorted(progress) and all(text.endswith("/10") for text in progress)
    assert seen[-1]["Msg"] == "" and seen[-1]["JobId"] == seen[0]["JobId"]
    assert (await db.sql("DESC t"))[1][1] == "bigint(20)"
    await db.loaded("t", {"k": 3, "v": 3000000000})
    assert await db.sql("SELECT * FROM t ORDER BY k") == [(1, 1), (2, 2), (3, 3000000000)]
    await db.sql("ALTER TABLE t ADD COLUMN w INT")


async def test_a_failed_alter_is_cancelled_and_changes_nothing(db, slow) -> None:
    slow(100)
    db.sandbox.faults.add("failed_alter", f"{db.name}.t", count=1)
    await db.sql("ALTER TABLE t ADD COLUMN w INT DEFAULT '5'")
    row = await ended(db)
    assert row["State"] == "CANCELLED" and str(row["Msg"]).startswith("schema change task failed: ")
    assert [column[0] for column in await db.sql("DESC t")] == ["k", "v"]
    await db.sql("ALTER TABLE t ADD COLUMN w INT DEFAULT '5'")
    assert (await job(db))["State"] == "FINISHED"
    assert await db.sql("SELECT * FROM t") == [(1, 1, 5)]


async def test_cancel(db, slow) -> None:
    with pytest.raises(pymysql.MySQLError) as caught:
        await db.sql("CANCEL ALTER TABLE COLUMN FROM t")
    assert caught.value.args == (1064, "Table[t] is not under SCHEMA_CHANGE/WAITING_STABLE.")
    slow(60000)
    await db.sql("ALTER TABLE t DROP COLUMN v", "CANCEL ALTER TABLE COLUMN FROM t")
    row = await job(db)
    assert (row["State"], row["Msg"]) == ("CANCELLED", "user cancelled")
    assert await db.sql(f"SHOW ALTER TABLE COLUMN FROM {db.name} WHERE TableName='t' AND State='FINISHED'") == []
    await db.sql("ALTER TABLE t ADD COLUMN w INT")
    assert [column[0] for column in await db.sql("DESC t")] == ["k", "v", "w"]


async def test_renames_are_no_jobs(db, slow) -> None:
    await db.sql("ALTER TABLE t RENAME COLUMN v TO w", "ALTER TABLE t RENAME u", "INSERT INTO u VALUES (2, 2)")
    assert await db.sql(f"SHOW ALTER TABLE COLUMN FROM {db.name}") == []
    assert await db.sql("SELECT w FROM u ORDER BY k") == [(1,), (2,)]
    assert await db.sql("SHOW TABLES") == [("u",)]
    await db.sql("CREATE TABLE t (k INT) PRIMARY KEY(k)")
    with pytest.raises(pymysql.MySQLError) as caught:
        await db.sql("ALTER TABLE t RENAME u")
    assert caught.value.args == (1064, "Table name[u] is already used")


async def test_a_job_under_way_survives_a_restart(tmp_path) -> None:
    async with StarRocksSandbox(tmp_path) as sandbox:
        await asyncio.to_thread(run_sql, sandbox.mysql_port, [
            "CREATE DATABASE d", "CREATE TABLE d.t (k INT) PRIMARY KEY(k)", "INSERT INTO d.t VALUES (1)",
            "ADMIN SET FRONTEND CONFIG ('sandbox_alter_seconds' = '0.3')",
            "ALTER TABLE d.t ADD COLUMN w INT DEFAULT '4'"])  # fmt: skip
    async with StarRocksSandbox(tmp_path) as sandbox:

        async def over() -> bool:
            rows = await asyncio.to_thread(run_sql, sandbox.mysql_port, [SHOW.format("d")])
            return rows[0][9] == "FINISHED"

        await until(over)
        assert await asyncio.to_thread(run_sql, sandbox.mysql_port, ["SELECT * FROM d.t"]) == [(1, 4)]


def test_job_states_follow_the_table() -> None:
    one = Job(1, "d", "t", 7, "ADD COLUMN a INT", created=100.0, seconds=10.0)
    seen = []
    for now in (100.0, 101.0, 102.5, 105.0, 109.9):
        one.advance(now)
        seen.append((one.state, one.progress(now)))
    assert seen == [(JobState.PENDING, None), (JobState.WAITING_TXN, None), (JobState.RUNNING, "0/10"),
                    (JobState.RUNNING, "3/10"), (JobState.RUNNING, "9/10")]  # fmt: skip
    assert not one.due(109.9) and one.due(110.0)
    one.end(110.0)
    assert one.ended and one.state is JobState.FINISHED
    with pytest.raises(ValueError, match="cannot go from FINISHED to CANCELLED"):
        one.move(JobState.CANCELLED)
    assert all(JobState.CANCELLED in after for state, after in TRANSITIONS.items() if after)


def test_one_alter_per_table() -> None:
    alters = Alters()
    alters.begin(Job(1, "d", "t", 7, "x", 0.0, 5.0))
    with pytest.raises(SqlError, match="is not in NORMAL state"):
        alters.check_normal(7, "t")
    alters.check_normal(8, "u")
    alters.cancel(7, "t", 1.0)
    alters.check_normal(7, "t")
    again = Alters()
    again.restore(alters.to_rows())
    assert [j.message for j in again.of_database("d", 2.0)] == ["user cancelled"]
