"""Entry point: one line for each error, and the exit code. 0 fine, 1 failed or differs, 2 usage or configuration."""

from __future__ import annotations

from dbmazz_cli.starting import INTERRUPTED, Importing

# Before anything of weight: until this is so, Ctrl-C shows a traceback.
with Importing():
    import os
    import sys
    from collections.abc import Sequence

    import click
    from dbmazz.errors import DbmazzError
    from dbmazz.process import flatten

    from dbmazz_cli.command import dbmazz


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; `arguments` as in sys.argv[1:]."""
    try:
        return dbmazz.main(arguments, prog_name="dbmazz", standalone_mode=False) or 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        return _tell_usage(error)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone (`dbmazz status | head`); the interpreter must not try to flush it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except DbmazzError as error:
        return _tell(error)
    except BaseExceptionGroup as group:
        # A TaskGroup wraps what its tasks raise. Anything but our own errors is a defect and keeps its traceback.
        ours, others = group.split(DbmazzError)
        if others is not None or ours is None:
            raise
        return max(_tell(error) for error in flatten(ours))


def _tell_usage(error: click.ClickException) -> int:
    """One line, where click would write three."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "dbmazz"
    sys.stderr.write(f"{path}: {error.format_message().rstrip('.')}. `{path} --help` shows what it takes\n")
    return error.exit_code


def _tell(error: DbmazzError) -> int:
    for line in str(error).split("\n"):
        sys.stderr.write(f"dbmazz: {line}\n")
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
