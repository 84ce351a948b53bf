"""`dbmazz config`: every setting."""

from __future__ import annotations

import click


@click.command()
@click.option("--markdown", is_flag=True, help="The table as it stands in the README.")
def config(markdown: bool) -> int:
    """Every setting of dbmazz: its variable, default, what it takes, what it is for.

    Values come from the environment, then from .env in the present directory, then from the YAML file that
    DBMAZZ_CONFIG names; the first that has one wins. An unknown name is an error, so that a slip never means the default.

    \b
    Examples:
      dbmazz config | less
      FLUSH_INTERVAL_MS=500 FLUSH_BYTES=64MB dbmazz run
    """
    from dbmazz_cli import settings_table

    click.echo(settings_table.markdown() if markdown else settings_table.plain(), nl=not markdown)
    return 0
