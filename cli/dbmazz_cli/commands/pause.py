"""`dbmazz pause`: the reader reads no more."""

from __future__ import annotations

import click


@click.command()
@click.option("--reason", default="", metavar="TEXT", help="Shown by `dbmazz status`: up to 200 characters.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def pause(reason: str, as_json: bool) -> int:
    """The reader at READER_ADDRESS reads no more from PostgreSQL, until `dbmazz resume`.

    What it has read is loaded and confirmed as ever. Connection and slot are held, so PostgreSQL keeps the WAL: the answer
    says how much. A lost connection does not end the pause; a restart of the reader does. Pausing twice changes nothing
    but the reason. Wants CONTROL_TOKEN where the reader has one; without, the reader takes it from its own machine only.

    \b
    Examples:
      dbmazz pause --reason 'StarRocks upgrade, until 14:00'
      READER_ADDRESS=10.0.0.5:50051 GRPC_TLS_CA=ca.pem CONTROL_TOKEN=... dbmazz pause --json
    """
    from dbmazz.v1 import reader_pb2

    from dbmazz_cli.controlling import control, show

    show(control("Pause", reader_pb2.PauseRequest(reason=reason)), _lines, as_json=as_json)
    return 0


def _lines(answer) -> list[str]:
    from dbmazz_cli.status_report import paused_since

    rest = "" if answer.sealed else " (what was read is not sealed yet)"
    return [f"{paused_since(answer.pause)}{rest}; confirmed {answer.confirmed_lsn or 'nothing yet'}", answer.notice]
