"""The loader as a process: settings, peers that come late, health, and the way it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys

import grpc
import pytest
from dbmazz.config import Settings
from dbmazz.errors import ConfigError
from dbmazz.v1 import load_pb2, loader_pb2, types_pb2
from dbmazz.wire import relation_to_proto
from dbmazz_loader.app import run, serve
from dbmazz_loader.starrocks.frontends import Frontends
from dbmazz_sandbox.starrocks import Fault, StarRocksSandbox
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.fixtures.waiting import wait_until
from tests.unit.loader.byte_peers import Answer, success
from tests.unit.loader.conftest import load_request
from tests.unit.loader.relations import column, relation

ORDERS = relation(column("id", "int8", key=1), column("note"))
STATUS = loader_pb2.LoaderServiceGetStatusRequest()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "SINK_URL is not set"),
        ({"sink_url": "starrocks:8030"}, "SINK_URL"),
        ({"sink_url": "http://h:8030/path"}, "holds more than an address"),
        ({"sink_url": "http://h:notaport"}, "SINK_URL is not an address"),
        ({"sink_url": "http://h:8030", "sink_database": "a`b"}, "SINK_DATABASE"),
    ],
)
async def test_bad_settings_end_the_process_with_one_line(settings, words):
    with pytest.raises(ConfigError) as caught:
        await run(Settings().replace(**settings))
    assert words in str(caught.value)
    assert caught.value.way_out


def test_a_password_in_sink_url_is_refused_and_not_shown():
    with pytest.raises(ConfigError) as caught:
        Frontends.parse("http://root:sesame@h:8030", 9030)
    assert "sesame" not in str(caught.value)
    assert "SINK_PASSWORD" in str(caught.value)


def test_frontends_are_tried_from_the_last_that_answered():
    frontends = Frontends.parse("http://a:1, https://b:2", 9030)
    first, second = frontends.in_turn()
    assert (first.mysql_address, str(second.http)) == ("a:9030", "https://b:2")
    frontends.prefer(second)
    assert frontends.in_turn() == [second, first]


async def test_a_port_that_is_taken_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = Settings().replace(sink_url="http://127.0.0.1:1", listen=address)
        with pytest.raises(ExceptionGroup) as caught:
            await serve(settings, asyncio.Event(), lambda address: None)
    assert caught.group_contains(ConfigError, match=f"cannot bind {address}")


async def test_waits_for_a_target_that_comes_late(tmp_path, start_loader, capsys):
    fe_port, mysql_port = free_port(), free_port()
    loader = await start_loader(sink_url=f"http://127.0.0.1:{fe_port}", sink_port=mysql_port)
    channel = grpc.aio.insecure_channel(loader.address)
    health = health_pb2_grpc.HealthStub(channel)

    async def state() -> tuple[int, int]:
        told = await health.Check(health_pb2.HealthCheckRequest(service="dbmazz.v1.LoaderService"), timeout=5)
        return (await loader.stub.GetStatus(STATUS, timeout=5)).status.state, told.status

    async def reached(wanted: tuple[int, int]) -> bool:
        return await state() == wanted

    await wait_until(
        lambda: reached((types_pb2.SERVICE_STATE_RETRYING, health_pb2.HealthCheckResponse.NOT_SERVING)), what="retrying"
    )
    last_error = (await loader.stub.GetStatus(STATUS, timeout=5)).status.last_error
    assert "cannot be reached" in last_error
    async with StarRocksSandbox(tmp_path, fe_port=fe_port, mysql_port=mysql_port):
        await wait_until(
            lambda: reached((types_pb2.SERVICE_STATE_RUNNING, health_pb2.HealthCheckResponse.SERVING)), what="running"
        )
        status = await loader.stub.GetStatus(STATUS, timeout=5)
        assert status.target_version.startswith("3.3")
        assert status.status.last_error == ""
    await channel.close()
    lines = "".join(capsys.readouterr()).splitlines()
    assert len([line for line in lines if "peer_away" in line and "frontend" in line]) == 1


async def test_recovers_what_was_committed_without_an_answer(tmp_path, checkpoint, start_loader):
    async with StarRocksSandbox(tmp_path) as sandbox:
        loader = await start_loader(sink_url=sandbox.fe_url, sink_port=sandbox.mysql_port)
        ensure = loader_pb2.ApplySchemaRequest(
            relation=relation_to_proto(ORDERS), action=loader_pb2.SCHEMA_ACTION_ENSURE
        )
        assert (await loader.stub.ApplySchema(ensure, timeout=20)).verdict == load_pb2.VERDICT_LOADED
        sandbox.faults.add(Fault.LOST_RESPONSE, "dbmazz.orders", count=1)
        sandbox.faults.add(Fault.PUBLISH_TIMEOUT, "dbmazz.orders", count=1, delay_ms=300)
        sandbox.faults.add(Fault.HTTP_500, "dbmazz.orders", count=1)
        for number in range(3):
            response = await loader.stub.Load(load_request(f"l-{number}"), timeout=20)
            assert (response.verdict, response.loaded_row_count) == (load_pb2.VERDICT_LOADED, 2), response.message
        assert len(checkpoint.reports) == 3
        assert {fault: sandbox.faults.hits[fault] for fault in (Fault.LOST_RESPONSE, Fault.PUBLISH_TIMEOUT)} == {
            Fault.LOST_RESPONSE: 1,
            Fault.PUBLISH_TIMEOUT: 1,
        }


async def test_mysql_port_that_speaks_something_else(start_loader, starrocks):
    async def serve_garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve_garbage, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        loader = await start_loader(sink_url=starrocks.frontend.url, sink_port=port)
        ensure = loader_pb2.ApplySchemaRequest(
            relation=relation_to_proto(ORDERS), action=loader_pb2.SCHEMA_ACTION_ENSURE
        )
        response = await loader.stub.ApplySchema(ensure, timeout=20)
    assert response.verdict == load_pb2.VERDICT_RETRY
    assert "SINK_PORT" in response.message


async def test_mysql_port_that_never_answers_does_not_hold_the_caller(start_loader, starrocks):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        loader = await start_loader(sink_url=starrocks.frontend.url, sink_port=silent.getsockname()[1])
        ensure = loader_pb2.ApplySchemaRequest(
            relation=relation_to_proto(ORDERS), action=loader_pb2.SCHEMA_ACTION_ENSURE
        )
        response = await loader.stub.ApplySchema(ensure, timeout=1.0)
        assert response.verdict == load_pb2.VERDICT_RETRY
        assert "longer than its caller waits" in response.message


@pytest.mark.parametrize(
    "fields",
    [
        {"action": loader_pb2.SCHEMA_ACTION_UNSPECIFIED, "relation": relation_to_proto(ORDERS)},
        {"action": loader_pb2.SCHEMA_ACTION_TRUNCATE, "relation": relation_to_proto(ORDERS)},
        {"action": loader_pb2.SCHEMA_ACTION_ENSURE},
    ],
)
async def test_malformed_schema_actions_are_refused(starrocks, start_loader, fields):
    loader = await start_loader(sink_url=starrocks.frontend.url)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await loader.stub.ApplySchema(loader_pb2.ApplySchemaRequest(**fields), timeout=10)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_drain_finishes_what_runs_and_takes_nothing_new(starrocks, checkpoint, start_loader):
    go = asyncio.Event()
    starrocks.loads = [Answer(wait=go, body=success().body)]
    loader = await start_loader(sink_url=starrocks.frontend.url)
    running = loader.stub.Load(load_request(), timeout=10)
    await wait_until(lambda: starrocks.sends and starrocks.sends[0].body, what="the body")
    loader.stop.set()

    async def refused() -> bool:
        try:
            await loader.stub.Load(load_request("late"), timeout=5)
        except grpc.aio.AioRpcError as error:
            return error.code() is grpc.StatusCode.UNAVAILABLE
        return False

    await wait_until(refused, what="UNAVAILABLE")
    go.set()
    assert (await running).verdict == load_pb2.VERDICT_LOADED
    assert await loader.served == 0
    assert len(checkpoint.reports) == 1


async def test_process_announces_its_port_and_ends_on_sigterm(checkpoint):
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    environment |= {"SINK_URL": "http://127.0.0.1:1", "LISTEN": "127.0.0.1:0", "CHECKPOINT_ADDRESS": checkpoint.address}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dbmazz_loader", env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )  # fmt: skip
    line = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
    assert line["service"] == "loader"
    async with grpc.aio.insecure_channel(line["address"]) as channel:
        await asyncio.wait_for(channel.channel_ready(), 10)
    process.send_signal(signal.SIGTERM)
    _, stderr = await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 0, stderr
    assert b"Traceback" not in stderr


async def test_process_without_sink_url_says_one_line():
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dbmazz_loader", env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )  # fmt: skip
    stdout, stderr = await asyncio.wait_for(process.communicate(), 20)
    assert (process.returncode, stdout) == (2, b"")
    assert stderr.count(b"\n") == 1
    assert stderr.startswith(b"dbmazz loader: SINK_URL is not set.")
