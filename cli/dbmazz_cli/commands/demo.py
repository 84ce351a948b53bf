"""`dbmazz demo`: see it work."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click


@click.command()
@click.option("--duration", type=click.FloatRange(1), metavar="S", help="Stop the traffic after S seconds and compare.")
@click.option("--json", "as_json", is_flag=True, help="The result as one line on stdout; all else goes to stderr.")
@click.option("--rate", type=click.FloatRange(1), default=3000, show_default=True, help="Row events per second.")
@click.option(
    "--ports",
    type=click.Choice(["auto", "default"]),
    default="auto",
    show_default=True,
    help="auto: free ones. default: 50051 to 50054, page 8080, PostgreSQL 15432, StarRocks 8030 and 9030.",
)
@click.option("--postgres", type=click.Choice(["16", "18"]), default="16", show_default=True, help="Major version.")
@click.option("--data", type=click.Path(path_type=Path, file_okay=False), help="Directory to keep data and logs in.")
def demo(duration: float | None, as_json: bool, rate: float, ports: str, postgres: str, data: Path | None) -> int:
    """The whole stack on this machine, in one command: PostgreSQL, a StarRocks look-alike, the four services, a page.

    Orders with their items at --rate events per second (70 % inserts, 25 % updates, 5 % deletes), and rows with 100 KB
    values of which most updates leave the large ones unchanged: those go as partial updates.

    Without --duration it runs until Ctrl-C. With it, the traffic ends after S seconds, everything has two minutes to
    arrive, and every value of every row is compared. Exit code 1 when a value differs, a row is unaccounted for, or the
    two minutes were not enough.

    \b
    Examples:
      dbmazz demo
      dbmazz demo --duration 60 --json | jq .lag_ms
      dbmazz demo --duration 30 --rate 6000 --data ./demo     keeps data and logs (./demo/logs)
    """
    import asyncio

    from dbmazz.config import load_settings
    from dbmazz.telemetry import configure_logging

    from dbmazz_cli.data_directory import data_directory
    from dbmazz_cli.demo.progress import progress_on
    from dbmazz_cli.demo.scenario import Options, log_files

    settings = load_settings()
    configure_logging("WARNING")
    progress = progress_on(sys.stderr if as_json else sys.stdout)
    options = Options(duration, rate, ports, postgres)
    with data_directory(data, "dbmazz-demo-") as directory, log_files(directory) as logs:
        try:
            result = asyncio.run(_run(options, settings, directory, progress, logs))
        finally:
            progress.close()
    for line in result.lines():
        progress.say(line)
    if duration is None:
        return 1 if result.rows_unaccounted or result.problems else 0
    progress.say(f"\n{result.verdict()}")
    if as_json:
        click.echo(json.dumps(result.document()))
    return 0 if result.good else 1


async def _run(options, settings, directory: Path, progress, logs):
    from dbmazz_cli.demo.scenario import Demo
    from dbmazz_cli.supervisor import GaveUp

    demo = Demo(options, settings, directory, progress, logs)
    try:
        await demo.run()
    except* GaveUp as group:
        from dbmazz.process import flatten

        for error in flatten(group):
            if not error.end.error:
                for line in logs.tail(error.name):
                    click.echo(f"{error.name}  {line}", err=True)
        raise
    return demo.result
