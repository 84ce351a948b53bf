"""A gRPC server with health, reflection, limits and TLS, the same for every service."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from dbmazz.config import Settings
from dbmazz.describing import enable_reflection
from dbmazz.errors import ConfigError
from dbmazz.parsing import ParsingInterceptor
from dbmazz.readings import Reading

if TYPE_CHECKING:
    from dbmazz.exposing import Endpoint

PORTS = {"reader": 50051, "transformer": 50052, "loader": 50053, "checkpoint": 50054}


def channel_options(settings: Settings) -> list[tuple[str, int]]:
    """Message sizes and keepalive, for both ends: a dead peer is noticed within 15 s on an otherwise silent stream."""
    return [
        ("grpc.max_receive_message_length", settings.grpc_max_message_bytes),
        ("grpc.max_send_message_length", settings.grpc_max_message_bytes),
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ]


def compression_of(settings: Settings) -> grpc.Compression:
    """For what this side sends; gRPC always understands both."""
    return grpc.Compression.Gzip if settings.grpc_compression == "gzip" else grpc.Compression.NoCompression


class Server:
    """One service on one address; `health` follows the readiness that the service reports."""

    def __init__(self, service: str, settings: Settings, *, connection_age_s: float = 0.0) -> None:
        """`connection_age_s`: how long a connection is used before its client is asked, politely, to make another (0: for
        ever). Calls that run are not disturbed. gRPC asks DNS again only when a connection ends, so this is how clients that
        spread their calls over all replicas of a name learn of new ones."""
        self._service = service
        self._settings = settings
        self._health = health.aio.HealthServicer()
        self._full_name = ""
        # SO_REUSEPORT is off: two services on one port by mistake must be an error, not a lottery.
        options: list[tuple[str, int]] = [*channel_options(settings), ("grpc.so_reuseport", 0)]
        if connection_age_s:
            options.append(("grpc.max_connection_age_ms", round(connection_age_s * 1000)))
        self.server = grpc.aio.server(
            interceptors=(ParsingInterceptor(),), options=options, compression=compression_of(settings)
        )
        self.address = ""
        self._measure: Callable[[], Iterable[Reading]] | None = None
        self._metrics: Endpoint | None = None

    def measure(self, readings: Callable[[], Iterable[Reading]]) -> None:
        """What METRICS_PORT shows; asked at every scrape, in the event loop. To be called before `start`."""
        self._measure = readings

    def add(self, register: Callable[[object, grpc.aio.Server], None], servicer: object, full_name: str) -> None:
        """Registers the servicer, e.g. (add_ReaderServiceServicer_to_server, servicer, "dbmazz.v1.ReaderService")."""
        register(servicer, self.server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.server)
        names = (full_name, health.SERVICE_NAME, reflection.SERVICE_NAME)
        enable_reflection(names, self.server)
        self._full_name = full_name

    async def start(self) -> str:
        """Binds and serves; returns host:port with the port that was taken. ConfigError when the address is not free."""
        wanted = self._settings.listen or f"127.0.0.1:{PORTS[self._service]}"
        host, _, port = wanted.rpartition(":")
        if not host or not port.isdigit():
            raise ConfigError(f"LISTEN={wanted} is not an address", "It takes host:port, like 0.0.0.0:50051")
        try:
            bound = self._bind(wanted)
        except RuntimeError:
            bound = 0
        if not bound:
            raise ConfigError(
                f"the {self._service} cannot bind {wanted}",
                "Another process has it? Set LISTEN, or use --ports auto",
            )
        if self._settings.metrics_port and self._measure is not None:
            # Here and not above: who does not ask for metrics does not pay for loading the library.
            from dbmazz.exposing import Endpoint

            self._metrics = Endpoint(self._service, host, self._settings.metrics_port, self._measure)
        await self.server.start()
        self.address = f"{host}:{bound}"
        await self.set_ready(False)
        return self.address

    def _bind(self, wanted: str) -> int:
        settings = self._settings
        if settings.grpc_tls_cert:
            return self.server.add_secure_port(wanted, _server_credentials(settings))
        if settings.grpc_tls_key:
            raise ConfigError("GRPC_TLS_KEY is set and GRPC_TLS_CERT is not", "TLS needs both")
        if not is_loopback(wanted.rpartition(":")[0]) and not settings.grpc_allow_plaintext:
            raise ConfigError(
                f"LISTEN={wanted} is not loopback and GRPC_TLS_CERT is not set",
                "Set GRPC_TLS_CERT and GRPC_TLS_KEY, or GRPC_ALLOW_PLAINTEXT=true on a network you trust",
            )
        return self.server.add_insecure_port(wanted)

    async def set_ready(self, ready: bool) -> None:
        """What grpc.health.v1 answers, for the server as a whole and for the service by name."""
        serving = health_pb2.HealthCheckResponse
        state = serving.SERVING if ready else serving.NOT_SERVING
        await self._health.set("", state)
        await self._health.set(self._full_name, state)

    async def stop(self, grace_s: float = 2.0) -> None:
        """Refuses new calls, gives running ones `grace_s`, then cancels them."""
        if self._metrics is not None:
            self._metrics.close()
            self._metrics = None
        await self._health.enter_graceful_shutdown()
        await self.server.stop(grace_s)


def is_loopback(host: str) -> bool:
    """True for an address that only this machine reaches; of names only for localhost."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _server_credentials(settings: Settings) -> grpc.ServerCredentials:
    settings.require("grpc_tls_key")
    pair = (
        read_pem(settings.grpc_tls_key, "GRPC_TLS_KEY"),
        read_pem(settings.grpc_tls_cert, "GRPC_TLS_CERT"),
    )
    authority = read_pem(settings.grpc_tls_ca, "GRPC_TLS_CA") if settings.grpc_tls_ca else None
    check_pair(settings)
    return grpc.ssl_server_credentials([pair], authority, require_client_auth=authority is not None)


def check_pair(settings: Settings) -> None:
    """ConfigError when key and certificate do not belong together: gRPC would only say that it cannot bind."""
    try:
        # The empty passphrase keeps OpenSSL from asking for one on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            settings.grpc_tls_cert, settings.grpc_tls_key, password=""
        )
    except ssl.SSLError as error:
        raise ConfigError(
            f"GRPC_TLS_CERT={settings.grpc_tls_cert} and GRPC_TLS_KEY={settings.grpc_tls_key} do not fit together "
            f"({error.reason or error})",
            "They take a certificate chain and its private key, PEM files, the key without a passphrase",
        ) from None


def read_pem(path: str, name: str) -> bytes:
    """The bytes of a PEM file; ConfigError names the variable when it cannot be read or is none."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"{name}={path} cannot be read ({error.strerror})", "It takes a PEM file") from None
    if b"-----BEGIN " not in content:
        raise ConfigError(f"{name}={path} is not a PEM file", "PEM is text that begins with -----BEGIN")
    return content
