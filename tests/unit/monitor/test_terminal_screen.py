"""The screen as text: at every size, with everything unknown, with a thousand tables, with names that mean harm."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import Any

import pytest
from dbmazz_monitor.terminal.look import Look, harmless
from dbmazz_monitor.terminal.screen import Shown, screen, snapshot
from dbmazz_monitor.terminal.tables import order
from rich.cells import cell_len
from rich.console import Console

NOW_MS = 1_795_175_003_000
ASCII = Look("ascii")
SERVICES = ("reader", "transformer", "loader", "checkpoint")
CHAIN = ("postgres", "reader", "transformer", "loader", "starrocks")


def replica(service: str, number: int = 1, level: str = "ok", **changes: Any) -> dict[str, Any]:
    return {
        "service": service,
        "name": f"host-{number}",
        "address": f"10.0.0.{number}:50051",
        "state": "running" if level == "ok" else "down",
        "version": "1",
        "uptime_s": 3700,
        "cpu_millicores": 68.2,
        "rss_bytes": 65 << 20,
        "error": "" if level == "ok" else "nothing answers there",
        "level": level,
        "rate": {"value": 3001.0, "unit": "rows/s"},
        "queue": {"value": 12 << 20, "limit": 256 << 20, "unit": "bytes"},
    } | changes


def row(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "source_rows": 1_234_567,
        "source_exact": True,
        "target_rows": 1234,
        "deleted_rows": 5,
        "events": 10,
        "level": "ok",
        "status": "streaming",
        "warning": "",
        "icon": "moving",
        "lag_ms": 320,
        "rate": 7.5,
        "partial_rows": 3,
        "audit": True,
    } | changes


def state(
    rows: list[dict[str, Any]] | None = None, replicas: list[dict] | None = None, **changes: Any
) -> dict[str, Any]:
    found = [replica(service) for service in SERVICES] if replicas is None else replicas
    nodes = [
        {
            "id": name,
            "level": "ok",
            "state": "running",
            "detail": f"about {name}",
            "replicas": [one for one in found if one["service"] == name],
        }
        for name in (*CHAIN, "checkpoint")
    ]
    pairs = [*pairwise(CHAIN), ("loader", "checkpoint"), ("checkpoint", "reader")]
    rows = [row("public.orders"), row("public.items")] if rows is None else rows
    return {
        "time_ms": NOW_MS,
        "headline": {"level": "ok", "text": "All is well"},
        "problems": [],
        "ring": {"nodes": nodes, "links": [{"from": a, "to": b, "moves": True, "ok": True} for a, b in pairs]},
        "numbers": {
            "events_per_s": 3001.2,
            "loaded_per_s": 2950.3,
            "loaded_bytes_per_s": 1_234_567,
            "lag_ms": 320,
            "lag_bytes": 14_264,
            "latency_recent": {"p50": 718, "p99": 1272, "max": 1310, "samples": 9},
            "slot": {
                "wal_status": "extended",
                "level": "warn",
                "retained_wal_bytes": 50_000,
                "safe_wal_bytes": 10 << 30,
                "growth_bytes_per_s": 1000,
                "loss_in_s": 7500,
            },
            "last_sync_ms": NOW_MS - 800,
            "partial_rows": 8584,
            "partial_share": 0.0123,
            "confirmed_lsn": "16/B374D848",
            "rows_unaccounted": 0,
        },
        "replicas": found,
        "tables": {"rows": rows, "totals": {"tables": len(rows), "source_rows": 2_469_134, "source_exact": True}},
        "signatures": [{"table": "orders", "absent": ["payload", "body"], "loads": 12, "rows": 40}],
    } | changes


def points(count: int = 300) -> list[dict[str, Any]]:
    return [
        {"t": NOW_MS - 1000 * (count - 1 - index), "events": 3000.0 + index, "lag": 100, "lag_ms": index}
        for index in range(count)
    ]


def text_of(body: object, width: int, height: int = 500) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None)
    console.print(body)
    lines = console.file.getvalue().split("\n")
    while lines and not lines[-1]:
        lines.pop()
    return lines


def drawn(shown: Shown | dict[str, Any], width: int = 80, height: int = 24, look: Look | None = None) -> list[str]:
    shown = shown if isinstance(shown, Shown) else Shown(shown, points())
    return text_of(screen(shown, width, height, look or Look()), width, height)


def said(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())


MANY = [row(f"public.table_{number}", rate=number, level="ok") for number in range(997)]
WORSE = [row("public.slow", level="warn", status="retrying"), row("public.stuck", level="bad", status="parked", rate=0)]


@pytest.mark.parametrize("look", [Look(), ASCII], ids=["utf-8", "ascii"])
@pytest.mark.parametrize("width", [1, 12, 39, 60, 80, 99, 100, 119, 120, 131, 132, 160, 240])
def test_it_fits_at_every_size(width: int, look: Look):
    several = [replica(service, number) for service in SERVICES for number in range(9)]
    problems = [{"level": "warn", "text": f"problem {number}"} for number in range(12)]
    for made in (state(), state(MANY + WORSE, several, problems=problems), state([]), {}, {"headline": {}}):
        for height in (1, 2, 3, 4, 5, 9, 15, 24, 37, 38, 50, 120):
            lines = drawn(made, width, height, look)
            assert len(lines) <= height
            assert max(map(cell_len, lines)) <= width
            assert look.unicode or "".join(lines).isascii()


def test_everything_that_matters_is_on_80_by_24():
    text = said(drawn(state()))
    for words in (
        "dbmazz ● All is well",
        "q quits",
        "● PostgreSQL ▶ ● reader ▶ ● transformer ▶ ● loader ▶ ● StarRocks | ● checkpoint",
        "● reader 10.0.0.1:50051 running 3,001 rows/s",
        "12.0 MB of 256 MB",
        "in 3,001 events/s",
        "loaded 2,950 rows/s, 1.2 MB/s",
        "lag 320 ms, 13.9 KB",
        "visible after p50 718 ms, p99 1.27 s",
        "slot extended, keeps 48.8 KB",
        "time to loss 2 h 5 min, 10.0 GB left",
        "last sync 800 ms ago",
        "partial rows 8,584 (1.2%)",
        "throughput",
        "3,299/s, most 3,299/s",
        "299 ms, most 299 ms",
        "▶ public.orders streaming 1.23M 1,234 320 ms 7.5/s",
        "2 tables 2.47M",
    ):
        assert words in text, words


def test_a_large_screen_shows_more():
    lines = drawn(state(), 200, 60)
    text = said(lines)
    for words in ("╭ reader", "╰───", "● checkpoint running", "TOAST signatures", "orders payload, body 40 12"):
        assert words in text, words
    for heading in ("deleted", "events", "partial", "audit", "remark"):
        assert heading in text
    assert "1,234,567" in text  # counts to the last row


def test_of_a_thousand_tables_the_worst_and_the_busiest_are_shown():
    lines = drawn(state(MANY + WORSE))
    names = [line.split()[1] for line in lines if " public." in line]
    assert names[:3] == ["public.stuck", "public.slow", "public.table_996"]
    assert len(names) >= 5
    assert f"… {999 - len(names)} more tables" in lines[-1]
    assert "among them" not in lines[-1]
    assert any("999 tables" in line for line in lines)
    assert len(drawn(state(MANY + WORSE), 80, 60)) == 60


def test_what_is_hidden_and_not_well_is_counted():
    bad = [row(f"public.stuck_{number}", level="bad") for number in range(30)]
    assert drawn(state(MANY + bad))[-1].rstrip().endswith("bad among them")


def test_tables_are_in_the_order_that_is_promised():
    rows = [
        row("b", rate=1, events=5),
        row("a", rate=1, events=5),
        row("busy", rate=1, events=9),
        row("unknown", rate=None, events=99),
        row("warned", level="warn", rate=0),
        row("broken", level="bad", rate=None),
        row("idle", level="idle", rate=2),
    ]
    assert [one["name"] for one in sorted(rows, key=order)] == ["broken", "warned", "idle", "busy", "a", "b", "unknown"]


def test_unknown_is_a_dash_and_never_a_zero():
    bare = {"name": "public.t", "level": "bad", "status": "reader down", "events": None}
    down = [{"service": name, "address": "a:1", "state": "down", "error": "gone"} for name in SERVICES]
    made = state([bare], down, numbers={}, signatures=[], headline={"level": "bad", "text": "Down: reader"})
    made["tables"]["totals"] = {}
    text = said(text_of(snapshot(Shown(made, []), 160, Look()), 160))
    figures = text.partition(" figures ")[2].partition(" tables ")[0]
    assert not any(letter.isdigit() for letter in figures.replace("p50", "").replace("p99", ""))
    assert "✖ public.t reader down – – – – – – – –" in text
    assert "Not known while no transformer answers." in text


def test_no_table_says_why():
    made = state([])
    made["tables"] = {"rows": [], "empty": "The reader is down, and it is the one that knows the tables."}
    assert "it is the one that knows the tables." in said(drawn(made))


def test_problems_are_capped_and_counted():
    problems = [{"level": "bad", "text": f"problem number {number}"} for number in range(9)]
    text = said(drawn(state(problems=problems)))
    assert "✖ problem number 0" in text
    assert "… 8 more" in text
    assert "problem number 8" in said(text_of(snapshot(Shown(state(problems=problems)), 120, Look()), 120))


def test_many_replicas_leave_room_and_the_worst_is_shown():
    several = [replica(service, number) for service in SERVICES for number in range(20)]
    several[55] = replica("loader", 99, "bad")
    text = said(drawn(state(replicas=several)))
    assert "✖ loader 10.0.0.99:50051" in text
    assert "… 75 more replicas" in text
    assert "transformer×20" in text
    assert "public.orders" in text


def test_paused_stale_and_waiting_are_said():
    made = state()
    made["numbers"]["paused"] = True
    assert "paused" in drawn(made)[0]
    assert "▲ no news for 7 s" in drawn(Shown(state(), points(), "no news for 7 s"))[0]
    assert "Waiting for the first sample" in said(drawn({}))
    assert "http://x does not answer" in said(drawn(Shown({}, [], "http://x does not answer")))


HOSTILE = [
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "[red]markup[/red] [link=x]",
    "line\nbreak\r\ttab",
    "\u202egnp.exe\u2066",
    "\x9b31m\x85\u2028",
    "zero\u200bwidth\ufeff",
    "\ud800",
    ":smile:",
    "日本語の表" * 12,
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
@pytest.mark.parametrize("look", [Look(), ASCII, Look("latin-1")], ids=["utf-8", "ascii", "latin-1"])
def test_hostile_texts_are_shown_and_do_nothing(name: str, look: Look):
    rows = [row(f"public.{name}", warning=name, status=name)]
    problem = {"level": "warn", "text": name}
    signature = {"table": name, "absent": [name], "loads": 1, "rows": 1}
    made = state(rows, [replica("reader", error=name)], problems=[problem], signatures=[signature])
    for node in made["ring"]["nodes"]:
        node |= {"state": name, "detail": name}
    made["headline"]["text"] = name
    for lines in (
        drawn(made, 220, 60, look),
        drawn(made, 80, 24, look),
        text_of(snapshot(Shown(made), 220, look), 220),
    ):
        assert all(line.isprintable() for line in lines)
        assert all(cell_len(line) <= 220 for line in lines)
        "\n".join(lines).encode(look.encoding)
    shown = harmless(name, "" if look.unicode else look.encoding)
    whole = said(text_of(snapshot(Shown(made), 400, look), 400))
    assert shown[:40] in whole


def test_printable_texts_are_as_they_are():
    for name in ("orders", "Größe", "таблица", "日本語", "a [b] c\\d", 'it\'s "quoted"'):
        assert harmless(name) == name
    assert harmless("Größe – 日本", "latin-1") == "Größe - \\u65e5\\u672c"


def test_the_picture_shows_where_data_cannot_flow():
    made = state()
    for link in made["ring"]["links"]:
        link |= {"moves": False, "ok": (link["from"], link["to"]) != ("transformer", "loader")}
    line = next(line for line in drawn(made) if "PostgreSQL" in line)
    assert " ".join(line.split()) == "● PostgreSQL ▷ ● reader ▷ ● transformer ✖ ● loader ▷ ● StarRocks | ● checkpoint"
