"""`dbmazz reader`, `transformer`, `loader`, `checkpoint`: one service each, as the images run them."""

from __future__ import annotations

import importlib

import click

from dbmazz_cli.starting import Importing

_TEXTS = {
    "reader": """Reads one replication slot of PostgreSQL and streams packed changes to the transformers that dial in.

    Creates publication and slot when they are missing and never drops them. Confirms to PostgreSQL what the checkpoint
    has stored, and nothing else. One reader per slot; it retries with back-off while PostgreSQL or the checkpoint is away.
    """,
    "transformer": """Takes lanes of changes from the reader and makes loads of them.

    Collects a window per table, folds it to one row per key, groups the rows by TOAST signature, writes JSON and hands it
    to the loaders. Run as many as you like: the reader spreads the lanes over them. Keeps nothing on disk.
    """,
    "loader": """Ships loads to StarRocks over Stream Load and reports them to the checkpoint.

    Creates missing databases and tables over the MySQL port. Run as many as you like. Keeps nothing on disk: every load
    has a label that tells StarRocks a repetition.
    """,
    "checkpoint": """Keeps, per replication slot, the LSN up to which everything is durable in the target.

    Stores it before it announces it. One per ring; its file (CHECKPOINT_URL) is the only state that dbmazz keeps.
    """,
}


class Service(click.Command):
    """Appends the settings to --help when that is asked for."""

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        from dbmazz_cli import settings_table
        from dbmazz_cli.service_settings import READS

        with formatter.section("Variables (environment, .env, or the YAML file that DBMAZZ_CONFIG names)"):
            indent = " " * formatter.current_indent
            for line in settings_table.plain(READS[self.name], width=formatter.width - 4).splitlines():
                formatter.write(f"{indent}{line}\n")


def _command(name: str) -> click.Command:
    def start() -> int:
        with Importing():
            app = importlib.import_module(f"dbmazz_{name}.app")
        return app.main()

    return Service(name, callback=start, help=_TEXTS[name])


reader = _command("reader")
transformer = _command("transformer")
loader = _command("loader")
checkpoint = _command("checkpoint")
