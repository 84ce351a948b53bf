"""The monitor beside a real ring: tables come and go by themselves, whoever is down, whatever they are called."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from urllib.parse import quote

import aiohttp
import psycopg
import pymysql
import pytest
from dbmazz.config import Settings, load_settings
from dbmazz_monitor.app import Monitor
from dbmazz_monitor.counts import Counting
from dbmazz_monitor.protocol.sample import Table
from dbmazz_monitor.source import SourceCounter
from dbmazz_monitor.target import TargetCounter
from psycopg import sql

from tests.fixtures.fix_postgres import SourceDatabase
from tests.fixtures.fix_ring import RingMaker, Sandbox
from tests.fixtures.ring import Ring
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.e2e

CREATE = "CREATE TABLE {} (id INT) PRIMARY KEY (id) DISTRIBUTED BY HASH (id)"
HOSTILE = [
    """"><script>alert(1)</script>""",
    """it's "quoted" \\ %s %(x)s {0} 'twice'""",
    "\u202egnp.exe\u2066\u200f\u2028",
    "a/b?c=d#e&f+g h;i",
    "ü" * 31 + "x",
    "表" * 21,
]
# StarRocks has no such names: the lane is parked, and the page says why.
IMPOSSIBLE = ["two\nlines\r\ndata: {}", "a `tick`"]


class Page:
    """What the running monitor shows."""

    def __init__(self, base: str, session: aiohttp.ClientSession) -> None:
        self._base, self._session = base, session

    async def state(self) -> dict:
        async with self._session.get(f"{self._base}/api/state") as response:
            return await response.json()

    async def details(self, name: str) -> dict | None:
        async with self._session.get(f"{self._base}/api/tables/{quote(name, safe='')}") as response:
            return await response.json() if response.status == 200 else None

    async def until(self, condition: Callable[[dict[str, dict], dict], bool], what: str) -> dict[str, dict]:
        """Waits until rows by name, and the state, are as wanted; returns the rows."""

        async def met() -> dict[str, dict] | None:
            state = await self.state()
            rows = {row["name"]: row for row in state.get("tables", {}).get("rows", ())}
            return (rows or {"": {}}) if state and condition(rows, state) else None

        try:
            return await wait_until(met, timeout=30, what=what)
        except TimeoutError as error:
            state = await self.state()
            rows = "\n".join(map(repr, state.get("tables", {}).get("rows", ())))
            raise AssertionError(f"{error}\n{rows}\n{state.get('problems')}") from None


@contextlib.asynccontextmanager
async def monitor(settings: Settings) -> AsyncIterator[Page]:
    """The monitor with shorter intervals than usual."""
    source = SourceCounter(
        settings.source_url, slot=settings.source_slot_name, publication=settings.source_publication_name
    )
    target = TargetCounter(
        settings.sink_url, settings.sink_port, settings.sink_user, "", settings.sink_database, look_every_s=0.3
    )
    counting = Counting("source", source, 0.3), Counting("target", target, 0.3)
    stop, bound = asyncio.Event(), []
    async with asyncio.TaskGroup() as group, aiohttp.ClientSession() as session:
        group.create_task(Monitor(settings, *counting, sample_every_s=0.1).run(stop, bound.append))
        try:
            await wait_until(lambda: bound)
            yield Page(f"http://{bound[0]}", session)
        finally:
            stop.set()


def settings_of(ring: Ring) -> Settings:
    return load_settings({**ring.environment, "LISTEN": "127.0.0.1:0"}, ring.directory)


async def test_tables_of_a_ring_come_and_go(source_db: SourceDatabase, make_ring: RingMaker) -> None:
    async with await source_db.connect() as connection:
        await connection.execute("CREATE SCHEMA sales")
        await connection.execute("CREATE TABLE docs (id int PRIMARY KEY, note text)")
        await connection.execute("CREATE TABLE sales.items (id int PRIMARY KEY, note text)")
        ring = make_ring(settings={"TABLES": "public.docs,sales.*"})
        ring.start()
        async with monitor(settings_of(ring)) as page:
            await ring.streaming()
            await connection.execute("INSERT INTO docs SELECT i, 'n' FROM generate_series(1, 10) i")
            await ring.caught_up()
            await connection.execute("DELETE FROM docs WHERE id <= 3")
            await ring.caught_up()
            rows = await page.until(
                lambda rows, state: (
                    set(rows) == {"public.docs", "sales.items"}
                    and rows["public.docs"]["target_rows"] == 7
                    and rows["public.docs"]["source_rows"] == 7
                    and rows["public.docs"]["source_exact"]
                    and rows["public.docs"]["lag_ms"] == 0
                    and rows["sales.items"]["target_rows"] == 0
                ),
                "both tables are shown and counted",
            )
            docs = rows["public.docs"]
            assert (docs["source_rows"], docs["deleted_rows"], docs["events"]) == (7, 3, 13)
            assert (docs["audit"], docs["replicated"], docs["level"]) == (True, True, "ok")
            assert docs["last_sync_ms"] > 1_600_000_000_000
            details = await page.details("public.docs")
            assert sum(one["rows"] for one in details["signatures"]) == 13
            assert details["lane"]["lane"] == docs["lane"]
            state = await page.state()
            assert state["numbers"]["lag_ms"] == 0
            assert state["numbers"]["slot"]["restart_lsn"]
            assert {replica["queue"]["unit"] for replica in state["replicas"]} == {"bytes", "loads", "batches"}
            assert all(replica["queue"]["value"] is not None for replica in state["replicas"])

            # Nothing gets through: what waits grows old, first in the transformer, and it is known of which table it is.
            ring["loader"].kill()
            await connection.execute("INSERT INTO docs VALUES (100, 'waits')")
            await page.until(
                lambda rows, state: (
                    rows["public.docs"]["icon"] == "retry"
                    and (rows["public.docs"]["lag_ms"] or 0) > 500
                    and rows["sales.items"]["lag_ms"] == 0
                    and (state["numbers"]["lag_ms"] or 0) >= rows["public.docs"]["lag_ms"]
                    and "Down: loader" in state["headline"]["text"]
                ),
                "the table lags",
            )
            ring["loader"].start()
            await page.until(
                lambda rows, state: (
                    rows["public.docs"]["target_rows"] == 8
                    and rows["public.docs"]["lag_ms"] == state["numbers"]["lag_ms"] == 0
                ),
                "it has caught up",
            )

            # In both databases, but not replicated: found, without audit columns.
            await connection.execute("CREATE TABLE aside (id int PRIMARY KEY)")
            await connection.execute("INSERT INTO aside SELECT generate_series(1, 4)")
            await asyncio.to_thread(execute, ring.target, CREATE.format("aside"))
            await asyncio.to_thread(execute, ring.target, "INSERT INTO aside VALUES (1), (2)")
            rows = await page.until(
                lambda rows, state: "public.aside" in rows and rows["public.aside"]["target_rows"] == 2,
                "the new table is shown",
            )
            aside = rows["public.aside"]
            assert (aside["status"], aside["audit"], aside["icon"]) == ("not replicated", False, "unaudited")
            totals = (await page.state())["tables"]["totals"]
            assert (totals["with_audit"], totals["without_audit"], totals["not_replicated"]) == (2, 1, 1)

            # The reader lists it until its next session; nothing waits for it.
            await connection.execute("DROP TABLE sales.items, aside")
            rows = await page.until(lambda rows, state: set(rows) == {"public.docs"}, "dropped tables are gone")

            # Without the ring the page goes on, and so does the slot's figure.
            for service in ("reader", "transformer", "loader", "checkpoint"):
                ring[service].kill()
            await connection.execute("INSERT INTO docs SELECT i, 'n' FROM generate_series(11, 12) i")
            rows = await page.until(
                lambda rows, state: (
                    state["headline"]["text"].startswith("Down: reader, transformer, loader and checkpoint")
                    and rows["public.docs"]["source_rows"] == 10
                ),
                "the ring is down and rows are counted",
            )
            assert (rows["public.docs"]["level"], rows["public.docs"]["lag_ms"]) == ("bad", None)
            slot = (await page.state())["numbers"]["slot"]
            assert (slot["name"], slot["wal_status"]) == (ring.slot, "reserved")

        # A monitor that begins now has never met the ring: what the publication has is not said to be left out.
        async with monitor(settings_of(ring)) as page:
            rows = await page.until(lambda rows, state: "public.docs" in rows, "tables without a ring")
            assert (rows["public.docs"]["replicated"], rows["public.docs"]["status"]) == (None, "reader down")


def execute(target: dict, statement: str) -> None:
    connection = pymysql.connect(**target)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


async def test_a_source_that_cannot_be_reached_is_named_and_comes_back(
    source_db: SourceDatabase, sandbox: Sandbox, unused_tcp_port_factory: Callable[[], int]
) -> None:
    parts = ("READER", "TRANSFORMER", "LOADER", "CHECKPOINT")
    nobody = {f"{name}_ADDRESS": f"127.0.0.1:{unused_tcp_port_factory()}" for name in parts}
    database = f"reach_{source_db.name}"
    variables = {**sandbox.settings(database), **nobody, "SOURCE_URL": source_db.url, "LISTEN": "127.0.0.1:0"}
    connect = {"host": sandbox.host, "port": sandbox.sink_port, "user": "root"}
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE a (id int PRIMARY KEY)")
    elsewhere = psycopg.conninfo.make_conninfo(source_db.url, dbname="postgres")
    dialled = await psycopg.AsyncConnection.connect(elsewhere, autocommit=True)
    async with dialled as connection, monitor(load_settings(variables)) as page:
        await page.until(lambda rows, state: not rows and state["tables"]["empty"], "no database in the target")
        await asyncio.to_thread(execute, connect, f"CREATE DATABASE {database}")
        await asyncio.to_thread(execute, connect, CREATE.format(f"{database}.a"))
        await page.until(lambda rows, state: set(rows) == {"public.a"}, "the table is found")
        # Nobody gets in any more.
        await connection.execute(
            sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(source_db.name))
        )
        await page.until(
            lambda rows, state: any("not currently accepting" in one["text"] for one in state["problems"]),
            "the source is named",
        )
        assert set(await page.until(lambda rows, state: True, "")) == {"public.a"}  # the last known
        await connection.execute(
            sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(sql.Identifier(source_db.name))
        )
        await page.until(
            lambda rows, state: not any("PostgreSQL" in one["text"] for one in state["problems"]),
            "the source is back",
        )


async def test_hostile_names_end_to_end(source_db: SourceDatabase, make_ring: RingMaker) -> None:
    counts = {f"public.{name}": number for number, name in enumerate(HOSTILE, 1)}
    async with await source_db.connect() as connection:
        for name in (*HOSTILE, *IMPOSSIBLE):
            await connection.execute(sql.SQL("CREATE TABLE {} (id int PRIMARY KEY)").format(sql.Identifier(name)))
        ring = make_ring()
        ring.start()
        async with monitor(settings_of(ring)) as page:
            await ring.streaming()
            for number, name in enumerate(HOSTILE, 1):
                fill = sql.SQL("INSERT INTO {} SELECT generate_series(1, {})").format(sql.Identifier(name), number)
                await connection.execute(fill)
            rows = await page.until(
                lambda rows, state: (
                    rows.keys() == counts.keys()
                    and all(rows[name]["source_rows"] == rows[name]["target_rows"] == n for name, n in counts.items())
                ),
                "every one is counted on both sides",
            )
            assert all(rows[name]["audit"] is True and rows[name]["source_exact"] for name in counts)
            # Left out by the reader, and told so: a lane that is parked for good would keep the WAL.
            problems = (await page.state())["problems"]
            told = [one["text"] for one in problems if "which StarRocks cannot have" in one["text"]]
            assert len(told) == len(IMPOSSIBLE)
            assert all(text.isprintable() for text in told)
            for name in rows:
                assert (await page.details(name))["table"]["name"] == name


async def test_counting_a_thousand_tables_takes_turns(source_db: SourceDatabase) -> None:
    """Whatever there is, a round asks the catalogue once and counts for no longer than its budget."""
    count = 1000
    async with await source_db.connect() as connection:
        await connection.execute("SET synchronous_commit = off")
        for start in range(0, count, 50):
            await connection.execute(
                ";".join(f"CREATE TABLE t{n} (id int); INSERT INTO t{n} VALUES (1)" for n in range(start, start + 50))
            )
        counter = SourceCounter(source_db.url, budget_s=0.05)
        names = [f"public.t{n}" for n in range(count)]
        tables = [Table(name, "public", name[7:], name[7:]) for name in names]
        before = await scans_of(connection)
        done = await counter.round(tables, {})
        assert done.by_table.keys() == set(names)
        assert 0 < done.counted < count
        assert all(known.rows is not None for known in done.by_table.values())
        # Sequential scans of user tables, by PostgreSQL's own books: those of the counts and no others.
        await wait_until(lambda: _has_scans(connection, before + done.counted), what="the scans are in the books")


async def _has_scans(connection: psycopg.AsyncConnection, expected: int) -> bool:
    return await scans_of(connection) == expected


async def scans_of(connection: psycopg.AsyncConnection) -> int:
    await connection.execute("SELECT pg_stat_clear_snapshot()")
    row = await (await connection.execute("SELECT sum(seq_scan) FROM pg_stat_user_tables")).fetchone()
    return int(row[0] or 0)
