"""What the ring does and holds, in figures with their units."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from dbmazz_monitor.terminal.look import STYLES, Look
from dbmazz_monitor.terminal.section import Column, Section, table
from dbmazz_monitor.terminal.wording import UNKNOWN, ago, count, millis, rate, size, span, together

_LABEL = 13
# A level's style, or none.
Item = tuple[str, str, str]


def numbers(state: dict[str, Any], width: int, columns: int, look: Look, *, most: int = 99) -> Section:
    """Label and value in `columns` pairs beside each other; the first `most` of them."""
    items = _items(state)[:most]
    height = -(-len(items) // columns)
    rows = []
    for row in range(height):
        cells: list[Text] = []
        for index in range(row, height * columns, height):
            label, value, level = items[index] if index < len(items) else ("", "", "")
            cells += [look.say(label, "dim"), look.say(value, STYLES.get(level, ""))]
        rows.append(cells)
    return table([Column("", _LABEL), Column("")] * columns, rows, look, head=False)


def _items(state: dict[str, Any]) -> list[Item]:
    n = state.get("numbers") or {}
    slot = n.get("slot") or {}
    return [
        ("in", f"{rate(n.get('events_per_s'))} events/s", ""),
        ("loaded", together(f"{rate(n.get('loaded_per_s'))} rows/s", f"{size(n.get('loaded_bytes_per_s'))}/s"), ""),
        ("lag", together(millis(n.get("lag_ms")), size(n.get("lag_bytes"))), ""),
        ("visible after", _latency(n.get("latency_recent")), ""),
        ("slot", _slot(slot), slot.get("level", "") if slot.get("level") != "ok" else ""),
        ("time to loss", _loss(slot), _loss_level(slot)),
        ("last sync", ago(n.get("last_sync_ms"), state.get("time_ms")), ""),
        ("partial rows", _partial(n), ""),
        ("confirmed LSN", n.get("confirmed_lsn") or UNKNOWN, ""),
        ("server LSN", n.get("server_lsn") or UNKNOWN, ""),
        ("stored LSN", n.get("stored_lsn") or UNKNOWN, ""),
        ("unaccounted", f"{count(n.get('rows_unaccounted'))} rows", "bad" if n.get("rows_unaccounted") else ""),
        ("dead letters", f"{count(n.get('dead_letters'))} rows", "warn" if n.get("dead_letters") else ""),
        ("reader keeps", _kept(n), ""),
        ("rows in", together(count(n.get("rows_in")), f"{count(n.get('transactions'))} transactions"), ""),
        ("rows loaded", together(count(n.get("rows_loaded")), f"{count(n.get('rows_folded'))} folded"), ""),
        ("loads", together(f"{count(n.get('full_loads'))} full", f"{count(n.get('partial_loads'))} partial"), ""),
        ("overall", _latency(n.get("latency_overall")), ""),
    ]


def _kept(n: dict[str, Any]) -> str:
    limit = n.get("retained_bytes_limit")
    return size(n.get("retained_bytes")) + (f" of {size(limit)}" if limit else "")


def _latency(latency: dict[str, float] | None) -> str:
    return f"p50 {millis(latency['p50'])}, p99 {millis(latency['p99'])}" if latency else UNKNOWN


def _slot(slot: dict[str, Any]) -> str:
    return f"{slot.get('wal_status') or UNKNOWN}, keeps {size(slot.get('retained_wal_bytes'))}" if slot else UNKNOWN


def _loss(slot: dict[str, Any]) -> str:
    """What is left at the present rate, and why nothing is said where nothing is."""
    left, grows = slot.get("safe_wal_bytes"), slot.get("growth_bytes_per_s")
    if slot.get("loss_in_s") is not None:
        return f"{span(slot['loss_in_s'])}, {size(left)} left"
    if left is not None and grows is not None:
        return f"does not grow, {size(left)} left"
    return f"{UNKNOWN} (grows by {size(grows)}/s)" if grows else UNKNOWN


def _loss_level(slot: dict[str, Any]) -> str:
    left = slot.get("loss_in_s")
    return "" if left is None else "bad" if left < 600 else "warn" if left < 3600 else ""


def _partial(n: dict[str, Any]) -> str:
    share = n.get("partial_share")
    return f"{count(n.get('partial_rows'))}{'' if share is None else f' ({share:.1%})'}"
