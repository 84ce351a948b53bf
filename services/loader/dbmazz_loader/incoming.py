"""Load as it comes over gRPC, with its body left where gRPC has put it.

A `bytes` field of a parsed message is copied out of the wire bytes once by the parser and again by each access; gRPC keeps
the wire bytes all the while. For a body of 64 MB that is 128 MB more than needed, so it is sliced out before parsing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import grpc
from dbmazz.v1 import load_pb2, loader_pb2_grpc

_BODY_TAG = load_pb2.LoadRequest.DESCRIPTOR.fields_by_name["body"].number << 3 | 2
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class IncomingLoad:
    """A LoadRequest whose `body` is empty, and its body."""

    message: load_pb2.LoadRequest
    body: memoryview

    @classmethod
    def parse(cls, wire: bytes) -> IncomingLoad:
        """Raises google.protobuf.message.DecodeError for what is no LoadRequest, as the generated parser does."""
        start, end, tag_at = _find_body(wire)
        view = memoryview(wire)
        message = load_pb2.LoadRequest.FromString(b"".join((view[:tag_at], view[end:])))
        # Of a field that comes twice the last one counts.
        return cls(message, memoryview(message.body) if message.body else view[start:end])


def _find_body(wire: bytes) -> tuple[int, int, int]:
    """Start, end and tag position of the first body field; three times the length when there is none. Fields come in the
    order of their numbers, so only the few before it are walked over."""
    position, total = 0, len(wire)
    nothing = (total, total, total)
    while position < total:
        tag_at = position
        tag, position = _varint(wire, position)
        kind = tag & 7
        if kind == _LENGTH:
            size, position = _varint(wire, position)
            if tag == _BODY_TAG:
                return (position, position + size, tag_at) if position + size <= total else nothing
            position += size
        elif kind == _VARINT:
            _, position = _varint(wire, position)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            position += 8 if kind == _EIGHT_BYTES else 4
        else:
            return nothing
    return nothing


def _varint(wire: bytes, position: int) -> tuple[int, int]:
    """Value and position behind it; beyond the end when it is cut off or too long, for the parser to refuse."""
    value = shift = 0
    for byte in wire[position : position + 10]:
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return value, position
        shift += 7
    return value, len(wire) + 1


def add_service(servicer: loader_pb2_grpc.LoaderServiceServicer, server: grpc.aio.Server) -> None:
    """As the generated add_LoaderServiceServicer_to_server, except that Load is given an IncomingLoad."""
    load: Callable[..., object] = servicer.Load
    handler = grpc.unary_unary_rpc_method_handler(
        load, request_deserializer=IncomingLoad.parse, response_serializer=load_pb2.LoadResponse.SerializeToString
    )
    loader_pb2_grpc.add_LoaderServiceServicer_to_server(servicer, server)
    # Registering a method again replaces its handler.
    server.add_registered_method_handlers("dbmazz.v1.LoaderService", {"Load": handler})
