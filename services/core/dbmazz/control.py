"""Who may control a service: whoever knows CONTROL_TOKEN, or, where none is set, whoever calls from the same machine.

The token travels as the metadata `authorization: Bearer <token>`. It is compared in constant time, and appears in no log,
status or error.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import unquote

import grpc
import structlog

from dbmazz.errors import ConfigError, abort

# Reasons of a refusal, as google.rpc.ErrorInfo has them.
CONTROL_UNAUTHENTICATED = "CONTROL_UNAUTHENTICATED"
CONTROL_NOT_LOCAL = "CONTROL_NOT_LOCAL"

_METADATA = "authorization"
_BEARER = re.compile(r"bearer +(\S+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a caller may not: a gRPC status, a reason for programs, and one line with the way out."""

    code: grpc.StatusCode
    reason: str
    message: str


def decide(token: str, authorization: Iterable[str | bytes], peer: str) -> Refusal | None:
    """None when the caller may. `authorization`: all values of that metadata; `peer` as grpc gives it (`ipv4:1.2.3.4:5`)."""
    if not token:
        if is_loopback_peer(peer):
            return None
        return Refusal(
            grpc.StatusCode.PERMISSION_DENIED,
            CONTROL_NOT_LOCAL,
            "control calls are taken from the service's own machine only, because it has no CONTROL_TOKEN. Set CONTROL_TOKEN"
            " there and for the caller, or call from that machine",
        )
    given = list(authorization)
    if not given:
        return _unauthenticated("control calls need the token of the service")
    match = _BEARER.fullmatch(given[0]) if len(given) == 1 and isinstance(given[0], str) else None
    if match is None:
        return _unauthenticated("the metadata `authorization` is not a bearer token")
    if not hmac.compare_digest(match[1].encode(), token.encode()):
        return _unauthenticated("the token is not that of the service")
    return None


def is_loopback_peer(peer: str) -> bool:
    """True for a caller on this machine: `ipv4:127.0.0.1:50000`, `ipv6:%5B::1%5D:50000`. False for all that is not clear."""
    scheme, _, rest = unquote(peer).partition(":")
    if scheme not in ("ipv4", "ipv6"):
        return False
    try:
        address: IPv4Address | IPv6Address = ip_address(rest.rpartition(":")[0].strip("[]"))
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


class ControlGuard:
    """Stands before the control RPCs of one service."""

    def __init__(self, service: str, token: str) -> None:
        self._token = token
        self._log = structlog.get_logger(f"dbmazz.{service}")

    async def admit(self, context: grpc.aio.ServicerContext, call: str) -> None:
        """To be awaited before anything else; ends the RPC when the caller may not. `call` is its name, for the log."""
        metadata = context.invocation_metadata() or ()
        given = [value for key, value in metadata if key == _METADATA]
        refusal = decide(self._token, given, context.peer())
        if refusal is not None:
            self._log.warning("control_refused", call=call, peer=context.peer(), reason=refusal.reason)
            await abort(context, refusal.code, refusal.reason, refusal.message)
        self._log.info("control_called", call=call, peer=context.peer())


def bearer(token: str, address: str, *, protected: bool) -> tuple[tuple[str, str], ...]:
    """Metadata of a control call to host:port; () without a token. ConfigError when it would leave this machine unprotected.

    `protected`: the call is encrypted, or plaintext was asked for by name.
    """
    if not token:
        return ()
    if not protected and not _is_here(address.rpartition(":")[0]):
        raise ConfigError(
            f"CONTROL_TOKEN would travel to {address} in plaintext",
            "Set GRPC_TLS_CA, or GRPC_ALLOW_PLAINTEXT=true on a network you trust",
        )
    return ((_METADATA, f"Bearer {token}"),)


def _is_here(host: str) -> bool:
    return host == "localhost" or is_loopback_peer(f"ipv6:{host}:0")


def _unauthenticated(problem: str) -> Refusal:
    return Refusal(
        grpc.StatusCode.UNAUTHENTICATED,
        CONTROL_UNAUTHENTICATED,
        f"{problem}. Set CONTROL_TOKEN to the same as there, or send the metadata `authorization: Bearer <CONTROL_TOKEN>`",
    )
