"""`dbmazz traffic`: the demo's generators by themselves, against any PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--rate", type=click.FloatRange(1), default=3000, show_default=True, help="Row events per second.")
@click.option(
    "--toast-interval",
    type=click.FloatRange(0.1),
    default=10,
    show_default=True,
    metavar="S",
    help="Between TOAST rounds.",
)
@click.option(
    "--ready-file", type=click.Path(path_type=Path, dir_okay=False), help="File to make once the tables are there."
)
@click.option("--after-slot", default="", metavar="NAME", help="Replication slot to wait for before the first row.")
def traffic(rate: float, toast_interval: float, ready_file: Path | None, after_slot: str) -> int:
    """Writes orders, order items and rows with large values into SOURCE_URL, until Ctrl-C.

    Makes the tables public.orders, public.order_items and public.toast_test when they are missing. 70 % inserts, 25 %
    updates, 5 % deletes; every --toast-interval seconds updates that leave 100 KB values unchanged. Waits for a server that
    is away. It touches only rows that it inserted itself, but it is meant for databases that are there to be played with.

    \b
    Examples:
      SOURCE_URL=postgresql://postgres@127.0.0.1:15432/postgres dbmazz traffic
      dbmazz traffic --rate 6000
    """
    import asyncio

    from dbmazz.config import load_settings
    from dbmazz.telemetry import configure_logging

    from dbmazz_cli.generating import Options, generate

    settings = load_settings()
    settings.require("source_url")
    configure_logging(settings.log_level, settings.log_format)
    asyncio.run(generate(settings.source_url, Options(rate, toast_interval, ready_file, after_slot)))
    return 0
