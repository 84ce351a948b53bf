"""Channels to the other services of the ring."""

from __future__ import annotations

import json
from ipaddress import ip_address

import grpc

from dbmazz.config import Settings
from dbmazz.renewing import RenewedChannel
from dbmazz.serving import channel_options, compression_of, read_pem

# Enough for any answer that needs no work at the far end.
QUICK_S = 10.0

_ROUND_ROBIN = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})


def open_channel(address: str, settings: Settings, *, round_robin: bool = False) -> grpc.aio.Channel:
    """A channel to host:port, or to all addresses of a DNS name when `round_robin`.

    Connecting is lazy and goes on by itself, also when a name is not known for a while; every call still needs its own
    deadline.
    """
    options: list[tuple[str, int | str]] = [
        *channel_options(settings),
        # A peer that restarts is back within seconds: the library's default would wait up to 120 s between attempts.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
    ]
    target = address
    if round_robin:
        options.append(("grpc.service_config", _ROUND_ROBIN))
        options.append(("grpc.dns_min_time_between_resolutions_ms", 1_000))
        target = address if "://" in address or ":///" in address else _list_or_dns(address)
    credentials = _channel_credentials(settings) if settings.grpc_tls_ca else None

    def dial() -> grpc.aio.Channel:
        compression = compression_of(settings)
        if credentials is not None:
            return grpc.aio.secure_channel(target, credentials, options=options, compression=compression)
        return grpc.aio.insecure_channel(target, options=options, compression=compression)

    return RenewedChannel(dial) if _asks_dns(target) else dial()


def _asks_dns(target: str) -> bool:
    """True for a target with a name in it; numbers, lists of them and sockets are looked up nowhere."""
    scheme, separator, rest = target.partition(":///")
    if separator and scheme != "dns":
        return False
    if target.startswith(("ipv4:", "ipv6:", "unix:")):
        return False
    host = (rest if separator else target).rpartition(":")[0].strip("[]")
    try:
        ip_address(host)
    except ValueError:
        return True
    return False


def _list_or_dns(address: str) -> str:
    """`a:1,b:2` is a fixed list of replicas (ipv4 scheme); a single name is asked of DNS."""
    return f"ipv4:{address}" if "," in address else f"dns:///{address}"


def _channel_credentials(settings: Settings) -> grpc.ChannelCredentials:
    authority = read_pem(settings.grpc_tls_ca, "GRPC_TLS_CA")
    if settings.grpc_tls_cert:
        key, chain = (
            read_pem(settings.grpc_tls_key, "GRPC_TLS_KEY"),
            read_pem(settings.grpc_tls_cert, "GRPC_TLS_CERT"),
        )
        return grpc.ssl_channel_credentials(authority, key, chain)
    return grpc.ssl_channel_credentials(authority)
