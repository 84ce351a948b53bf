"""The command's tree. A subcommand's module is imported when that subcommand is asked for, and only then."""

from __future__ import annotations

import importlib

import click
from dbmazz import VERSION

from dbmazz_cli.starting import Importing

# Subcommand -> module under dbmazz_cli.commands, attribute, and its line in `dbmazz --help`, in the order shown there.
_COMMANDS = {
    "demo": ("demo", "demo", "The whole stack on this machine, with traffic, in one command"),
    "run": ("run", "run", "The four services on this machine, against your databases"),
    "status": ("status", "status", "How a running ring is doing"),
    "pause": ("pause", "pause", "Read no more from PostgreSQL, until resume"),
    "resume": ("resume", "resume", "Read on"),
    "drain": ("drain", "drain", "Pause, and wait until all that was read is durable"),
    "snapshot": ("snapshot", "snapshot", "Load tables anew, while they are streamed"),
    "reload": ("reload", "reload", "Other tables, or other limits of loads, while the ring runs"),
    "config": ("config", "config", "The settings: all there are, those in effect, whether they are right"),
    "sandbox": ("sandbox", "sandbox", "PostgreSQL and a StarRocks look-alike, without Docker"),
    "traffic": ("traffic", "traffic", "The demo's traffic by itself, into SOURCE_URL"),
    "reader": ("service", "reader", "One service: reads the write-ahead log"),
    "transformer": ("service", "transformer", "One service: folds, groups by TOAST signature, encodes"),
    "loader": ("service", "loader", "One service: ships loads to StarRocks"),
    "checkpoint": ("service", "checkpoint", "One service: keeps the LSN that is safe to confirm"),
    "monitor": ("monitor", "monitor", "The ring on a web page, or in the terminal"),
}


class LazyGroup(click.Group):
    """Knows its subcommands by name; imports one when it is used."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[name]
        with Importing():
            return getattr(importlib.import_module(f"dbmazz_cli.commands.{module}"), attribute)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in _COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(VERSION, prog_name="dbmazz")
def dbmazz() -> None:
    """dbmazz replicates PostgreSQL tables into StarRocks Primary Key tables, continuously, from the write-ahead log.

    Four services form a ring: the reader decodes the log, transformers fold and encode the changes, loaders ship them,
    and the checkpoint remembers what is durable. Only that is confirmed to PostgreSQL, so a crash anywhere loses
    nothing. A large value that an UPDATE did not touch is not in the log; dbmazz never lets it become NULL: such rows
    go as partial updates, grouped by the set of their absent columns (their TOAST signature).

    \b
    Two minutes, nothing but this machine:
      dbmazz demo                     the whole stack with traffic; prints a page to look at
      dbmazz demo --duration 60       the same, then compares every row of source and target

    \b
    Your own databases:
      export SOURCE_URL=postgresql://user:password@host:5432/database
      export SINK_URL=http://starrocks-fe:8030 SINK_USER=root SINK_PASSWORD=...
      export TABLES=public.orders,public.customers
      dbmazz run                      Ctrl-C drains: nothing is lost, the next run goes on from there
      dbmazz status                   in another terminal
      dbmazz pause | resume | drain | snapshot | reload      control it, here or from elsewhere with CONTROL_TOKEN
      dbmazz monitor --terminal       the same, live; without --terminal on a page

    \b
    On several machines, or in containers, each service is a command of its own:
      dbmazz checkpoint | loader | reader | transformer | monitor

    Settings are environment variables, a .env file, or a YAML file named by DBMAZZ_CONFIG; `dbmazz config docs` lists them.
    Exit codes: 0 fine, 1 failed or something differs, 2 wrong usage or configuration.
    """
