"""One control call to the reader, and what its refusal means for the caller: one line and an exit code."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import click
import grpc
from dbmazz.calling import open_channel
from dbmazz.config import Settings, load_settings
from dbmazz.control import bearer
from dbmazz.errors import ConfigError, DbmazzError, reason_of
from dbmazz.printable import printable
from dbmazz.v1 import reader_pb2_grpc
from google.protobuf.json_format import MessageToDict

# For calls that need no more than a look at the slot.
QUICK_S = 15.0
# What the caller got wrong; exit code 2, as for settings.
_OURS = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


def control(name: str, request: Any, *, deadline_s: float = QUICK_S) -> Any:
    """The answer of READER_ADDRESS to ReaderService/`name`; DbmazzError with one line when there is none."""
    return asyncio.run(call(load_settings(), name, request, deadline_s))


async def call(settings: Settings, name: str, request: Any, deadline_s: float) -> Any:
    """The same with given settings."""
    address = settings.reader_address
    if "," in address:
        raise ConfigError("READER_ADDRESS names several readers", "A control command goes to one: host:port")
    protected = bool(settings.grpc_tls_ca) or settings.grpc_allow_plaintext
    metadata = bearer(settings.control_token, address, protected=protected)
    async with open_channel(address, settings) as channel:
        method = getattr(reader_pb2_grpc.ReaderServiceStub(channel), name)
        try:
            return await method(request, timeout=deadline_s, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise _failure(error, address, deadline_s) from None


def show(answer: Any, lines: Callable[[Any], list[str]], *, as_json: bool) -> None:
    """One JSON object in protobuf's form with proto field names, or lines for people."""
    if as_json:
        document = MessageToDict(answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
        click.echo(json.dumps(document))
    else:
        click.echo("\n".join(printable(line) for line in lines(answer)))


def _failure(error: grpc.aio.AioRpcError, address: str, deadline_s: float) -> DbmazzError:
    code, details = error.code(), error.details() or ""
    # A reader that answers says more than the library, which says so where nobody does.
    if code is grpc.StatusCode.UNAVAILABLE and not _from_reader(error):
        return DbmazzError(
            f"nothing answers at READER_ADDRESS={address}", "Is the reader running, and the address right?"
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DbmazzError(f"the reader at {address} has not answered within {deadline_s:g} s", "Ask `dbmazz status`")
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return DbmazzError(
            f"what answers at READER_ADDRESS={address} is no reader of this version", "Correct READER_ADDRESS"
        )
    kind = ConfigError if code in _OURS else DbmazzError
    if _from_reader(error):
        return kind(details.rstrip("."))
    return kind(f"the reader at {address} refuses: {code.name}: {details}")


def _from_reader(error: grpc.aio.AioRpcError) -> bool:
    return bool(reason_of(error))
