"""`dbmazz resume`: the reader reads on."""

from __future__ import annotations

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def resume(as_json: bool) -> int:
    """The reader at READER_ADDRESS reads on, after `dbmazz pause` or `dbmazz drain`.

    Goes on where it stopped: nothing is lost, nothing comes twice. Does nothing when the reader is not paused. Wants
    CONTROL_TOKEN where the reader has one; without, the reader takes it from its own machine only.

    \b
    Examples:
      dbmazz resume
      dbmazz resume --json
    """
    from dbmazz.v1 import reader_pb2

    from dbmazz_cli.controlling import control, show

    show(control("Resume", reader_pb2.ResumeRequest()), _lines, as_json=as_json)
    return 0


def _lines(answer) -> list[str]:
    if not answer.HasField("paused_duration"):
        return ["the reader was not paused"]
    return [f"the reader reads again, after {answer.paused_duration.ToTimedelta().total_seconds():,.1f} s"]
