"""Who may control a service: by token, or from the same machine where there is none."""

from __future__ import annotations

import grpc
import pytest
import structlog
from dbmazz import control
from dbmazz.calling import open_channel
from dbmazz.config import Settings, load_settings
from dbmazz.errors import ConfigError, reason_of
from dbmazz.serving import Server
from dbmazz.v1 import reader_pb2, reader_pb2_grpc

TOKEN = "correct-horse-battery"
DEADLINE_S = 10.0
LOCAL, REMOTE = "ipv4:127.0.0.1:50000", "ipv4:10.1.2.3:50000"


@pytest.mark.parametrize(
    "peer",
    [LOCAL, "ipv4:127.8.9.10:1", "ipv6:%5B::1%5D:50000", "ipv6:[::1]:50000", "ipv6:%5B::ffff:127.0.0.1%5D:50000"],
)
def test_peers_on_this_machine(peer):
    assert control.is_loopback_peer(peer)
    assert control.decide("", (), peer) is None


@pytest.mark.parametrize(
    "peer",
    [REMOTE, "ipv6:%5B2001:db8::1%5D:50000", "ipv6:%5B::ffff:10.0.0.1%5D:5", "unix:", "", "ipv4:localhost:5", "ipv4:0.0.0.0:5"],
)  # fmt: skip
def test_peers_elsewhere_or_unclear(peer):
    assert not control.is_loopback_peer(peer)
    refusal = control.decide("", (), peer)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, control.CONTROL_NOT_LOCAL)
    assert "Set CONTROL_TOKEN there" in refusal.message


def test_without_a_token_what_is_sent_does_not_open_the_door():
    assert control.decide("", (f"Bearer {TOKEN}",), REMOTE) is not None
    assert control.decide("", ("Bearer ",), REMOTE) is not None


@pytest.mark.parametrize("peer", [LOCAL, REMOTE])
@pytest.mark.parametrize("given", [f"Bearer {TOKEN}", f"bearer  {TOKEN}", f"BEARER {TOKEN}"])
def test_the_token_opens_it_from_anywhere(peer, given):
    assert control.decide(TOKEN, (given,), peer) is None


@pytest.mark.parametrize(
    "given",
    [
        (),
        ("",),
        (TOKEN,),
        (f"Basic {TOKEN}",),
        ("Bearer",),
        ("Bearer ",),
        (f"Bearer {TOKEN}x",),
        (f"Bearer {TOKEN[:-1]}",),
        (f"Bearer {TOKEN} ",),
        (f"Bearer {TOKEN.upper()}",),
        (f"Bearer {TOKEN}", f"Bearer {TOKEN}"),
        (f"Bearer {TOKEN}".encode(),),
        ("Bearer \u00fc",),
    ],
)
def test_anything_else_does_not_even_from_this_machine(given):
    refusal = control.decide(TOKEN, given, LOCAL)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, control.CONTROL_UNAUTHENTICATED)
    assert "Set CONTROL_TOKEN" in refusal.message
    assert TOKEN not in refusal.message


@pytest.mark.parametrize(
    "token", ["short", "x" * 15, "with space in it here", "x" * 257, "\u00fcmlaut-umlaut-umlaut", "tab\t" + "x" * 20]
)
def test_tokens_that_are_none_are_named_and_not_shown(tmp_path, token):  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        load_settings({"CONTROL_TOKEN": token}, tmp_path)
    assert str(caught.value).startswith(
        "CONTROL_TOKEN=*** in the environment is not valid. It takes nothing, or 16 to 256 "
    )
    assert token not in str(caught.value)


def test_a_token_is_read_and_shown_as_set(tmp_path):
    settings = load_settings({"CONTROL_TOKEN": TOKEN}, tmp_path)
    assert settings.control_token == TOKEN
    assert settings.shown()["CONTROL_TOKEN"] == "***"
    assert Settings().shown()["CONTROL_TOKEN"] == ""


@pytest.mark.parametrize("address", ["127.0.0.1:50051", "localhost:50051", "[::1]:50051"])
def test_the_token_stays_on_this_machine_without_encryption(address):
    assert control.bearer(TOKEN, address, protected=False) == (("authorization", f"Bearer {TOKEN}"),)


def test_the_token_does_not_travel_unprotected():
    with pytest.raises(ConfigError, match=r"CONTROL_TOKEN would travel to reader:50051 in plaintext\. Set GRPC_TLS_CA"):
        control.bearer(TOKEN, "reader:50051", protected=False)
    assert control.bearer(TOKEN, "reader:50051", protected=True)
    assert control.bearer("", "reader:50051", protected=False) == ()


class Guarded(reader_pb2_grpc.ReaderServiceServicer):
    def __init__(self, token: str) -> None:
        self.calls = 0
        self._guard = control.ControlGuard("reader", token)

    async def Resume(self, request, context):
        await self._guard.admit(context, "Resume")
        self.calls += 1
        return reader_pb2.ResumeResponse()


@pytest.mark.parametrize(
    ("token", "metadata", "admitted"),
    [("", (), True), (TOKEN, (), False), (TOKEN, (("authorization", f"Bearer {TOKEN}"),), True),
     (TOKEN, (("authorization", "Bearer wrong-wrong-wrong"),), False)],
)  # fmt: skip
async def test_over_the_wire_and_never_in_the_log(token, metadata, admitted):
    settings = Settings(listen="127.0.0.1:0", control_token=token)
    with structlog.testing.capture_logs() as logs:
        servicer, server = Guarded(token), Server("reader", settings)
        server.add(reader_pb2_grpc.add_ReaderServiceServicer_to_server, servicer, "dbmazz.v1.ReaderService")
        address = await server.start()
        try:
            async with open_channel(address, settings) as channel:
                call = reader_pb2_grpc.ReaderServiceStub(channel).Resume(
                    reader_pb2.ResumeRequest(), timeout=DEADLINE_S, metadata=metadata
                )
                if admitted:
                    await call
                else:
                    with pytest.raises(grpc.aio.AioRpcError) as caught:
                        await call
                    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
                    assert reason_of(caught.value) == control.CONTROL_UNAUTHENTICATED
                    assert TOKEN not in caught.value.details()
        finally:
            await server.stop(0.1)
    assert servicer.calls == int(admitted)
    assert [entry["event"] for entry in logs] == ["control_called" if admitted else "control_refused"]
    assert logs[0]["call"] == "Resume" and logs[0]["peer"].startswith("ipv4:127.0.0.1:")
    assert TOKEN not in str(logs) and "wrong-wrong" not in str(logs)
