"""EmbeddedPostgres: start, stop and restart one server, on 127.0.0.1 unless another address is asked for."""

from __future__ import annotations

import random
import signal
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote

import psycopg
import structlog
from psycopg import sql

from dbmazz_sandbox.postgres import cluster
from dbmazz_sandbox.postgres.binaries import Binaries, find_binaries
from dbmazz_sandbox.postgres.errors import EmbeddedPostgresError
from dbmazz_sandbox.postgres.identity import Identity, choose_identity
from dbmazz_sandbox.postgres.process import ServerProcess

log = structlog.get_logger("dbmazz.sandbox")

HOST = "127.0.0.1"
START_SECONDS = 60.0
STOP_SECONDS = 20.0
CONNECT_SECONDS = 10
# Below the ephemeral range of Linux (32768) and macOS (49152): a client that keeps dialling a stopped
# server's port could otherwise get that very port as its own, connect to itself, and block the server.
PORTS = range(15_000, 32_000)
PORT_ATTEMPTS = 50

BASE_SETTINGS = {
    "wal_level": "logical",
    "max_wal_senders": "32",
    "max_replication_slots": "32",
    "unix_socket_directories": "",
}
# For tests only: a crash of the machine may lose the data directory. synchronous_commit stays on, because the
# walsender sends nothing before it is flushed and the background writer flushes five times a second.
FAST_SETTINGS = {"fsync": "off", "full_page_writes": "off", "jit": "off"}

# What the server binds, beside 127.0.0.1, when it is to be reached from elsewhere; these two include it.
WILDCARDS = ("0.0.0.0", "*")

_SIGNALS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class EmbeddedPostgres:
    """A PostgreSQL server on 127.0.0.1, TCP only, ready for logical replication.

    `data_dir` is created by initdb when it is missing or empty and kept otherwise; the server log is
    `<data_dir>.log`. `port` 0 takes a free one at the first start and keeps it. `settings` go to the server
    as `-c` and override the defaults here. With `password` TCP asks for scram-sha-256, otherwise it trusts.
    `fast` gives up durability against a crash of the machine, for tests.

    `host` other than 127.0.0.1 serves there too, to clients with the password, which is then required; `advertise` is the
    name that `url` gives them (default: `host`, or this machine's name for 0.0.0.0).

    The calls block; from a coroutine use asyncio.to_thread. The server ends with this process (Linux).
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int = 0,
        major: int = 16,
        settings: Mapping[str, str] | None = None,
        password: str | None = None,
        fast: bool = False,
        host: str = HOST,
        advertise: str = "",
    ) -> None:
        if host != HOST and not password:
            raise EmbeddedPostgresError(
                f"PostgreSQL is to serve on {host}, beyond this machine, without a password: set SANDBOX_PASSWORD"
            )
        self._host = host
        self._advertised = advertise or (socket.gethostname() if host in WILDCARDS else host)
        self.data_dir = Path(data_dir).absolute()
        self.log_file = self.data_dir.with_name(f"{self.data_dir.name}.log")
        self.major = major
        self._asked_port = port
        self._port: int | None = None
        self._password = password
        self._settings = {**BASE_SETTINGS, **(FAST_SETTINGS if fast else {}), **(settings or {})}
        self._process: ServerProcess | None = None

    @property
    def port(self) -> int:
        if self._port is None:
            raise EmbeddedPostgresError("the server has no port yet: call start() first")
        return self._port

    @property
    def pid(self) -> int:
        """Process id of the postmaster."""
        if self._process is None:
            raise EmbeddedPostgresError("the server has no process: call start() first")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running()

    @property
    def url(self) -> str:
        """postgresql:// address of the database `postgres`, as superuser `postgres`."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        return self._url(self._advertised, database)

    def _url(self, host: str, database: str) -> str:
        secret = "" if self._password is None else f":{quote(self._password, safe='')}"
        return f"postgresql://{cluster.SUPERUSER}{secret}@{host}:{self.port}/{quote(database, safe='')}"

    def start(self) -> None:
        """Start; returns when the server takes connections, raises EmbeddedPostgresError if it does not."""
        if self.running:
            raise EmbeddedPostgresError(f"PostgreSQL is already running (process {self.pid}): stop it first")
        binaries = find_binaries(self.major)
        identity = choose_identity(binaries, self.data_dir)
        cluster.prepare(self.data_dir, binaries, identity, self._password)
        if self._host != HOST:
            cluster.admit_network(self.data_dir, identity)
        try:
            self._launch(binaries, identity)
            self._check_login()
        except BaseException:
            self.stop("immediate")
            raise
        log.info("postgres_started", major=self.major, port=self._port, pid=self.pid)

    def _launch(self, binaries: Binaries, identity: Identity) -> None:
        deadline = time.monotonic() + START_SECONDS
        any_port = self._port is None and self._asked_port == 0
        while True:
            if any_port:
                self._port = free_port()
            elif self._port is None:
                self._port = self._asked_port
            log_start = self.log_file.stat().st_size if self.log_file.exists() else 0
            self._process = ServerProcess(self._command(binaries.postgres), identity, self.log_file)
            if self._wait_until_ready(deadline):
                return
            self._explain_exit(log_start, deadline, any_port)

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop and return when the process is gone; no effect when it is not running.

        `fast` disconnects clients and checkpoints, but waits for replication clients to take the rest of the
        WAL; one that does not read would hold it for ever, so after 20 s it becomes `immediate` (no
        checkpoint, the next start recovers), and after another 20 s a kill.
        """
        process, self._process = self._process, None
        if process is None or not process.running():
            return
        for number in dict.fromkeys((_SIGNALS[mode], signal.SIGQUIT, signal.SIGKILL)):
            process.send_signal(number)
            if process.wait(STOP_SECONDS):
                log.info("postgres_stopped", major=self.major, port=self._port, signal=number.name)
                return
            log.warning("postgres_stop_slow", major=self.major, port=self._port, signal=number.name)
        raise EmbeddedPostgresError(f"PostgreSQL (process {process.pid}) does not end, not even when killed")

    def restart(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop and start on the same port."""
        self.stop(mode)
        self.start()

    def create_database(self, name: str) -> str:
        """Create database `name` and return its address."""
        with self._admin() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url_of(name)

    def drop_database(self, name: str) -> None:
        """Drop database `name` with its replication slots, ending the sessions that use them."""
        with self._admin() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots"
                " WHERE database = %s AND active",
                (name,),
            )
            connection.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = %s",
                (name,),
            )
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _admin(self) -> psycopg.Connection:
        return psycopg.connect(self._url(HOST, "postgres"), autocommit=True, connect_timeout=CONNECT_SECONDS)

    def _command(self, postgres: str) -> list[str]:
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        if self._host != HOST:
            options += ["-c", f"hba_file={self.data_dir / cluster.NETWORK_HBA}"]
        listen = self._host if self._host in (HOST, *WILDCARDS) else f"{HOST},{self._host}"
        return [postgres, "-D", str(self.data_dir), "-h", listen, "-p", str(self._port), *options]

    def _wait_until_ready(self, deadline: float) -> bool:
        """True when ready, False when the process ended first."""
        process = self._process
        assert process is not None
        while not cluster.is_ready(self.data_dir, process.pid):
            if process.wait(cluster.POLL_SECONDS):
                return False
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"PostgreSQL was not ready within {START_SECONDS:.0f} s: see {self.log_file}"
                )
        return True

    def _explain_exit(self, log_start: int, deadline: float, any_port: bool) -> None:
        """Return when another attempt makes sense, raise otherwise."""
        assert self._process is not None
        with self.log_file.open("rb") as file:
            file.seek(log_start)
            lines = file.read().decode("utf-8", "replace").splitlines()
        text = "\n".join(lines)
        if "Address already in use" in text:
            if any_port and time.monotonic() < deadline:
                return
            raise EmbeddedPostgresError(
                f"port {self._port} on {self._host} is in use: "
                f"stop what listens there or choose another port (0 takes a free one)"
            )
        if "pre-existing shared memory block" in text and time.monotonic() < deadline:
            # The postmaster was killed and its children have not all noticed yet.
            time.sleep(cluster.POLL_SECONDS)
            return
        reason = next((line for line in lines if "FATAL:" in line or "PANIC:" in line), (lines or ["no output"])[-1])
        raise EmbeddedPostgresError(
            f"PostgreSQL ended at start (exit {self._process.returncode}): {reason}; see {self.log_file}"
        )

    def _check_login(self) -> None:
        try:
            self._admin().close()
        except psycopg.OperationalError as error:
            if "password" in str(error):
                raise EmbeddedPostgresError(
                    f"{self.data_dir} was made with another password: give that one or choose another directory"
                ) from None
            raise EmbeddedPostgresError(f"PostgreSQL started but refuses connections: {error}") from error


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on right now."""
    for port in random.SystemRandom().sample(PORTS, PORT_ATTEMPTS):
        with socket.socket() as probe:
            # As the server does it, so that connections of an earlier one in TIME_WAIT are no obstacle.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise EmbeddedPostgresError(f"no free port on {HOST} between {PORTS.start} and {PORTS.stop}")
