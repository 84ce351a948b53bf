"""`python -m dbmazz.probe ADDRESS`: does a service answer, and is it ready? For the health checks of containers.

ADDRESS is host:port of a gRPC service (asked by grpc.health.v1), http://host:port/path (200 means ready) or
tcp://host:port (something listens). TLS as the service itself: GRPC_TLS_CA and the like. Exit codes: 0 ready, 1 not, 2 the
address or a setting is none.
"""

from __future__ import annotations

import asyncio
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from urllib.parse import urlsplit

# Less than the health checks' own time-out, so that they hear why.
DEADLINE_S = 3.0


class NoAddress(Exception):
    """Not an address, or not a setting: one line."""


async def trouble(address: str, deadline_s: float = DEADLINE_S) -> str:
    """Why the address is not ready; empty when it is. NoAddress when it is none, or a setting is wrong."""
    scheme, separator, _ = address.partition("://")
    if not separator:
        return await _grpc(address, deadline_s)
    if scheme == "tcp":
        return await _tcp(address, deadline_s)
    if scheme == "http":
        return await asyncio.to_thread(_http, address, deadline_s)
    raise _no_address(address)


async def _grpc(address: str, deadline_s: float) -> str:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise _no_address(address)
    # Only here: the other probes do without gRPC, and importing it is most of what a probe costs.
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    from dbmazz.calling import open_channel
    from dbmazz.config import load_settings
    from dbmazz.errors import ConfigError

    try:
        settings = load_settings()
    except ConfigError as error:
        raise NoAddress(str(error)) from None
    async with open_channel(address, settings) as channel:
        try:
            request = health_pb2.HealthCheckRequest()
            answer = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=deadline_s, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            return error.code().name
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return "" if status == "SERVING" else status


async def _tcp(address: str, deadline_s: float) -> str:
    parts = urlsplit(address)
    try:
        if not parts.hostname or not parts.port:
            raise _no_address(address)
        async with asyncio.timeout(deadline_s):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port)
    except ValueError:
        raise _no_address(address) from None
    except TimeoutError:
        return f"no answer within {deadline_s:g} s"
    except OSError as error:
        # asyncio puts the address where the reason should be.
        return os.strerror(error.errno) if error.errno else type(error).__name__
    writer.close()
    return ""


def _http(address: str, deadline_s: float) -> str:
    try:
        if not urlsplit(address).hostname:
            raise _no_address(address)
        # Not through a proxy that the environment names: this is about a neighbour.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(address, timeout=deadline_s):
            return ""
    except urllib.error.HTTPError as error:
        error.close()
        return f"HTTP status {error.code}"
    except urllib.error.URLError as error:
        return str(error.reason)
    except OSError as error:
        return error.strerror or str(error) or type(error).__name__
    except ValueError:
        raise _no_address(address) from None


def _no_address(address: str) -> NoAddress:
    return NoAddress(f"{address!r} is not an address. It takes host:port, http://host:port/path or tcp://host:port")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code; says on stderr what is wrong."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if len(arguments) != 1:
            raise NoAddress("dbmazz.probe takes one address, like python -m dbmazz.probe 127.0.0.1:50051")
        found = asyncio.run(trouble(arguments[0]))
    except NoAddress as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if found:
        sys.stderr.write(f"{arguments[0]} is not ready: {found}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
