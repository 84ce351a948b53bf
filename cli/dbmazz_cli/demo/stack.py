"""The demo's processes: the sandbox, and the ring with its monitor, as children of this one."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from dbmazz.config import Settings
from dbmazz_sandbox.generators import TABLES

from dbmazz_cli.child import Program
from dbmazz_cli.ports import free_addresses
from dbmazz_cli.ring import STAGES, Ring, service_program

MONITOR_ADDRESS = "127.0.0.1:8080"


def sandbox_program(data: Path, ports: str, postgres_version: str) -> Program:
    """`dbmazz sandbox` in a process of its own, so that its CPU is not the generators'."""
    command = (sys.executable, "-m", "dbmazz_cli", "sandbox", "--json", "--data", str(data), "--ports", ports)
    environment = {name: value for name, value in os.environ.items() if name != "SANDBOX_PASSWORD"}
    return Program("sandbox", (*command, "--postgres-version", postgres_version), environment, restart=False)


def demo_settings(settings: Settings, addresses: dict, data: Path) -> Settings:
    """The user's settings, as far as they tune; source, target and positions are the sandbox's."""
    return settings.replace(
        source_url=addresses["source_url"],
        sink_url=addresses["sink_url"],
        sink_port=addresses["sink_port"],
        sink_user="root",
        sink_password="",
        tables=TABLES,
        checkpoint_url=f"sqlite:///{data / 'checkpoint.db'}",
    )


def with_monitor(ring: Ring, ports: str) -> list[list[Program]]:
    """The ring's stages, and the monitor, which goes first: it only looks."""
    address = MONITOR_ADDRESS if ports == "default" else free_addresses(1)[0]
    own = ring.settings.replace(listen=address)
    if own.metrics_port:
        # Behind those of the ring.
        own = own.replace(metrics_port=own.metrics_port + len(STAGES) * max(map(len, ring.stages)))
    return [[service_program("monitor", own)], *ring.stages]


def directions(settings: Settings, monitor: str) -> list[str]:
    """How to look at everything while it runs."""
    host = urlsplit(settings.sink_url).hostname
    variables = " ".join(
        f"{service.upper()}_ADDRESS={getattr(settings, f'{service}_address')}"
        for service in ("reader", "transformer", "loader", "checkpoint")
    )
    sql = "SELECT id, name, counter, dbmazz_op_type, dbmazz_synced_at FROM toast_test LIMIT 5"
    return [
        "",
        f"page     http://{monitor}/",
        f"source   psql '{settings.source_url}' -c 'SELECT count(*) FROM orders'",
        f"target   mysql -h {host} -P {settings.sink_port} -u root {settings.sink_database} -e '{sql}'",
        f"grpcurl  grpcurl -plaintext {settings.reader_address} dbmazz.v1.ReaderService/GetStatus",
        f"         grpcurl -plaintext {settings.transformer_address} dbmazz.v1.TransformerService/ListSignatures",
        f"status   {variables} dbmazz status",
        "",
    ]
