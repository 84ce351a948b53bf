"""The tables: the worst first, then the busiest; as many as fit, and how many more there are."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import replace
from typing import Any

from rich.console import Group
from rich.text import Text

from dbmazz_monitor.terminal import wording
from dbmazz_monitor.terminal.look import STYLES, Look
from dbmazz_monitor.terminal.section import Column, Section, lines, table

_RANK = {"bad": 0, "warn": 1}
# Headings, totals, one row and the line that counts the others: below it there is no table.
LEAST = 4
# From this width on, counts are shown to the last row.
_WHOLE_FROM = 140

Row = dict[str, Any]


def order(row: Row) -> tuple[int, float, int, str]:
    """Sorting key: bad, warn, the rest; in each by rate, then by events, then by name."""
    return (_RANK.get(row.get("level", ""), 2), -(row.get("rate") or 0), -(row.get("events") or 0), row["name"])


def tables(state: dict[str, Any], width: int, height: int, look: Look) -> Section:
    """At most `height` lines, the totals and the count of what is not shown included."""
    found = state.get("tables") or {}
    rows: list[Row] = found.get("rows") or []
    if not rows:
        return lines([look.say(found.get("empty") or "No table yet.", "dim")])
    room = height - 2
    shown = heapq.nsmallest(room if len(rows) <= room else max(room - 1, 0), rows, key=order)
    brief = width < _WHOLE_FROM
    columns = [(title if brief else _widened(title), cell) for least, title, cell in _COLUMNS if width >= least]
    body = [[cell(row, look, brief) for _, cell in columns] for row in shown]
    if found.get("totals"):
        total = _totals(found["totals"], len(rows))
        body.append([_sum(title.title, total, look, brief) for title, cell in columns])
    section = table([title for title, _ in columns], body, look)
    if len(shown) == len(rows):
        return section
    return Section(section.height + 1, Group(section.body, _ended(look.say(_more(rows, shown), "dim"))))


def _ended(text: Text) -> Text:
    text.end = "\n"
    return text


def _widened(column: Column) -> Column:
    return replace(column, width=14) if column.width in (9, 10) else column


def _more(rows: list[Row], shown: list[Row]) -> str:
    levels = Counter(row.get("level") for row in rows)
    levels.subtract(row.get("level") for row in shown)
    words = [
        f"{levels[level]:,} {word}" for level, word in (("bad", "bad"), ("warn", "with warnings")) if levels[level]
    ]
    also = f", {' and '.join(words)} among them" if words else ""
    return f"… {len(rows) - len(shown):,} more tables{also}"


def _totals(totals: Row, tables: int) -> Row:
    return {**totals, "name": f"{tables:,} table{'' if tables == 1 else 's'}"}


def _plus(totals: Row, key: str) -> str:
    return "" if totals.get(f"{key}_complete", True) else "+"


def _sum(title: str, totals: Row, look: Look, brief: bool) -> Text:
    """The totals row: the name, and sums where adding up makes sense."""
    if title == "table":
        return look.say(totals["name"], "bold")
    keys = {"source": "source_rows", "target": "target_rows", "deleted": "deleted_rows", "events": "events"}
    if title not in keys:
        return Text()
    key = keys[title]
    plus = "" if totals.get(key) is None else _plus(totals, key)
    about = "≈" if key == "source_rows" and totals.get(key) is not None and not totals.get("source_exact") else ""
    return look.say(f"{about}{_number(totals.get(key), brief)}{plus}", "bold")


def _number(value: float | None, brief: bool) -> str:
    return wording.brief(value) if brief else wording.count(value)


def _icon(row: Row, look: Look, brief: bool) -> Text:
    return look.say(look.icon(row.get("icon"), row.get("level")), STYLES.get(row.get("level", ""), ""))


def _name(row: Row, look: Look, brief: bool) -> Text:
    return look.say(row["name"])


def _status(row: Row, look: Look, brief: bool) -> Text:
    return look.say(row.get("status") or wording.UNKNOWN, STYLES.get(row.get("level", ""), ""))


def _source(row: Row, look: Look, brief: bool) -> Text:
    about = "" if row.get("source_exact") or row.get("source_rows") is None else "≈"
    return look.say(about + _number(row.get("source_rows"), brief))


def _counted(key: str) -> Any:
    return lambda row, look, brief: look.say(_number(row.get(key), brief))


def _lag(row: Row, look: Look, brief: bool) -> Text:
    return look.say(wording.millis(row.get("lag_ms")))


def _rate(row: Row, look: Look, brief: bool) -> Text:
    value = row.get("rate")
    return look.say(wording.UNKNOWN if value is None else f"{wording.rate(value)}/s")


def _audit(row: Row, look: Look, brief: bool) -> Text:
    return look.say({True: "yes", False: "no"}.get(row.get("audit"), wording.UNKNOWN))


def _warning(row: Row, look: Look, brief: bool) -> Text:
    return look.say(row.get("warning") or "", "dim")


# From this width of the screen on: the column, and how its cell is drawn.
_COLUMNS: list[tuple[int, Column, Any]] = [
    (0, Column("", 1), _icon),
    (0, Column("table"), _name),
    (0, Column("status", 12), _status),
    (64, Column("source", 9, "right"), _source),
    (56, Column("target", 9, "right"), _counted("target_rows")),
    (90, Column("deleted", 9, "right"), _counted("deleted_rows")),
    (40, Column("lag", 7, "right"), _lag),
    (70, Column("rate", 8, "right"), _rate),
    (100, Column("events", 10, "right"), _counted("events")),
    (112, Column("partial", 8, "right"), _counted("partial_rows")),
    (120, Column("audit", 5), _audit),
    (176, Column("remark"), _warning),
]
