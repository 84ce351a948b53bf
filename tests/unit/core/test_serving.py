"""The gRPC server that all services share: health, reflection, limits, ports, garbage, several addresses."""

import asyncio
import random
import re
import socket

import grpc
import pytest
from dbmazz.calling import open_channel
from dbmazz.config import Settings
from dbmazz.errors import ConfigError
from dbmazz.serving import Server
from dbmazz.v1 import load_pb2, loader_pb2, loader_pb2_grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.fixtures.faulty_proxy import FaultyProxy

LOADER = "dbmazz.v1.LoaderService"
SETTINGS = Settings(listen="127.0.0.1:0")
DEADLINE_S = 20


async def health(channel: grpc.aio.Channel, service: str = "") -> int:
    request = health_pb2.HealthCheckRequest(service=service)
    return (await health_pb2_grpc.HealthStub(channel).Check(request, timeout=DEADLINE_S)).status


async def test_health_follows_readiness_for_server_and_service(serve):
    answers = health_pb2.HealthCheckResponse
    async with serve(SETTINGS) as running, open_channel(running.address, SETTINGS) as channel:
        for ready, expected in ((True, answers.SERVING), (False, answers.NOT_SERVING), (True, answers.SERVING)):
            await running.server.set_ready(ready)
            assert [await health(channel), await health(channel, LOADER)] == [expected, expected]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health(channel, "dbmazz.v1.Nobody")
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND


async def test_a_server_that_has_just_started_is_not_ready():
    server = Server("loader", SETTINGS)
    servicer = loader_pb2_grpc.LoaderServiceServicer()
    server.add(loader_pb2_grpc.add_LoaderServiceServicer_to_server, servicer, LOADER)
    address = await server.start()
    async with open_channel(address, SETTINGS) as channel:
        assert await health(channel) == health_pb2.HealthCheckResponse.NOT_SERVING
    await server.stop(0)


async def test_reflection_lists_the_service_and_hands_out_its_protos(serve):
    async def questions():
        yield reflection_pb2.ServerReflectionRequest(list_services="")
        yield reflection_pb2.ServerReflectionRequest(file_containing_symbol=LOADER)

    async with serve(SETTINGS) as running, open_channel(running.address, SETTINGS) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        answers = [answer async for answer in stub.ServerReflectionInfo(questions(), timeout=DEADLINE_S)]
    names = {service.name for service in answers[0].list_services_response.service}
    assert names == {LOADER, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
    protos = [
        FileDescriptorProto.FromString(file) for file in answers[1].file_descriptor_response.file_descriptor_proto
    ]
    assert "dbmazz/v1/loader.proto" in {proto.name for proto in protos}


async def test_a_message_of_64_mb_passes_both_ways(serve):
    body = b"x" * (64 << 20)
    async with serve(SETTINGS) as running, open_channel(running.address, SETTINGS) as channel:
        stub = loader_pb2_grpc.LoaderServiceStub(channel)
        response = await stub.Load(load_pb2.LoadRequest(body=body, label="y" * (64 << 20)), timeout=DEADLINE_S)
    assert response.body_bytes == 64 << 20
    assert len(response.message) == 64 << 20


async def test_a_larger_message_than_allowed_is_refused_and_the_server_goes_on(serve):
    small = SETTINGS.replace(grpc_max_message_bytes=4 << 20)
    async with serve(small) as running, open_channel(running.address, SETTINGS) as channel:
        stub = loader_pb2_grpc.LoaderServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Load(load_pb2.LoadRequest(body=bytes(5 << 20)), timeout=DEADLINE_S)
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await stub.Load(load_pb2.LoadRequest(body=bytes(3 << 20)), timeout=DEADLINE_S)).body_bytes == 3 << 20


# Addresses


async def start_fails(settings: Settings) -> str:
    server = Server("loader", settings)
    servicer = loader_pb2_grpc.LoaderServiceServicer()
    server.add(loader_pb2_grpc.add_LoaderServiceServicer_to_server, servicer, LOADER)
    with pytest.raises(ConfigError) as caught:
        await server.start()
    await server.server.stop(0)
    assert caught.value.way_out
    return str(caught.value)


async def test_a_port_that_is_taken_is_one_clear_error(serve):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        message = await start_fails(SETTINGS.replace(listen=address))
    assert message.startswith(f"the loader cannot bind {address}. Another process has it?")


async def test_two_services_on_one_port_are_an_error_too(serve):
    async with serve(SETTINGS) as running:
        assert "cannot bind" in await start_fails(SETTINGS.replace(listen=running.address))


@pytest.mark.parametrize("listen", ["50051", "127.0.0.1", "127.0.0.1:", ":50051", "127.0.0.1:http"])
async def test_what_is_no_address_is_named(listen):
    assert (await start_fails(SETTINGS.replace(listen=listen))).startswith(f"LISTEN={listen} is not an address")


@pytest.mark.parametrize(
    "listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "127.example.com:0", "localhost.example.com:0"]
)
async def test_plaintext_beyond_loopback_is_refused_unless_asked_for_by_name(listen):
    message = await start_fails(SETTINGS.replace(listen=listen))
    assert re.match(r"LISTEN=\S+ is not loopback and GRPC_TLS_CERT is not set\. .*GRPC_ALLOW_PLAINTEXT=true", message)


async def test_plaintext_beyond_loopback_when_asked_for_by_name(serve):
    async with serve(SETTINGS.replace(listen="0.0.0.0:0", grpc_allow_plaintext=True)) as running:
        port = running.address.rpartition(":")[2]
        async with open_channel(f"127.0.0.1:{port}", SETTINGS) as channel:
            assert await health(channel) == health_pb2.HealthCheckResponse.SERVING


async def test_localhost_is_loopback(serve):
    async with serve(SETTINGS.replace(listen="localhost:0")) as running:
        assert running.address.startswith("localhost:")


async def test_calls_go_round_all_replicas(serve):
    async with serve(SETTINGS) as one, serve(SETTINGS) as two:
        async with open_channel(f"{one.address},{two.address}", SETTINGS, round_robin=True) as channel:
            stub = loader_pb2_grpc.LoaderServiceStub(channel)
            async with asyncio.timeout(DEADLINE_S):
                while not (one.servicer.calls and two.servicer.calls):
                    await stub.Load(load_pb2.LoadRequest(), timeout=DEADLINE_S)
            before = (one.servicer.calls, two.servicer.calls)
            for _ in range(10):
                await stub.Load(load_pb2.LoadRequest(), timeout=DEADLINE_S)
        assert (one.servicer.calls - before[0], two.servicer.calls - before[1]) == (5, 5)


# Garbage

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS_FRAME = b"\0\0\0\4\0\0\0\0\0"
GARBAGE = {
    "an HTTP/1.1 request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x55" * 600,
    "PostgreSQL's startup": b"\0\0\0\x08\x04\xd2\x16/",
    "zeroes": bytes(65536),
    "a frame of 16 MB that never comes": PREFACE + SETTINGS_FRAME + b"\xff\xff\xff\0\0\0\0\0\1",
    "an unknown frame on a stream": PREFACE + SETTINGS_FRAME + b"\0\0\1\xee\0\0\0\0\7x",
    "headers that are no HPACK": PREFACE + SETTINGS_FRAME + b"\0\0\4\1\4\0\0\0\1\xff\xff\xff\xff",
}


async def throw(address: str, garbage: bytes) -> None:
    """Sends bytes, reads until the server closes or has said what it has to say, and hangs up."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(garbage)
        await writer.drain()
        writer.write_eof()
        async with asyncio.timeout(DEADLINE_S):
            while await reader.read(65536):
                pass
    except TimeoutError:  # it is an OSError too, and would mean that the server neither answers nor hangs up
        raise
    except OSError:
        pass  # the server hung up first
    finally:
        writer.close()


async def test_garbage_on_the_port_does_not_hurt_the_server(serve, seed: int):
    rng = random.Random(seed)
    noises = [*GARBAGE.values(), *(rng.randbytes(rng.randint(1, 5000)) for _ in range(10))]
    noises += [PREFACE + SETTINGS_FRAME + rng.randbytes(rng.randint(1, 5000)) for _ in range(10)]
    async with serve(SETTINGS) as running, open_channel(running.address, SETTINGS) as channel:
        stub = loader_pb2_grpc.LoaderServiceStub(channel)
        await stub.Load(load_pb2.LoadRequest(), timeout=DEADLINE_S)
        for noise in noises:
            await throw(running.address, noise)
            response = await stub.Load(load_pb2.LoadRequest(label="still here"), timeout=DEADLINE_S)
            assert response.message == "still here"
        assert running.servicer.calls == 1 + len(noises)


async def test_a_message_that_is_no_protobuf_is_an_error_of_that_call_only(serve):
    async with serve(SETTINGS) as running, open_channel(running.address, SETTINGS) as channel:
        raw = channel.unary_unary(f"/{LOADER}/Load")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await raw(b"\xff" * 100, timeout=DEADLINE_S)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert caught.value.details().startswith("the body is not a dbmazz.v1.LoadRequest. ")
        assert running.servicer.calls == 0
        status = await loader_pb2_grpc.LoaderServiceStub(channel).GetStatus(
            loader_pb2.LoaderServiceGetStatusRequest(), timeout=DEADLINE_S
        )
        assert status.row_count == 0


@pytest.mark.parametrize(("compression", "most"), [("none", 3.0), ("gzip", 0.1)])
async def test_what_goes_between_services_is_compressed_when_asked_for(compression, most):
    """Both ways, by this side's setting alone."""
    settings = SETTINGS.replace(grpc_compression=compression)
    body = b'{"id":1,"note":"the same again"}\n' * 30_000

    class Echo(loader_pb2_grpc.LoaderServiceServicer):
        async def Load(self, request, context):
            return load_pb2.LoadResponse(message=request.body.decode())

    server = Server("loader", settings)
    server.add(loader_pb2_grpc.add_LoaderServiceServicer_to_server, Echo(), LOADER)
    host, _, port = (await server.start()).rpartition(":")
    async with FaultyProxy(host, int(port)) as proxy:
        async with open_channel(f"{proxy.host}:{proxy.port}", settings) as channel:
            answer = await loader_pb2_grpc.LoaderServiceStub(channel).Load(
                load_pb2.LoadRequest(body=body), timeout=DEADLINE_S
            )
        assert answer.message.encode() == body
        assert 0 < proxy.forwarded_bytes < most * len(body)
        assert compression == "gzip" or proxy.forwarded_bytes > 2 * len(body)
    await server.stop(0)
