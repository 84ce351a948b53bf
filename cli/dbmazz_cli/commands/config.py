"""`dbmazz config`: every setting; what is in effect and where it stands; whether it is all right."""

from __future__ import annotations

import json

import click


@click.group(invoke_without_command=True)
@click.option("--markdown", is_flag=True, help="As `docs --markdown`.")
@click.pass_context
def config(context: click.Context, markdown: bool) -> int:
    """The settings: what there is (docs), what is in effect (show), and whether it is right (check).

    Values come from the environment, then from .env in the present directory, then from the YAML file that
    DBMAZZ_CONFIG names; the first that has one wins. An unknown name is an error, so that a slip never means the default.

    \b
    Examples:
      dbmazz config docs | less
      dbmazz config check && dbmazz run
      dbmazz config show --json | jq .FLUSH_SIZE
      FLUSH_INTERVAL_MS=500 FLUSH_BYTES=64MB dbmazz run
    """
    if context.invoked_subcommand is None:
        return _docs(markdown)
    if markdown:
        raise click.UsageError("--markdown belongs to docs")
    return 0


@config.command()
@click.option("--markdown", is_flag=True, help="The table as it stands in the README.")
def docs(markdown: bool) -> int:
    """Every setting of dbmazz: its variable, default, what it takes, what it is for."""
    return _docs(markdown)


def _docs(markdown: bool) -> int:
    from dbmazz_cli import settings_table

    click.echo(settings_table.markdown() if markdown else settings_table.plain(), nl=not markdown)
    return 0


@config.command()
@click.option("--json", "as_json", is_flag=True, help='One JSON object: {"NAME": {"value", "origin"}}.')
def show(as_json: bool) -> int:
    """What is in effect, with where it stands: the environment, .env, the YAML file, or the default. Secrets are hidden.

    Exit code 2, with a line for each, when there are mistakes in names or values.
    """
    from dbmazz.config import load_configuration

    from dbmazz_cli import settings_table

    configuration = load_configuration()
    if as_json:
        click.echo(json.dumps(settings_table.effective(configuration)))
    else:
        click.echo("\n".join(settings_table.effective_lines(configuration)))
    return 0


@config.command()
@click.option("--json", "as_json", is_flag=True, help='One JSON object: {"ok", "mistakes": [...], "notes": [...]}.')
def check(as_json: bool) -> int:
    """Reads all sources and looks at the settings as a whole; connects to nothing, prints no secret.

    Every mistake is one line on stderr: name, value, where it stands, what it takes. Exit code 2 when there is one, also
    where a stronger source has another value. Notes tell of what is odd and not wrong.
    """
    from dbmazz.config import read_sources

    from dbmazz_cli import settings_check

    configuration, mistakes = read_sources(shadowed=True)
    more, notes = settings_check.look(configuration)
    mistakes += more
    if as_json:
        found = {"ok": not mistakes, "mistakes": [str(one) for one in mistakes], "notes": notes}
        click.echo(json.dumps(found))
        return 2 if mistakes else 0
    for mistake in mistakes:
        click.echo(f"dbmazz config: {mistake}", err=True)
    for note in notes:
        click.echo(f"note: {note}")
    if mistakes:
        return 2
    given = len(configuration.origins)
    click.echo(f"the settings are fine: {given} given, the others have their defaults")
    return 0
