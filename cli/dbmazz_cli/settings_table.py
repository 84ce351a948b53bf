"""The settings as a table, made from their declarations: `dbmazz config`, each service's --help, and the README."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dbmazz import settings_field
from dbmazz.config import Configuration, Settings

_HEADINGS = ("Variable", "Default", "Takes", "What it is, and why the default")


@dataclass(frozen=True)
class Row:
    """One setting, in words."""

    name: str
    default: str
    takes: str
    help: str
    why: str

    @property
    def meaning(self) -> str:
        """Help and the default's reason in one cell."""
        return f"{self.help} ({self.why})" if self.why else self.help


def rows(fields: Sequence[str] | None = None) -> list[Row]:
    """All settings in the order of their declaration, or those of `fields` in the order given."""
    declared = {field.name: field for field in dataclasses.fields(Settings)}
    return [_row(declared[name]) for name in (declared if fields is None else fields)]


def _row(field: dataclasses.Field) -> Row:
    return Row(
        name=field.name.upper(),
        default=_default(field),
        takes=settings_field.takes(field),
        help=field.metadata["help"],
        why=field.metadata["why"],
    )


def _default(field: dataclasses.Field) -> str:
    return _value(field, field.default)


def _value(field: dataclasses.Field, value: Any) -> str:
    """Sizes the way people write them: 64MB, not 67108864; secrets hidden."""
    if field.metadata["kind"] == "size":
        for unit, bytes_per_unit in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
            if value and value % bytes_per_unit == 0:
                return f"{value // bytes_per_unit}{unit}"
    return settings_field.shown(field, value)


def markdown() -> str:
    """The table of the README, ending with a newline."""
    lines = [f"| {' | '.join(_HEADINGS)} |", f"|{'---|' * len(_HEADINGS)}"]
    for row in rows():
        default = f"`{row.default}`" if row.default else ""
        lines.append(f"| `{row.name}` | {default} | {_escaped(row.takes)} | {_escaped(row.meaning)} |")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """A cell ends at a bar, and GitHub reads a bare * as emphasis and <...> as a tag."""
    return text.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")


def plain(fields: Sequence[str] | None = None, width: int = 100) -> str:
    """For the terminal: a name and its default on one line, what it is below."""
    blocks = []
    for row in rows(fields):
        default = f" [{row.default}]" if row.default else ""
        body = textwrap.wrap(
            f"{row.meaning}. Takes {row.takes}.", width, initial_indent="    ", subsequent_indent="    "
        )
        blocks.append("\n".join([f"{row.name}{default}", *body]))
    return "\n".join(blocks)


def effective(configuration: Configuration) -> dict[str, dict[str, str]]:
    """What is in effect: variable -> `value` as text, secrets hidden, and `origin`: where it stands, or `default`."""
    return {
        field.name.upper(): {
            "value": _value(field, getattr(configuration.settings, field.name)),
            "origin": configuration.origins.get(field.name.upper(), "default"),
        }
        for field in dataclasses.fields(Settings)
    }


def effective_lines(configuration: Configuration) -> list[str]:
    """The same for people, in columns."""
    found = effective(configuration)
    values = {name: one["value"] if one["value"].isprintable() else repr(one["value"]) for name, one in found.items()}
    wide = max(map(len, found))
    # One long value must not push all origins off the screen.
    long = min(40, max(map(len, values.values())))
    return [f"{name:<{wide}}  {values[name]:<{long}}  {one['origin']}" for name, one in found.items()]
