"""Channels to names: a name that becomes known late is found soon, and addresses that come and go are followed."""

import asyncio

import grpc
import pytest
from dbmazz.calling import open_channel
from dbmazz.config import Settings
from dbmazz.renewing import RenewedChannel
from dbmazz.serving import Server
from dbmazz.v1 import load_pb2, loader_pb2, loader_pb2_grpc

SETTINGS = Settings(listen="127.0.0.1:0")
REQUEST = loader_pb2.LoaderServiceGetStatusRequest()
DEADLINE_S = 20.0
NOWHERE = "dns:///no-such-host.invalid:1"


async def answered(stub, pause_s: float = 0.05):
    """Asks until there is an answer."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                return await stub.GetStatus(REQUEST, timeout=2)
            except grpc.aio.AioRpcError as error:
                assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
            await asyncio.sleep(pause_s)


@pytest.mark.parametrize(
    ("address", "renewed"),
    [
        ("reader:50051", True),
        ("localhost:1", True),
        ("127.0.0.1:1", False),
        ("[::1]:1", False),
        ("unix:///run/x", False),
    ],
)
async def test_only_names_need_it(address: str, renewed: bool) -> None:
    async with open_channel(address, SETTINGS) as channel:
        assert isinstance(channel, RenewedChannel) == renewed


async def test_lists_of_replicas_are_no_names() -> None:
    async with open_channel("127.0.0.1:1,127.0.0.1:2", SETTINGS, round_robin=True) as channel:
        assert not isinstance(channel, RenewedChannel)
    async with open_channel("loader:50053", SETTINGS, round_robin=True) as channel:
        assert isinstance(channel, RenewedChannel)


async def test_a_name_that_becomes_known_is_found_although_grpc_would_still_wait(serve) -> None:
    """The first three channels ask for a name that nobody knows, the next is the peer that has come."""
    async with serve(SETTINGS) as running:
        targets = iter([NOWHERE, NOWHERE, NOWHERE])
        dialled: list[str] = []

        def dial() -> grpc.aio.Channel:
            dialled.append(next(targets, running.address))
            return grpc.aio.insecure_channel(dialled[-1])

        async with RenewedChannel(dial, renew_s=0.1) as channel:
            await answered(loader_pb2_grpc.LoaderServiceStub(channel))
            assert dialled == [NOWHERE, NOWHERE, NOWHERE, running.address]
            # One that works is kept.
            for _ in range(3):
                await answered(loader_pb2_grpc.LoaderServiceStub(channel))
            assert len(dialled) == 4


async def test_who_only_watches_the_connection_gets_there_too(serve) -> None:
    async with serve(SETTINGS) as running:
        targets = iter([NOWHERE, NOWHERE])
        channel = RenewedChannel(lambda: grpc.aio.insecure_channel(next(targets, running.address)), renew_s=0.1)
        async with channel, asyncio.timeout(DEADLINE_S):
            await channel.channel_ready()
            assert channel.get_state() is grpc.ChannelConnectivity.READY


async def test_calls_that_run_together_are_not_cut_by_a_look_at_the_channel(serve) -> None:
    async with (
        serve(SETTINGS) as running,
        RenewedChannel(lambda: grpc.aio.insecure_channel(running.address), renew_s=0.0) as channel,
    ):
        stub = loader_pb2_grpc.LoaderServiceStub(channel)
        answers = await asyncio.gather(*(stub.Load(load_pb2.LoadRequest(label=str(n))) for n in range(20)))
        assert [answer.message for answer in answers] == [str(n) for n in range(20)]


async def test_a_connection_of_age_is_renewed_without_a_call_failing() -> None:
    """So that clients ask DNS again, and find replicas that were added."""

    class Peers(loader_pb2_grpc.LoaderServiceServicer):
        def __init__(self) -> None:
            self.peers: set[str] = set()

        async def GetStatus(self, request, context):
            self.peers.add(context.peer())
            return loader_pb2.LoaderServiceGetStatusResponse()

    servicer = Peers()
    server = Server("loader", SETTINGS, connection_age_s=0.2)
    server.add(loader_pb2_grpc.add_LoaderServiceServicer_to_server, servicer, "dbmazz.v1.LoaderService")
    address = await server.start()
    try:
        async with (
            open_channel(f"dns:///{address}", SETTINGS, round_robin=True) as channel,
            asyncio.timeout(DEADLINE_S),
        ):
            stub = loader_pb2_grpc.LoaderServiceStub(channel)
            while len(servicer.peers) < 3:
                await stub.GetStatus(REQUEST, timeout=5)
    finally:
        await server.stop(0)
