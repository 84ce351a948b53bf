"""Looking and counting over a real MySQL connection; the answers come from a session in this process."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from typing import ClassVar

import pytest
from dbmazz.errors import TargetError, TargetUnavailable
from dbmazz.target import AUDIT_COLUMNS
from dbmazz_monitor.protocol.sample import Table, TargetCount
from dbmazz_monitor.target import TargetCounter
from mysql_mimic import MysqlServer, Session
from mysql_mimic.errors import MysqlError

from tests.fixtures.waiting import wait_until

TABLES = [Table(f"public.{name}", "public", name, name) for name in ("orders", "items", "later")]
AUDIT = [name for name, _ in AUDIT_COLUMNS]
LATER = TargetCount(None, note="not in the target yet")


class Answers(Session):
    """`rows` by table: (all, marked as deleted); `audited`: tables with audit columns; `broken` cannot be counted."""

    asked: ClassVar[list[str]] = []
    gate: ClassVar[asyncio.Event | None] = None
    rows: ClassVar[dict[str, tuple[int, int | None]]] = {}
    audited: ClassVar[set[str]] = set()
    broken: ClassVar[set[str]] = set()
    refused: ClassVar[bool] = False

    async def handle_query(self, sql: str, attrs: dict[str, str]):
        if "information_schema.tables" in sql:
            if Answers.refused:
                raise MysqlError("Access denied; you need the SELECT privilege", 5203)
            return [(name,) for name in Answers.rows], ["TABLE_NAME"]
        if "information_schema.columns" in sql:
            return [(name, column) for name in Answers.audited for column in AUDIT], ["TABLE_NAME", "COLUMN_NAME"]
        if "COUNT" not in sql:
            return await super().handle_query(sql, attrs)
        Answers.asked.append(sql)
        if Answers.gate is not None:
            await Answers.gate.wait()
        answer = []
        for part in sql.split(" UNION ALL "):
            number, deleted, name = re.fullmatch(
                r"SELECT (\d+), COUNT\(\*\), (.+) FROM `dbmazz`\.`(.+)`", part
            ).groups()
            if name in Answers.broken:
                raise MysqlError(f"Unknown table 'dbmazz.{name}'", 5502)
            total, gone = Answers.rows[name]
            answer.append((int(number), total, gone if deleted == "SUM(`dbmazz_is_deleted`)" else 0))
        return answer, ["n", "count(*)", "sum"]


@contextlib.asynccontextmanager
async def mysql_port() -> AsyncIterator[int]:
    Answers.asked, Answers.gate, Answers.refused = [], None, False
    Answers.rows, Answers.audited, Answers.broken = {"orders": (10, 3), "items": (0, None)}, {"orders", "items"}, set()
    server = MysqlServer(session_factory=Answers)
    await server.start_server(host="127.0.0.1", port=0)
    try:
        yield server._server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@contextlib.asynccontextmanager
async def counting(hosts: str = "http://127.0.0.1:8030", **options) -> AsyncIterator[TargetCounter]:
    async with mysql_port() as port:
        counter = TargetCounter(hosts, port, "root", "", "dbmazz", **options)
        yield counter
        await counter.close()


async def test_counts_live_and_deleted_rows_by_one_statement():
    async with counting() as counter:
        done = await counter.round(TABLES, {})
        assert done.by_table == {
            "public.orders": TargetCount(7, 3),
            "public.items": TargetCount(0, 0),
            "public.later": LATER,
        }
        assert done.seen.audit_columns == {"orders": frozenset(AUDIT), "items": frozenset(AUDIT)}
        assert Answers.asked == [
            "SELECT 0, COUNT(*), SUM(`dbmazz_is_deleted`) FROM `dbmazz`.`orders`"
            " UNION ALL SELECT 1, COUNT(*), SUM(`dbmazz_is_deleted`) FROM `dbmazz`.`items`"
        ]


async def test_without_audit_columns_nothing_is_known_to_be_deleted():
    async with counting() as counter:
        Answers.audited = {"items"}
        assert (await counter.round(TABLES, {})).by_table["public.orders"] == TargetCount(10, None)


async def test_only_what_was_loaded_into_is_counted_again():
    async with counting() as counter:
        await counter.round(TABLES, {"public.orders": 1, "public.items": 1})
        Answers.asked.clear()
        Answers.rows = {"orders": (11, 3), "items": (5, 0)}
        done = await counter.round(TABLES, {"public.orders": 2, "public.items": 1})
        assert (done.counted, len(Answers.asked)) == (1, 1)
        assert done.by_table["public.orders"] == TargetCount(8, 3)
        assert done.by_table["public.items"] == TargetCount(0, 0)  # as it was counted


async def test_all_have_their_turn_when_there_is_not_time_for_all():
    many = [Table(f"public.t{n}", "public", f"t{n}", f"t{n}") for n in range(10)]
    async with counting(budget_s=0.0, together=3) as counter:
        Answers.rows = {table.table: (n, 0) for n, table in enumerate(many)}
        Answers.audited = set(Answers.rows)
        for rounds in range(1, 5):
            done = await counter.round(many, {})
            known = [count for count in done.by_table.values() if count.live is not None]
            assert len(known) == min(3 * rounds, 10)
        assert done.by_table == {f"public.t{n}": TargetCount(n, 0) for n in range(10)}
        assert (await counter.round(many, {})).counted == 0  # nothing has changed since


async def test_a_new_table_is_found_and_a_broken_one_does_not_hide_the_others():
    async with counting() as counter:
        assert (await counter.round(TABLES, {})).by_table["public.later"] == LATER
        Answers.rows["later"] = (4, 0)
        Answers.broken = {"orders"}
        done = await counter.round(TABLES, dict.fromkeys(("public.orders", "public.items", "public.later"), 9))
        assert done.by_table["public.later"] == TargetCount(4, None)
        assert done.by_table["public.items"] == TargetCount(0, 0)
        assert done.by_table["public.orders"] == LATER  # dropped between the look and the count


async def test_a_target_that_does_not_list_its_tables_says_so():
    async with counting() as counter:
        Answers.refused = True
        with pytest.raises(TargetError, match="does not list its tables: Access denied"):
            await counter.round(TABLES, {})


async def test_the_next_frontend_is_tried_and_a_lost_connection_is_made_again():
    async with counting("http://127.0.0.2:8030, http://127.0.0.1:8030") as counter:
        assert (await counter.round(TABLES[:1], {})).by_table["public.orders"] == TargetCount(7, 3)
        counter._socket.shutdown(2)
        with pytest.raises(TargetUnavailable, match="StarRocks"):
            await counter.round(TABLES[:1], {"public.orders": 1})
        assert (await counter.round(TABLES[:1], {"public.orders": 2})).by_table["public.orders"] == TargetCount(7, 3)


async def test_closing_ends_a_query_under_way():
    async with counting() as counter:
        Answers.gate = asyncio.Event()
        async with asyncio.TaskGroup() as group, asyncio.timeout(3):

            async def count() -> None:
                with pytest.raises(TargetUnavailable):
                    await counter.round(TABLES[:1], {})

            group.create_task(count())
            await wait_until(lambda: Answers.asked)
            await counter.close()
        Answers.gate.set()
