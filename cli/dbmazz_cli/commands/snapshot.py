"""`dbmazz snapshot`: loads tables anew while they are streamed."""

from __future__ import annotations

import click


@click.command()
@click.argument("tables", metavar="TABLE...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def snapshot(tables: tuple[str, ...], as_json: bool) -> int:
    """Loads tables (schema.table) of a running ring anew, through the reader at READER_ADDRESS.

    Every row is read from the source, beside the stream, and rows of the target that the source does not have are
    removed (marked as deleted with SOFT_DELETE). Returns at once: `dbmazz status` says how far it is. It goes on after a
    restart, `dbmazz pause` holds it up, and a load that is under way is left to it. Wants CONTROL_TOKEN where the reader
    has one; without, the reader takes it from its own machine only.

    \b
    Examples:
      dbmazz snapshot public.orders public.customers
      dbmazz snapshot orders --json
    """
    from dbmazz.v1 import reader_pb2

    from dbmazz_cli.controlling import control, show

    show(control("StartSnapshot", reader_pb2.StartSnapshotRequest(tables=tables)), _lines, as_json=as_json)
    return 0


def _lines(answer) -> list[str]:
    from dbmazz_cli.status_report import load_line

    return [f"{load.table}: {load_line(load.progress)}" for load in answer.loads]
