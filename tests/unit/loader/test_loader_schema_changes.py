"""Schema changes that run beside others, and clusters of every kind: a session that answers what the test says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from dbmazz_loader.protocol.verdicts import Judgement, Outcome, judge_sql
from dbmazz_loader.starrocks import alter
from dbmazz_loader.starrocks.cluster import Cluster, look_at
from dbmazz_loader.starrocks.mysql import TargetRefusal
from dbmazz_loader.starrocks.tables import Tables

from tests.unit.loader.relations import column, relation

ORDERS = relation(column("id", "int8", key=1), column("note"))
AUDIT = [("dbmazz_op_type", "tinyint"), ("dbmazz_is_deleted", "tinyint(1)"), ("dbmazz_synced_at", "datetime"),
         ("dbmazz_cdc_version", "bigint")]  # fmt: skip


def refusal(number: int, message: str) -> TargetRefusal:
    return TargetRefusal(judge_sql(number, message), number)


def job(number: int, state: str, message: str = "") -> dict[str, object]:
    return {"JobId": number, "TableName": "orders", "State": state, "Msg": message}


class PlayedSession:
    """A table and its ALTER jobs. `alters`: what each ALTER does, in turn; `jobs`: what SHOW ALTER answers, in turn."""

    def __init__(self) -> None:
        self.columns = [("id", "bigint"), ("note", "varchar(1048576)"), *AUDIT]
        self.alters: list[TargetRefusal | None] = []
        self.jobs: list[list[dict[str, object]]] = [[]]
        self.statements: list[str] = []
        self.answers: dict[str, object] = {}

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[PlayedSession]:
        yield self

    async def query(self, sql: str, arguments: object = None, timeout: float = 0) -> list[dict[str, object]]:
        for start, answer in self.answers.items():
            if sql.startswith(start):
                if isinstance(answer, Exception):
                    raise answer
                return answer
        if "information_schema.columns" in sql:
            return [
                {"COLUMN_NAME": name, "COLUMN_TYPE": kind, "COLUMN_KEY": "PRI" if name == "id" else "",
                 "IS_NULLABLE": "YES", "COLUMN_DEFAULT": None}
                for name, kind in self.columns
            ]  # fmt: skip
        if "tables_config" in sql:
            return [{"TABLE_MODEL": "PRIMARY_KEYS"}]
        if sql.startswith("SHOW ALTER"):
            return self.jobs.pop(0) if len(self.jobs) > 1 else self.jobs[0]
        assert sql.startswith("ALTER TABLE"), sql
        self.statements.append(sql)
        outcome = self.alters.pop(0) if self.alters else None
        if outcome is not None:
            raise outcome
        self.columns = [("id", "bigint"), ("note", "varchar(1048576)"), *AUDIT]
        return []


@pytest.fixture
def played() -> PlayedSession:
    session = PlayedSession()
    session.columns.remove(("note", "varchar(1048576)"))
    return session


def tables_of(played: PlayedSession) -> Tables:
    return Tables(played, "d", replication_num=0, soft_delete=True, truncate_timeout_s=1.0)


async def test_waits_for_the_job_that_an_alter_leaves(played):
    played.jobs = [
        [job(1, "CANCELLED")],
        [job(1, "CANCELLED"), job(2, "PENDING")],
        [job(2, "RUNNING")],
        [job(2, "FINISHED")],
    ]
    table = await tables_of(played).ensure(ORDERS)
    assert len(played.statements) == 1
    assert played.jobs == [[job(2, "FINISHED")]]
    assert "note" in [c.name for c in table.columns]


async def test_an_alter_without_a_job_is_done_within_the_statement(played):
    played.jobs = [[job(1, "CANCELLED", "an old story")]]
    await tables_of(played).ensure(ORDERS)
    assert len(played.statements) == 1


async def test_a_cancelled_job_parks_with_its_message(played):
    played.jobs = [[], [job(3, "CANCELLED", "not enough disk")]]
    with pytest.raises(TargetRefusal, match="not enough disk") as caught:
        await tables_of(played).ensure(ORDERS)
    assert caught.value.judgement.outcome is Outcome.PARK


@pytest.mark.parametrize(
    "message",
    ["Table[orders]'s is not in NORMAL state", "Getting analyzing error. Detail message: Duplicate column name 'note'"],
)
async def test_a_change_by_somebody_else_is_waited_for_and_looked_at_again(played, message):
    played.alters = [refusal(1064, message), None]
    played.jobs = [[], [job(4, "RUNNING")], [job(4, "FINISHED")], [job(4, "FINISHED")], [job(4, "FINISHED")]]
    await tables_of(played).ensure(ORDERS)
    assert len(played.statements) == 2


async def test_a_job_that_never_ends_is_handed_back(played, monkeypatch):
    monkeypatch.setattr(alter, "_PATIENCE_S", 0.1)
    played.jobs = [[], [job(5, "RUNNING")]]
    with pytest.raises(TargetRefusal, match="still running") as caught:
        await tables_of(played).ensure(ORDERS)
    assert caught.value.judgement.outcome is Outcome.RETRY


async def test_a_table_that_never_fits_is_handed_back(played):
    async def query(sql: str, arguments: object = None, timeout: float = 0) -> list[dict[str, object]]:
        return [] if sql.startswith("ALTER") else await PlayedSession.query(played, sql, arguments)

    played.query = query
    with pytest.raises(TargetRefusal, match="keeps changing"):
        await tables_of(played).ensure(ORDERS)


async def test_other_refusals_are_told(played):
    played.alters = [refusal(1064, "Getting analyzing error. Detail message: no")]
    with pytest.raises(TargetRefusal) as caught:
        await tables_of(played).ensure(ORDERS)
    assert caught.value.judgement.outcome is Outcome.PARK


async def test_one_change_at_a_time_per_table(played):
    running, most = 0, 0
    query = played.query

    async def counted(*arguments: object, **named: object) -> list[dict[str, object]]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return await query(*arguments, **named)

    played.query = counted
    tables = tables_of(played)
    await asyncio.gather(*(tables.ensure(ORDERS) for _ in range(5)))
    assert most == 1
    assert len(played.statements) == 1


@pytest.mark.parametrize(
    ("version", "shared_data", "guards"),
    [
        ("3.1.2 abc", False, False),
        ("3.1.3 abc", False, True),
        ("3.3.7 abc", True, False),
        ("3.3.10", None, False),
        ("3.3.11", True, True),
        ("3.4.0 abc", None, True),
        ("4.0", True, True),
        ("main-abc", False, False),
    ],
)
def test_version_guard(version, shared_data, guards):
    assert Cluster(version, shared_data, 1).guards_versions is guards


@pytest.mark.parametrize(
    ("setting", "shared_data", "backends", "number"),
    [(0, False, 1, 1), (0, False, 5, 3), (0, None, 2, 2), (2, False, 5, 2), (0, True, 3, None), (0, False, 0, None)],
)
def test_replication_num(setting, shared_data, backends, number):
    assert Cluster("3.3.7", shared_data, backends).replication_num(setting) == number


async def test_looks_at_a_cluster():
    session = PlayedSession()
    session.answers = {
        "SELECT current_version()": [{"version": "3.3.7 4df1a4b"}],
        "ADMIN SHOW": [{"Key": "run_mode", "Value": "shared_data"}],
        "SHOW BACKENDS": [{"Alive": "true"}, {"Alive": "false"}],
    }
    assert await look_at(session) == Cluster("3.3.7 4df1a4b", True, 1)


async def test_looks_at_a_cluster_with_few_privileges():
    session = PlayedSession()
    denied = refusal(5203, "Access denied; you need (at least one of) the OPERATE privilege(s) on SYSTEM")
    session.answers = {
        "SELECT current_version()": [{"version": "3.4.3"}],
        "ADMIN SHOW": denied,
        "SHOW VARIABLES": [],
        "SHOW BACKENDS": denied,
    }
    assert await look_at(session) == Cluster("3.4.3", None, None)


async def test_a_cluster_that_goes_away_is_no_lack_of_privilege():
    session = PlayedSession()
    session.answers = {
        "SELECT current_version()": [{"version": "3.4.3"}],
        "ADMIN SHOW": TargetRefusal(Judgement(Outcome.RETRY, "gone")),
    }
    with pytest.raises(TargetRefusal):
        await look_at(session)
