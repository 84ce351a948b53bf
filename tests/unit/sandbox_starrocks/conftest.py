"""One look-alike per release for the whole folder; every test gets a database of its own."""

from __future__ import annotations

import asyncio
import base64
import io
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pymysql
import pytest
import pytest_asyncio
from dbmazz_sandbox.starrocks import StarRocksSandbox

HERE = Path(__file__).parent
_names = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The servers live for the session, so all tests of this folder share the session's event loop.
    for item in items:
        if item.path.is_relative_to(HERE) and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


def basic(user: str = "root", password: str = "") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def run_sql(port: int, statements: Sequence[str], database: str | None = None, **options: Any) -> list[tuple]:
    """Run statements over PyMySQL; the rows of the last one."""
    # Without ssl_disabled PyMySQL loads the system's certificates for every connection.
    options = {"host": "127.0.0.1", "user": "root", "password": "", "ssl_disabled": True} | options
    connection = pymysql.connect(port=port, database=database, **options)
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())
    finally:
        connection.close()


def ndjson(*rows: Any) -> bytes:
    return b"\n".join(json.dumps(row).encode() for row in rows)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something to become true, ten seconds at most."""
    async with asyncio.timeout(10):
        while not await condition():  # noqa: ASYNC110 - no event tells a client how a server fares
            await asyncio.sleep(0.002)


class Database:
    """A database in a running look-alike, with the two things tests do to it."""

    def __init__(self, sandbox: StarRocksSandbox, http: aiohttp.ClientSession, name: str) -> None:
        self.sandbox, self.http, self.name = sandbox, http, name

    async def sql(self, *statements: str, **options: Any) -> list[tuple]:
        return await asyncio.to_thread(run_sql, self.sandbox.mysql_port, statements, self.name, **options)

    def path(self, table: str) -> str:
        return f"/api/{self.name}/{table}/_stream_load"

    async def put(self, url: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        async with self.http.put(url, data=io.BytesIO(body), headers=headers, allow_redirects=False) as response:
            return response.status, json.loads(await response.text())

    async def load(self, table: str, body: bytes, **headers: str) -> dict[str, Any]:
        """A JSON Stream Load sent to the BE; header names in Python spelling."""
        given = {"Authorization": basic(), "format": "json", "Expect": "100-continue"} | headers
        status, reply = await self.put(self.sandbox.be_url + self.path(table), body, given)
        assert status == 200
        return reply

    async def loaded(self, table: str, *rows: Any, **headers: str) -> None:
        reply = await self.load(table, ndjson(*rows), **headers)
        assert (reply["Status"], reply["Message"]) == ("Success", "OK"), reply

    async def state(self, label: str) -> dict[str, Any]:
        url = f"{self.sandbox.fe_url}/api/{self.name}/get_load_state"
        async with self.http.get(url, params={"label": label}, headers={"Authorization": basic()}) as response:
            return json.loads(await response.text())

    async def in_state(self, label: str, *states: str) -> None:
        """Wait until the label is in one of the states."""

        async def reached() -> bool:
            return (await self.state(label))["state"] in states

        await until(reached)

    async def stalled(self) -> None:
        """Wait until a load stalls."""

        async def reached() -> bool:
            return self.sandbox.faults.hits["stall"] > 0

        await until(reached)

    async def error_log(self, reply: dict[str, Any]) -> str:
        async with self.http.get(reply["ErrorURL"]) as response:
            assert response.status == 200
            return await response.text()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        # aiohttp sends a PUT whose connection was cut once more, by itself; a test wants to see the cut.
        session._retry_connection = False
        yield session


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sandbox33(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[StarRocksSandbox]:
    async with StarRocksSandbox(tmp_path_factory.mktemp("starrocks33")) as sandbox:
        yield sandbox


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sandbox34(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[StarRocksSandbox]:
    async with StarRocksSandbox(tmp_path_factory.mktemp("starrocks34"), version="3.4") as sandbox:
        yield sandbox


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sandbox40(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[StarRocksSandbox]:
    async with StarRocksSandbox(tmp_path_factory.mktemp("starrocks40"), version="4.0") as sandbox:
        yield sandbox


async def _database(sandbox: StarRocksSandbox, http: aiohttp.ClientSession) -> Database:
    name = f"d{next(_names)}"
    await asyncio.to_thread(run_sql, sandbox.mysql_port, [f"CREATE DATABASE {name}"])
    return Database(sandbox, http, name)


@pytest_asyncio.fixture(loop_scope="session")
async def db(sandbox33: StarRocksSandbox, http: aiohttp.ClientSession) -> AsyncIterator[Database]:
    yield await _database(sandbox33, http)
    await sandbox33.faults.clear()


@pytest_asyncio.fixture(loop_scope="session")
async def db34(sandbox34: StarRocksSandbox, http: aiohttp.ClientSession) -> AsyncIterator[Database]:
    yield await _database(sandbox34, http)
    await sandbox34.faults.clear()


@pytest_asyncio.fixture(loop_scope="session")
async def db40(sandbox40: StarRocksSandbox, http: aiohttp.ClientSession) -> AsyncIterator[Database]:
    yield await _database(sandbox40, http)
    await sandbox40.faults.clear()
