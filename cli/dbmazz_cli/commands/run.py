"""`dbmazz run`: the four services on this machine, supervised."""

from __future__ import annotations

import json

import click


@click.command()
@click.option(
    "--ports",
    type=click.Choice(["default", "auto"]),
    default="default",
    show_default=True,
    help="default: 50051 to 50054, or where READER_ADDRESS and the like say. auto: free ones.",
)
@click.option("--transformers", type=click.IntRange(1, 64), default=1, show_default=True, help="Transformers to run.")
@click.option("--loaders", type=click.IntRange(1, 64), default=1, show_default=True, help="Loaders to run.")
@click.option("--json", "as_json", is_flag=True, help="One line on stdout when everything streams: addresses and pids.")
def run(ports: str, transformers: int, loaders: int, as_json: bool) -> int:
    """The four services on this machine, against SOURCE_URL and SINK_URL.

    Restarts a service that dies, with a growing pause; ends with the service's own error where only a person can help.
    Ctrl-C or SIGTERM drains: the reader stops first, what it has read is loaded and confirmed, then the others end. A
    second Ctrl-C ends at once; even then nothing is lost. The logs of all services go to stderr.

    \b
    Examples:
      SOURCE_URL=postgresql://postgres@127.0.0.1:15432/postgres SINK_URL=http://127.0.0.1:8030 dbmazz run
      dbmazz run --ports auto --json
      dbmazz run --transformers 2 --loaders 4
    """
    import asyncio

    from dbmazz.config import load_settings

    from dbmazz_cli.ring import plan

    settings = load_settings()
    settings.require("source_url", "sink_url")
    ring = plan(settings, ports=ports, replicas={"transformer": transformers, "loader": loaders})
    asyncio.run(_run(ring, as_json))
    return 0


async def _run(ring, as_json: bool) -> None:
    from dbmazz_cli.interrupts import Interrupts
    from dbmazz_cli.relay import StderrRelay
    from dbmazz_cli.supervisor import supervised

    interrupts = Interrupts()
    async with supervised(ring.stages, StderrRelay(), interrupts.hurry) as supervisor:
        await supervisor.guard(_serve(ring, supervisor, interrupts, as_json))


async def _serve(ring, supervisor, interrupts, as_json: bool) -> None:
    """Until the first signal."""
    from dbmazz_cli.interrupts import Interrupted

    try:
        await interrupts.guard(_announce(ring, supervisor, as_json))
    except* Interrupted:
        pass  # so stop is set
    await interrupts.stop.wait()


async def _announce(ring, supervisor, as_json: bool) -> None:
    from dbmazz_cli.readiness import until_streaming

    await supervisor.all_announced()
    await until_streaming(ring.settings, lambda text: click.echo(f"dbmazz run: {text}", err=True))
    if as_json:
        click.echo(json.dumps({**ring.addresses, "pids": supervisor.pids()}))
    else:
        for service, address in ring.addresses.items():
            click.echo(f"{service:<12} {address}")
        click.echo("streaming; Ctrl-C drains and ends", err=True)
