"""The Prometheus endpoint over real sockets: what it answers, what it refuses, and that it costs nothing when not wanted."""

import asyncio
import gzip
import socket
import subprocess
import sys
import threading

import aiohttp
import pytest
from dbmazz import VERSION, exposing
from dbmazz.config import Settings
from dbmazz.errors import ConfigError
from dbmazz.exposing import Endpoint, families
from dbmazz.serving import Server
from dbmazz.telemetry import LatencyHistogram
from dbmazz.v1 import loader_pb2_grpc

from tests.fixtures.ring import free_port
from tests.fixtures.scraping import Scraped, scrape
from tests.fixtures.waiting import wait_until

LOADER = "dbmazz.v1.LoaderService"


def server_with(settings: Settings, measure=lambda: ()) -> Server:
    server = Server("loader", settings)
    server.add(loader_pb2_grpc.add_LoaderServiceServicer_to_server, loader_pb2_grpc.LoaderServiceServicer(), LOADER)
    server.measure(measure)
    return server


@pytest.fixture
async def endpoint():
    """`endpoint(measure)` listens on a free port and gives it; closed after the test."""
    opened = []

    def make(measure) -> int:
        opened.append(Endpoint("loader", "127.0.0.1", 0, measure))
        return int(opened[-1].address.rpartition(":")[2])

    yield make
    for one in opened:
        one.close()


async def test_counters_gauges_and_histograms_as_prometheus_reads_them(endpoint):
    histogram = LatencyHistogram()
    histogram.record(0.5)
    histogram.record(100.0, 3)
    histogram.record(1e9)
    port = endpoint(
        lambda: [
            ("dbmazz_rows_total", ("loaded", "orders"), 12),
            ("dbmazz_rows_total", ("loaded", "items"), 2**53 - 1),
            ("dbmazz_running_loads", (), 3),
            ("dbmazz_load_duration_seconds", (), histogram),
        ]
    )
    seen = await scrape(port)
    assert seen("dbmazz_build_info", service="loader", version=VERSION) == 1
    assert seen("dbmazz_rows_total", stage="loaded", table="orders") == 12
    assert seen("dbmazz_rows_total", stage="loaded", table="items") == 2**53 - 1
    assert (seen.kinds["dbmazz_rows_total"], seen.kinds["dbmazz_running_loads"]) == ("counter", "gauge")
    assert seen("dbmazz_load_duration_seconds_count") == 5
    assert seen("dbmazz_load_duration_seconds_sum") == pytest.approx(0.0005 + 0.3 + 1e6)
    buckets = sorted(
        (float(dict(labels)["le"]), value)
        for (name, labels), value in seen.samples.items()
        if name == "dbmazz_load_duration_seconds_bucket"
    )
    assert buckets[0] == (0.001, 1)
    assert buckets[-1] == (float("inf"), 5)
    assert [count for _, count in buckets] == sorted(count for _, count in buckets)
    for bound, count in buckets:
        assert count == (5 if bound == float("inf") else 4 if bound >= 0.1 else 1)
    assert seen("process_start_time_seconds") > 0


async def test_histograms_stand_still_while_they_are_written(endpoint):
    """The reading is a copy: the loop goes on recording while the thread of the scrape writes."""
    histogram = LatencyHistogram()
    histogram.record(5.0)
    copied = histogram.copy()
    histogram.record(5.0)
    assert (sum(copied.counts), copied.sum_ms, sum(histogram.counts)) == (1, 5.0, 2)


async def test_hostile_table_names_come_back_as_they_are(endpoint):
    names = ['a"b', "a\\n", "line\nbreak", "{stage=}", "naïve 🚚", "", "}\n# TYPE x counter\nx 1"]
    port = endpoint(lambda: [("dbmazz_partial_rows_total", (name,), number) for number, name in enumerate(names)])
    seen = await scrape(port)
    assert seen.of("dbmazz_partial_rows_total") == {(name,): number for number, name in enumerate(names)}
    assert "x" not in seen.kinds


async def test_readings_are_taken_in_the_event_loop_at_every_scrape(endpoint):
    threads = []

    def measure():
        threads.append(threading.get_ident())
        yield "dbmazz_running_loads", (), len(threads)

    port = endpoint(measure)
    assert threads == []
    seen = await asyncio.gather(*(scrape(port) for _ in range(4)))
    assert {one("dbmazz_running_loads") for one in seen} == {1, 2, 3, 4}
    assert set(threads) == {threading.get_ident()}


async def test_other_paths_and_methods_and_encodings(endpoint):
    port = endpoint(lambda: ())
    url = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        async with session.get(f"{url}/") as answer:
            assert answer.status == 404
            assert "/metrics" in await answer.text()
        async with session.get(f"{url}/metrics", headers={"Accept-Encoding": "gzip"}) as answer:
            assert b"dbmazz_build_info" in gzip.decompress(await answer.read())
        accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
        async with session.get(f"{url}/metrics", headers={**accept, "Accept-Encoding": "identity"}) as answer:
            assert "openmetrics" in answer.headers["Content-Type"]
            assert (await answer.text()).endswith("# EOF\n")
        async with session.post(f"{url}/metrics", data=b"x" * 100) as answer:
            assert answer.status == 405


async def test_a_service_that_does_not_answer_is_said_so(endpoint, monkeypatch):
    """503 in time for Prometheus, and no traceback."""
    monkeypatch.setattr(exposing, "READ_S", 0.05)
    monkeypatch.setattr(exposing.ServiceCollector, "_take", lambda self, answer: None)
    url = f"http://127.0.0.1:{endpoint(lambda: ())}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 503
        assert "does not answer" in await answer.text()


async def test_connections_beyond_the_bound_are_closed(endpoint):
    """Clients that connect and say nothing do not pile up as threads, and those that speak are served afterwards."""
    port = endpoint(lambda: ())
    before = threading.active_count()
    silent = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(exposing.SCRAPES)]
    await wait_until(lambda: threading.active_count() >= before + exposing.SCRAPES, what="a thread for each")
    with socket.create_connection(("127.0.0.1", port), timeout=5) as one_more:
        assert await asyncio.to_thread(one_more.recv, 1) == b""
    for client in silent:
        client.close()
    await wait_until(lambda: threading.active_count() <= before + 1, what="the threads end")
    assert (await scrape(port)).kinds


async def test_what_is_not_declared_is_a_defect():
    with pytest.raises(KeyError):
        list(families([("dbmazz_nothing", (), 1)]))
    with pytest.raises(ValueError, match="dbmazz_rows_total has the labels"):
        list(families([("dbmazz_rows_total", ("read",), 1)]))


async def test_a_port_that_is_taken_names_the_variable():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = server_with(Settings(listen="127.0.0.1:0", metrics_port=port))
        with pytest.raises(ConfigError, match=f"METRICS_PORT={port} cannot be bound on 127.0.0.1"):
            await server.start()
        await server.stop(0)


async def test_the_endpoint_goes_with_the_server():
    port = free_port()
    server = server_with(Settings(listen="127.0.0.1:0", metrics_port=port), lambda: [("dbmazz_running_loads", (), 7)])
    await server.start()
    assert (await scrape(port))("dbmazz_running_loads") == 7
    await server.stop(0)
    with pytest.raises(aiohttp.ClientConnectorError):
        await scrape(port)


async def test_the_host_is_that_of_listen():
    """Loopback unless LISTEN says otherwise."""
    for listen, host in (("", "127.0.0.1"), ("0.0.0.0:0", "0.0.0.0"), ("[::1]:0", "::1")):
        port = free_port()
        settings = Settings(listen=listen or "127.0.0.1:0", metrics_port=port, grpc_allow_plaintext=True)
        server = server_with(settings)
        await server.start()
        try:
            with socket.create_connection((host.replace("0.0.0.0", "127.0.0.1"), port), timeout=5) as client:
                assert client.getpeername()[1] == port
            if host != "0.0.0.0":
                with pytest.raises(OSError):
                    socket.create_connection(("::1" if host == "127.0.0.1" else "127.0.0.1", port), timeout=5)
        finally:
            await server.stop(0)


def test_without_the_setting_nothing_is_loaded_and_nothing_listens():
    program = (
        "import asyncio, sys\n"
        "import dbmazz_reader.app, dbmazz_transformer.app, dbmazz_loader.app, dbmazz_checkpoint.app\n"
        "from dbmazz.config import Settings\n"
        "from dbmazz.serving import Server\n"
        "from dbmazz.v1 import loader_pb2_grpc as grpc\n"
        "async def main():\n"
        "    server = Server('loader', Settings(listen='127.0.0.1:0'))\n"
        "    server.add(grpc.add_LoaderServiceServicer_to_server, grpc.LoaderServiceServicer(), 'dbmazz.v1.LoaderService')\n"
        "    server.measure(lambda: ())\n"
        "    await server.start()\n"
        "    await server.stop(0)\n"
        "asyncio.run(main())\n"
        "print([name for name in sys.modules if name.startswith('prometheus') or name in ('dbmazz.metrics', 'wsgiref')])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


def test_the_parser_of_these_tests_sees_samples_that_come_twice():
    with pytest.raises(AssertionError, match="comes twice"):
        Scraped.read("# TYPE a gauge\na 1\na 2\n")
