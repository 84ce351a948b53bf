"""`dbmazz drain`: pause, until nothing is on its way."""

from __future__ import annotations

import click


@click.command()
@click.option(
    "--timeout",
    type=click.FloatRange(0, 600, min_open=True),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait at most, up to 600.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def drain(timeout: float, as_json: bool) -> int:
    """Pauses the reader at READER_ADDRESS, and waits until all that it has read is durable in StarRocks and stored.

    The reader stays paused, also when that was not reached in time: then the exit code is 1, and the answer says what is
    left. `dbmazz resume` ends it. Wants CONTROL_TOKEN where the reader has one; without, the reader takes it from its own
    machine only.

    \b
    Examples:
      dbmazz drain && ./copy-the-target.sh && dbmazz resume
      dbmazz drain --timeout 120 --json
    """
    if timeout != timeout:  # NaN, which no range excludes
        raise click.BadParameter("nan is no number of seconds", param_hint="--timeout")
    from dbmazz.v1 import reader_pb2

    from dbmazz_cli.controlling import QUICK_S, control, show

    request = reader_pb2.DrainRequest()
    request.timeout.FromMicroseconds(max(round(timeout * 1e6), 1))
    answer = control("Drain", request, deadline_s=timeout + QUICK_S)
    show(answer, _lines, as_json=as_json)
    return 0 if answer.complete else 1


def _lines(answer) -> list[str]:
    if not answer.complete:
        return [
            f"not drained, and paused: {answer.left_batch_count:,} batches, {answer.left_bytes:,} bytes are left;"
            f" confirmed {answer.confirmed_lsn or 'nothing yet'}",
            answer.message,
        ]
    lines = [f"drained and paused: all that was read is durable; confirmed {answer.confirmed_lsn}"]
    if answer.open_transaction:
        lines.append("a transaction was read in part only; its other rows come after `dbmazz resume`")
    return lines
