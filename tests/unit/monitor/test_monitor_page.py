"""The served page: routes, stream, health, headers, metrics."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from urllib.parse import quote

import aiohttp
import pytest
from dbmazz.config import Settings
from dbmazz.errors import ConfigError
from dbmazz_monitor.app import Monitor
from dbmazz_monitor.counts import Counting
from dbmazz_monitor.protocol.sample import SourceCount, SourceSeen, SourceTable, TargetCount, TargetSeen
from dbmazz_monitor.watch import source_counting, target_counting, watching

from tests.fixtures.ring import free_port
from tests.fixtures.scraping import scrape
from tests.fixtures.waiting import wait_until
from tests.unit.monitor.fake_ring import FakeCounter, FakeRing, fake_ring, listed


class Served:
    """A monitor that runs, and a client of it."""

    def __init__(self, base: str, session: aiohttp.ClientSession) -> None:
        self.base = base
        self.session = session

    async def state(self) -> dict:
        async with self.session.get(f"{self.base}/api/state") as response:
            assert response.status == 200
            return await response.json()

    @contextlib.asynccontextmanager
    async def events(self) -> AsyncIterator[AsyncIterator[tuple[str, object]]]:
        async with self.session.get(f"{self.base}/events") as response:
            assert response.content_type == "text/event-stream"
            yield _parsed(response.content)


async def _parsed(lines: aiohttp.StreamReader) -> AsyncIterator[tuple[str, object]]:
    name = ""
    async for raw in lines:
        key, _, value = raw.decode().rstrip("\n").partition(": ")
        if key == "event":
            name = value
        elif key == "data":
            yield name, json.loads(value)


@contextlib.asynccontextmanager
async def serving(settings: Settings, source: Counting | None = None, target: Counting | None = None):
    monitor = Monitor(
        settings, source or source_counting(settings), target or target_counting(settings), sample_every_s=0.05
    )
    stop, addresses = asyncio.Event(), []
    async with asyncio.TaskGroup() as group, aiohttp.ClientSession() as session:
        group.create_task(monitor.run(stop, addresses.append))
        try:
            await wait_until(lambda: addresses)
            yield Served(f"http://{addresses[0]}", session)
        finally:
            stop.set()


@pytest.fixture
async def fakes() -> AsyncIterator[FakeRing]:
    async with fake_ring() as ring:
        yield ring


async def test_stream_delivers_history_and_then_every_sample(fakes: FakeRing):
    async with serving(fakes.settings()) as served, served.events() as events, asyncio.timeout(10):
        name, points = await anext(events)
        assert (name, type(points)) == ("history", list)
        seen = []
        async for name, state in events:
            if name != "state":
                continue
            seen.append(state)
            fakes.answers["reader"].row_count += 100
            if state["numbers"]["events_per_s"]:
                break
        assert state["headline"]["text"] == "All is well"
        assert state["numbers"]["rows_in"] > 1000
        assert state["point"]["events"] == pytest.approx(state["numbers"]["events_per_s"], abs=0.1)
        assert [one["time_ms"] for one in seen] == sorted(one["time_ms"] for one in seen)


async def test_a_service_that_goes_down_is_shown_and_comes_back(fakes: FakeRing):
    async with serving(fakes.settings()) as served, served.events() as events, asyncio.timeout(20):

        async def until(text: str) -> dict:
            async for name, state in events:
                if name == "state" and state["headline"]["text"] == text:
                    return state
            raise AssertionError("the stream ended")

        await until("All is well")
        for service in ("loader", "reader", "checkpoint", "transformer"):
            await fakes.stop(service)
            state = await until(f"Down: {service}")
            assert any(service in problem["text"] for problem in state["problems"])
            assert state["tables"]["totals"]["tables"] == 2
            await fakes.start(service)
            await until("All is well")


async def test_works_with_nothing_at_all(unused_tcp_port_factory):
    addresses = {
        f"{service}_address": f"127.0.0.1:{unused_tcp_port_factory()}"
        for service in ("reader", "transformer", "loader", "checkpoint")
    }
    async with serving(Settings(listen="127.0.0.1:0", **addresses)) as served:
        state = await wait_until(served.state)
        assert state["headline"]["level"] == "bad"
        texts = " ".join(problem["text"] for problem in state["problems"])
        assert "SOURCE_URL is not set" in texts
        assert "SINK_URL is not set" in texts
        async with served.session.get(served.base + "/") as response:
            assert response.status == 200


async def test_counts_reach_the_page(fakes: FakeRing):
    source = FakeCounter({"public.orders": SourceCount(12, exact=True), "sales.items": SourceCount(7)})
    target = FakeCounter({"public.orders": TargetCount(11, 1), "sales.items": TargetCount(7, 0)})
    counting = Counting("source", source, 0.05), Counting("target", target, 0.05)
    async with serving(fakes.settings(), *counting) as served:

        async def counted() -> dict | None:
            found = (await served.state()).get("tables")
            return found if found and found["totals"]["target_rows"] is not None else None

        totals = (await wait_until(counted))["totals"]
        assert (totals["source_rows"], totals["target_rows"], totals["deleted_rows"]) == (19, 18, 1)
    assert source.closed
    assert target.closed


# Every one of them can be a table of PostgreSQL: markup, quotes, line breaks, right-to-left marks, 63 bytes.
HOSTILE = [
    """public."><script>alert(1)</script>""",
    "public.it's `quoted` \\ %s %(x)s {0}",
    "public.two\nlines\r\nevent: state\ndata: {}",
    "public.\u202egnp.exe\u2066\u200f\u2028",
    "public.a/b?c=d#e&f+g h;i",
    "sch.ema.ta.ble",
    "public." + "ü" * 31,
    "public.../../etc",
]


async def test_hostile_names_stay_what_they_are(fakes: FakeRing):
    fakes.tables = listed(*HOSTILE)
    async with serving(fakes.settings()) as served, served.events() as events, asyncio.timeout(20):
        async for name, tables in events:
            if name == "tables" and tables["rows"]:
                break
        assert sorted(row["name"] for row in tables["rows"]) == sorted(HOSTILE)
        for name in HOSTILE:
            async with served.session.get(f"{served.base}/api/tables/{quote(name, safe='')}") as response:
                assert (await response.json())["table"]["name"] == name


async def test_one_table_and_none(fakes: FakeRing):
    async with serving(fakes.settings()) as served:

        async def orders() -> dict | None:
            async with served.session.get(f"{served.base}/api/tables/public.orders") as response:
                return await response.json() if response.status == 200 else None

        found = await wait_until(orders)
        assert found["table"]["target"] == "orders"
        assert [(one["absent"], one["rows"]) for one in found["signatures"]] == [([], 860), (["payload"], 40)]
        assert (found["lane"]["lane"], found["lane"]["state"], found["lane"]["transformer"]) == (1, "loading", "host-1")
        for name in ("public.none", *HOSTILE, "%", "x" * 5000):
            async with served.session.get(f"{served.base}/api/tables/{quote(name, safe='')}") as response:
                text = await response.text()
                assert (response.status, response.content_type) == (404, "text/plain")
                assert text.startswith('no table "') and text.count("\n") == 1 and "\r" not in text
                assert len(text) < 1000
                assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_tables_travel_as_changes(fakes: FakeRing):
    async with serving(fakes.settings()) as served, served.events() as events, asyncio.timeout(20):
        known: dict[str, tuple[int, float | None]] = {}

        async def until(wanted: dict[str, tuple[int, float | None]]) -> dict:
            """The `tables` event that brings what is known to `wanted`: events and rate of each table."""
            async for name, told in events:
                if name == "state":
                    assert "rows" not in told["tables"]
                if name != "tables":
                    continue
                if told["all"]:
                    known.clear()
                known.update({row["name"]: (row["events"], row["rate"]) for row in told["rows"]})
                for gone in told["removed"]:
                    known.pop(gone, None)
                if known == wanted:
                    return told
            raise AssertionError("the stream ended")

        await until({"public.orders": (500, 0.0), "sales.items": (500, 0.0)})
        fakes.tables.tables[0].row_count = 501
        changed = await until({"public.orders": (501, 0.0), "sales.items": (500, 0.0)})
        assert (changed["all"], [row["name"] for row in changed["rows"]]) == (False, ["public.orders"])
        fakes.tables = listed("public.new", "sales.items")
        changed = await until({"public.new": (500, None), "sales.items": (500, 0.0)})
        assert (changed["all"], [row["name"] for row in changed["rows"]]) == (False, ["public.new"])
        assert changed["removed"] == ["public.orders"]


async def test_tables_are_found_in_both_databases_without_a_ring(unused_tcp_port_factory):
    addresses = {
        f"{service}_address": f"127.0.0.1:{unused_tcp_port_factory()}"
        for service in ("reader", "transformer", "loader", "checkpoint")
    }
    source = FakeCounter({"public.a": SourceCount(3, exact=True)}, SourceSeen({"public.a": SourceTable("public", "a")}))
    target = FakeCounter({"public.a": TargetCount(2, None)}, TargetSeen({"a": frozenset()}))
    counting = Counting("source", source, 0.05), Counting("target", target, 0.05)
    async with serving(Settings(listen="127.0.0.1:0", **addresses), *counting) as served:

        async def row() -> dict | None:
            rows = (await served.state()).get("tables", {}).get("rows")
            return rows[0] if rows and rows[0]["target_rows"] is not None else None

        found = await wait_until(row)
        assert (found["name"], found["replicated"], found["audit"]) == ("public.a", False, False)
        assert (found["source_rows"], found["target_rows"], found["deleted_rows"]) == (3, 2, None)


async def test_states_without_a_web_server(fakes: FakeRing):
    async with asyncio.timeout(20), watching(fakes.settings(), sample_every_s=0.02) as feed:
        async for state in feed.states():
            if len(state["tables"]["rows"]) == 2 and feed.number > 3:
                break
        assert feed.table("public.orders")["lane"]["lane"] == 1
    assert feed.closed


async def test_metrics(fakes: FakeRing):
    source = FakeCounter({"public.orders": SourceCount(12, exact=True)}, SourceSeen({}))
    target = FakeCounter({"public.orders": TargetCount(11, 1)})
    counting = Counting("source", source, 0.05), Counting("target", target, 0.05)
    slot = fakes.answers["reader"].slot_status
    slot.safe_wal_bytes = 1_000_000
    slot.read_time.GetCurrentTime()
    port = free_port()
    async with serving(fakes.settings(metrics_port=port), *counting) as served, served.events():

        async def growing() -> object:
            slot.retained_wal_bytes += 1000
            slot.read_time.GetCurrentTime()
            found = await scrape(port)
            return (
                found if found("dbmazz_target_rows", table="orders") and found.of("dbmazz_slot_loss_seconds") else None
            )

        found = await wait_until(growing)
        found.assert_declared("monitor")
        assert found.of("dbmazz_source_rows") == {("orders",): 12}
        assert found.of("dbmazz_target_rows") == {("orders",): 11}
        assert found.of("dbmazz_deleted_rows") == {("orders",): 1}
        assert found.of("dbmazz_table_lag_seconds") == {("orders",): 0, ("sales__items",): 0}
        assert found("dbmazz_slot_safe_wal_bytes", slot="dbmazz_slot") == 1_000_000
        assert found("dbmazz_monitor_database_up", side="source") == 1
        assert found("dbmazz_monitor_database_up", side="target") == 0  # nobody has looked
        assert found("dbmazz_monitor_replica_up", service="loader", address=fakes.addresses["loader"]) == 1
        assert found("dbmazz_monitor_tables", level="ok") == 2
        assert found("dbmazz_monitor_listeners") == 1
        assert found("dbmazz_monitor_samples_total") > 1
    with pytest.raises(aiohttp.ClientConnectionError):
        await scrape(port)


async def test_routes_and_headers(fakes: FakeRing):
    async with serving(fakes.settings()) as served:
        for path, kind in (
            ("/", "text/html"),
            ("/static/app.js", "text/javascript"),
            ("/static/style.css", "text/css"),
        ):
            async with served.session.get(served.base + path) as response:
                assert (response.status, response.content_type) == (200, kind)
                assert "default-src 'none'" in response.headers["Content-Security-Policy"]
                assert response.headers["X-Content-Type-Options"] == "nosniff"
        for path in ("/static/none.js", "/static/..%2Fapp.py", "/static/__init__.py", "/nowhere"):
            async with served.session.get(served.base + path) as response:
                assert response.status == 404
        async with served.session.post(served.base + "/api/state") as response:
            assert response.status == 405
        async with served.session.get(served.base + "/healthz") as response:
            assert (response.status, (await response.json())["status"]) == (200, "ok")


async def test_stopping_ends_open_streams_at_once(fakes: FakeRing):
    async with asyncio.timeout(5):
        async with serving(fakes.settings()) as served:
            response = await served.session.get(f"{served.base}/events")
            await response.content.readuntil(b"\n\n")
        response.close()


async def test_no_secret_reaches_the_page(fakes: FakeRing, unused_tcp_port: int):
    word = "s3cret-word"
    settings = fakes.settings(
        source_url=f"postgresql://me:{word}@127.0.0.1:{unused_tcp_port}/d",
        sink_url="http://127.0.0.1:1",
        sink_port=unused_tcp_port,
        sink_password=word,
    )
    async with serving(settings) as served:

        async def both_failed() -> str | None:
            text = json.dumps(await served.state())
            return text if "PostgreSQL: " in text and "StarRocks at " in text else None

        assert word not in await wait_until(both_failed)


@pytest.mark.parametrize("listen", ["8080", "127.0.0.1:http", "127.0.0.1:99999"])
async def test_bad_listen_is_one_clear_error(listen: str):
    settings = Settings(listen=listen)
    monitor = Monitor(settings, source_counting(settings), target_counting(settings))
    with pytest.raises(ConfigError, match="LISTEN="):
        await monitor.run(asyncio.Event(), lambda address: None)


async def test_a_taken_port_is_one_clear_error(fakes: FakeRing):
    async with serving(fakes.settings()) as served:
        settings = fakes.settings(listen=served.base.removeprefix("http://"))
        monitor = Monitor(settings, source_counting(settings), target_counting(settings))
        with pytest.raises(ConfigError, match="another process has it"):
            await monitor.run(asyncio.Event(), lambda address: None)
