"""`dbmazz reload`: other settings for a running ring."""

from __future__ import annotations

import click


@click.command()
@click.option("--tables", metavar="WORDS", help="The whole new TABLES: schema.table, * as wildcard, comma-separated.")
@click.option("--flush-size", type=int, metavar="N", help="FLUSH_SIZE of all transformers: rows in a load.")
@click.option("--flush-interval-ms", type=int, metavar="N", help="FLUSH_INTERVAL_MS of all transformers.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def reload(tables: str | None, flush_size: int | None, flush_interval_ms: int | None, as_json: bool) -> int:
    """Changes TABLES, FLUSH_SIZE or FLUSH_INTERVAL_MS of a running ring, through the reader at READER_ADDRESS.

    What is not given stays. A table that comes in is added to the publication, its changes come from then on, and its
    rows from before are loaded (DO_SNAPSHOT). One that goes out stays in the publication, and its changes are left out. When
    the tables cannot be had, the former ones go on and the exit code is 1. Limits hold for every transformer, from the next
    load on. All of it lasts until the reader restarts: write it into .env, too. Wants CONTROL_TOKEN where the reader has
    one; without, the reader takes it from its own machine only.

    \b
    Examples:
      dbmazz reload --tables public.orders,public.customers,sales.*
      dbmazz reload --flush-size 50000 --flush-interval-ms 5000
    """
    if tables is None and flush_size is None and flush_interval_ms is None:
        raise click.UsageError("nothing to change: give --tables, --flush-size or --flush-interval-ms")

    from dbmazz.errors import ConfigError
    from dbmazz.v1 import reader_pb2

    from dbmazz_cli.controlling import control, show

    request = reader_pb2.ReloadConfigRequest()
    if tables is not None:
        request.tables.extend(word.strip() for word in tables.split(",") if word.strip())
        if not request.tables:
            raise ConfigError("--tables has no name in it", "It takes schema.table, with * as wildcard")
    for option, value in (("--flush-size", flush_size), ("--flush-interval-ms", flush_interval_ms)):
        # What the message has room for; whether the setting takes it is for the reader to say.
        if value is not None and not -(1 << 31) <= value < 1 << 31:
            raise click.UsageError(f"{option} {value} is out of range")
    if flush_size is not None:
        request.flush_size = flush_size
    if flush_interval_ms is not None:
        request.flush_interval.FromMilliseconds(flush_interval_ms)
    show(control("ReloadConfig", request, deadline_s=120.0), _lines, as_json=as_json)
    return 0


def _lines(answer) -> list[str]:
    flush = answer.flush
    size = flush.flush_size if flush.HasField("flush_size") else "as each transformer has it"
    interval = (
        flush.flush_interval.ToMilliseconds() if flush.HasField("flush_interval") else "as each transformer has it"
    )
    words = ",".join(answer.tables) or "what the publication has"
    lines = [f"TABLES: {words}; FLUSH_SIZE: {size}; FLUSH_INTERVAL_MS: {interval} (until the reader restarts)"]
    for verb, names in (("added", answer.added_tables), ("taken out", answer.removed_tables)):
        if names:
            lines.append(f"{verb}: {', '.join(names)}")
    return lines + [f"warning: {warning}" for warning in answer.warnings]
