"""States made by hand, as large and as odd as a test wants them; `test_page_states.py` holds them against the real ones."""

from __future__ import annotations

import math
from typing import Any

NOW_MS = 1_800_000_000_000
MB = 1 << 20


def row(name: str, **changes: Any) -> dict[str, Any]:
    """A table that streams."""
    values = {
        "name": name,
        "target": name.removeprefix("public.").replace(".", "__"),
        "source_rows": 120_450,
        "source_exact": True,
        "target_rows": 120_431,
        "deleted_rows": 212,
        "events": 48_213,
        "level": "ok",
        "status": "streaming",
        "warning": "",
        "icon": "moving",
        "lag_ms": 84,
        "rate": 412.5,
        "partial_rows": 1_204,
        "lane": 1,
        "audit": True,
        "replicated": True,
        "last_sync_ms": NOW_MS - 300,
    }
    return values | changes


def replica(service: str, number: int = 1, **changes: Any) -> dict[str, Any]:
    limits = {"reader": 256 * MB, "transformer": 128 * MB, "loader": 8, "checkpoint": None}
    values = {"reader": 41 * MB, "transformer": (12 + 9 * number) * MB, "loader": 1 + number, "checkpoint": 3}
    units = {"reader": "bytes", "transformer": "bytes", "loader": "loads", "checkpoint": "batches"}
    made = {
        "name": f"{service}-{number}",
        "address": f"10.0.0.{number + 10}:5005{list(limits).index(service) + 1}",
        "level": "ok",
        "state": "running",
        "rate": {"value": 3_246.0 / (number + 0.5), "unit": "rows/s"},
        "queue": {"value": values[service], "limit": limits[service], "unit": units[service]},
    }
    return made | changes


def down(service: str, number: int = 1) -> dict[str, Any]:
    queue = {"value": None, "limit": None, "unit": replica(service)["queue"]["unit"]}
    return replica(
        service, number, name=None, level="bad", state="down", rate={"value": None, "unit": "rows/s"}, queue=queue
    )


DETAILS = {
    "postgres": "16/B3751000",
    "reader": "slot dbmazz_slot",
    "transformer": "8 lanes",
    "loader": "5 loads under way",
    "checkpoint": "16/B374D848",
    "starrocks": "3.3.11",
}
LINKS = [
    ("postgres", "reader", "pgoutput"),
    ("reader", "transformer", "batches"),
    ("transformer", "loader", "loads"),
    ("loader", "starrocks", "Stream Load"),
    ("loader", "checkpoint", "loaded"),
    ("checkpoint", "reader", "confirmed LSN"),
]


def ring(moves: bool = True, **replicas: list[dict[str, Any]]) -> dict[str, Any]:
    """All four services, two transformers and three loaders; `loader=[...]` takes the place of the loaders."""
    counts = {"reader": 1, "transformer": 2, "loader": 3, "checkpoint": 1}
    nodes = [_store("postgres")]
    for service, number in counts.items():
        members = replicas.get(service, [replica(service, one) for one in range(1, number + 1)])
        nodes.append(_service(service, members))
    nodes.append(_store("starrocks"))
    bad = {node["id"] for node in nodes if node["level"] == "bad"}
    links = [
        {"from": a, "to": b, "label": label, "ok": not bad & {a, b}, "moves": moves and not bad & {a, b}}
        for a, b, label in LINKS
    ]
    return {"nodes": nodes, "links": links}


def _store(name: str) -> dict[str, Any]:
    return {"id": name, "level": "ok", "state": "reached", "detail": DETAILS[name], "replicas": []}


def _service(service: str, members: list[dict[str, Any]]) -> dict[str, Any]:
    up = [one for one in members if one["level"] != "bad"]
    level = "ok" if len(up) == len(members) else "warn" if up else "bad"
    state = members[0]["state"] if len(members) == 1 else f"{len(up)} of {len(members)} running"
    return {"id": service, "level": level, "state": state, "detail": DETAILS[service], "replicas": members}


def numbers(**changes: Any) -> dict[str, Any]:
    latency = {"p50": 62.0, "p99": 148.0, "max": 310.0, "samples": 4_000}
    slot = {
        "name": "dbmazz_slot",
        "wal_status": "reserved",
        "level": "ok",
        "retained_wal_bytes": 38 * MB,
        "restart_lsn": "16/B3700000",
        "confirmed_flush_lsn": "16/B374D848",
        "safe_wal_bytes": 986 * MB,
        "growth_bytes_per_s": 250_000.0,
        "loss_in_s": 4_135,
    }
    values = {
        "events_per_s": 3_246.0,
        "loaded_per_s": 2_980.0,
        "loaded_bytes_per_s": 1_480_000.0,
        "rows_in": 4_812_906,
        "transactions": 391_204,
        "unchanged_toast": 18_030,
        "rows_loaded": 4_402_118,
        "rows_folded": 410_772,
        "rows_unaccounted": 0,
        "dead_letters": 0,
        "full_loads": 9_120,
        "partial_loads": 3_044,
        "partial_rows": 264_127,
        "partial_share": 0.06,
        "policy_values": 12,
        "running_loads": 5,
        "lag_bytes": 14_264,
        "lag_ms": 84,
        "last_sync_ms": NOW_MS - 400,
        "paused": False,
        "latency_recent": latency,
        "latency_overall": latency | {"p50": 71.0, "p99": 212.0},
        "epoch": 1_800_000_000,
        "retained_bytes": 41 * MB,
        "retained_bytes_limit": 256 * MB,
        "confirmed_lsn": "16/B374D848",
        "server_lsn": "16/B3751000",
        "stored_lsn": "16/B374D848",
        "slot": slot,
    }
    return values | changes


def signature(table: str, *absent: str, rows: int = 40, **changes: Any) -> dict[str, Any]:
    made = {"table": table, "absent": list(absent), "loads": rows // 20 + 1, "rows": rows, "inserts": 0}
    return made | {"updates": rows, "deletes": 0} | changes


def service(one: dict[str, Any], kind: str, **changes: Any) -> dict[str, Any]:
    """The entry of state.replicas for a replica of the ring's picture."""
    up = one["level"] != "bad"
    made = {
        "service": kind,
        "name": one["name"],
        "address": one["address"],
        "state": one["state"],
        "level": one["level"],
        "rate": one["rate"],
        "queue": one["queue"],
        "version": "0.1.0" if up else None,
        "uptime_s": 93_784 if up else None,
        "cpu_millicores": 61.4 if up else None,
        "rss_bytes": 34 * MB if up else None,
        "error": "" if up else f"nothing answers at {one['address']}",
    }
    return made | changes


def totals(rows: list[dict[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {"tables": len(rows)}
    for key in ("source_rows", "target_rows", "deleted_rows", "events"):
        known = [one[key] for one in rows if one[key] is not None]
        made |= {key: sum(known) if known else None, f"{key}_complete": len(known) == len(rows)}
    made["levels"] = {level: sum(one["level"] == level for one in rows) for level in ("ok", "warn", "bad", "idle")}
    made["with_audit"] = sum(one["audit"] is True for one in rows)
    made["without_audit"] = sum(one["audit"] is False for one in rows)
    made["not_replicated"] = sum(one["replicated"] is False for one in rows)
    made["source_exact"] = all(one["source_exact"] for one in rows)
    return made


def state(rows: list[dict[str, Any]] | None = None, **changes: Any) -> dict[str, Any]:
    """All is well, with three tables, unless something else is asked for."""
    rows = [row("public.orders"), row("public.items"), row("sales.customers")] if rows is None else rows
    picture = changes.get("ring") or ring()
    services = [service(one, node["id"]) for node in picture["nodes"] for one in node["replicas"]]
    made = {
        "time_ms": NOW_MS,
        "headline": {"level": "ok", "text": "All is well"},
        "problems": [],
        "ring": picture,
        "numbers": numbers(),
        "replicas": services,
        "tables": {"rows": rows, "totals": totals(rows), "empty": "" if rows else "No table is replicated yet."},
        "signatures": [
            signature("orders", "payload", rows=18_204),
            signature("orders", "payload", "notes", rows=2_110),
            signature("sales__customers", "preferences", rows=640),
        ],
    }
    return made | changes


def points(number: int = 300, *, end_ms: int = NOW_MS) -> list[dict[str, Any]]:
    """Five minutes of a busy ring, with a gap in it."""
    made = []
    for index in range(number):
        wave = math.sin(index / 23) * 420 + math.sin(index / 5.3) * 160 + math.sin(index / 1.7) * 60
        quiet = 120 < index < 132
        stall = math.exp(-((index - 205) ** 2) / 60)
        point = {
            "t": end_ms - (number - 1 - index) * 1000,
            "events": None if quiet else 3_100 + wave,
            "loaded": None if quiet else max(0.0, 2_860 + wave * 0.9 - 2_400 * stall),
            "lag": None if quiet else 14_000 + int(abs(wave) * 20 + 900_000 * stall),
            "lag_ms": None if quiet else 84 + abs(wave) / 12 + 1_900 * stall,
            "p99": None if quiet else 140 + abs(wave) / 9 + 1_700 * stall,
        }
        made.append(point)
    return made


def many(number: int = 1000) -> list[dict[str, Any]]:
    """Many tables, a few of them in trouble."""
    rows = []
    for index in range(number):
        name = f"{('public', 'sales', 'billing', 'audit')[index % 4]}.table_{index:04}"
        odd = {
            7: {"level": "bad", "status": "parked", "icon": "parked", "warning": "column total: out of range"},
            93: {"level": "warn", "status": "retrying", "icon": "retry", "warning": "StarRocks: too many versions"},
            211: {"level": "warn", "status": "no transformer", "icon": "waiting"},
            333: {"level": "idle", "status": "not replicated", "icon": "absent", "replicated": False, "lane": None},
            404: {"audit": False, "icon": "unaudited", "status": "no audit columns", "level": "warn"},
            512: {"source_exact": False, "icon": "partial", "status": "streaming, partial"},
        }.get(index, {})
        still = (
            {} if odd or index % 3 else {"level": "idle", "status": "idle", "icon": "idle", "rate": 0.0, "lag_ms": 0}
        )
        counts = {"source_rows": 1000 + index * 37, "target_rows": 1000 + index * 37 - index % 5, "lane": index + 1}
        rows.append(row(name, **(counts | still | odd)))
    return rows
