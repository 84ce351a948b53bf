"""A part of the screen, and how its lines are put together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dbmazz_monitor.terminal.look import Look

Justify = Literal["left", "right"]


@dataclass(frozen=True)
class Section:
    """`body` is `height` lines high at the width that it was made for."""

    height: int
    body: RenderableType


def lines(texts: Sequence[Text]) -> Section:
    """One line each."""
    return Section(len(texts), Group(*(_ended(text) for text in texts)))


def _ended(text: Text) -> Text:
    whole = text.copy()
    whole.end = "\n"
    return whole


def rule(title: str, width: int, look: Look, more: str = "") -> Text:
    """A line with a title in it."""
    dash = look.pick("─", "-")
    text = Text.assemble(
        (f"{dash}{dash} ", "dim"), (look.text(title), "bold"), (look.text(f" {more} " if more else " "), "dim")
    )
    text.append(dash * max(0, width - cell_len(text.plain)), "dim")
    return _cut(text, look)


def joined(parts: Iterable[Text | tuple[str, str] | str], look: Look) -> Text:
    """One line of several pieces, which are ours or harmless already."""
    return _cut(Text.assemble(*parts), look)


def _cut(text: Text, look: Look) -> Text:
    text.no_wrap, text.overflow, text.end = True, look.overflow, ""
    return text


def ends(left: Text, right: Text, width: int, look: Look) -> Text:
    """`left` at the left edge, `right` at the right one; `left` gives way."""
    room = width - cell_len(right.plain) - 1
    if room < 10:
        return _cut(left, look)
    left = left.copy()
    left.truncate(room, overflow=look.overflow, pad=True)
    return _cut(Text.assemble(left, " ", right), look)


@dataclass(frozen=True)
class Column:
    """A column of a table; `width` 0 takes what is left."""

    title: str
    width: int = 0
    justify: Justify = "left"


def table(columns: Sequence[Column], rows: Sequence[Sequence[Text]], look: Look, *, head: bool = True) -> Section:
    """Rows of one line each."""
    made = Table(box=None, padding=(0, 1, 0, 0), expand=True, pad_edge=False, show_header=head, header_style="dim")
    for column in columns:
        made.add_column(
            look.say(column.title),
            width=column.width or None,
            ratio=None if column.width else 1,
            justify=column.justify,
            no_wrap=True,
            overflow=look.overflow,
        )
    for row in rows:
        made.add_row(*row)
    return Section(len(rows) + head, made)
