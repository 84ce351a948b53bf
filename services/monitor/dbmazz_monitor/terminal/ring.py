"""The ring: as one line, as a picture where there is room, and its replicas."""

from __future__ import annotations

from typing import Any

from rich.cells import cell_len
from rich.text import Text

from dbmazz_monitor.terminal import wording
from dbmazz_monitor.terminal.look import STYLES, Look
from dbmazz_monitor.terminal.section import Column, Section, joined, lines, table

_CHAIN = ("postgres", "reader", "transformer", "loader", "starrocks")
_TITLES = {"postgres": "PostgreSQL", "starrocks": "StarRocks"}
_RANK = {"bad": 0, "warn": 1}
PICTURE_WIDTH, PICTURE_HEIGHT = 92, 7
_ARROW = 4
_QUEUE_BAR = 6

Node = dict[str, Any]


def _nodes(ring: dict[str, Any]) -> dict[str, Node]:
    return {node["id"]: node for node in ring.get("nodes", [])}


def _title(name: str) -> str:
    return _TITLES.get(name, name)


def _arrow(ring: dict[str, Any], start: str, end: str, look: Look, length: int = 1) -> tuple[str, str]:
    """An arrow and its style: full where data moves, thin where it does not, broken where it cannot."""
    link = next((one for one in ring.get("links", []) if (one["from"], one["to"]) == (start, end)), {})
    if not link.get("ok", True):
        return look.pick("╌", ".") * (length - 1) + look.pick("✖", "x"), STYLES["bad"]
    if link.get("moves"):
        return look.pick("━", "=") * (length - 1) + look.pick("▶", ">"), STYLES["ok"]
    return look.pick("─", "-") * (length - 1) + look.pick("▷", ">"), "dim"


def line(ring: dict[str, Any], width: int, look: Look) -> Section:
    """`● PostgreSQL ▶ ● reader ▶ ● transformer×3 ▶ ...`; a node that is not well says its state where there is room.

    The databases always do, since they are in no other list.
    """
    nodes = _nodes(ring)
    parts: list[Text | tuple[str, str] | str] = []
    before = ""
    for name in (*_CHAIN, "checkpoint"):
        node = nodes.get(name, {})
        if before:
            # The checkpoint closes the ring: what it has stored goes back to the reader.
            parts += [" ", _arrow(ring, before, name, look) if name != "checkpoint" else ("|", "dim"), " "]
        level = node.get("level", "idle")
        several = len(node.get("replicas") or [])
        parts += [(look.mark(level), STYLES[level]), " ", _title(name)]
        parts += [look.text(f"×{several}")] if several > 1 else []
        parts += (
            [(f" {look.text(node['state'])}", STYLES[level])]
            if level in _RANK and (width >= 110 or name in _TITLES)
            else []
        )
        before = name
    return lines([joined(parts, look)])


def picture(ring: dict[str, Any], width: int, look: Look) -> Section:
    """Five boxes with arrows between them, and the checkpoint on the way back."""
    inner = min(24, (width - _ARROW * 4) // 5 - 2)
    nodes = _nodes(ring)
    left, right, flat = look.pick("╭", "+"), look.pick("╮", "+"), look.pick("─", "-")
    low_left, low_right, side = look.pick("╰", "+"), look.pick("╯", "+"), look.pick("│", "|")
    rows: list[list[Text | tuple[str, str] | str]] = [[], [], [], [], []]
    for index, name in enumerate(_CHAIN):
        node = nodes.get(name, {})
        level = node.get("level", "idle")
        style = STYLES[level]
        gap = "" if not index else " " * _ARROW
        arrow = _arrow(ring, _CHAIN[index - 1], name, look, _ARROW - 2) if index else ("", "")
        title = f" {_title(name)} "
        rows[0] += [gap, (left, style), (title, "bold"), (flat * (inner - len(title)) + right, style)]
        state = f"{look.mark(level)} {look.text(node.get('state', wording.UNKNOWN))}"
        rows[1] += [gap, (side, style), _fitted(f" {state}", inner, look, style), (side, style)]
        rows[2] += [(f" {arrow[0]} ", arrow[1]) if index else "", (side, style)]
        rows[2] += [_fitted(f" {look.text(node.get('detail') or '')}", inner, look), (side, style)]
        rows[3] += [gap, (side, style), _fitted(f" {_flow(node)}", inner, look, "dim"), (side, style)]
        rows[4] += [gap, (low_left + flat * inner + low_right, style)]
    return lines([*(joined(row, look) for row in rows), *_return(ring, inner + 2 + _ARROW, inner, look)])


def _fitted(text: str, width: int, look: Look, style: str = "") -> Text:
    fitted = Text(text, style)
    fitted.truncate(width, overflow=look.overflow, pad=True)
    return fitted


def _flow(node: Node) -> str:
    """The sum of its replicas' rates."""
    rates = [one["rate"] for one in node.get("replicas") or [] if (one.get("rate") or {}).get("value") is not None]
    return wording.amount(sum(rate["value"] for rate in rates), rates[0]["unit"]) if rates else ""


def _return(ring: dict[str, Any], step: int, inner: int, look: Look) -> list[Text]:
    """From under the loader, through the checkpoint, up to the reader."""
    node = _nodes(ring).get("checkpoint", {})
    level = node.get("level", "idle")
    reader, loader = step + inner // 2, 3 * step + inner // 2
    back, style = _arrow(ring, "checkpoint", "reader", look)
    words = f" {look.mark(level)} checkpoint {look.text(node.get('state', wording.UNKNOWN))}"
    detail = look.text(node.get("detail") or "")
    label = Text.assemble((words, STYLES[level]), f" {detail} ")
    room = loader - reader - 1
    label.truncate(room - 4, overflow=look.overflow)
    flat = look.pick("─", "-")
    before = (room - cell_len(label.plain)) // 2
    after = room - before - cell_len(label.plain)
    up = back if not node or "x" in back.lower() or "✖" in back else look.pick("▲", "^")
    return [
        joined([" " * reader, (up, style), " " * room, (look.pick("│", "|"), "dim")], look),
        joined(
            [" " * reader, (look.pick("╰", "+") + flat * before, "dim"), label,
             (flat * after + look.pick("╯", "+"), "dim")],
            look,
        ),
    ]  # fmt: skip


def replicas(found: list[dict[str, Any]], width: int, limit: int, look: Look) -> Section:
    """One line each; the worst first when not all can be shown."""
    shown = found
    if len(found) > limit:
        shown = sorted(found, key=lambda one: _RANK.get(_level(one), 2))[: max(limit - 1, 0)]
        shown = [one for one in found if one in shown]
    columns = [Column("", 1), Column("service", 11), Column("address"), Column("state", 9), Column("rate", 13, "right")]
    columns += [Column("queue", 24)]
    columns += [Column("CPU", 7, "right"), Column("memory", 8, "right")] if width >= 104 else []
    columns += [Column("up", 9, "right")] if width >= 116 else []
    section = table(columns, [_row(one, width, look) for one in shown], look, head=False)
    if len(shown) == len(found):
        return section
    rest = len(found) - len(shown)
    more = table([Column("")], [[look.say(f"… {rest} more replicas", "dim")]], look, head=False)
    return Section(section.height + 1, _stacked(section, more))


def _stacked(*sections: Section) -> Any:
    from rich.console import Group

    return Group(*(section.body for section in sections))


def _level(replica: dict[str, Any]) -> str:
    return replica.get("level") or {"running": "ok", "down": "bad", "stopped": "bad"}.get(replica["state"], "warn")


def _row(one: dict[str, Any], width: int, look: Look) -> list[Text]:
    level = _level(one)
    style = STYLES[level]
    pace, queue = one.get("rate") or {}, one.get("queue") or {}
    cells = [
        look.say(look.mark(level), style),
        look.say(one["service"]),
        look.say(one["address"] + (f"  {one['error']}" if one.get("error") and level != "ok" else "")),
        look.say(one["state"], style),
        look.say(wording.amount(pace.get("value"), pace.get("unit", "rows/s"))),
        _queue(queue, look),
    ]
    if width >= 104:
        cpu = one.get("cpu_millicores")
        cells.append(look.say(wording.UNKNOWN if cpu is None else f"{wording.rate(cpu)} m"))
        cells.append(look.say(wording.size(one.get("rss_bytes"))))
    if width >= 116:
        cells.append(look.say(wording.span(one.get("uptime_s"))))
    return cells


def _queue(queue: dict[str, Any], look: Look) -> Text:
    """`293 KB of 256 MB`, with a bar against the bound where there is one."""
    value, limit, unit = queue.get("value"), queue.get("limit"), queue.get("unit", "")
    if value is None:
        return look.say(wording.UNKNOWN)
    if not limit:
        return look.say(wording.waiting(value, unit))
    full = min(1.0, value / limit)
    filled = round(full * _QUEUE_BAR)
    bar = look.pick("█", "#") * filled + look.pick("░", ".") * (_QUEUE_BAR - filled)
    bound = wording.waiting(limit, unit)
    short = wording.size(value) if unit == "bytes" else wording.count(value)
    style = STYLES["bad"] if full >= 1 else STYLES["warn"] if full >= 0.8 else ""
    return joined([(bar, style), " ", look.text(f"{short} of {bound}")], look)
