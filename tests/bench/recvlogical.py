"""`pg_recvlogical -f /dev/null` on a copy of a slot: PostgreSQL's own client, which does nothing with what it reads."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import psycopg
from dbmazz.lsn import Lsn
from dbmazz_sandbox.postgres import EmbeddedPostgres
from dbmazz_sandbox.postgres.binaries import find_binaries

from tests.bench.meter import children_cpu_s

_TIMEOUT_S = 300


@dataclass(frozen=True)
class Drained:
    """Seconds of one drain, and the CPU seconds of both ends."""

    seconds: float
    client_cpu_s: float
    walsender_cpu_s: float


def drain(server: EmbeddedPostgres, url: str, slot: str, publication: str, end: Lsn) -> Drained:
    """Reads a copy of `slot` up to `end`; the slot itself stays where it is."""
    copy = f"{slot}_copy"
    with psycopg.connect(url, autocommit=True) as source:
        source.execute("SELECT pg_copy_logical_replication_slot(%s, %s)", [slot, copy])
        walsenders, client = children_cpu_s(server.pid), os.times().children_user + os.times().children_system
        started = time.monotonic()
        parts = urlsplit(url)
        subprocess.run(
            [
                str(find_binaries(server.major).directory / "pg_recvlogical"),
                *("--start", "--no-loop", "-f", os.devnull, "-S", copy, "-E", str(end)),
                *("-h", parts.hostname or "", "-p", str(parts.port), "-U", parts.username or "", "-d", parts.path[1:]),
                *("-o", "proto_version=1", "-o", f"publication_names={publication}"),
            ],
            check=True,
            timeout=_TIMEOUT_S,
        )
        seconds = time.monotonic() - started
        client = os.times().children_user + os.times().children_system - client
        walsender = _walsender_s(source, server.pid, walsenders)
        source.execute("SELECT pg_drop_replication_slot(%s)", [copy])
    return Drained(seconds, client, walsender)


def _walsender_s(source: psycopg.Connection, postmaster: int, before: float) -> float:
    """CPU of the walsender that has just ended: the postmaster waits for its children a moment later."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        used = children_cpu_s(postmaster) - before
        query = "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'pg_recvlogical'"
        row = source.execute(query).fetchone()
        if used > 0 and row == (0,):
            return used
    raise TimeoutError("the walsender of pg_recvlogical does not end")
