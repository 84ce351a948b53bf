"""`dbmazz monitor`: the ring on a web page, or in the terminal."""

from __future__ import annotations

import click

from dbmazz_cli.commands.service import Service
from dbmazz_cli.starting import Importing


@click.command(cls=Service)
@click.option("--terminal", is_flag=True, help="In this terminal instead of on a page; q or Ctrl-C ends it.")
@click.option(
    "--url", default="", metavar="URL", help="Terminal: follow the monitor at URL instead of asking the services."
)
@click.option(
    "--once", is_flag=True, help="Terminal: print everything once. So it is also where stdout is no terminal."
)
@click.option("--json", "as_json", is_flag=True, help="Print the state once, as one JSON object.")
@click.option("--ascii", "ascii_only", is_flag=True, help="Terminal: nothing but ASCII. So it is also without UTF-8.")
def monitor(terminal: bool, url: str, once: bool, as_json: bool, ascii_only: bool) -> int:
    """Shows the ring on a web page: tables of source and target, rates, lag, TOAST signatures, slot health.

    The page is on LISTEN, 127.0.0.1:8080 when that is not set. With --terminal the same is drawn in the terminal, at any
    size from 80x24; NO_COLOR is respected. It asks the services, the source and the target itself and binds no port, or
    follows the page of a monitor that runs elsewhere (--url). The pipeline does not depend on a monitor.

    A single look (--once, --json) exits with 1 when a part is down.

    \b
    Examples:
      dbmazz monitor
      dbmazz monitor --terminal
      dbmazz monitor --terminal --url http://127.0.0.1:8080
      dbmazz monitor --json | jq .headline.text
    """
    if terminal or url or once or as_json or ascii_only:
        with Importing():
            from dbmazz_monitor.terminal.app import Options, main

        return main(Options(url, once, as_json, ascii_only))
    with Importing():
        from dbmazz_monitor import app
    return app.main()
