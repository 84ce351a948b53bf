"""Counting over a real MySQL connection; the answers come from a session in this process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import ClassVar

import pytest
from dbmazz.errors import TargetUnavailable
from dbmazz_monitor.protocol.sample import Table, TargetCount
from dbmazz_monitor.target import TargetCounter
from mysql_mimic import MysqlServer, Session
from mysql_mimic.errors import MysqlError

from tests.fixtures.waiting import wait_until

TABLES = [Table(f"public.{name}", "public", name, name) for name in ("orders", "items", "later")]


class Answers(Session):
    """Two tables, one of them without rows; a third is not there."""

    asked: ClassVar[list[str]] = []
    gate: ClassVar[asyncio.Event | None] = None

    async def handle_query(self, sql: str, attrs: dict[str, str]):
        if "COUNT" not in sql:
            return await super().handle_query(sql, attrs)
        Answers.asked.append(sql)
        if Answers.gate is not None:
            await Answers.gate.wait()
        if "orders" in sql:
            return [(10, 3)], ["count(*)", "sum"]
        if "items" in sql:
            return [(0, None)], ["count(*)", "sum"]
        raise MysqlError("Unknown table 'dbmazz.later'", 5502)


@contextlib.asynccontextmanager
async def mysql_port() -> AsyncIterator[int]:
    Answers.asked, Answers.gate = [], None
    server = MysqlServer(session_factory=Answers)
    await server.start_server(host="127.0.0.1", port=0)
    try:
        yield server._server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def test_counts_live_and_deleted_rows():
    async with mysql_port() as port:
        counter = TargetCounter("http://127.0.0.1:8030", port, "root", "", "dbmazz")
        for _ in range(2):  # the second round goes over the same connection
            assert await counter.count(TABLES) == {
                "public.orders": TargetCount(7, 3),
                "public.items": TargetCount(0, 0),
                "public.later": TargetCount(None, note="not in the target yet"),
            }
        assert Answers.asked[0] == "SELECT COUNT(*), SUM(`dbmazz_is_deleted`) FROM `dbmazz`.`orders`"
        await counter.close()


async def test_the_next_frontend_is_tried_and_a_lost_connection_is_made_again():
    async with mysql_port() as port:
        counter = TargetCounter("http://127.0.0.2:8030, http://127.0.0.1:8030", port, "root", "", "dbmazz")
        assert (await counter.count(TABLES[:1]))["public.orders"] == TargetCount(7, 3)
        counter._socket.shutdown(2)
        with pytest.raises(TargetUnavailable, match="StarRocks"):
            await counter.count(TABLES[:1])
        assert (await counter.count(TABLES[:1]))["public.orders"] == TargetCount(7, 3)
        await counter.close()


async def test_closing_ends_a_query_under_way():
    async with mysql_port() as port:
        Answers.gate = asyncio.Event()
        counter = TargetCounter("http://127.0.0.1:8030", port, "root", "", "dbmazz")
        async with asyncio.TaskGroup() as group, asyncio.timeout(3):

            async def count() -> None:
                with pytest.raises(TargetUnavailable):
                    await counter.count(TABLES[:1])

            group.create_task(count())
            await wait_until(lambda: Answers.asked)
            await counter.close()
        Answers.gate.set()
