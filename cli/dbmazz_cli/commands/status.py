"""`dbmazz status`: how a running ring is doing."""

from __future__ import annotations

import json

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def status(as_json: bool) -> int:
    """Asks all four services, 2 s each: state, positions, lag, tables with their lanes, TOAST signatures, slot health.

    Dials READER_ADDRESS, TRANSFORMER_ADDRESS, LOADER_ADDRESS and CHECKPOINT_ADDRESS; several replicas are separated by
    commas. Exit code 1 when a part does not answer or has given up.

    \b
    Examples:
      dbmazz status
      LOADER_ADDRESS=10.0.0.5:50053,10.0.0.6:50053 dbmazz status
      GRPC_TLS_CA=ca.pem READER_ADDRESS=reader.example.com:50051 dbmazz status
      dbmazz status --json | jq .ring
    """
    from dbmazz_cli.starting import Importing

    with Importing():
        import asyncio
        import time

        from dbmazz.config import load_settings

        from dbmazz_cli import status_report
        from dbmazz_cli.inquiry import ask_ring

    answers = asyncio.run(ask_ring(load_settings()))
    if as_json:
        click.echo(json.dumps(status_report.document(answers)))
    else:
        click.echo("\n".join(status_report.lines(answers, time.time())))
    return 0 if status_report.healthy(answers) else 1
