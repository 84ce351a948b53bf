"""The served page: routes, stream, health, headers, and that nothing is fetched from elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from dbmazz.config import Settings
from dbmazz.errors import ConfigError
from dbmazz_monitor.app import Monitor, source_counting, target_counting
from dbmazz_monitor.counts import Counting
from dbmazz_monitor.protocol.sample import SourceCount, TargetCount

from tests.fixtures.waiting import wait_until
from tests.unit.monitor.fake_ring import FakeCounter, FakeRing, fake_ring


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
