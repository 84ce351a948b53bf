"""Typed errors over a real call: code, message, ErrorInfo, and errors of others."""

import grpc
import pytest
from dbmazz import errors
from dbmazz.calling import open_channel
from dbmazz.config import Settings
from dbmazz.errors import ConfigError, ConfigErrors, DbmazzError, TargetError, TargetUnavailable, abort, reason_of
from dbmazz.v1 import load_pb2, loader_pb2_grpc
from google.protobuf.any_pb2 import Any
from google.rpc import error_details_pb2, status_pb2

SETTINGS = Settings(listen="127.0.0.1:0")


async def error_of_a_call(serve, refuse) -> grpc.aio.AioRpcError:
    async with serve(SETTINGS) as running, open_channel(running.address, SETTINGS) as channel:
        running.servicer.refuse = refuse
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await loader_pb2_grpc.LoaderServiceStub(channel).Load(load_pb2.LoadRequest(), timeout=10)
        return caught.value


def status_of(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    (value,) = (value for key, value in error.trailing_metadata() if key == "grpc-status-details-bin")
    return status_pb2.Status.FromString(value)


async def test_reason_message_code_and_metadata_arrive(serve):
    async def refuse(context):
        await abort(
            context,
            grpc.StatusCode.FAILED_PRECONDITION,
            errors.EPOCH_FENCED,
            "epoch 7 is closed",
            slot="orders",
            epoch="7",
        )

    error = await error_of_a_call(serve, refuse)
    assert (error.code(), error.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "epoch 7 is closed")
    assert reason_of(error) == "EPOCH_FENCED"
    status = status_of(error)
    assert (status.code, status.message) == (9, "epoch 7 is closed")
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.domain, dict(info.metadata)) == ("dbmazz", {"slot": "orders", "epoch": "7"})


async def test_errors_of_others_have_no_reason(serve):
    async def plain(context):
        await context.abort(grpc.StatusCode.INTERNAL, "no details")

    async def crash(context):
        raise RuntimeError("a defect")

    async def garbage(context):
        await context.abort(
            grpc.StatusCode.INTERNAL, "garbage", trailing_metadata=(("grpc-status-details-bin", b"\xff\xff\xff"),)
        )

    async def garbage_inside(context):
        detail = Any(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff\xff\xff")
        value = status_pb2.Status(code=13, details=[detail]).SerializeToString()
        await context.abort(
            grpc.StatusCode.INTERNAL, "garbage", trailing_metadata=(("grpc-status-details-bin", value),)
        )

    async def other_domain(context):
        detail = Any()
        detail.Pack(error_details_pb2.ErrorInfo(reason="EPOCH_FENCED", domain="example.com"))
        value = status_pb2.Status(code=13, details=[detail]).SerializeToString()
        await context.abort(grpc.StatusCode.INTERNAL, "theirs", trailing_metadata=(("grpc-status-details-bin", value),))

    for refuse in (plain, crash, garbage, garbage_inside, other_domain):
        assert reason_of(await error_of_a_call(serve, refuse)) == "", refuse.__name__


async def test_a_peer_that_is_away_has_no_reason(unused_tcp_port: int):
    async with open_channel(f"127.0.0.1:{unused_tcp_port}", SETTINGS) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await loader_pb2_grpc.LoaderServiceStub(channel).Load(load_pb2.LoadRequest(), timeout=10)
    assert (caught.value.code(), reason_of(caught.value)) == (grpc.StatusCode.UNAVAILABLE, "")


def test_an_error_is_one_line_with_the_way_out():
    assert str(DbmazzError("it is broken", "Repair it")) == "it is broken. Repair it"
    assert str(DbmazzError("it is broken")) == "it is broken"
    assert (ConfigError("x").exit_code, DbmazzError("x").exit_code) == (2, 1)
    assert isinstance(TargetUnavailable("x"), TargetError)
    assert (TargetUnavailable("x").retriable, TargetError("x").retriable) == (True, False)


def test_every_kind_of_error_has_a_reason_of_its_own():
    kinds, reasons = [DbmazzError], []
    while kinds:
        kind = kinds.pop()
        # Several mistakes of one kind are of that kind.
        if kind.__module__ == "dbmazz.errors" and kind is not ConfigErrors:
            reasons.append(kind.reason)
            kinds.extend(kind.__subclasses__())
    assert len(reasons) == len(set(reasons)) > 5
