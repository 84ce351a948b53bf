"""`dbmazz sandbox`: the embedded servers, until they are stopped."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path

import click

_WATCH_S = 1.0


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(["postgres", "starrocks"]), metavar="[postgres] [starrocks]")
@click.option("--data", type=click.Path(path_type=Path, file_okay=False), help="Directory to keep the data in.")
@click.option(
    "--ports",
    type=click.Choice(["default", "auto"]),
    default="default",
    show_default=True,
    help="default: PostgreSQL 15432, StarRocks FE 8030, BE 8040, MySQL 9030, control 8031. auto: free ones.",
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to bind; 0.0.0.0: all, as in a container."
)
@click.option("--advertise", default="", metavar="NAME", help="Name under which others reach it. Default: as bound.")
@click.option("--postgres-version", type=click.Choice(["16", "18"]), default="16", show_default=True)
@click.option(
    "--starrocks-version",
    envvar="SANDBOX_STARROCKS_VERSION",
    default="3.3",
    show_default=True,
    metavar="VERSION",
    help="3.3, 3.4 or 4.0, or a patch release of these.",
)
@click.option(
    "--backends",
    envvar="SANDBOX_STARROCKS_BACKENDS",
    type=click.IntRange(1, 32),
    default=1,
    show_default=True,
    help="StarRocks BEs; with the default ports 8040 and following.",
)
@click.option("--json", "as_json", is_flag=True, help="One line on stdout when ready, for programs.")
def sandbox(
    names: tuple[str, ...],
    data: Path | None,
    ports: str,
    host: str,
    advertise: str,
    postgres_version: str,
    starrocks_version: str,
    backends: int,
    as_json: bool,
) -> int:
    """PostgreSQL and a StarRocks look-alike on loopback, without Docker; both unless one is named.

    PostgreSQL is the real one, ready for logical replication. The look-alike behaves as StarRocks does in what dbmazz
    uses, and refuses the rest by name; it is for trying and testing, not for data. Without --data everything is gone at
    the end. SANDBOX_PASSWORD sets the password of PostgreSQL's postgres and of StarRocks' root; with --host beyond this
    machine PostgreSQL wants one. Ends with Ctrl-C.

    \b
    Examples:
      dbmazz sandbox --data ./sandbox
      dbmazz sandbox starrocks --ports auto --json
      dbmazz sandbox starrocks --backends 3 --starrocks-version 4.0
      mysql -h 127.0.0.1 -P 9030 -u root            asks the look-alike
    """
    import asyncio
    import os

    from dbmazz.telemetry import configure_logging

    from dbmazz_cli.data_directory import data_directory
    from dbmazz_cli.servers import Wanted

    configure_logging("WARNING")
    with data_directory(data, "dbmazz-sandbox-") as directory:
        wanted = Wanted(
            data=directory,
            postgres="postgres" in names or not names,
            starrocks="starrocks" in names or not names,
            default_ports=ports == "default",
            postgres_major=int(postgres_version),
            password=os.environ.get("SANDBOX_PASSWORD", ""),
            host=host,
            advertise=advertise,
            starrocks_version=starrocks_version,
            backends=backends,
        )
        asyncio.run(_serve(wanted, as_json))
    return 0


async def _serve(wanted, as_json: bool) -> None:
    import asyncio

    from dbmazz.errors import DbmazzError

    from dbmazz_cli.interrupts import Interrupts
    from dbmazz_cli.servers import servers

    interrupts = Interrupts()
    async with servers(wanted) as running:
        if as_json:
            click.echo(json.dumps(dataclasses.asdict(running.addresses)))
        else:
            _show(running.addresses)
        while not interrupts.stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(interrupts.stop.wait(), _WATCH_S)
            if not running.running:
                raise DbmazzError(
                    "PostgreSQL has ended by itself", f"Its log is in {wanted.data}, where --data keeps it"
                )


def _show(addresses) -> None:
    if addresses.source_url:
        click.echo(f"export SOURCE_URL={addresses.source_url}")
    if addresses.sink_url:
        click.echo(f"export SINK_URL={addresses.sink_url} SINK_PORT={addresses.sink_port}")
        click.echo(f"# faults: {addresses.control_url}")
    click.echo("ready; Ctrl-C ends it", err=True)
