"""Errors that name the thing and the way out, and how they travel over gRPC.

Kinds are assigned where the peer's answer is seen (SQLSTATE, HTTP status, gRPC code), never by reading texts later on.
"""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

DOMAIN = "dbmazz"
_STATUS_KEY = "grpc-status-details-bin"

# Machine-readable reasons, the `reason` of google.rpc.ErrorInfo.
EPOCH_FENCED = "EPOCH_FENCED"
BAD_REQUEST = "BAD_REQUEST"
NOT_READY = "NOT_READY"
NOT_FOUND = "NOT_FOUND"
# The checkpoint's stored position belongs to another PostgreSQL cluster; only a person can say which one is meant.
SYSTEM_IDENTIFIER_MISMATCH = "SYSTEM_IDENTIFIER_MISMATCH"
STORE_UNAVAILABLE = "STORE_UNAVAILABLE"


class DbmazzError(Exception):
    """One line for a person: what is wrong and, after it, the way out. Never holds row values or secrets."""

    reason = "INTERNAL"
    # True when the same attempt can succeed later without anybody doing anything about it here.
    retriable = False
    exit_code = 1

    def __init__(self, message: str, way_out: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.way_out = way_out

    def __str__(self) -> str:
        return f"{self.message}. {self.way_out}" if self.way_out else self.message


class ConfigError(DbmazzError):
    """A setting is missing, unknown or out of range."""

    reason = "BAD_CONFIG"
    exit_code = 2


class ConfigErrors(ConfigError):
    """Several mistakes in the settings; its text has a line for each."""

    reason = "BAD_CONFIGS"

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        super().__init__("\n".join(str(error) for error in errors))
        self.errors = tuple(errors)


class WireError(DbmazzError):
    """A peer sent what the protocol does not allow."""

    reason = "BAD_WIRE"


class FencedError(DbmazzError):
    """A newer reader has taken over; what this one still does is no longer wanted."""

    reason = EPOCH_FENCED


class SourceError(DbmazzError):
    """PostgreSQL refuses, and only a person can change that."""

    reason = "SOURCE"


class SourceUnavailable(SourceError):
    """PostgreSQL is not there, or not now."""

    reason = "SOURCE_UNAVAILABLE"
    retriable = True


class TargetError(DbmazzError):
    """StarRocks refuses."""

    reason = "TARGET"


class TargetUnavailable(TargetError):
    """StarRocks is not there, or not now."""

    reason = "TARGET_UNAVAILABLE"
    retriable = True


def error_details(reason: str, message: str, code: int, **metadata: str) -> tuple[tuple[str, bytes], ...]:
    """Trailing metadata that carries a google.rpc.Status with an ErrorInfo; `code` is a google.rpc.Code number."""
    detail = Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata))
    status = status_pb2.Status(code=code, message=message, details=[detail])
    return ((_STATUS_KEY, status.SerializeToString()),)


async def abort(context: grpc.aio.ServicerContext, code: grpc.StatusCode, reason: str, message: str, **metadata: str):
    """Ends an RPC with a typed error; does not return."""
    trailing = error_details(reason, message, code.value[0], **metadata)
    await context.abort(code, message, trailing_metadata=trailing)


def reason_of(error: grpc.RpcError) -> str:
    """The ErrorInfo reason that a peer of the ring sent, or "" when the error is not one of ours."""
    for key, value in error.trailing_metadata() or ():
        if key == _STATUS_KEY:
            return _reason_in(value)
    return ""


def _reason_in(serialized_status: bytes) -> str:
    try:
        status = status_pb2.Status.FromString(serialized_status)
        for detail in status.details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info) and info.domain == DOMAIN:
                return info.reason
    except DecodeError:  # a proxy's, or some other server's on our port
        return ""
    return ""
