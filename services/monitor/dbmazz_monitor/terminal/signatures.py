"""TOAST signatures: which columns rows came without, and how many did."""

from __future__ import annotations

from typing import Any

from dbmazz_monitor.terminal import wording
from dbmazz_monitor.terminal.look import Look
from dbmazz_monitor.terminal.section import Column, Section, lines, table


def signatures(state: dict[str, Any], width: int, height: int, look: Look) -> Section:
    """At most `height` lines, headings included."""
    found = state.get("signatures") or []
    if not found:
        return lines([look.say(_nothing(state), "dim")])
    rows = [
        [
            look.say(one["table"]),
            look.say(", ".join(one["absent"])),
            look.say(wording.count(one["rows"])),
            look.say(wording.count(one["loads"])),
        ]
        for one in found[: max(height - 1, 1)]
    ]
    name = min(30, max(12, width // 4))
    columns = [Column("table", name), Column("came without"), Column("rows", 10, "right"), Column("loads", 9, "right")]
    return table(columns, rows, look)


def _nothing(state: dict[str, Any]) -> str:
    """The transformers are who knows."""
    known = any(one["service"] == "transformer" and one["state"] != "down" for one in state.get("replicas") or [])
    return "No row has come without a large value yet." if known else "Not known while no transformer answers."
